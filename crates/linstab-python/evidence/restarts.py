"""Restarts: many runs from beside a checkpoint, side by side, each with its own learning rate and its own batches.

The same code trains the network and its linearisation, whose rate of growth is the almost-sure one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import losses, networks
from .rules import Rule, Setting, State

SAMPLINGS = ("independent", "reshuffling", "reshuffling-drop-last")


@dataclass(frozen=True)
class Loader:
    """How batches are drawn: `independent` (each drawn afresh, without replacement), or cut from an order of all samples."""

    sampling: str
    num_samples: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling {self.sampling!r}: allowed are {', '.join(SAMPLINGS)}")
        if not 1 <= self.batch_size <= self.num_samples:
            raise ValueError(f"batch size {self.batch_size}: allowed are 1 to {self.num_samples}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the batches of an epoch."""
        whole, rest = divmod(self.num_samples, self.batch_size)
        keeps = self.sampling == "reshuffling" and rest > 0
        return (self.batch_size,) * whole + ((rest,) if keeps else ())

    def weights(self) -> np.ndarray:
        """Weight of each place of each batch of an epoch, (batches, batch size): the last one may have empty places."""
        return np.array([[1.0 / size] * size + [0.0] * (self.batch_size - size) for size in self.sizes])

    def draw(self, key: Any, num_runs: int) -> Any:
        """Samples of an epoch of each run, (batches, runs, batch size); for independent batches an epoch is only as many of them."""
        if self.batch_size == self.num_samples:
            return jnp.broadcast_to(jnp.arange(self.num_samples), (1, num_runs, self.num_samples))
        count = len(self.sizes)
        if self.sampling == "independent":
            if self.batch_size == 1:
                return jax.random.randint(key, (count, num_runs, 1), 0, self.num_samples)
            marks = jax.random.uniform(key, (count, num_runs, self.num_samples), jnp.float32)
            return jax.lax.top_k(marks, self.batch_size)[1]
        orders = jnp.argsort(jax.random.bits(key, (num_runs, self.num_samples)), axis=1)
        orders = jnp.pad(orders, ((0, 0), (0, max(0, count * self.batch_size - self.num_samples))))
        orders = orders[:, : count * self.batch_size]
        return jnp.moveaxis(orders.reshape(num_runs, count, self.batch_size), 1, 0)


@dataclass(frozen=True)
class Model:
    """What is trained: a network with a loss."""

    network: networks.Network
    loss: str
    measured: str = "misfit"
    """What a run is measured by: its `misfit`, or its squared `distance` from the checkpoint where that is at a finite loss."""

    def gradient(self, place: Any, images: Any, targets: Any, weights: Any) -> Any:
        """Gradient of the weighted sum of the samples' losses."""

        def weighted(place: Any) -> Any:
            return jnp.dot(weights, losses.sample_losses(self.loss, self.network.apply(place, images), targets))

        return jax.grad(weighted)(place)

    def measure(self, place: Any, centre: Any, images: Any, targets: Any) -> Any:
        """How far a run is from the checkpoint."""
        if self.measured == "distance":
            return jnp.sum((place - centre) ** 2)
        return losses.misfit(self.loss, self.network.apply(place, images), targets)


@partial(jax.jit, static_argnames=("rule", "loader", "model", "num_epochs"))
def follow(
    rule: Rule, loader: Loader, model: Model, num_epochs: int, key: Any, state: State, setting: Setting, images: Any, targets: Any
) -> tuple[State, Any]:
    """Trains every run for some epochs; also returns their misfits, (runs,). States and learning rates have the runs first."""
    weights = jnp.asarray(loader.weights())
    everything = jnp.full(len(images), 1.0 / len(images))

    def step(state: State, batch: Any) -> tuple[State, None]:
        chosen, weight = batch

        def one(state: State, chosen: Any, learning_rate: Any) -> State:
            def of_batch(place: Any) -> Any:
                return model.gradient(place, images[chosen], targets[chosen], weight)

            def of_all(place: Any) -> Any:
                return model.gradient(place, images, targets, everything)

            own = Setting(learning_rate, setting.radius, setting.decay, setting.centre, setting.divisor)
            return rule.step(state, of_batch, of_all, own)

        after: State = jax.vmap(one)(state, chosen, setting.learning_rate)
        return after, None

    def epoch(state: State, key: Any) -> tuple[State, None]:
        return jax.lax.scan(step, state, (loader.draw(key, len(state.place)), weights))

    state, _ = jax.lax.scan(epoch, state, jax.random.split(key, num_epochs))
    return state, measure(model, state.place, setting.centre, images, targets)


@partial(jax.jit, static_argnames="model")
def measure(model: Model, places: Any, centre: Any, images: Any, targets: Any) -> Any:
    """How far each run is from the checkpoint, (runs,)."""
    return jax.vmap(lambda place: model.measure(place, centre, images, targets))(places)


@dataclass(frozen=True)
class Judge:
    """When a run counts as grown: its misfit has passed a multiple of what it started from; or, where it has neither passed nor decayed
    to a multiple when its steps are used up, the logarithm of its misfit rises over the second half."""

    passage: float
    decay: float

    def passed(self, misfits: np.ndarray) -> np.ndarray:
        """Index of the first record beyond the passage of each run, or the number of records; of misfits (records, runs), the first at the
        start. What is not finite has passed."""
        beyond = ~(misfits < self.passage * misfits[0])
        return np.where(beyond.any(axis=0), beyond.argmax(axis=0), len(misfits))

    def decided(self, misfits: np.ndarray) -> bool:
        """Whether every run has passed or decayed."""
        low = (misfits < self.decay * misfits[0]).any(axis=0)
        return bool(np.all((self.passed(misfits) < len(misfits)) | low))

    def slopes(self, misfits: np.ndarray) -> np.ndarray:
        """Slope of the logarithm of the misfit a record: up to the passage or the end of the decay, over the second half of the way."""
        logs = np.log(np.maximum(misfits, 1e-300))
        low = misfits < self.decay * misfits[0]
        ends = np.minimum(self.passed(misfits), np.where(low.any(axis=0), low.argmax(axis=0), len(misfits)))
        return np.array([_slope(logs[:, run], int(end)) for run, end in enumerate(ends)])

    def grown(self, misfits: np.ndarray) -> np.ndarray:
        """Whether each run grew."""
        low = (misfits < self.decay * misfits[0]).any(axis=0)
        passed = self.passed(misfits) < len(misfits)
        return passed | (~low & (self.slopes(misfits) > 0))


def _slope(logs: np.ndarray, end: int) -> float:
    """Least-squares slope over the second half of the records before and at `end`; finite ones only."""
    stop = min(end, len(logs) - 1)
    part = logs[stop // 2 : stop + 1]
    part = part[np.isfinite(part)]
    if len(part) < 2:
        return float("nan")
    steps = np.arange(len(part)) - (len(part) - 1) / 2
    return float(steps @ part / (steps @ steps))
