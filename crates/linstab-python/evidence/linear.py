"""The almost-sure threshold of an optimizer and a loader: where products of the linearised steps stop shrinking.

The linearised training is followed in the space of the samples' outputs, where a step needs the inner products of the factors alone, by
the rule and the batches that the networks are trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .restarts import Loader
from .rules import Rule, Setting, State

# Over the mean-square threshold: dense where most thresholds lie.
GRID = np.array([0.7, 0.8, 0.88, 0.94, 0.97, 1.0, 1.03, 1.06, 1.09, 1.12, 1.16, 1.2, 1.26, 1.34, 1.45, 1.6, 1.8, 2.1, 2.6])
NUM_CHAINS = 6


@dataclass(frozen=True)
class Crossing:
    """A threshold, and the points of the grid that it lies between."""

    value: float
    lower: float
    upper: float

    def scaled(self, unit: float) -> Crossing:
        """The same in units of which one is `unit`."""
        return Crossing(self.value * unit, self.lower * unit, self.upper * unit)


@partial(jax.jit, static_argnames=("rule", "loader", "num_epochs"))
def grow(rule: Rule, loader: Loader, num_epochs: int, key: Any, state: State, setting: Setting, gram: Any) -> tuple[State, Any]:
    """Follows chains (runs, samples * factors) for some epochs; also returns the logarithm of each one's growth, epoch by epoch."""
    weights = jnp.asarray(loader.weights())
    samples = loader.num_samples
    rows = gram.reshape(samples, -1, len(gram))

    def batch_gradient(chosen: Any, weight: Any, place: Any) -> Any:
        """From the rows of the samples of a batch alone: few, where batches are small."""
        shaped = place.reshape(len(place), samples, -1)
        values = jnp.take_along_axis(shaped, chosen[..., None], axis=1) * weight[:, None]
        if loader.batch_size == 1:
            return jnp.einsum("rf,rfm->rm", values[:, 0], rows[chosen[:, 0]])
        runs = jnp.arange(len(chosen))[:, None]
        return jnp.zeros_like(shaped).at[runs, chosen].add(values).reshape(place.shape) @ gram

    def step(state: State, batch: Any) -> tuple[State, None]:
        chosen, weight = batch
        return rule.step(state, partial(batch_gradient, chosen, weight), lambda place: place @ gram / samples, setting), None

    def epoch(state: State, key: Any) -> tuple[State, Any]:
        state, _ = jax.lax.scan(step, state, (loader.draw(key, len(state.place)), weights))
        size = jnp.maximum(jnp.linalg.norm(state.place, axis=1, keepdims=True), 1e-300)
        return State(state.place / size, state.velocity / size, state.second), jnp.log(size[:, 0])

    return jax.lax.scan(epoch, state, jax.random.split(key, num_epochs))


def almost_sure(
    rule: Rule, loader: Loader, gram: np.ndarray, mean_square: float, numbers: dict[str, float], num_epochs: int, seed: int
) -> Crossing:
    """The learning rate above which almost every run of the linearised training grows, by six chains at each point of a grid.

    Below it exponents are those of the slowest direction, nearly zero: the crossing is where a line through the two smallest clearly
    positive ones reaches zero, but not beyond the points beside it.
    """
    rates = jnp.asarray(np.repeat(GRID * mean_square, NUM_CHAINS))[:, None]
    start = jax.random.normal(jax.random.key(seed), (len(rates), len(gram)))
    # Within the range of the inner products.
    start = start @ gram
    start = start / jnp.linalg.norm(start, axis=1, keepdims=True)
    state = State(start, jnp.zeros_like(start), jnp.zeros((len(start), 0)))
    setting = Setting(rates, numbers["radius"], numbers["decay"], 0.0, 1.0)
    logs = np.asarray(grow(rule, loader, num_epochs, jax.random.key(seed + 1), state, setting, jnp.asarray(gram))[1])
    late = logs[num_epochs // 2 :].mean(axis=0).reshape(len(GRID), NUM_CHAINS)
    late = np.where(np.isfinite(late), late, np.inf)
    return crossing(late).scaled(mean_square)


def crossing(exponents: np.ndarray) -> Crossing:
    """Where exponents (points of the grid, chains) become positive, in units of the grid."""
    means = exponents.mean(axis=1)
    errors = np.nan_to_num(exponents.std(axis=1, ddof=1)) / exponents.shape[1] ** 0.5
    positive = means > 2 * errors + 1e-12
    if positive.all() or not positive.any():
        end = GRID[0] if positive.all() else GRID[-1]
        return Crossing(end, 0.0 if positive.all() else end, end if positive.all() else np.inf)
    first = len(GRID) - int(np.argmin(positive[::-1]))  # all from here on are positive
    if first == len(GRID):
        return Crossing(GRID[-1], GRID[-1], np.inf)
    below, above = GRID[first - 1], GRID[first]
    value = (below + above) / 2
    if first + 1 < len(GRID) and np.isfinite(means[first + 1]) and means[first + 1] > means[first]:
        slope = (means[first + 1] - means[first]) / (GRID[first + 1] - above)
        value = above - means[first] / slope
    return Crossing(float(np.clip(value, below, above)), float(below), float(above))
