"""Gauss-Newton factors of a torch model, in memory or streamed to a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

import torch
from torch import Tensor, nn

from .. import losses
from ..factors import Factors
from ..store import FactorStore, Request
from ._data import Samples, select_samples
from ._loss import Loss, read_loss
from ._model import FunctionalModel, Selection

__all__ = ["Problem", "factors"]

# Bytes of factors that are differentiated at a time: a chunk is made smaller where it would take more.
_CHUNK_BYTES = 2**30


def factors(
    model: nn.Module,
    data: object,
    *,
    loss: str | nn.Module | object = "mse",
    params: Selection = None,
    num_samples: int | None = None,
    seed: int = 0,
    chunk_size: int = 16,
    dtype: DTypeLike | torch.dtype = "float64",
    out: str | Path | None = None,
) -> Factors:
    """Gauss-Newton factors of single samples: ``H_i = sum_q f_iq f_iq^T`` is the curvature of the loss of sample ``i``.

    Parameters
    ----------
    model
        Maps inputs (batch, ...) to outputs (batch, outputs). Call ``model.eval()`` first; it is not changed.
    data
        A DataLoader, a Dataset, or a pair ``(inputs, targets)`` of tensors or arrays.
    loss
        ``"mse"`` (mean over outputs), ``"half_squared_error"``, ``"cross_entropy"``, or the torch loss of the training,
        with the mean over the batch.
    params
        Parameters to take derivatives for: names, prefixes of names, or a function of name and parameter. Default: all that
        are trainable. A shared tensor counts once.
    num_samples
        A random part of the data, without replacement, that depends on the seed alone. Default: all of it.
    seed
        Of that part.
    chunk_size
        Samples that are differentiated at a time, at most.
    dtype
        ``"float64"`` or ``"float32"``: precision of the derivatives, and of the result. Weights are cast to it.
    out
        A ``.npy`` file to stream factors to that do not fit into memory. An interrupted one goes on where it stopped.

    Returns
    -------
    Factors
        Values of shape (samples, factors, parameters), mapped from ``out`` if it is given.

    Raises
    ------
    ValueError, TypeError
        If the model mixes samples, is random, or has no such factors; the message says what to do.
    """
    problem = Problem.read(model, data, loss=loss, params=params, num_samples=num_samples, seed=seed, dtype=dtype)
    request = problem.request(fingerprint=out is not None)
    store = None if out is None else FactorStore.open(out, request)
    if isinstance(store, Factors):
        return store
    shape = (request.samples, request.factors, request.num_parameters)
    values = np.empty(shape if store is None else (0, 0, 0), dtype=request.dtype)
    coefficients = np.empty(shape[:2])
    for start, stop in _chunks(request, chunk_size, None if store is None else store.done):
        parts, chunk_coefficients = problem.chunk(start, stop)
        if store is None:
            _assemble(parts, values[start:stop])
            coefficients[start:stop] = chunk_coefficients
        else:
            block = np.empty((stop - start, *shape[1:]), dtype=request.dtype)
            _assemble(parts, block)
            store.write(start, block, chunk_coefficients)
    if store is not None:
        return store.finish()
    return Factors(
        values,
        coefficients,
        loss=request.loss,
        parameters=request.parameters,
        indices=request.indices,
        population=request.population,
        labels=request.labels,
    )


@dataclass(frozen=True)
class Problem:
    """A model, samples and a loss that have passed the checks."""

    model: FunctionalModel
    samples: Samples
    loss: Loss
    num_outputs: int

    @classmethod
    def read(
        cls,
        model: nn.Module,
        data: object,
        *,
        loss: object,
        params: Selection,
        num_samples: int | None,
        seed: int,
        dtype: DTypeLike | torch.dtype,
    ) -> Problem:
        """Everything that is checked before the first derivative."""
        meant = read_loss(loss)
        functional = FunctionalModel(model, params, dtype)
        samples = select_samples(data, num_samples, seed)
        functional.check(samples.inputs)
        num_outputs = functional.outputs(samples.inputs[:1]).shape[1]
        problem = cls(functional, samples, meant, num_outputs)
        if meant.name == "cross_entropy":
            problem.labels()
        return problem

    @property
    def num_factors(self) -> int:
        """Factors of each sample."""
        return losses.num_factors(self.loss.name, self.num_outputs)

    def labels(self) -> NDArray[np.int64] | None:
        """Classes of the samples, for cross-entropy."""
        if self.loss.name != "cross_entropy":
            return None
        return losses.check_labels(self.samples.targets.cpu().numpy(), samples=len(self.samples), num_classes=self.num_outputs)

    def request(self, *, fingerprint: bool) -> Request:
        """What the factors are; with a fingerprint of weights and samples if a store is to tell them from others."""
        content = (self.samples.inputs, self.samples.targets, self.loss)
        return Request(
            samples=len(self.samples),
            factors=self.num_factors,
            parameters=self.model.parameters,
            dtype=str(self.model.dtype).removeprefix("torch."),
            loss=self.loss.name,
            population=self.samples.population,
            fingerprint=self.model.fingerprint(*content) if fingerprint else "",
            indices=self.samples.indices,
            labels=self.labels(),
        )

    def heads(self, start: int, stop: int) -> tuple[Tensor, NDArray[np.float64], NDArray[np.float64]]:
        """Inputs, rows to pull back and coefficients of the samples from ``start`` to ``stop``."""
        inputs = self.samples.inputs[start:stop]
        outputs = self.model.outputs(inputs)
        # Squared errors count every output of a sample, whatever its shape.
        targets = self.samples.targets[start:stop].detach().cpu()
        if self.loss.name != "cross_entropy":
            targets = targets.to(torch.float64).reshape(len(inputs), -1)
        try:
            return inputs, self.loss.roots(outputs), self.loss.coefficients(outputs, targets.numpy())
        except ValueError as error:
            raise ValueError(f"samples {start} to {stop - 1}: {error}") from error

    def chunk(self, start: int, stop: int) -> tuple[list[Tensor], NDArray[np.float64]]:
        """Factors, one tensor a parameter, and coefficients of the samples from ``start`` to ``stop``."""
        inputs, roots, coefficients = self.heads(start, stop)
        return self.model.factors(inputs, roots), coefficients


def _chunks(request: Request, chunk_size: int, done: NDArray[np.bool_] | None) -> list[tuple[int, int]]:
    """Ranges of samples that are not done, each no longer than a chunk."""
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}: it must be at least one sample")
    width = request.factors * request.num_parameters * np.dtype(request.dtype).itemsize
    size = max(1, min(chunk_size, _CHUNK_BYTES // width))
    todo = np.arange(request.samples) if done is None else np.flatnonzero(~done)
    ranges: list[tuple[int, int]] = []
    for i in map(int, todo):
        if ranges and ranges[-1][1] == i and i - ranges[-1][0] < size:
            ranges[-1] = (ranges[-1][0], i + 1)
        else:
            ranges.append((i, i + 1))
    return ranges


def _assemble(parts: list[Tensor], into: NDArray[np.floating]) -> None:
    column = 0
    for part in parts:
        into[:, :, column : column + part.shape[2]] = part.cpu().numpy()
        column += part.shape[2]
