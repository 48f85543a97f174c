"""What is done at a checkpoint: find it, predict, restart; each part is written as soon as it is known."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from . import along, cells, minima, streams
from .predictors import Analysed
from .protocol import Protocol, Setting, Task
from .restarts import Model
from .tables import Parts, Row

Told = Callable[[str], None]


def tell(message: str) -> None:
    """Progress, for a person."""
    print(message, file=sys.stderr, flush=True)


def run(protocol: Protocol, task: Task, parts: Parts, told: Told = tell) -> None:
    """All parts of a task that are not there yet."""
    name = task.problem.name
    wanted = [setting for setting in task.settings if not parts.done(part_of(name, setting))]
    if not wanted and parts.done(name):
        return
    minimum = found(protocol, task.problem, parts)
    analysed = Analysed(minimum)
    parts.once(name, lambda: {"minima": [row(analysed)]})
    for setting in wanted:
        start = time.perf_counter()
        part = parts.once(part_of(name, setting), lambda: restarted(protocol, analysed, setting))
        grown = [cell["num_grown"] for cell in part["restarts"]]
        told(f"{part_of(name, setting)}: grown {grown} of {protocol.num_runs}, {time.perf_counter() - start:.0f} s")


def found(protocol: Protocol, problem: minima.Problem, parts: Parts) -> minima.Minimum:
    """A minimum, from the folder of parts if it has been found before."""
    path = parts.folder / f"{problem.name}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return minima.restored(problem, kept["place"], kept["divisor"], float(kept["seconds"]))
    minimum = minima.find(problem, protocol.num_training_steps)
    written = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(written, place=minimum.place, divisor=minimum.divisor, seconds=minimum.seconds)
    written.replace(path)
    return minimum


def train(training: along.Training, parts: Parts, told: Told = tell) -> None:
    """A training, if it is not there yet."""
    parts.once(training.part, lambda: along.run(training, told))


def parts_of(protocol: Protocol) -> list[str]:
    """Names of all parts of a protocol."""
    names = [training.part for training in protocol.trainings]
    for task in protocol.tasks:
        names += [task.problem.name, *(part_of(task.problem.name, setting) for setting in task.settings)]
    # A checkpoint can have several tasks.
    return list(dict.fromkeys(names))


def part_of(name: str, setting: Setting) -> str:
    """Name of the part of a setting."""
    live = ".live" if setting.live else ""
    optimizer = setting.optimizer.replace(":", "-").replace("=", "-").replace(",", "-")
    return f"{name}.{optimizer}{live}.{setting.sampling}.{setting.batch_size}"


def row(analysed: Analysed) -> Row:
    """A checkpoint in the table of minima."""
    minimum, problem = analysed.minimum, analysed.minimum.problem
    images, targets = jnp.asarray(minimum.images), jnp.asarray(minimum.targets)
    place, everything = jnp.asarray(minimum.place), jnp.full(len(images), 1.0 / len(images))
    gradient = Model(minimum.network, problem.loss).gradient(place, images, targets, everything)
    return {
        "minimum": problem.name,
        "network": problem.network,
        "activation": minimum.network.activation,
        "data": problem.data,
        "loss": problem.loss,
        "seed": problem.seed,
        "num_samples": problem.num_samples,
        "num_outputs": minimum.network.num_outputs,
        "num_parameters": minimum.network.num_parameters,
        "final_loss": float(minima.mean_loss(minimum.network, problem.loss, place, images, targets)),
        "gradient_norm": float(np.linalg.norm(np.asarray(gradient))),
        "interpolating": int(minimum.interpolating),
        "sharpness": analysed.sharpness,
        "hessian_sharpness": analysed.hessian_sharpness(),
        "coherence": analysed.coherence,
        "seconds": minimum.seconds,
    }


def restarted(protocol: Protocol, analysed: Analysed, setting: Setting) -> dict[str, list[Row]]:
    """Predictions for a setting, and its runs."""
    minimum = analysed.minimum
    specification = setting.specification(analysed.sharpness, protocol.radius, protocol.weight_decay)
    key = {
        "minimum": minimum.problem.name,
        "optimizer": specification,
        "sampling": setting.sampling,
        "batch_size": setting.batch_size,
    }
    loader = cells.loader_of(minimum, setting)
    num_epochs = protocol.epochs_per_record(loader, specification) * protocol.num_records
    seed = streams.seed_of("almost-sure", *key.values())
    if setting.live:
        # Predicted with the moment frozen: those predictions stand in the part of the frozen rule.
        threshold = analysed.mean_square(specification, setting.sampling, setting.batch_size).learning_rate
        return {"restarts": cells.run(protocol, minimum, setting, specification, threshold)}
    predictions = analysed.all(specification, setting.sampling, setting.batch_size, num_epochs, seed)
    threshold = predictions[0].learning_rate
    return {
        "thresholds": [{**key, **prediction.__dict__} for prediction in predictions],
        "restarts": cells.run(protocol, minimum, setting, specification, threshold),
    }
