"""The cells of a setting: all learning rates and runs of it side by side, and what came of each learning rate."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import judge, restarts, rules, streams
from .minima import Minimum
from .protocol import Protocol, Setting
from .rules import EPSILON, State

Row = dict[str, Any]


def loader_of(minimum: Minimum, setting: Setting) -> restarts.Loader:
    """The loader of a setting at a checkpoint."""
    return restarts.Loader(setting.sampling, len(minimum.images), setting.batch_size)


def run(protocol: Protocol, minimum: Minimum, setting: Setting, specification: str, threshold: float) -> list[Row]:
    """A row for each ratio."""
    start = time.perf_counter()
    rates = np.repeat(threshold * np.array(protocol.ratios), protocol.num_runs)
    misfits, steps_per_record = follow(protocol, minimum, setting, specification, rates)
    seconds = time.perf_counter() - start
    rows = []
    for index, ratio in enumerate(protocol.ratios):
        part = slice(index * protocol.num_runs, (index + 1) * protocol.num_runs)
        row = {
            "minimum": minimum.problem.name,
            "optimizer": specification,
            "sampling": setting.sampling,
            "batch_size": setting.batch_size,
            "ratio": ratio,
            "learning_rate": threshold * ratio,
            **judge.summary(protocol.judge, misfits[:, part], steps_per_record),
            "live_second_moment": int(setting.live),
            "seconds": seconds / len(protocol.ratios),
        }
        rows.append(row)
    return rows


def follow(protocol: Protocol, minimum: Minimum, setting: Setting, specification: str, rates: np.ndarray) -> tuple[np.ndarray, int]:
    """Misfits of runs at these learning rates, (records, runs), the first at the start, until all are decided; and steps a record."""
    rule, numbers = rules.parse(specification)
    rule = replace(rule, live=setting.live)
    loader, centre = loader_of(minimum, setting), jnp.asarray(minimum.place)
    model = restarts.Model(minimum.network, minimum.problem.loss, "misfit" if minimum.interpolating else "distance")
    seed = streams.seed_of(minimum.problem.name, setting.optimizer, setting.sampling, setting.batch_size, setting.live)
    place = jnp.asarray(minimum.place + beside(minimum.place.size, len(rates), protocol.distance, seed))
    second = jnp.broadcast_to((jnp.asarray(minimum.divisor) - EPSILON) ** 2, place.shape) if rule.live else jnp.zeros((len(rates), 0))
    state = State(place, jnp.zeros_like(place), second)
    divisor = jnp.asarray(minimum.divisor) if rule.preconditioned else jnp.ones_like(centre)
    own = rules.Setting(jnp.asarray(rates), numbers["radius"], numbers["decay"], centre, divisor)
    images, targets = jnp.asarray(minimum.images), jnp.asarray(minimum.targets)
    num_epochs = protocol.epochs_per_record(loader, specification)
    records = [restarts.measure(model, place, centre, images, targets)]
    for record in range(protocol.num_records):
        key = jax.random.key(streams.seed_of(seed, record))
        state, misfits = restarts.follow(rule, loader, model, num_epochs, key, state, own, images, targets)
        records.append(misfits)
        if protocol.judge.decided(np.asarray(records)):
            break
    return np.asarray(records), num_epochs * len(loader.sizes)


def beside(size: int, num_runs: int, distance: float, seed: int) -> np.ndarray:
    """Random directions of this length, (runs, size)."""
    directions = np.random.default_rng(seed).standard_normal((num_runs, size))
    directions *= distance / np.linalg.norm(directions, axis=1, keepdims=True)
    return directions
