"""JAX factors against plain differentiation, inner products against factors, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.flatten_util  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import linstab.jax as door  # noqa: E402
from linstab import losses  # noqa: E402
from linstab.errors import LinstabError  # noqa: E402
from linstab.factors import Factors  # noqa: E402

SAMPLES, INPUTS, HIDDEN, OUTPUTS = 7, 5, 6, 3
# Double precision, sums of some hundred terms.
EXACT = 1e-12


def params(seed: int = 0, dtype: str = "float32") -> dict[str, Any]:
    """Single precision, as JAX has it by default."""
    rng = np.random.default_rng(seed)
    shapes = {"first": (INPUTS, HIDDEN), "bias": (HIDDEN,), "second": (HIDDEN, OUTPUTS)}
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def apply(weights: dict[str, Any], inputs: Any) -> Any:
    hidden = jnp.tanh(inputs @ weights["first"] + weights["bias"])
    return hidden @ weights["second"]


def data(loss: str = "mse") -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(SAMPLES, INPUTS))
    classes = rng.integers(0, OUTPUTS, SAMPLES)
    return inputs, classes if loss == "cross_entropy" else rng.normal(size=(SAMPLES, OUTPUTS))


def sample_loss(loss: str, outputs: Any, target: Any) -> Any:
    """The losses as a user of JAX would write them."""
    if loss == "cross_entropy":
        return -jax.nn.log_softmax(outputs)[target]
    return ((outputs - target) ** 2).mean() if loss == "mse" else 0.5 * ((outputs - target) ** 2).sum()


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree_util.tree_leaves(tree)])


def doubles(tree: Any) -> Any:
    return jax.tree_util.tree_map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_factors_are_those_of_plain_differentiation(loss: str) -> None:
    inputs, targets = data(loss)
    found = door.factors(apply, params(), (inputs, targets), loss=loss, chunk_size=3)
    assert found.values.shape == (SAMPLES, losses.num_factors(loss, OUTPUTS), found.num_parameters)
    assert found.values.dtype == np.float64 and found.loss == loss and found.population == SAMPLES
    with jax.enable_x64(True):
        weights = doubles(params())
        for i in range(SAMPLES):
            output = lambda w: apply(w, inputs[i : i + 1])[0]  # noqa: E731
            jacobian = np.stack([flat(jax.grad(lambda w: output(w)[c])(weights)) for c in range(OUTPUTS)])
            curvature = np.asarray(jax.hessian(lambda z: sample_loss(loss, z, targets[i]))(output(weights)))
            expected = jacobian.T @ curvature @ jacobian
            difference = np.abs(found.values[i].T @ found.values[i] - expected).max()
            assert difference <= EXACT * np.abs(expected).max()


def test_cross_entropy_of_sequences_is_the_mean_over_tokens() -> None:
    rng = np.random.default_rng(2)
    inputs, classes = rng.normal(size=(SAMPLES, 4, INPUTS)), rng.integers(0, OUTPUTS, (SAMPLES, 4))

    def tokens(w: Any, x: Any) -> Any:
        return apply(w, x + jnp.roll(x, 1, axis=1))

    found = door.factors(tokens, params(), (inputs, classes), loss="cross_entropy", chunk_size=3)
    assert found.num_factors == 4 * (OUTPUTS - 1) and found.labels is None
    with jax.enable_x64(True):
        weights, back = jax.flatten_util.ravel_pytree(doubles(params()))

        def loss(z: Any, i: int) -> Any:
            return -jnp.take_along_axis(jax.nn.log_softmax(z), classes[i][:, None], axis=1).mean()

        for i in range(SAMPLES):
            jacobian = jax.jacrev(lambda w: tokens(back(w), inputs[i : i + 1])[0])(weights)
            z = tokens(back(weights), inputs[i : i + 1])[0]
            expected = jnp.einsum("tcp,tcsd,sdq->pq", jacobian, jax.hessian(loss)(z, i), jacobian)
            assert np.abs(found.values[i].T @ found.values[i] - expected).max() <= EXACT * np.abs(expected).max()
            slope = jax.grad(lambda w: loss(tokens(back(w), inputs[i : i + 1])[0], i))(weights)
            assert np.abs(found.coefficients[i] @ found.values[i] - slope).max() <= EXACT * np.abs(slope).max()
    products = door.gram(tokens, params(), (inputs, classes), loss="cross_entropy").values
    assert np.abs(products - found.gram().values).max() <= EXACT * np.abs(products).max()


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_coefficients_give_the_gradient_of_the_loss(loss: str) -> None:
    inputs, targets = data(loss)
    found = door.factors(apply, params(), (inputs, targets), loss=loss)
    assert found.coefficients is not None
    gradients = np.einsum("iq,iqp->ip", found.coefficients, found.values)
    with jax.enable_x64(True):
        for i in range(SAMPLES):
            expected = flat(jax.grad(lambda w: sample_loss(loss, apply(w, inputs[i : i + 1])[0], targets[i]))(doubles(params())))
            assert np.abs(gradients[i] - expected).max() <= EXACT * np.abs(expected).max()
            # Negative control: it is the gradient of this sample, not of the next.
            assert np.abs(gradients[(i + 1) % SAMPLES] - expected).max() > 1e-3


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("memory_limit", [1, 4000, 2**30])
def test_gram_is_that_of_the_factors(loss: str, memory_limit: int) -> None:
    # One byte: a group a leaf and a block a sample; 4000: leaves grouped, some in blocks; a GiB: all at once.
    expected = door.factors(apply, params(), data(loss), loss=loss).gram()
    found = door.gram(apply, params(), data(loss), loss=loss, chunk_size=2, memory_limit=memory_limit)
    assert np.abs(found.values - expected.values).max() <= EXACT * np.abs(expected.values).max()
    assert found.num_factors == expected.num_factors and found.population == SAMPLES
    assert np.allclose(found.coefficients, expected.coefficients, rtol=EXACT, atol=EXACT)
    if loss == "cross_entropy":
        assert np.array_equal(found.labels, data(loss)[1])


def test_subset_and_batches_and_chunks_are_the_same_samples() -> None:
    inputs, targets = data()
    whole = door.factors(apply, params(), (inputs, targets))
    batches = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
    for chunk_size in (1, 5, 100):
        assert np.allclose(
            door.factors(apply, params(), batches, chunk_size=chunk_size).values, whole.values, rtol=EXACT, atol=EXACT
        )
    part = door.factors(apply, params(), batches, num_samples=3, seed=5)
    assert part.population == SAMPLES and part.indices is not None and len(set(part.indices)) == 3
    assert np.allclose(part.values, whole.values[part.indices], rtol=EXACT, atol=EXACT)
    assert np.array_equal(part.indices, door.factors(apply, params(), batches, num_samples=3, seed=5).indices)


def test_single_precision_is_near_double_precision() -> None:
    single = door.factors(apply, params(), data(), dtype="float32")
    double = door.factors(apply, params(), data())
    assert single.values.dtype == np.float32
    # Single precision has seven digits.
    assert 0 < np.abs(single.values - double.values).max() < 1e-5 * np.abs(double.values).max()
    assert not jax.config.jax_enable_x64


def test_selected_parameters_are_columns_of_all() -> None:
    whole = door.factors(apply, params(), data())
    part = door.factors(apply, params(), data(), select=lambda name: name != "first")
    assert [name for name, _ in part.parameters] == ["bias", "second"]
    kept = np.concatenate([np.arange(HIDDEN), np.arange(HIDDEN + INPUTS * HIDDEN, whole.num_parameters)])
    assert np.array_equal(part.values, whole.values[:, :, kept])


def test_interrupted_file_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "factors.npy"
    expected = door.factors(apply, params(), data(), chunk_size=2)
    calls = 0
    write = door._factors.FactorStore.write

    def failing(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        write(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door._factors.FactorStore, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            door.factors(apply, params(), data(), chunk_size=2, out=path)
        found = door.factors(apply, params(), data(), chunk_size=2, out=path)
    # Two chunks before the interruption, one that failed, and only the two that were missing afterwards.
    assert calls == 5
    assert isinstance(found, Factors) and np.array_equal(np.asarray(found), expected.values)
    assert np.array_equal(found.coefficients, expected.coefficients)
    with pytest.raises(LinstabError, match="other weights"):
        door.factors(apply, params(seed=3), data(), chunk_size=2, out=path)


def test_a_model_without_derivatives_leaves_no_file(tmp_path: Path) -> None:
    """Its unfinished store would refuse the model that is put right."""
    with pytest.raises(LinstabError, match="gradient of sample 0 is not finite"):
        door.factors(lambda w, x: apply(w, x) + jnp.sqrt(0 * w["bias"][:OUTPUTS]), params(), data(), out=tmp_path / "factors.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_function_is_compiled_once() -> None:
    traces = 0

    def counted(weights: Any, inputs: Any) -> Any:
        nonlocal traces
        traces += 1
        return apply(weights, inputs)

    door.factors(counted, params(), data(), chunk_size=3)
    first = traces
    door.factors(counted, params(seed=1), data(), chunk_size=3)
    assert first > 0 and traces == first


def refused(
    kind: type[Exception], match: str, weights: Any = None, samples: Any = None, model: Any = apply, **options: Any
) -> None:
    with pytest.raises(kind, match=match) as raised:
        door.factors(model, params() if weights is None else weights, data() if samples is None else samples, **options)
    assert isinstance(raised.value, LinstabError)


def test_parameters_that_are_not_real_numbers_are_refused() -> None:
    refused(
        ValueError, "second has type complex64, which is complex", {**params(), "second": params()["second"].astype(np.complex64)}
    )
    refused(ValueError, "step has type int32, which is not a real", {**params(), "step": np.int32(3)})
    refused(TypeError, "act is a builtin_function.*equinox.partition", {**params(), "act": print})
    refused(ValueError, "first holds NaN", {**params(), "first": np.full((INPUTS, HIDDEN), np.nan)})
    refused(ValueError, "there are no parameters", {})
    same = np.eye(INPUTS)
    refused(ValueError, "a and b are the same array", {"a": same, "b": same}, model=lambda w, x: x @ w["a"] @ w["b"])
    # An integer that select leaves out is no parameter.
    kept = door.factors(apply, {**params(), "step": np.int32(3)}, data(), select=lambda name: name != "step")
    assert np.array_equal(kept.values, door.factors(apply, params(), data()).values)


def test_data_that_is_not_data_is_refused() -> None:
    inputs, targets = data()
    refused(ValueError, "data is empty", samples=(inputs[:0], targets[:0]))
    refused(ValueError, "data is empty", samples=[])
    refused(TypeError, "must be a pair", samples=inputs)
    refused(ValueError, "one row a sample", samples=(inputs, targets[:-1]))
    refused(TypeError, "Python objects", samples=(np.array([None] * SAMPLES), targets))
    refused(ValueError, "num_samples is 8", num_samples=8)
    refused(ValueError, "not finite", samples=(np.full_like(inputs, np.nan), targets))
    refused(ValueError, "targets hold NaN", samples=(inputs, np.full_like(targets, np.nan)))
    refused(ValueError, "outputs have shape.*targets", samples=(inputs, targets[:, :2]))
    refused(ValueError, "integer class", loss="cross_entropy")
    refused(ValueError, "unknown loss", loss="mae")
    refused(ValueError, "dtype is 'float16'", dtype="float16")
    refused(ValueError, "chunk_size is 0", chunk_size=0)


def test_models_that_look_at_the_batch_are_refused() -> None:
    refused(ValueError, "in training mode", model=lambda w, x: apply(w, x - x.mean(0)))
    key = jax.random.key(0)
    refused(ValueError, "in training mode", model=lambda w, x: apply(w, x * jax.random.bernoulli(key, 0.5, x.shape)))
    refused(ValueError, "one row of outputs a sample", model=lambda w, x: apply(w, x).sum())
    refused(ValueError, "computes in float32", model=lambda w, x: apply(w, x).astype(jnp.float32))
    refused(ValueError, "gradient of sample 0 is not finite", model=lambda w, x: apply(w, x) + jnp.sqrt(0 * w["bias"][:OUTPUTS]))


def test_one_output_without_an_axis() -> None:
    inputs, targets = data()
    with_axis = door.factors(lambda w, x: apply(w, x)[:, :1], params(), (inputs, targets[:, :1]))
    without = door.factors(lambda w, x: apply(w, x)[:, 0], params(), (inputs, targets[:, 0]))
    assert np.array_equal(with_axis.values, without.values) and np.array_equal(with_axis.coefficients, without.coefficients)


def test_inputs_may_be_a_tree() -> None:
    inputs, targets = data()
    tree = door.factors(lambda w, x: apply(w, x["a"] + x["b"]), params(), ({"a": inputs, "b": inputs * 0}, targets))
    assert np.allclose(tree.values, door.factors(apply, params(), (inputs, targets)).values, rtol=EXACT, atol=EXACT)
