"""Optimizers of the edge test: specifications of `linstab`, and the step that each stands for, next to a checkpoint.

A step sees gradients through a function, so that the same code trains a network and its linearisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Gradient = Callable[[Any], Any]
BETA2, EPSILON = 0.999, 1e-8


@dataclass(frozen=True)
class Rule:
    """What is done with a gradient. Everything that is a number of the checkpoint (radii, decays) is an argument of the step."""

    momentum: float = 0.0
    averaged: bool = False
    """The velocity is an average of gradients, as Adam's, not their sum."""
    nesterov: bool = False
    ascent: str = ""
    """`full` or `batch` for SAM, of the gradient that is ascended along."""
    preconditioned: bool = False
    live: bool = False
    """Whether the second moment follows the gradients; else it is that of the checkpoint."""

    def step(self, state: State, batch: Gradient, full: Gradient, setting: Setting) -> State:
        """One step. Decay pulls to the checkpoint: pulling to zero would move the minimum."""
        place = state.place
        if self.ascent:
            place = place + setting.radius * (full if self.ascent == "full" else batch)(place)
        gradient = batch(place) + setting.decay * (state.place - setting.centre)
        weight = 1 - self.momentum if self.averaged else 1.0
        velocity = self.momentum * state.velocity + weight * gradient
        move = gradient + self.momentum * velocity if self.nesterov else velocity
        second, divisor = state.second, setting.divisor
        if self.live:
            second = BETA2 * second + (1 - BETA2) * gradient**2
            divisor = jnp.sqrt(second) + EPSILON
        return State(state.place - setting.learning_rate * move / divisor, velocity, second)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """A run: its parameters, velocity, and second moment (of live AdamW; else it stays)."""

    place: Any
    velocity: Any
    second: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Setting:
    """Numbers of a step, and what it is relative to."""

    learning_rate: Any
    radius: Any
    decay: Any
    centre: Any
    divisor: Any


def parse(specification: str) -> tuple[Rule, dict[str, float]]:
    """The rule of a specification as `linstab` writes it, and its numbers `radius` and `decay`."""
    name, _, rest = specification.partition(":")
    given = dict(item.split("=", 1) for item in rest.split(",") if item)
    sam = name in ("sam", "usam")
    if name not in ("sgd", "sam", "usam", "adamw"):
        raise ValueError(f"optimizer {specification!r}: allowed are sgd, sam, usam and adamw")
    rule = Rule(
        momentum=float(given.pop("beta1" if name == "adamw" else "momentum", 0.9 if name == "adamw" else 0)),
        averaged=name == "adamw",
        nesterov=given.pop("nesterov", "false") == "true",
        ascent=given.pop("ascent", "full") if sam else "",
        preconditioned=name == "adamw",
    )
    numbers = {
        "radius": float(given.pop({"sam": "rho_over_alpha", "usam": "rho"}[name])) if sam else 0.0,
        "decay": float(given.pop("weight_decay", 0)),
    }
    if given or (name == "adamw" and numbers["decay"]):
        raise ValueError(f"optimizer {specification!r}: {', '.join(given) or 'its weight decay'} is not among what the edge test runs")
    return rule, numbers
