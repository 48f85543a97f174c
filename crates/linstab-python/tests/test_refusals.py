"""Bad input: exceptions that say what, where and what to do; nothing crashes the interpreter."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import linstab

GOOD = np.random.default_rng(0).normal(size=(5, 4))

ARRAYS = {
    "integers": (np.ones((3, 2), int), linstab.InputError, "entries of type i64"),
    "one dimension": (np.ones(3), linstab.InputError, r"shape \[3\], allowed: \(samples, parameters\)"),
    "a scalar": (5.0, linstab.InputError, r"shape \[\]"),
    "four dimensions": (np.ones((1, 1, 1, 1)), linstab.InputError, r"shape \[1, 1, 1, 1\]"),
    "objects": (np.array([[1, None]]), linstab.InputError, "rows of unlike length"),
    "ragged": ([[1.0, 2.0], [3.0]], linstab.InputError, "is no array"),
    "complex": (np.ones((2, 2), complex), linstab.InputError, "complex numbers"),
    "text": (np.array([["a"]]), linstab.InputError, "supported: float16"),
    "long double": (np.ones((2, 2), np.longdouble), linstab.InputError, "supported: float16"),
    "masked": (np.ma.ones((2, 2)), linstab.InputError, "mask would be lost"),
    "empty": (np.ones((0, 3)), linstab.InputError, "at least one sample"),
    "not a number": (np.array([[1.0, 2.0], [3.0, np.nan]]), linstab.NonFiniteError, "sample 1, factor 0, parameter 1 is NaN"),
    "huge": (np.full((2, 2), 1e200), linstab.OutOfRangeError, "squared length"),
    "no file": ("nowhere.npy", linstab.FileError, "cannot open nowhere.npy: No such file"),
    "nothing": (None, linstab.OptionError, "neither given"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(case):
    value, kind, message = ARRAYS[case]
    with pytest.raises(kind, match=message) as raised:
        linstab.analyze(value)
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value) and repr(vars(again)) == repr(vars(raised.value))  # NaN is not NaN


OPTIONS = {
    "batch_size": [(0, "from 1"), (6, "1 to the number of samples, 5"), (1.5, "an integer"), (True, "an integer"), ("3", "an integer"), ([], "at least one")],
    "progress": [(3, "a function of")],
    "optimizer": [(3, "a specification as"), ([], "a specification as"), ("sgdd", "did you mean `sgd`"), ("sgd:momentum=2", "allowed"), ("adam", "preconditioner")],
    "sampling": [("shuffled", "reshuffling, cyclic, without-replacement")],
    "last_batch": [("some", "keep, drop|drop, keep"), ("drop", "with batches by epochs alone")],
    "learning_rate": [(-1.0, "positive and finite"), (float("nan"), "positive and finite"), ("fast", "a number")],
    "scale": [(0.0, "positive and finite")],
    "tolerance": [(1.0, "from 1e-11 to 1e-4")],
    "population": [(3, "at least the number of samples")],
    "lyapunov": [(True, "together with a learning rate")],
    "threads": [(0, "from 1"), (5000, "1 to 1024")],
    "memory_limit": [("much", "number of bytes")],
    "seed": [(-1, "from 0")],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    for value, message in OPTIONS[name]:
        with pytest.raises(linstab.OptionError, match=message) as raised:
            linstab.analyze(GOOD, **{"batch_size": 2, name: value})
        assert raised.value.name in (name, "optimizer")


def test_one_answer_is_of_one_request():
    """Where several are asked about no answer is chosen in silence."""
    for function in (linstab.max_learning_rate, linstab.criteria):
        with pytest.raises(linstab.OptionError, match=r"batch_size is \[1, 2\], allowed: one"):
            function(GOOD, batch_size=[1, 2])
    for function in (linstab.growth_per_step, linstab.lyapunov):
        with pytest.raises(linstab.OptionError, match="optimizer is .*allowed: one"):
            function(GOOD, learning_rate=0.1, optimizer=["sgd", "sgd:momentum=0.9"])
    with pytest.raises(linstab.OptionError, match="optimizer is .*allowed: one"):
        linstab.stability_map(GOOD, learning_rates=[0.1], optimizer=["sgd", "sgd:momentum=0.9"])
    with pytest.raises(linstab.OptionError, match="learning_rates is 0.1, allowed: numbers"):
        linstab.stability_map(GOOD, learning_rates=0.1)
    one = linstab.max_learning_rate(GOOD)
    assert one == linstab.max_learning_rate(GOOD, batch_size=[1], optimizer=("sgd",)) == linstab.analyze(GOOD).max_learning_rate


def test_diagnostics_that_are_asked_for_are_not_left_out():
    for others in ({"sampling": "reshuffling"}, {"population": 9}):
        assert linstab.analyze(GOOD, batch_size=2, **others).diagnostics == ()
        with pytest.raises(linstab.OptionError, match="residuals is given, allowed: with batches drawn afresh"):
            linstab.analyze(GOOD, batch_size=2, residuals=np.ones(5), **others)
        with pytest.raises(linstab.OptionError, match="diagnostics is given, allowed: with batches drawn afresh"):
            linstab.analyze(GOOD, batch_size=2, diagnostics=True, **others)
    assert linstab.analyze(GOOD, batch_size=2, diagnostics=True).diagnostics


@pytest.mark.parametrize("minima", [[GOOD, GOOD], GOOD, "good.npy", None])
def test_minima_have_names(minima):
    with pytest.raises(linstab.OptionError, match="a dictionary of factors by name"):
        linstab.compare(minima)


def test_every_exception_is_of_the_package():
    kinds = [getattr(linstab.errors, name) for name in linstab.errors.__all__]
    assert all(issubclass(kind, linstab.LinstabError) for kind in kinds)
    # As what is usual for a wrong argument, it can be caught as before.
    assert issubclass(linstab.ModelError, ValueError) and issubclass(linstab.ModelError, TypeError)
    again = pickle.loads(pickle.dumps(linstab.ModelError("no derivative")))
    assert type(again) is linstab.ModelError and str(again) == "no derivative"


def test_companions():
    with pytest.raises(linstab.InputError, match="residuals are floating-point numbers"):
        linstab.analyze(GOOD, residuals=[1.0])
    with pytest.raises(linstab.OptionError, match="number of labels is 1"):
        linstab.analyze(GOOD, labels=[1])
    with pytest.raises(linstab.InputError, match="label 0 is 0.5"):
        linstab.analyze(GOOD, labels=[0.5] * 5)
    with pytest.raises(linstab.InputError, match="allowed: positive"):
        linstab.analyze(GOOD, optimizer="adam", preconditioner=[1.0, 0.0, 1.0, 1.0])
    with pytest.raises(linstab.InputError, match="not symmetric"):
        linstab.analyze(gram=np.triu(np.ones((3, 3))))
    with pytest.raises(linstab.OptionError, match="both given"):
        linstab.analyze(GOOD, gram=GOOD @ GOOD.T)
    with pytest.raises(linstab.MemoryLimitError) as raised:
        linstab.analyze(GOOD, memory_limit=1000)
    assert raised.value.needed > raised.value.limit == 1000


FUZZ = """
import random
import numpy as np
import linstab

