"""What the functions of the package share: where factors come from, and what is asked of them."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ._arrays import described
from .errors import OptionError
from .factors import Factors, Gram

__all__ = ["Progress", "Source", "request_of", "request_of_one", "source_of"]

Source = Union[npt.ArrayLike, str, "os.PathLike[str]", Factors, Gram]
"""Factors as an array, a path, or as :func:`linstab.torch.factors` and :func:`linstab.jax.factors` return them."""

Progress = Union[bool, Callable[[str, int, int], object], None]
"""Told of (stage, steps done, all steps); True prints a line to standard error."""


def source_of(
    factors: Source | None,
    gram: Source | None = None,
    *,
    num_factors: int | None = None,
    tensor: str | None = None,
    preconditioner: Source | None = None,
    memory_limit: int | str = "1GiB",
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]:
    """Describe factors, or inner products, for the extension."""
    if isinstance(factors, Gram):
        if gram is not None:
            raise OptionError("gram is given twice: it is the first argument, too", name="gram", value="twice", allowed="once")
        factors, gram = None, factors
    if (factors is None) == (gram is None):
        found = "neither" if factors is None else "both"
        raise OptionError(
            f"factors and gram: {found} given, allowed: one of them", name="factors", value=found, allowed="one of them"
        )
    if not (isinstance(progress, bool) or progress is None or callable(progress)):
        raise OptionError.of("progress", progress, "True, or a function of (stage, done, total)")
    name, array = ("factors", factors) if gram is None else ("gram", gram)
    if gram is None and num_factors is not None:
        raise OptionError.of("num_factors", num_factors, "with gram; factors say themselves how many a sample has")
    if isinstance(array, Gram):
        num_factors = array.num_factors
    values = array.values if isinstance(array, (Factors, Gram)) else array
    return {
        "array": described(values, name, tensor=tensor),
        "is_gram": gram is not None,
        "num_factors": None if num_factors is None else _count(num_factors, "num_factors"),
        "preconditioner": None if preconditioner is None else described(_values(preconditioner), "preconditioner"),
        "memory_limit": str(memory_limit),
        "threads": None if threads is None else _count(threads, "threads"),
        "progress": _printed if progress is True else (progress or None),
    }


def request_of(
    source: Source | None,
    *,
    batch_size: int | Iterable[int] | None = None,
    optimizer: str | Iterable[str] = "sgd",
    sampling: str = "without-replacement",
    last_batch: str = "keep",
    learning_rate: float | None = None,
    lyapunov: bool = False,
    residuals: Source | None = None,
    loss: str | None = None,
    labels: Source | None = None,
    population: int | None = None,
    scale: float = 1.0,
    tolerance: float = 1e-6,
    diagnostics: bool | None = None,
    top: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Describe a request; what factors know of themselves (gradients, labels, population) stands in for what is not given."""
    asked = {"diagnostics": diagnostics is True, "residuals": residuals is not None and diagnostics is not False}
    if isinstance(source, (Factors, Gram)):
        subset = source.indices is not None and source.population is not None and source.population > source.num_samples
        loss = source.loss if residuals is None and loss is None else loss
        residuals = source.coefficients if residuals is None else residuals
        labels = source.labels if labels is None else labels
        population = source.population if population is None and subset else population
    return {
        "batch_sizes": _batch_sizes(batch_size),
        "optimizers": _specifications(optimizer),
        "sampling": str(sampling),
        "last_batch": str(last_batch),
        "learning_rate": None if learning_rate is None else _real(learning_rate, "learning_rate"),
        "lyapunov": bool(lyapunov),
        "residuals": None if residuals is None else described(_values(residuals), "residuals"),
        "loss": None if loss is None else str(loss),
        "labels": None if labels is None else described(_values(labels), "labels"),
        "population": None if population is None else _count(population, "population"),
        "scale": _real(scale, "scale"),
        "tolerance": _real(tolerance, "tolerance"),
        "diagnostics": diagnostics is None or bool(diagnostics),
        "diagnostics_by": next((name for name, given in asked.items() if given), None),
        "top": _count(top, "top", least=0),
        "seed": _count(seed, "seed", least=0),
    }


def request_of_one(batch_size: Any = 1, optimizer: Any = "sgd", **request: Any) -> dict[str, Any]:
    """Keywords of a function that has one answer: one batch size, one optimizer."""
    sizes, named = _batch_sizes(1 if batch_size is None else batch_size), _specifications(optimizer)
    for name, value, found in (("batch_size", batch_size, sizes), ("optimizer", optimizer, named)):
        if len(found) > 1:
            raise OptionError.of(name, value, "one, since this function has one answer; linstab.analyze takes several")
    return {"batch_size": sizes[0], "optimizer": named[0], **request}


def _values(source: Source) -> object:
    return source.values if isinstance(source, (Factors, Gram)) else source


def _specifications(optimizer: str | Iterable[str]) -> list[str]:
    if isinstance(optimizer, str):
        return [optimizer]
    named = [str(one) for one in _several(optimizer) or ()]
    if not named:
        allowed = "a specification as 'sgd:momentum=0.9', or several; linstab.torch and linstab.jax read optimizers"
        raise OptionError.of("optimizer", optimizer, allowed)
    return named


def _batch_sizes(batch_size: int | Iterable[int] | None) -> list[int]:
    if batch_size is None:
        return []
    several = _several(batch_size)
    if several == []:
        raise OptionError.of("batch_size", batch_size, "at least one, or None for the usual ones")
    return [_count(size, "batch_size") for size in several or [batch_size]]


def _several(value: Any) -> list[Any] | None:
    """The values of what holds several, which an array without axes does not though it looks so."""
    try:
        return list(value)
    except TypeError:
        return None


def _count(value: Any, name: str, *, least: int = 1) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if isinstance(value, (bool, np.bool_)) or not least <= count < 2**63:
        raise OptionError.of(name, value, f"an integer from {least} on")
    return count


def _real(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise OptionError.of(name, value, "a number") from None


def _printed(stage: str, done: int, total: int) -> None:
    line = f"{stage}: {done} of {total}" if total else f"{stage}\n"
    end = "\n" if total and done == total else ""
    sys.stderr.write(f"\r{line}{end}")
    sys.stderr.flush()
