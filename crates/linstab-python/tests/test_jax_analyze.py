"""From a JAX model and an optax state to an analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
linstab = pytest.importorskip("linstab")

SAMPLES = 30


def problem() -> tuple[Any, Any, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    params = {"first": rng.normal(size=(4, 6)), "second": rng.normal(size=(6, 3))}
    data = rng.normal(size=(SAMPLES, 4)), rng.integers(0, 3, SAMPLES)
    return lambda w, x: jax.numpy.tanh(x @ w["first"]) @ w["second"], params, data


def state_of(optimizer: Any, params: Any) -> Any:
    with jax.enable_x64(True):
        state = optimizer.init(params)
        rng = np.random.default_rng(1)
        for _ in range(3):
            gradient = jax.tree_util.tree_map(lambda leaf: rng.normal(size=leaf.shape), params)
            _, state = optimizer.update(gradient, state, params)
    return state


def test_adam_takes_its_second_moment_from_the_state() -> None:
    apply, params, data = problem()
    state = state_of(optax.inject_hyperparams(optax.adamw)(0.01, b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.1), params)
    found = linstab.jax.analyze_model(
        apply, params, data, state, loss="cross_entropy", batch_size=5, hyperparameters={"nesterov": False}
    )
    second = [np.asarray(state.inner_state[0].nu[name]).ravel() for name in ("first", "second")]
    divisor = np.sqrt(np.concatenate(second) / (1 - 0.9**3)) + 1e-3
    factors = linstab.jax.factors(apply, params, data, loss="cross_entropy")
    expected = linstab.analyze(
        factors, batch_size=5, optimizer="adamw:beta1=0.8,weight_decay=0.1", preconditioner=divisor, learning_rate=0.01
    )
    # One rounding in the divisor is amplified by the eigenvalue problem, not by more than a few digits.
    assert found.max_learning_rate == pytest.approx(expected.max_learning_rate, rel=1e-10)
    assert found.stability[0].optimizer == expected.stability[0].optimizer and found.stable == expected.stable
    # Negative control: another second moment is another threshold.
    other = linstab.analyze(
        factors, batch_size=5, optimizer="adamw:beta1=0.8,weight_decay=0.1", preconditioner=np.ones_like(divisor)
    )
    assert abs(other.max_learning_rate / expected.max_learning_rate - 1) > 0.01


def test_specification_and_memory_limit() -> None:
    apply, params, data = problem()
    common: dict[str, Any] = dict(loss="cross_entropy", batch_size=5, learning_rate=0.3)
    by_factors = linstab.jax.analyze_model(apply, params, data, "sgd:momentum=0.9", **common)
    by_gram = linstab.jax.analyze_model(apply, params, data, "sgd:momentum=0.9", memory_limit=1000, **common)
    assert by_factors.num_parameters == 42 and by_gram.num_parameters is None
    low, high = by_factors.interval
    assert low * (1 - 1e-9) <= by_gram.max_learning_rate <= high * (1 + 1e-6)


def test_selected_parameters_and_a_subset() -> None:
    apply, params, data = problem()
    options: dict[str, Any] = dict(loss="cross_entropy", select=lambda name: name == "second", num_samples=12, seed=4)
    state = state_of(optax.adam(0.01), params)
    numbers = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "nesterov": False}
    found = linstab.jax.analyze_model(apply, params, data, state, batch_size=5, hyperparameters=numbers, **options)
    assert found.num_parameters == 18 and found.to_dict()["population"] == SAMPLES
    assert found.stability[0].standard_error > 0


def test_a_state_of_other_parameters_is_refused() -> None:
    apply, params, data = problem()
    numbers = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "nesterov": False}
    for other, match in [({"first": np.ones((4, 6))}, "1 arrays"), ({**params, "second": np.ones((3, 6))}, "second has shape")]:
        with pytest.raises(linstab.LinstabError, match=match):
            linstab.jax.analyze_model(
                apply, params, data, state_of(optax.adam(0.01), other), loss="cross_entropy", hyperparameters=numbers
            )


def test_batch_size_comes_from_the_batches() -> None:
    apply, params, (inputs, targets) = problem()
    batches = ((inputs[i : i + 6], targets[i : i + 6]) for i in range(0, SAMPLES, 6))
    assert linstab.jax.analyze_model(apply, params, batches, "sgd", loss="cross_entropy").stability[0].batch_size == 6
