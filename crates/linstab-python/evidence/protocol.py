"""The protocol: what is run, as `data/evidence/protocol.toml` has it, checked."""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import along, datasets, losses, minima, networks, rules
from .judge import Judge
from .restarts import Loader


class ProtocolError(ValueError):
    """What is wrong with a protocol, in one line."""


@dataclass(frozen=True)
class Setting:
    """An optimizer (with RADIUS and DECAY where a number is relative to the sharpness), a loader, and whether AdamW's moment is live."""

    optimizer: str
    sampling: str
    batch_size: int
    live: bool

    def specification(self, sharpness: float, radius: float, decay: float) -> str:
        """The optimizer at a checkpoint."""
        return self.optimizer.replace("RADIUS", f"{radius / sharpness:.3g}").replace("DECAY", f"{decay * sharpness:.3g}")


@dataclass(frozen=True)
class Task:
    """A checkpoint and its settings: what a process does in one go."""

    problem: minima.Problem
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Framework:
    """What is run again with a framework's own loader and optimizer: settings of minima, by name, at some of the ratios."""

    minima: tuple[str, ...]
    settings: tuple[Setting, ...]
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Protocol:
    """All of it."""

    tasks: tuple[Task, ...] = field(repr=False)
    trainings: tuple[along.Training, ...] = field(repr=False)
    framework: Framework = field(repr=False)
    num_samples: int
    num_training_steps: int
    num_runs: int
    ratios: tuple[float, ...]
    distance: float
    judge: Judge
    num_records: int
    radius: float
    weight_decay: float
    num_steps: dict[int, int]
    memory_factor: int

    @property
    def fingerprint(self) -> str:
        """Of what a cell depends on beside its own name: more cells change no others."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    def shares(self) -> list[list[Task]]:
        """What can be run by itself: a problem with its settings, all of its seeds together, since what is compiled for the first serves the others."""
        groups = itertools.groupby(self.tasks, key=lambda task: (replace(task.problem, seed=0), task.settings))
        return [list(tasks) for _, tasks in groups]

    def epochs_per_record(self, loader: Loader, specification: str) -> int:
        """So that the records of a run make up at least the steps of its batch size, and of its optimizer's memory."""
        factor = self.memory_factor if rules.parse(specification)[0].momentum else 1
        epochs = -(-factor * self.num_steps[loader.batch_size] // len(loader.sizes))
        return -(-epochs // self.num_records)


def read(path: Path, *, quick: bool) -> Protocol:
    """The protocol in a file, or its quick part."""
    try:
        text = path.read_text(encoding="utf-8")
        return _parsed(tomllib.loads(text), quick=quick)
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    except KeyError as error:
        raise ProtocolError(f"{path}: {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolError(f"{path}: {error}") from error


def _parsed(table: dict[str, Any], *, quick: bool) -> Protocol:
    runs, part = table["runs"], table["quick"]
    num_steps = {int(size): int(steps) for size, steps in runs["num_steps"].items()}
    tasks = _tasks(table, part if quick else None)
    for task in tasks:
        for setting in task.settings:
            if setting.batch_size not in num_steps:
                raise ValueError(f"runs.num_steps has none for batch size {setting.batch_size}")
    return Protocol(
        tasks=tasks,
        trainings=_trainings(table, part if quick else None),
        framework=_framework(table["framework"], tasks, quick=quick),
        num_samples=_positive(table["minima"], "num_samples"),
        num_training_steps=_positive(table["minima"], "num_steps"),
        num_runs=_positive(part if quick else runs, "num_runs"),
        ratios=tuple(float(ratio) for ratio in runs["ratios"]),
        distance=float(runs["distance"]),
        judge=Judge(float(runs["passage"]), float(runs["decay"])),
        num_records=_positive(runs, "num_records"),
        radius=float(runs["radius"]),
        weight_decay=float(runs["weight_decay"]),
        num_steps=num_steps,
        memory_factor=_positive(runs, "memory_factor"),
    )


def _positive(table: dict[str, Any], key: str) -> int:
    value = table[key]
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{key} is {value!r}, allowed: a whole number of at least 1")
    return value


def _trainings(table: dict[str, Any], quick: dict[str, Any] | None) -> tuple[along.Training, ...]:
    found = along.of_table(table, _positive(table["minima"], "num_samples"))
    return tuple(training for training in found if quick is None or training.name in quick["trainings"])


def _framework(table: dict[str, Any], tasks: tuple[Task, ...], *, quick: bool) -> Framework:
    """At minima that are run."""
    known = {task.problem.name for task in tasks}
    unknown = [name for name in table["minima"] if name not in known]
    if unknown and not quick:
        raise ValueError(f"framework.minima: there is no {unknown[0]}")
    settings = tuple(setting for row in table["settings"] for setting in _settings(row))
    return Framework(tuple(name for name in table["minima"] if name in known), settings, tuple(float(ratio) for ratio in table["ratios"]))


def _tasks(table: dict[str, Any], quick: dict[str, Any] | None) -> tuple[Task, ...]:
    """Checkpoints and settings in the order of the file, the seeds of a problem side by side."""
    num_samples = _positive(table["minima"], "num_samples")
    found = []
    for group in table["problems"]:
        names = [name for name in group["settings"] if quick is None or name in quick["settings"]]
        settings = tuple(setting for name in names for row in table["settings"][name] for setting in _settings(row))
        for network, data in itertools.product(group["networks"], group["data"]):
            _check_names(network, data, group["loss"])
            if settings and (quick is None or (network in quick["networks"] and data in quick["data"])):
                problems = (minima.Problem(network, data, group["loss"], seed, num_samples) for seed in (quick or table)["seeds"])
                found += [Task(problem, settings) for problem in problems]
    return tuple(found)


def _check_names(network: str, data: str, loss: str) -> None:
    for value, kind, allowed in ((network, "network", networks.NETWORKS), (data, "data", datasets.DATASETS), (loss, "loss", losses.LOSSES)):
        if value not in allowed:
            raise ValueError(f"{kind} {value!r}, allowed: {', '.join(allowed)}")


def _settings(row: dict[str, Any]) -> list[Setting]:
    found = [Setting(row["optimizer"], row["sampling"], size, bool(row.get("live", False))) for size in row["batch_sizes"]]
    for setting in found:
        rules.parse(setting.specification(1.0, 1.0, 1.0))
        Loader(setting.sampling, max(setting.batch_size, 2), setting.batch_size)
    return found
