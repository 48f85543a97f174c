"""Parts of an analysis by themselves, comparisons of minima, and regression checks."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _linstab
from ._analysis import analyze
from ._request import Source, request_of, request_of_one, source_of
from .errors import OptionError
from .results import Criterion, Lyapunov, Stability

__all__ = [
    "Check",
    "CheckedNumber",
    "CoherenceMatrix",
    "MinimaComparison",
    "OptimizerRule",
    "StabilityMap",
    "check",
    "coherence",
    "compare",
    "criteria",
    "growth_per_step",
    "lyapunov",
    "max_learning_rate",
    "optimizers",
    "stability_map",
]


def max_learning_rate(factors: Source | None = None, **request: Any) -> float:
    """The mean-square threshold of an optimizer at a batch size; keywords are those of :func:`analyze`, batch size 1 if none is said.

    Example:
        >>> import numpy as np, linstab
        >>> round(linstab.max_learning_rate(np.diag([2.0, 1.0]), batch_size=1), 6)
        0.5
    """
    return _row(factors, **request).max_learning_rate


def growth_per_step(factors: Source | None = None, *, learning_rate: float, **request: Any) -> float:
    """Growth per step of the mean square of the distance from the minimum; keywords are those of :func:`max_learning_rate`.

    Raises:
        OptionError: where thresholds are estimated from sampled orders, which give no growth.
    """
    found = _row(factors, learning_rate=learning_rate, **request).growth_per_step
    if found is None:
        allowed = "batches drawn afresh, or few batches an epoch"
        raise OptionError(
            f"the growth is not known for this sampling, allowed: {allowed}", name="sampling", value="", allowed=allowed
        )
    return found


def lyapunov(factors: Source | None = None, *, learning_rate: float, **request: Any) -> Lyapunov:
    """The Lyapunov exponent: the rate of almost every run per step, with its standard error."""
    found = _row(factors, learning_rate=learning_rate, lyapunov=True, **request).lyapunov
    if found is None:
        raise OptionError(
            "the exponent is not known for this request", name="lyapunov", value="", allowed="a learning rate"
        )
    return found


def criteria(factors: Source | None = None, **request: Any) -> tuple[Criterion, ...]:
    """Closed-form criteria of the literature for an optimizer and a batch size, with their assumptions checked."""
    return _row(factors, **request).criteria


def _row(factors: Source | None, **request: Any) -> Stability:
    """The row of an optimizer at a batch size, and nothing beside it."""
    return analyze(factors, **{"top": 0, "diagnostics": False, **request_of_one(**request)}).stability[0]


@dataclasses.dataclass(frozen=True, eq=False)
class CoherenceMatrix:
    """Coherence of samples: ``S_ij`` is the Frobenius norm of ``H_i^(1/2) H_j^(1/2)``."""

    matrix: npt.NDArray[np.float64] = dataclasses.field(repr=False)
    """(samples, samples), in units of curvature."""
    lambda_max_s: float
    """Its largest eigenvalue."""
    sigma: float
    """That over the largest sharpness of a sample."""
    lambda_max_s_bounds: tuple[float, float]
    """``n lambda_1`` and ``n |H|_F``, between which it lies."""
    sample_sharpness: npt.NDArray[np.float64] = dataclasses.field(repr=False)
    """(samples,): largest eigenvalue of each sample's curvature."""
    blocks: tuple[int, ...] = dataclasses.field(repr=False)
    """The block of each sample, from 0."""


def coherence(
    factors: Source | None = None,
    *,
    gram: Source | None = None,
    num_factors: int | None = None,
    preconditioner: Source | None = None,
    scale: float = 1.0,
    connected: float = 0.5,
    threads: int | None = None,
    memory_limit: int | str = "1GiB",
) -> CoherenceMatrix:
    """The coherence matrix of samples, its largest eigenvalue, and its blocks.

    Args:
        factors: As for :func:`analyze`, and so are gram, num_factors, preconditioner, scale, threads and memory_limit; with a
            preconditioner it is the coherence of what its optimizers see.
        connected: Share of the geometric mean of ``S_ii`` and ``S_jj`` from which two samples are of one block.

    Raises:
        LinstabError: As for :func:`analyze`; ``NumericalError`` without curvature.

    Example:
        >>> import numpy as np, linstab
        >>> found = linstab.coherence(np.ones((3, 1)))
        >>> round(found.sigma, 6)
        3.0
    """
    source = source_of(
        factors,
        gram,
        num_factors=num_factors,
        preconditioner=preconditioner,
        threads=threads,
        memory_limit=memory_limit,
    )
    found = _linstab.coherence(source, float(scale), float(connected))
    return CoherenceMatrix(**{**found, "blocks": tuple(found["blocks"])})


@dataclasses.dataclass(frozen=True, eq=False)
class StabilityMap:
    """Growth per step over batch sizes (rows) and learning rates (columns)."""

    growth_per_step: npt.NDArray[np.float64] = dataclasses.field(repr=False)
    batch_sizes: tuple[int, ...]
    learning_rates: tuple[float, ...]

    @property
    def stable(self) -> npt.NDArray[np.bool_]:
        """Where the mean square decays."""
        return self.growth_per_step < 1.0


