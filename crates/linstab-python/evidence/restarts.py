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
