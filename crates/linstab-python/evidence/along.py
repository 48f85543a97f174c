"""Along ordinary trainings: the threshold of each one's own optimizer and loader at checkpoints, spikes, and trainings without culprits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import linstab
import numpy as np

from . import datasets, losses, minima, networks, restarts, rules, streams
from .predictors import SAMPLINGS, Analysed
from .rules import State
from .tables import Row


@dataclass(frozen=True)
class Training:
    """A training from the start, with a learning rate that is constant between checkpoints."""

    name: str
    network: str
    data: str
    optimizer: str
    sampling: str
    batch_size: int
    learning_rate: float
    num_checkpoints: int
    steps_per_checkpoint: int
    seed: int
    num_samples: int
    ramp_from: int
    """The checkpoint from which on the learning rate grows."""
    ramp: float
    """Factor from a checkpoint to the next."""
    num_removed: int
    """How many of the samples that limit the learning rate are removed before a spike, in a second training."""

    @property
    def part(self) -> str:
        """Name of its part of the record."""
        return f"training.{self.name}.{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"

    def rate(self, checkpoint: int) -> float:
        """The learning rate after a checkpoint."""
        return self.learning_rate * self.ramp ** max(0, checkpoint - self.ramp_from)


def of_table(table: dict[str, Any], num_samples: int) -> tuple[Training, ...]:
    """The trainings of a protocol."""
    usual = {"seed": 1, "num_samples": num_samples, "ramp_from": 0, "ramp": 1.0, "num_removed": 0}
    trainings = tuple(Training(**{**usual, **row}) for row in table.get("trainings", []))
    for training in trainings:
        rules.parse(training.optimizer)
        networks.named(training.network, 1)
        restarts.Loader(training.sampling, training.num_samples, training.batch_size)
        if training.data not in datasets.DATASETS:
            raise ValueError(f"data {training.data!r}, allowed: {', '.join(datasets.DATASETS)}")
    return trainings


SPIKE = 3.0  # times the loss of the checkpoint before
DIVERGED = 1e6  # a loss beyond which nothing is analysed


@dataclass(frozen=True)
class Point:
    """A training at a checkpoint."""

    checkpoint: int
    state: State
    images: np.ndarray
    targets: np.ndarray
    network: networks.Network


def run(training: Training, told: Callable[[str], None]) -> dict[str, list[Row]]:
    """The rows of a training, and of the one without culprits if a spike came and some are to be removed."""
    data = datasets.load(training.data, training.num_samples, training.seed)
    network = networks.named(training.network, data.num_outputs)
    place = jnp.asarray(network.initial(training.seed))[None]
    first = Point(0, State(place, jnp.zeros_like(place), jnp.zeros((1, 0))), data.images, data.targets, network)
    rows, points = _followed(training, first, "")
    spike = next((index for index, row in enumerate(rows) if row["event"] == "spike"), None)
    told(f"{training.name}: " + ("no spike" if spike is None else f"a spike at step {rows[spike]['step']}"))
    if spike is None or not training.num_removed:
        return {"trainings": rows}
    # From the checkpoint before the one at which the loss began to rise.
    before = _start_of_rise(rows, spike)
    return {"trainings": rows + _followed(training, _without(training, points[before]), ".removed")[0]}


def _start_of_rise(rows: list[Row], spike: int) -> int:
    while spike > 0 and rows[spike - 1]["loss"] < rows[spike]["loss"]:
        spike -= 1
    return spike


def _followed(training: Training, point: Point, suffix: str) -> tuple[list[Row], list[Point]]:
    model = restarts.Model(point.network, "squared_error")
    rule, numbers = rules.parse(training.optimizer)
    loader = restarts.Loader(training.sampling, len(point.images), training.batch_size)
    num_epochs = max(1, training.steps_per_checkpoint // len(loader.sizes))
    images, targets = jnp.asarray(point.images), jnp.asarray(point.targets)
    zero = jnp.zeros_like(point.state.place[0])
    rows: list[Row] = []
    points: list[Point] = []
    for checkpoint in range(point.checkpoint, training.num_checkpoints + 1):
        rate = training.rate(checkpoint)
        loss = float(minima.mean_loss(point.network, "squared_error", point.state.place[0], images, targets))
        if not loss < DIVERGED:
            break
        point = replace(point, checkpoint=checkpoint)
        event = "removed" if suffix and not rows else "spike" if rows and loss > SPIKE * rows[-1]["loss"] else ""
        step = checkpoint * training.steps_per_checkpoint
        rows.append({**_row(training, point), "training": training.name + suffix, "step": step, "loss": loss, "event": event})
        points.append(point)
        own = rules.Setting(jnp.full(1, rate), numbers["radius"], numbers["decay"], zero, jnp.ones_like(zero))
        key = jax.random.key(streams.seed_of("training", training.name, training.seed, checkpoint))
        state, _ = restarts.follow(rule, loader, model, num_epochs, key, point.state, own, images, targets)
        point = replace(point, state=state)
    return rows, points


def _analysed(training: Training, point: Point) -> Analysed:
    problem = minima.Problem(training.network, training.data, "squared_error", training.seed, len(point.images))
    place = np.asarray(point.state.place[0])
    return Analysed(minima.Minimum(problem, point.network, place, np.ones_like(place), point.images, point.targets, 0.0))


def _row(training: Training, point: Point) -> Row:
    """Thresholds at a checkpoint, and batch sharpness, with the residuals that the training has there."""
    analysed = _analysed(training, point)
    residuals = np.asarray(losses.residuals("squared_error", analysed.minimum.outputs(), jnp.asarray(point.targets)))
    factors = replace(analysed.factors, coefficients=residuals)
    drawing, last_batch = SAMPLINGS[training.sampling]
    asked: dict[str, Any] = {"batch_size": training.batch_size, "optimizer": training.optimizer, "top": 0, "threads": 1}
    own = linstab.analyze(factors, sampling=drawing, last_batch=last_batch, diagnostics=False, **asked).stability[0]
    found = linstab.analyze(factors, diagnostics=True, **asked).diagnostics
    return {
        "optimizer": training.optimizer,
        "sampling": training.sampling,
        "batch_size": training.batch_size,
        "learning_rate": training.rate(point.checkpoint),
        "mean_square": own.max_learning_rate,
        "gradient_descent_limit": own.gradient_descent_limit,
        "batch_sharpness": next((row.value for row in found if row.name == "batch_sharpness"), None),
    }


def _without(training: Training, point: Point) -> Point:
    """The same checkpoint without the samples that have the largest share in the critical second moment."""
    factors = _analysed(training, point).factors
    found = linstab.analyze(factors, batch_size=training.batch_size, top=training.num_removed, diagnostics=False, threads=1)
    culprits = {row.sample for row in found.responsible_samples}
    kept = [index for index in range(len(point.images)) if index not in culprits]
    return replace(point, images=point.images[kept], targets=point.targets[kept])
