"""What the part for PyTorch is given: checkpoints of the record, and the cells that are run again with a framework's loader and optimizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from . import cells, rules, tasks
from .predictors import Analysed
from .protocol import Protocol, Setting, Task
from .tables import Parts


def chosen(protocol: Protocol) -> list[tuple[Task, tuple[Setting, ...]]]:
    """The checkpoints, each with the settings of the record that are run again."""
    framework = protocol.framework
    found = []
    for name in framework.minima:
        of_minimum = [task for task in protocol.tasks if task.problem.name == name]
        settings = tuple(setting for task in of_minimum for setting in task.settings if setting in framework.settings)
        found.append((of_minimum[0], settings))
    return found


def part_of(name: str, setting: Setting) -> str:
    """Name of the part of a setting."""
    return f"torch.{tasks.part_of(name, setting)}"


def parts_of(protocol: Protocol) -> list[str]:
    """Names of all parts for PyTorch."""
    return [part_of(task.problem.name, setting) for task, settings in chosen(protocol) for setting in settings]


def write(protocol: Protocol, parts: Parts, folder: Path) -> None:
    """A file a checkpoint: parameters by name, samples, factors, and what is to be run.

    Raises
    ------
    RuntimeError
        If a cell is not there that is to be held against.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for task, settings in chosen(protocol):
        problem = task.problem
        missing = [setting for setting in settings if not parts.done(tasks.part_of(problem.name, setting))]
        if missing:
            raise RuntimeError(f"{tasks.part_of(problem.name, missing[0])} has not been run: first run without --torch")
        minimum = tasks.found(protocol, problem, parts)
        arrays: dict[str, Any] = {"images": minimum.images, "targets": minimum.targets, "factors": Analysed(minimum).factors.values}
        for kind, values in (("param", minimum.place), ("divisor", minimum.divisor)):
            arrays |= {f"{kind}.{name}": np.asarray(array) for name, array in minimum.network.tree(values).items()}
        plan = {
            "network": problem.network,
            "num_runs": protocol.num_runs,
            "num_records": protocol.num_records,
            "distance": protocol.distance,
            "passage": protocol.judge.passage,
            "decay": protocol.judge.decay,
            "settings": [_setting(protocol, parts, problem.name, minimum, setting) for setting in settings],
        }
        np.savez(folder / f"{problem.name}.npz", plan=np.array(json.dumps(plan)), **arrays)


def _setting(protocol: Protocol, parts: Parts, name: str, minimum: Any, setting: Setting) -> dict[str, Any]:
    """The cells of a setting as the record has them, and what its rule does, in the words of `torch.optim`."""
    recorded = parts.read(tasks.part_of(name, setting))["restarts"]
    specification = recorded[0]["optimizer"]
    rule, numbers = rules.parse(specification)
    if rule.ascent or numbers["decay"]:
        raise ValueError(f"{specification}: `torch.optim` has no such rule")
    loader = cells.loader_of(minimum, setting)
    return {
        "part": part_of(name, setting),
        "cells": [
            {key: cell[key] for key in ("minimum", "optimizer", "sampling", "batch_size", "ratio", "learning_rate", "live_second_moment")}
            for cell in recorded
            if cell["ratio"] in protocol.framework.ratios
        ],
        "momentum": rule.momentum,
        "nesterov": rule.nesterov,
        "adamw": rule.preconditioned,
        "epochs_per_record": protocol.epochs_per_record(loader, specification),
        "batches_per_epoch": len(loader.sizes),
    }