def stability_map(
    factors: Source | None = None,
    *,
    learning_rates: Iterable[float],
    batch_size: int | Iterable[int] | None = None,
    optimizer: str = "sgd",
    gram: Source | None = None,
    num_factors: int | None = None,
    preconditioner: Source | None = None,
    threads: int | None = None,
    memory_limit: int | str = "1GiB",
    sampling: str = "without-replacement",
    population: int | None = None,
    scale: float = 1.0,
    tolerance: float = 1e-6,
) -> StabilityMap:
    """Growth per step of the mean square over batch sizes and learning rates, for batches drawn afresh.

    Keywords are those of :func:`analyze`.
    """
    source = source_of(
        factors,
        gram,
        num_factors=num_factors,
        preconditioner=preconditioner,
        threads=threads,
        memory_limit=memory_limit,
    )
    try:
        rates = np.asarray(list(learning_rates), dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError.of("learning_rates", learning_rates, "numbers, one or several") from None
    one = request_of_one(optimizer=optimizer)["optimizer"]
    asked = request_of(
        factors if gram is None else gram,
        batch_size=batch_size,
        optimizer=one,
        sampling=sampling,
        population=population,
        scale=scale,
        tolerance=tolerance,
        diagnostics=False,
    )
    growth, sizes = _linstab.growth_map(source, asked, rates)
    shaped = growth.reshape(len(sizes), len(rates))
    return StabilityMap(shaped, tuple(sizes), tuple(rates.tolist()))


@dataclasses.dataclass(frozen=True)
class MinimaComparison:
    """Minima side by side: which is flatter, and which bears the larger learning rate."""

    minima: tuple[Mapping[str, Any], ...]
    """Sharpness, trace, effective rank and coherence of each."""
    thresholds: tuple[Mapping[str, Any], ...]
    """For each optimizer and batch size: thresholds, natural logarithms of their ratios to the first, and standard errors of these."""
    words: str = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return self.words.rstrip()


def compare(
    minima: Mapping[str, Source],
    *,
    batch_size: int | Iterable[int] | None = None,
    optimizer: str | Iterable[str] = ("sgd", "sgd:momentum=0.9"),
    scale: float = 1.0,
    threads: int | None = None,
    memory_limit: int | str = "1GiB",
    sampling: str = "without-replacement",
    tolerance: float = 1e-6,
) -> MinimaComparison:
    """Compare minima of the same samples, by name; the first is the reference.

    Changes of thresholds have standard errors by the infinitesimal jackknife, paired by samples.

    Raises:
        OptionError: for fewer than two, or of unlike numbers of samples or factors.
    """
    if not isinstance(minima, Mapping):
        raise OptionError.of("minima", minima, "a dictionary of factors by name, as {'sgd': first, 'sam': second}")
    described = [
        (str(name), source_of(source, threads=threads, memory_limit=memory_limit)) for name, source in minima.items()
    ]
    asked = request_of(
        None,
        batch_size=batch_size,
        optimizer=optimizer,
        sampling=sampling,
        scale=scale,
        tolerance=tolerance,
        diagnostics=False,
    )
    text, words = _linstab.compare(described, asked)
    report = json.loads(text)
    return MinimaComparison(tuple(report["minima"]), tuple(report["thresholds"]), words)


@dataclasses.dataclass(frozen=True)
class CheckedNumber:
    """A number of a baseline, and what it is now."""

    name: str
    expected: float
    found: float
    rtol: float
    holds: bool


@dataclasses.dataclass(frozen=True)
class Check:
    """Whether the numbers of a baseline hold."""

    numbers: tuple[CheckedNumber, ...]
    words: str = dataclasses.field(repr=False)

    @property
    def holds(self) -> bool:
        """Whether all of them do."""
        return all(number.holds for number in self.numbers)

    @property
    def exit_code(self) -> int:
        """That of the command ``linstab check``: 0 if all hold, 3 if some moved."""
        return 0 if self.holds else 3

    def __str__(self) -> str:
        return self.words.rstrip()


def check(
    factors: Source | None = None,
    *,
    against: str | os.PathLike[str],
    rtol: float = 1e-6,
    gram: Source | None = None,
    num_factors: int | None = None,
    preconditioner: Source | None = None,
    threads: int | None = None,
    memory_limit: int | str = "1GiB",
) -> Check:
    """Check that thresholds are those of a baseline: a report in JSON, as :meth:`Analysis.to_json` and the command write it.

    Args:
        factors: As for :func:`analyze`, and so are gram, num_factors, preconditioner, threads and memory_limit.
        against: The baseline.
        rtol: Largest accepted relative difference; thresholds agree where the intervals meet within which they are known.

    Raises:
        LinstabError: ``InputError`` for a file that is no baseline; else as for :func:`analyze`.
    """
    source = source_of(
        factors,
        gram,
        num_factors=num_factors,
        preconditioner=preconditioner,
        threads=threads,
        memory_limit=memory_limit,
    )
    rows, words = _linstab.check(source, against, float(rtol))
    return Check(tuple(CheckedNumber(*row) for row in rows), words)


@dataclasses.dataclass(frozen=True)
class OptimizerRule:
    """An optimizer that can be analysed: its name, update rule, and parameters with their defaults (None: must be given).

    ``preconditioned`` says whether it divides gradients by a fixed preconditioner, one number a parameter.
    """

    name: str
    rule: str
    parameters: Mapping[str, str | None]
    preconditioned: bool


def optimizers() -> tuple[OptimizerRule, ...]:
    """The optimizers that can be analysed.

    Example:
        >>> import linstab
        >>> linstab.optimizers()[0].name
        'sgd'
    """
    return tuple(OptimizerRule(name, rule, dict(parameters), divides) for name, rule, parameters, divides in _linstab.optimizer_rules())