random.seed({seed})
rng = np.random.default_rng({seed})
shapes = [(), (0,), (3,), (2, 3), (4, 2), (3, 0), (3, 2, 4), (2, 2, 2), (1, 1), (2, 3, 2, 3), (5, 5)]
dtypes = ["f2", "f4", "f8", ">f8", "i4", "u1", "c8", "O", "S3", "?", "M8[s]"]
numbers = [0, 1, 2, 3, 5, -1, 2**40, 2**70, 0.5, float("nan"), float("inf"), None, "a", [], [1, 2], True]
words = ["sgd", "sgd:momentum=0.9", "adam", "sam:rho_over_alpha=0.1", "sgd:", ":", "", "cyclic", "reshuffling", "bernoulli", 3, None, []]
names = ["batch_size", "learning_rate", "optimizer", "sampling", "last_batch", "residuals", "labels", "preconditioner", "population",
         "scale", "tolerance", "top", "seed", "threads", "memory_limit", "num_factors", "tensor", "lyapunov"]


def array():
    shape, dtype = random.choice(shapes), random.choice(dtypes)
    made = (rng.normal(size=shape) * 10.0 ** random.randint(-3, 3)).astype("f8")
    try:
        made = np.asarray(made.astype(dtype))
    except (TypeError, ValueError):
        pass
    return random.choice([made, made.T, made[::-1] if made.ndim else made, made.tolist()])


answered = refused = 0
for _ in range({calls}):
    keywords = {{}}
    for name in random.sample(names, random.randint(0, 3)):
        keywords[name] = random.choice([random.choice(numbers), random.choice(words), array()])
    # Estimates from sampled orders and exponents take seconds each: a few of them are in other tests.
    if str(keywords.get("sampling")) in ("cyclic", "reshuffling"):
        del keywords["sampling"]
    keywords.pop("lyapunov", None)
    given = {{random.choice(["factors", "gram"]): random.choice([array(), array(), array(), None, 3, "nowhere"])}}
    try:
        str(linstab.analyze(**given, **keywords))
        answered += 1
    except linstab.LinstabError as error:
        assert str(error), (given, keywords)
        refused += 1
print(answered, refused)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_random_calls_crash_nothing(seed):
    code = textwrap.dedent(FUZZ.format(seed=seed, calls=5000))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answered, refused = map(int, done.stdout.split())
    assert answered > 50 and answered + refused == 5000
