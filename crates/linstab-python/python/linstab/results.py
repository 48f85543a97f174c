"""The parts of an analysis, as frozen records. Their fields are the keys of the report in JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Coherence", "Criterion", "Diagnostic", "Group", "Lyapunov", "ResponsibleSample", "Stability"]


def _number(value: float | str | None) -> float | None:
    """A number of the report, where texts stand for what JSON lacks."""
    return None if value is None else float(value)


def _known(kind: type, row: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {key: value for key, value in row.items() if key in names}


@dataclasses.dataclass(frozen=True)
class Criterion:
    """A closed-form criterion: what it claims, the learning rate at which it switches, whether its assumptions hold."""

    name: str
    claim: str
    max_learning_rate: float | None
    applies: bool
    assumptions: Mapping[str, bool]
    slack: float | None
    """The learning rate over the exact threshold."""


@dataclasses.dataclass(frozen=True)
class Lyapunov:
    """A Lyapunov exponent per step with its standard error; ``settled`` once its chains have forgotten their start."""

    mean: float
    standard_error: float
    settled: bool
    num_steps: int


@dataclasses.dataclass(frozen=True)
class Stability:
    """Stability of one optimizer at one batch size. Learning rates are in the units of the loss's curvature."""

    optimizer: str
    batch_size: int
    sampling: str
    max_learning_rate: float
    """The mean-square threshold; infinite where nothing limits."""
    max_learning_rate_interval: tuple[float, float]
    """Learning rates between which it lies: certainly if ``basis`` is not ``estimated``."""
    basis: str
    """How it is known: ``exact``, ``certified`` or ``estimated``."""
    gradient_descent_limit: float
    """The threshold of full batches."""
    full_batch_share: float | None = None
    """Share of the full batch in the critical second moment, from 0 to 1; the rest is gradient noise."""
    limited_by: str | None = None
    """``sharpness`` or ``gradient-noise``."""
    confidence: float | None = None
    standard_error: float | None = None
    """As an estimate for the data set, where the samples are a part of it."""
    last_batch: str | None = None
    learning_rate: float | None = None
    growth_per_step: float | None = None
    """Growth of the mean square of the distance from the minimum at that learning rate."""
    stable: bool | None = None
    """None within the interval of an estimate, and without a learning rate."""
    smallest_stable_batch_size: int | None = None
    lyapunov: Lyapunov | None = None
    criteria: tuple[Criterion, ...] = ()

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Stability:
        """The record of a row of the report."""
        lower, upper = row["max_learning_rate_interval"]
        found = row.get("lyapunov")
        lyapunov = Lyapunov(**{**found, "mean": float(found["mean"])}) if found else None
        criteria = tuple(
            Criterion(name=name, **_known(Criterion, criterion)) for name, criterion in row["criteria"].items()
        )
        return cls(
            **{
                **_known(cls, row),
                "max_learning_rate": float(row["max_learning_rate"]),
                "max_learning_rate_interval": (float(lower), float(upper)),
                "gradient_descent_limit": float(row["gradient_descent_limit"]),
                "growth_per_step": _number(row.get("growth_per_step")),
                "lyapunov": lyapunov,
                "criteria": criteria,
            }
        )


@dataclasses.dataclass(frozen=True)
class Coherence:
    """Coherence of the samples' curvatures: ``sigma = lambda_max(S)`` over the largest sharpness of a sample."""

    lambda_max_s: float
    sigma: float
    lambda_max_s_bounds: tuple[float, float]
    block_sizes: tuple[int, ...]

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Coherence:
        """The record of a row of the report."""
        lower, upper = row["lambda_max_s_bounds"]
        known = _known(cls, row)
        return cls(**{**known, "lambda_max_s_bounds": (lower, upper), "block_sizes": tuple(row["block_sizes"])})


@dataclasses.dataclass(frozen=True)
class Group:
    """Coherence of the samples of one label, within and across."""

    label: int
    num_samples: int
    lambda_max_s: float
    within: float | None
    across: float | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Group:
        """The record of a row of the report."""
        return cls(**_known(cls, row))


@dataclasses.dataclass(frozen=True)
class ResponsibleSample:
    """A sample that limits the learning rate of SGD, with its share of the noise part of the critical second moment."""

    sample: int
    share: float
    sharpness: float
    max_learning_rate_without: float | None = None
    """What the threshold would be without it, to first order: no more than a direction where it brings most of the noise."""
    label: int | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> ResponsibleSample:
        """The record of a row of the report."""
        return cls(**_known(cls, row))


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """A published quantity for one optimizer and batch size, beside the exact threshold."""

    name: str
    value: float | None
    """None where it is 0/0, as ratios of gradients are at interpolation."""
    standard_error: float | None
    claims: str
    """``exact``, ``necessary``, ``sufficient``, ``estimate`` or ``nothing``."""
    learning_rate: float | None
    """The learning rate at which it switches."""
    ratio_to_exact: float | None
    assumptions: Mapping[str, bool]
    optimizer: str
    batch_size: int
    curvature: str
    """``Gauss-Newton``."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Diagnostic:
        """The record of a row of the report."""
        assumptions = {assumption["name"]: bool(assumption["holds"]) for assumption in row["assumptions"]}
        return cls(**{**_known(cls, row), "assumptions": assumptions})

    def switches_below(self, learning_rate: float) -> bool:
        """Whether it says that this learning rate is too large."""
        limit = math.inf if self.learning_rate is None else self.learning_rate
        return learning_rate > limit
