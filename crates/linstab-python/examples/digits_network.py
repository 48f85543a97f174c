"""A convolutional network that fits a hundred handwritten digits: what the JAX examples have in common.

The data are the optical digits of this repository (`data/digits`). Smooth activations, so that there is a neighbourhood of the minimum
in which the network is as good as linear, and float64, so that a run can decay over many orders of magnitude.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

jax.config.update("jax_enable_x64", True)

NUM_CLASSES = 10
Params = dict[str, jax.Array]


def load_digits(num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images, shape (num_samples, 8, 8), pixels in 0..1, and their digits, shape (num_samples,)."""
    for folder in Path(__file__).resolve().parents:
        table = folder / "data" / "digits" / "digits.csv"
        if table.is_file():
            rows = np.loadtxt(table, delimiter=",", max_rows=num_samples)
            return rows[:, :64].reshape(-1, 8, 8) / 16.0, rows[:, 64].astype(np.int64)
    raise FileNotFoundError("data/digits/digits.csv: run the examples from a clone of the repository")


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Targets of the squared error, shape (samples, 10)."""
    return np.eye(NUM_CLASSES)[labels]


def initial_params(seed: int, channels: tuple[int, int] = (8, 16), hidden: int = 32) -> Params:
    """Weights with variance 1 / fan-in, biases 0."""
    keys = jax.random.split(jax.random.key(seed), 4)

    def weight(key: jax.Array, fan_in: int, fan_out: int) -> jax.Array:
        return jax.random.normal(key, (fan_in, fan_out), jnp.float64) / fan_in**0.5

    first, second = channels
    shapes = [(9, first), (9 * first, second), (4 * second, hidden), (hidden, NUM_CLASSES)]
    params = {}
    for index, (key, (fan_in, fan_out)) in enumerate(zip(keys, shapes)):
        params[f"weight{index}"] = weight(key, fan_in, fan_out)
        params[f"bias{index}"] = jnp.zeros(fan_out, jnp.float64)
    return params


def patches(images: jax.Array) -> jax.Array:
    """3 x 3 patches at stride 2 of images (batch, side, side, channels): (batch, side / 2, side / 2, 9 * channels).

    With patches a convolution is a matrix product, which is fast for many networks side by side, too.
    """
    side = images.shape[1]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + side : 2, j : j + side : 2] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def apply(params: Params, images: jax.Array) -> jax.Array:
    """Outputs (batch, 10) of images (batch, 8, 8): two convolutions with stride 2, then two dense layers."""
    hidden = images[..., None]
    for index in (0, 1):
        hidden = jnp.tanh(patches(hidden) @ params[f"weight{index}"] + params[f"bias{index}"])
    hidden = hidden.reshape(len(images), -1)
    hidden = jnp.tanh(hidden @ params["weight2"] + params["bias2"])
    return hidden @ params["weight3"] + params["bias3"]


def mean_loss(params: Params, images: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the squared error of a sample, summed over its outputs, mean over the samples."""
    return 0.5 * jnp.sum((apply(params, images) - targets) ** 2, axis=1).mean()


def train(
    params: Params, images: Any, targets: Any, *, num_steps: int = 1500, learning_rate: float = 3e-3
) -> tuple[Params, Params]:
    """Adam on all samples; returns the weights and Adam's divisor of gradients, sqrt(second moment) + eps, as it was at the end."""
    beta2, eps = 0.999, 1e-8
    optimizer = optax.adam(learning_rate, b2=beta2, eps=eps)

    def step(_: int, carry: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(mean_loss)(params, images, targets), state)
        return optax.apply_updates(params, updates), state

    params, state = jax.jit(partial(jax.lax.fori_loop, 0, num_steps, step))((params, optimizer.init(params)))
    correction = 1 - beta2**num_steps
    divisor = jax.tree.map(lambda moment: jnp.sqrt(moment / correction) + eps, state[0].nu)
    return params, divisor


def polish(params: Params, images: Any, targets: Any, *, max_steps: int = 30, loss_goal: float = 1e-28) -> Params:
    """Gauss-Newton steps of least norm, until the network interpolates."""
    flat, unravel = ravel_pytree(params)

    @jax.jit
    def step(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
        def residuals(flat: jax.Array) -> jax.Array:
            return (apply(unravel(flat), images) - targets).reshape(-1)

        jacobian = jax.jacrev(residuals)(flat)
        now = residuals(flat)
        gram = jacobian @ jacobian.T
        # Far below what the products can tell from zero: it only keeps the solve from dividing by zero.
        damping = 1e-13 * jnp.trace(gram) / len(gram)
        move = jacobian.T @ jnp.linalg.solve(gram + damping * jnp.eye(len(gram)), now)
        return flat - move, 0.5 * jnp.sum(now**2) / len(images)

    for _ in range(max_steps):
        moved, loss = step(flat)
        if loss < loss_goal:
            return unravel(flat)
        flat = moved
    raise RuntimeError(f"the polish ended at a loss of {loss:.1e}, not at {loss_goal:.0e}: train longer, or widen the network")


def beside(params: Params, generator: np.random.Generator, *, distance: float, num_runs: int) -> Params:
    """Weights of `num_runs` networks, each at `distance` from the minimum in a random direction; a leading axis more."""
    flat, unravel = ravel_pytree(params)
    directions = generator.standard_normal((num_runs, flat.size))
    directions *= distance / np.linalg.norm(directions, axis=1, keepdims=True)
    return jax.vmap(unravel)(flat + directions)
