"""Factors of single samples, their inner products, and a store for factors that do not fit into memory.

The factors of sample ``i`` are vectors ``f_iq``, one number a parameter, whose outer products add up to the Gauss-Newton
curvature of the framework's own loss: ``H_i = sum_q f_iq f_iq^T``; its gradient is ``sum_q c_iq f_iq``. So nobody has to
remember a scale (see :mod:`linstab.losses`). Everything that ``linstab`` computes needs the inner products of factors alone,
which is what :class:`Gram` holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

Parameters = tuple[tuple[str, tuple[int, ...]], ...]

__all__ = ["Factors", "Gram", "Parameters"]

# Bytes of a block of factors that is turned into double precision at a time.
_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Gram:
    """Inner products of the factors of all samples.

    ``values`` has shape (samples * factors, samples * factors), double precision: the factors of sample 0, then of sample 1.
    """

    values: NDArray[np.float64] = field(repr=False)
    num_factors: int
    coefficients: NDArray[np.float64] | None = field(repr=False, default=None)
    loss: str = "half_squared_error"
    indices: NDArray[np.int64] | None = field(repr=False, default=None)
    population: int | None = None
    labels: NDArray[np.int64] | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        rows = self.values.shape[0] if self.values.ndim == 2 else 0
        if self.values.shape != (rows, rows) or self.num_factors < 1 or rows % self.num_factors:
            raise ModelError(
                f"inner products have shape {self.values.shape} for {self.num_factors} factors a sample: "
                "it must be (samples * factors, samples * factors)"
            )
        _check_companions(self, self.num_samples, self.num_factors)

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return int(self.values.shape[0]) // self.num_factors

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _as_array(self.values, dtype, copy)


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of single samples.

    ``values`` has shape (samples, factors, parameters); ``parameters`` names the blocks of its last axis and their shapes, in
    order. ``coefficients``, of shape (samples, factors), are those of the gradients. ``indices`` says which samples of the data
    these are (None: all, in order) and ``population`` how many the data has. ``labels`` are the integer classes, if there are
    any. Anything that takes an array takes the factors for ``values``.
    """

    values: NDArray[Any] = field(repr=False)
    coefficients: NDArray[np.float64] | None = field(repr=False, default=None)
    loss: str = "half_squared_error"
    parameters: Parameters = field(repr=False, default=())
    indices: NDArray[np.int64] | None = field(repr=False, default=None)
    population: int | None = None
    labels: NDArray[np.int64] | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ModelError(f"factors have shape {self.values.shape}: it must be (samples, factors, parameters)")
        named = sum(int(np.prod(shape, dtype=np.int64)) for _, shape in self.parameters)
        if self.parameters and named != self.num_parameters:
            raise ModelError(f"the named parameters have {named} numbers, the factors {self.num_parameters}")
        _check_companions(self, self.num_samples, self.num_factors)

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return int(self.values.shape[0])

    @property
    def num_factors(self) -> int:
        """Factors of each sample."""
        return int(self.values.shape[1])

    @property
    def num_parameters(self) -> int:
        """Numbers of each factor: parameters of the model."""
        return int(self.values.shape[2])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _as_array(self.values, dtype, copy)

    def gram(self, preconditioner: NDArray[np.float64] | None = None) -> Gram:
        """Inner products of all factors, summed in double precision whatever the factors are stored in.

        With a ``preconditioner``, one positive number a parameter that gradients are divided by, those of the factors divided
        by its square root: its curvature in the variables in which dividing is no change.
        """
        if preconditioner is not None and preconditioner.shape != (self.num_parameters,):
            raise ModelError(
                f"the preconditioner has shape {preconditioner.shape}, for these factors it must be ({self.num_parameters},)"
            )
        rows = self.values.reshape(-1, self.num_parameters)
        values = np.zeros((len(rows), len(rows)))
        width = max(1, _BLOCK_BYTES // (8 * max(1, len(rows))))
        for start in range(0, self.num_parameters, width):
            block = np.asarray(rows[:, start : start + width], dtype=np.float64)
            if preconditioner is not None:
                block = block / np.sqrt(preconditioner[start : start + width])
            values += block @ block.T
        return Gram(
            values,
            self.num_factors,
            coefficients=self.coefficients,
            loss=self.loss,
            indices=self.indices,
            population=self.population,
            labels=self.labels,
        )

    @staticmethod
    def load(path: str | Path) -> Factors:
        """Factors of a finished store (``out=`` of ``factors``), mapped from the disk and not read into memory."""
        from .store import load

        return load(path)


def _check_companions(self: Factors | Gram, samples: int, factors: int) -> None:
    expected = {"coefficients": (samples, factors), "indices": (samples,), "labels": (samples,)}
    for name, shape in expected.items():
        value = getattr(self, name)
        if value is not None and value.shape != shape:
            raise ModelError(f"{name} have shape {value.shape}, for {samples} samples of {factors} factors it must be {shape}")
    if self.population is not None and self.population < samples:
        raise ModelError(f"a population of {self.population} cannot hold {samples} different samples")


def _as_array(values: NDArray[Any], dtype: Any, copy: bool | None) -> NDArray[Any]:
    if copy is False and dtype is not None and np.dtype(dtype) != values.dtype:
        raise ModelError(f"factors of type {values.dtype} cannot be viewed as {np.dtype(dtype)} without a copy")
    return np.array(values, dtype=dtype) if copy else np.asarray(values, dtype=dtype)
