"""Closed forms of weight matrices in JAX against products of gradients, and that they are used where they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("linstab._linstab")

import jax.numpy as jnp
import linstab.jax as door
from linstab.jax import _gram, _layers

SAMPLES = 9
Model = Callable[[Any, Any], Any]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def dense(w: Any, x: Any) -> Any:
    return jax.nn.gelu(x @ w["a"] + w["bias"]) @ w["b"]


def transposed(w: Any, x: Any) -> Any:
    """Weights as (outputs, inputs), one sample at a time, as equinox has them."""
    return jax.vmap(lambda row: w["b"].T @ jax.nn.relu(w["a"].T @ row + w["bias"]))(x)


def nested(w: Any, x: Any) -> Any:
    """A layer that is compiled by itself, and one inside a derivative rule."""
    layer = jax.jit(lambda kernel, value: jax.nn.silu(value @ kernel))
    return jax.checkpoint(lambda value: value @ w["b"])(layer(w["a"], x) + w["bias"])


def sequence(w: Any, x: Any) -> Any:
    """Weights that meet two positions of a sample."""
    return (jnp.tanh(jnp.stack([x, jnp.sin(x)], axis=1) @ w["a"] + w["bias"]) @ w["b"]).sum(axis=1)


def tied(w: Any, x: Any) -> Any:
    """One matrix in two products, and another in a product and a sum."""
    return jnp.tanh(jnp.tanh(x @ w["a"]) @ w["a"].T @ w["a"] + w["bias"]) @ w["b"] + 0.1 * w["b"].sum()


def scanned(w: Any, x: Any) -> Any:
    state, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ (w["a"] @ w["a"].T)), None), x, None, length=3)
    return (state @ w["a"] + w["bias"]) @ w["b"]


MODELS: dict[str, tuple[Model, set[str]]] = {
    "dense": (dense, {"a", "b"}),
    "transposed": (transposed, {"a", "b"}),
    "nested": (nested, {"a"}),
    "sequence": (sequence, {"a", "b"}),
    "tied": (tied, set()),
    "scanned": (scanned, {"b"}),
}


def params() -> dict[str, np.ndarray]:
    return {"a": numbers(30, 24) / 6, "b": numbers(24, 20, seed=1) / 5, "bias": numbers(24, seed=2)}


def covered(apply: Model, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, set[str]]:
    """The inner products, and which parameters had a closed form."""
    seen: set[str] = set()
    original = _gram._add_closed_forms

    def spy(values: Any, ready: Any) -> set[int]:
        leaves = original(values, ready)
        seen.update(ready.model.names[leaf] for leaf in leaves)
        return leaves

    monkeypatch.setattr(_gram, "_add_closed_forms", spy)
    return door.gram(apply, params(), (numbers(SAMPLES, 30), numbers(SAMPLES, 20, seed=3)), chunk_size=4, **options), seen


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_closed_forms_are_the_products_of_factors(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, expected = MODELS[name]
    found, seen = covered(apply, monkeypatch, dtype=dtype)
    plain = door.factors(apply, params(), (numbers(SAMPLES, 30), numbers(SAMPLES, 20, seed=3)), dtype=dtype).gram()
    assert seen == expected
    error = np.abs(found.values - plain.values).max() / np.abs(plain.values).max()
    # Rounding of the backward passes, in another order.
    assert error <= {"float64": 1e-13, "float32": 1e-5}[dtype]
    assert np.array_equal(found.values, found.values.T) and found.coefficients.shape == plain.coefficients.shape


def test_a_wrong_closed_form_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: derivatives twice as large are seen, and gradients step in."""
    original = _layers.Product.rows_of_outputs
    monkeypatch.setattr(_layers.Product, "rows_of_outputs", lambda self, derivative: 2 * original(self, derivative))
    found, seen = covered(dense, monkeypatch)
    plain = door.factors(dense, params(), (numbers(SAMPLES, 30), numbers(SAMPLES, 20, seed=3))).gram()
    assert seen == set()
    assert np.abs(found.values - plain.values).max() <= 1e-13 * np.abs(plain.values).max()


def test_gradients_are_taken_where_they_are_cheaper() -> None:
    """Many positions meet a small matrix: a convolution of width one."""
    product = _layers.Product(0, (0,), 1, 1, (100, 8), 8, 8)
    assert not product.pays(50, 2)
    assert _layers.Product(0, (0,), 1, 1, (1, 800), 800, 800).pays(50, 2)


def test_a_million_parameters_need_few_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """2000 rows of a million parameters, with factors of the biases and of the samples that closed forms are held against alone."""
    rng = np.random.default_rng(0)
    widths = [64, 960, 960, 11]
    weights = {f"w{i}": rng.normal(size=shape) / shape[0] ** 0.5 for i, shape in enumerate(zip(widths, widths[1:]))}
    weights |= {f"b{i}": np.zeros(width) for i, width in enumerate(widths[1:])}

    def apply(w: Any, x: Any) -> Any:
        for i in range(2):
            x = jax.nn.relu(x @ w[f"w{i}"] + w[f"b{i}"])
        return x @ w["w2"] + w["b2"]

    taken: list[int] = []
    original = _gram.gradients

    def spy(ready: Any, group: tuple[int, ...], first: int, last: int, chunk_size: int) -> Any:
        taken.append((last - first) * sum(ready.model.sizes[leaf] for leaf in group))
        return original(ready, group, first, last, chunk_size)

    monkeypatch.setattr(_gram, "gradients", spy)
    data = rng.uniform(size=(200, 64)), rng.integers(0, 11, 200)
    found = door.gram(apply, weights, data, loss="cross_entropy")
    assert found.values.shape == (2000, 2000)
    # Of 200 million numbers a factor.
    assert sum(taken) < 5e6
    few = door.factors(apply, weights, (data[0][:2], data[1][:2]), loss="cross_entropy").gram()
    assert np.abs(found.values[:20, :20] - few.values).max() <= 1e-12 * np.abs(few.values).max()


def test_selected_parameters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found, seen = covered(dense, monkeypatch, select=lambda name: name != "b")
    plain = door.factors(
        dense, params(), (numbers(SAMPLES, 30), numbers(SAMPLES, 20, seed=3)), select=lambda name: name != "b"
    ).gram()
    assert seen == {"a"}
    assert np.abs(found.values - plain.values).max() <= 1e-13 * np.abs(plain.values).max()
