"""Models of flax and equinox by the one-liners of the documentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.flatten_util  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import linstab.jax as door  # noqa: E402
from linstab.errors import LinstabError  # noqa: E402

SAMPLES, INPUTS, OUTPUTS = 6, 5, 3


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(SAMPLES, INPUTS)).astype(np.float32), rng.integers(0, OUTPUTS, SAMPLES)


def curvature(found: Any) -> np.ndarray:
    """Mean Gauss-Newton curvature: does not depend on how factors are turned."""
    rows = found.values.reshape(-1, found.num_parameters)
    return rows.T @ rows / found.num_samples


def by_differentiation(apply: Any, params: Any) -> np.ndarray:
    """Mean curvature of the cross-entropy by a dense Jacobian and the softmax's own second derivative."""
    with jax.enable_x64(True):
        weights = jax.tree_util.tree_map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), params)
        flat, back = jax.flatten_util.ravel_pytree(weights)
        inputs = jnp.asarray(data()[0], jnp.float64)
        jacobians = jax.jacfwd(lambda w: apply(back(w), inputs))(flat)
        p = jax.nn.softmax(apply(weights, inputs))
        second = jax.vmap(lambda q: jnp.diag(q) - jnp.outer(q, q))(p)
        return np.asarray(jnp.einsum("icp,icd,idq->pq", jacobians, second, jacobians) / SAMPLES)


def check(apply: Any, params: Any) -> None:
    expected = by_differentiation(apply, params)
    found = curvature(door.factors(apply, params, data(), loss="cross_entropy", chunk_size=4))
    # Sums of some hundred terms in double precision.
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
    assert np.abs(expected).max() > 1e-3


def test_flax_linen() -> None:
    nn = pytest.importorskip("flax.linen")

    class Perceptron(nn.Module):
        @nn.compact
        def __call__(self, inputs: Any) -> Any:
            return nn.Dense(OUTPUTS)(nn.LayerNorm()(jnp.tanh(nn.Dense(7)(inputs))))

    model = Perceptron()
    # A layer without a type of its own follows its inputs.
    check(model.apply, model.init(jax.random.key(0), data()[0]))


def test_flax_nnx() -> None:
    nnx = pytest.importorskip("flax.nnx")
    keys = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(INPUTS, 7, rngs=keys), nnx.relu, nnx.Linear(7, OUTPUTS, rngs=keys))
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    check(lambda params, inputs: nnx.merge(graph, params, rest)(inputs), params)


def test_nnx_batch_normalisation_needs_its_averages() -> None:
    nnx = pytest.importorskip("flax.nnx")

    def functional(**options: Any) -> tuple[Any, Any]:
        keys = nnx.Rngs(0)
        model = nnx.Sequential(
            nnx.Linear(INPUTS, 7, rngs=keys), nnx.BatchNorm(7, rngs=keys, **options), nnx.Linear(7, OUTPUTS, rngs=keys)
        )
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        return lambda params, inputs: nnx.merge(graph, params, rest)(inputs), params

    with pytest.raises(LinstabError, match="in training mode"):
        door.factors(*functional(), data(), loss="cross_entropy")
    check(*functional(use_running_average=True))


def test_equinox() -> None:
    equinox = pytest.importorskip("equinox")
    model = equinox.nn.MLP(INPUTS, OUTPUTS, 7, 1, key=jax.random.key(0))
    params, static = equinox.partition(model, equinox.is_inexact_array)
    check(lambda params, inputs: jax.vmap(equinox.combine(params, static))(inputs), params)
    with pytest.raises(LinstabError, match="equinox.partition"):
        door.factors(lambda params, inputs: jax.vmap(params)(inputs), model, data(), loss="cross_entropy")


def test_convolution() -> None:
    def apply(params: Any, inputs: Any) -> Any:
        image = jnp.stack([inputs, inputs**2], 1)
        hidden = jax.lax.conv_general_dilated(image, params["kernel"], (1,), "SAME")
        return jnp.tanh(hidden).mean(2) @ params["dense"]

    rng = np.random.default_rng(3)
    check(apply, {"kernel": rng.normal(size=(4, 2, 3)), "dense": rng.normal(size=(4, OUTPUTS))})
