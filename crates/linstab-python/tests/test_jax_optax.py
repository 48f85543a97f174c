"""What is read from optax states, what is asked for, and one step of optax against the rules that `linstab analyze` states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
import jax.numpy as jnp  # noqa: E402
from linstab.errors import LinstabError
from linstab.jax import read_optimizer  # noqa: E402

WEIGHTS = {"a": np.array([1.0, -2.0]), "b": np.array([[0.5]])}
GRADIENTS = [{"a": np.array([0.3, -0.1]), "b": np.array([[2.0]])}, {"a": np.array([-0.2, 0.7]), "b": np.array([[0.4]])}]
RATE = 0.1
# One step in double precision.
EXACT = 1e-14


def trained(optimizer: Any, weights: Any = WEIGHTS) -> Any:
    """State after two steps."""
    state = optimizer.init(weights)
    for gradient in GRADIENTS:
        _, state = optimizer.update(gradient, state, weights)
    return state


ADAM = {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-4}


def test_injected_numbers_are_read() -> None:
    found = read_optimizer(trained(optax.inject_hyperparams(optax.sgd)(RATE, momentum=0.9)), {"nesterov": True})
    assert (found.spec, found.learning_rate, found.divisor) == ("sgd:momentum=0.9,nesterov=true", RATE, None)
    found = read_optimizer(trained(optax.inject_hyperparams(optax.adam)(RATE, **ADAM)), {"nesterov": False})
    assert (found.spec, found.learning_rate) == ("adam:beta1=0.8", RATE)
    found = read_optimizer(trained(optax.inject_hyperparams(optax.adamw)(RATE, weight_decay=0.02, **ADAM)), {"nesterov": False})
    assert found.spec == "adamw:beta1=0.8,weight_decay=0.02"
    found = read_optimizer(
        trained(optax.inject_hyperparams(optax.rmsprop)(RATE, momentum=0.5, eps=1e-3)), {"nesterov": False, "eps_in_sqrt": True}
    )
    assert found.spec == "rmsprop:momentum=0.5"
    schedule = optax.inject_hyperparams(optax.adam)(optax.linear_schedule(0.0, 1.0, 10))
    # The second step was made at the second value of the schedule.
    assert read_optimizer(trained(schedule), {"nesterov": False}).learning_rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("optimizer", "missing"),
    [
        (lambda: optax.sgd(RATE), ["weight_decay"]),
        (lambda: optax.sgd(RATE, momentum=0.9), ["momentum", "nesterov"]),
        (
            lambda: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(RATE, momentum=0.9)),
            ["momentum", "nesterov", "weight_decay"],
        ),
        (lambda: optax.adam(RATE), ["b1", "b2", "eps", "eps_root", "nesterov"]),
        (lambda: optax.adamw(RATE), ["b1", "b2", "eps", "eps_root", "nesterov", "weight_decay"]),
        (lambda: optax.adamw(optax.linear_schedule(0.0, 1.0, 10)), ["b1", "b2", "eps", "eps_root", "nesterov", "weight_decay"]),
        (lambda: optax.inject_hyperparams(optax.adam)(RATE), ["nesterov"]),
        (lambda: optax.rmsprop(RATE), ["eps", "eps_in_sqrt", "weight_decay"]),
        (
            lambda: optax.rmsprop(RATE, momentum=0.9, bias_correction=True),
            ["eps", "eps_in_sqrt", "decay", "momentum", "nesterov"],
        ),
    ],
)
def test_what_the_state_does_not_hold_is_asked_for_by_name(optimizer: Any, missing: list[str]) -> None:
    with pytest.raises(LinstabError, match="does not say") as caught:
        read_optimizer(trained(optimizer()))
    asked = [entry.split(" (")[0] for entry in str(caught.value).split("does not say: ")[1].split(". Pass")[0].split("), ")]
    assert asked == missing
    # With those it is read.
    values = {"nesterov": False, "eps_in_sqrt": True, "weight_decay": 0.0}
    assert read_optimizer(trained(optimizer()), {name: values.get(name, 0.5) for name in missing}).spec


def test_weight_decay_is_told_apart_by_its_place() -> None:
    values = {"momentum": 0.9, "nesterov": False, "weight_decay": 0.01}
    before = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(RATE, momentum=0.9))
    after = optax.chain(optax.trace(0.9), optax.add_decayed_weights(0.01), optax.scale(-RATE))
    assert read_optimizer(trained(before), values).spec == "sgd:momentum=0.9,weight_decay=0.01"
    assert read_optimizer(trained(after), values).spec == "sgdw:momentum=0.9,weight_decay=0.01"
    both = optax.chain(optax.add_decayed_weights(0.01), optax.trace(0.9), optax.add_decayed_weights(0.01), optax.scale(-RATE))
    with pytest.raises(LinstabError, match="both sides of the trace"):
        read_optimizer(trained(both), values)
    coupled = optax.chain(optax.add_decayed_weights(0.01), optax.adam(RATE, **ADAM))
    with pytest.raises(LinstabError, match="before adam"):
        read_optimizer(trained(coupled), {**ADAM, "nesterov": False, "weight_decay": 0.01})


def test_optimizers_that_are_not_known_are_refused_by_name() -> None:
    for optimizer, name in [
        (optax.lion(RATE), "ScaleByLionState"),
        (optax.adagrad(RATE), "ScaleByRssState"),
        (optax.masked(optax.adam(RATE), {"a": True, "b": False}), "MaskedState"),
        (optax.MultiSteps(optax.sgd(RATE), 2), "MultiStepsState"),
    ]:
        with pytest.raises(LinstabError, match=name):
            read_optimizer(trained(optimizer))
    with pytest.raises(LinstabError, match="nesterov=True"):
        read_optimizer(trained(optax.adam(RATE)), {**ADAM, "nesterov": True})
    with pytest.raises(LinstabError, match="not made a step"):
        read_optimizer(optax.adam(RATE).init(WEIGHTS), {**ADAM, "nesterov": False})
    with pytest.raises(LinstabError, match="no optax state"):
        read_optimizer(())
    with pytest.raises(LinstabError, match="has no dict"):
        read_optimizer(WEIGHTS)


# One step of optax is the step of the rule that the specification stands for. The rules are written here as the text of
# `linstab analyze --help` has them, with the numbers of the specification that was read and nothing else.


def numbers(spec: str) -> dict[str, float]:
    _, _, terms = spec.partition(":")
    pairs = (term.split("=") for term in terms.split(",") if term)
    return {name: 1.0 if value == "true" else float(value) for name, value in pairs}


def documented_step(found: Any, w: np.ndarray, v: np.ndarray, g: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """The weights after one step from velocity v."""
    name, p = found.spec.split(":")[0], numbers(found.spec)
    momentum, decay, beta1 = p.get("momentum", 0.0), p.get("weight_decay", 0.0), p.get("beta1", 0.0)
    if name == "sgd":
        g = g + decay * w
        v = momentum * v + g
        return w - RATE * (g + momentum * v if p.get("nesterov") else v)
    if name == "sgdw":
        return (1 - RATE * decay) * w - RATE * (momentum * v + g)
    if name == "rmsprop":
        return w - RATE * (momentum * v + g / divisor)
    assert name in ("adam", "adamw")
    return (1 - RATE * decay) * w - RATE * (beta1 * v + (1 - beta1) * g) / divisor


MOMENTUM = {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
CASES = [
    ("sgd", lambda: optax.sgd(RATE), {"weight_decay": 0.0}),
    ("momentum", lambda: optax.sgd(RATE, momentum=0.9), MOMENTUM),
    ("nesterov", lambda: optax.sgd(RATE, momentum=0.9, nesterov=True), {**MOMENTUM, "nesterov": True}),
    (
        "decay before",
        lambda: optax.chain(optax.add_decayed_weights(0.3), optax.sgd(RATE, momentum=0.9)),
        {**MOMENTUM, "weight_decay": 0.3},
    ),
    (
        "decay after",
        lambda: optax.chain(optax.trace(0.9), optax.add_decayed_weights(0.3), optax.scale(-RATE)),
        {**MOMENTUM, "weight_decay": 0.3},
    ),
    ("adam", lambda: optax.adam(RATE, **ADAM), {**ADAM, "nesterov": False}),
    ("adamw", lambda: optax.adamw(RATE, weight_decay=0.3, **ADAM), {**ADAM, "nesterov": False, "weight_decay": 0.3}),
    ("rmsprop", lambda: optax.rmsprop(RATE, eps=1e-3), {"eps": 1e-3, "eps_in_sqrt": True, "weight_decay": 0.0}),
    (
        "rmsprop as torch's",
        lambda: optax.rmsprop(RATE, eps=1e-3, eps_in_sqrt=False, momentum=0.5),
        {"eps": 1e-3, "eps_in_sqrt": False, "momentum": 0.5, "nesterov": False},
    ),
]


@pytest.mark.parametrize(("optimizer", "values"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_one_step_of_optax_is_the_documented_rule(optimizer: Any, values: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        weights = jnp.array([1.0, -2.0, 0.5])
        first, second = jnp.array([0.3, -0.1, 2.0]), jnp.array([-0.2, 0.7, 0.4])
        transformation = optimizer()
        _, state = transformation.update(first, transformation.init(weights), weights)
        velocity = _velocity(state)
        updates, after = transformation.update(second, state, weights)
        found = read_optimizer(after, values)
        # The analysis freezes the second moment at the state that it is given, so this step is the one that made that state.
        divisor = np.ones(3) if found.divisor is None else np.asarray(found.divisor)
        if hasattr(state[0], "mu"):
            # Its first moment is corrected for its start, by a factor that has become one after some dozen steps.
            correction = 1 - values["b1"] ** 2
            updates = _uncorrected(updates, weights, values.get("weight_decay", 0.0), correction)
        expected = documented_step(found, np.asarray(weights), velocity, np.asarray(second), divisor)
        assert np.abs(np.asarray(weights + updates) - expected).max() <= EXACT
        # Negative control: with the velocity forgotten it is another step, where there is one.
        if velocity.any():
            assert (
                np.abs(documented_step(found, np.asarray(weights), 0 * velocity, np.asarray(second), divisor) - expected).max()
                > 1e-3
            )


def _velocity(state: Any) -> np.ndarray:
    """Trace or first moment; RMSProp's trace comes after the learning rate, which the rule applies at the end."""
    for leaf in jax.tree_util.tree_leaves(state, is_leaf=lambda entry: hasattr(entry, "_fields")):
        if hasattr(leaf, "mu"):
            return np.asarray(leaf.mu)
    names = [type(leaf).__name__ for leaf in jax.tree_util.tree_leaves(state, is_leaf=lambda entry: hasattr(entry, "_fields"))]
    traces = [
        leaf.trace
        for leaf in jax.tree_util.tree_leaves(state, is_leaf=lambda entry: hasattr(entry, "_fields"))
        if hasattr(leaf, "trace")
    ]
    if not traces:
        return np.zeros(3)
    return np.asarray(traces[0]) / (-RATE if "ScaleByRmsState" in names else 1.0)


def _uncorrected(updates: Any, weights: Any, decay: float, correction: float) -> Any:
    decayed = -RATE * decay * weights
    return (updates - decayed) * correction + decayed


def test_hyperparameters_that_nobody_knows_are_refused():
    state = optax.sgd(0.1, momentum=0.9).init({"w": jnp.ones(2)})
    with pytest.raises(LinstabError, match="unknown hyperparameters momentun; known are"):
        read_optimizer(state, {"momentun": 0.9, "nesterov": False})
