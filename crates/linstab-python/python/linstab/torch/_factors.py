"""Gauss-Newton factors of a torch model, in memory or streamed to a store."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

import torch
from torch import Tensor, nn

from .. import losses
from ..errors import ModelError
from ..factors import Factors
from ..store import FactorStore, Request, load
from ._data import Samples, select_samples
from ._loss import Loss, read_loss
from ._model import FunctionalModel, Selection
from ._ranks import Ranks

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

    Under ``torchrun``, with ``torch.distributed`` initialized, samples are divided among the processes and every process gets
    the whole result. Each needs the same model and all of the data, and sees the same ``out``.

    Parameters
    ----------
    model
        Maps inputs (batch, ...) to outputs (batch, outputs), with cross-entropy also (batch, classes, positions), a sample's loss
        being the mean over its positions. Call ``model.eval()`` first; it is not changed.
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
    ModelError
        If the model mixes samples, is random, or has no such factors; the message says what to do.
    """
    problem = Problem.read(model, data, loss=loss, params=params, num_samples=num_samples, seed=seed, dtype=dtype)
    ranks = Ranks(problem.model.device)
    request = problem.request(fingerprint=out is not None or ranks.count > 1)
    ranks.check_same(request.fingerprint)
    if out is None:
        return _in_memory(problem, request, ranks, chunk_size)
    return _on_disk(problem, request, ranks, chunk_size, Path(out))


def _in_memory(problem: Problem, request: Request, ranks: Ranks, chunk_size: int) -> Factors:
    first, last = ranks.share(request.samples)
    values = np.empty((last - first, request.factors, request.num_parameters), dtype=request.dtype)
    coefficients = np.empty((last - first, request.factors))
    for start, stop in _chunks(request, chunk_size, np.arange(first, last)):
        parts, coefficients[start - first : stop - first] = problem.chunk(start, stop)
        _assemble(parts, values[start - first : stop - first])
    values, coefficients = (ranks.gather(torch.from_numpy(own), request.samples).numpy() for own in (values, coefficients))
    return Factors(
        values,
        coefficients,
        loss=request.loss,
        parameters=request.parameters,
        indices=request.indices,
        population=request.population,
        labels=request.labels,
    )


def _on_disk(problem: Problem, request: Request, ranks: Ranks, chunk_size: int, out: Path) -> Factors:
    """Each process writes its share of one store, which the first one makes and finishes."""
    ranks.first(lambda: FactorStore.open(out, request))
    store = FactorStore.open(out, request)
    if isinstance(store, Factors):
        return store
    todo = np.flatnonzero(~store.done)
    # Shares are of what is to do before anyone begins.
    ranks.wait()
    first, last = ranks.share(len(todo))
    with store.filling():
        for start, stop in _chunks(request, chunk_size, todo[first:last]):
            parts, coefficients = problem.chunk(start, stop)
            block = np.empty((stop - start, request.factors, request.num_parameters), dtype=request.dtype)
            _assemble(parts, block)
            store.write(start, block, coefficients)
    ranks.wait()
    ranks.first(store.finish)
    return load(out)


@dataclass(frozen=True)
class Problem:
    """A model, samples and a loss that have passed the checks."""

    model: FunctionalModel
    samples: Samples
    loss: Loss
    num_outputs: int
    """Outputs of a sample; with cross-entropy its classes."""
    num_positions: int
    """Places of a sample that have a class of their own: 1 but for cross-entropy of sequences or pictures."""

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
        shape = functional.output_shape(samples.inputs[:1])
        if meant.name != "cross_entropy":
            return cls(functional, samples, meant, math.prod(shape), 1)
        functional.classes_first = True
        num_positions = math.prod(shape[1:])
        problem = cls(functional, _by_position(samples, shape), meant, shape[0] if shape else 1, num_positions)
        problem.classes()
        return problem

    @property
    def num_factors(self) -> int:
        """Factors of each sample."""
        return losses.num_factors(self.loss.name, self.num_outputs, self.num_positions)

    def classes(self) -> NDArray[np.int64]:
        """Classes of the samples, for cross-entropy, (samples,) or (samples, positions)."""
        shape = (len(self.samples), self.num_positions)[: 1 if self.num_positions == 1 else 2]
        return losses.check_labels(self.samples.targets.cpu().numpy(), shape=shape, num_classes=self.num_outputs)

    def labels(self) -> NDArray[np.int64] | None:
        """Classes of the samples, where each has one."""
        return self.classes() if self.loss.name == "cross_entropy" and self.num_positions == 1 else None

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
        elif self.num_positions > 1:
            outputs = outputs.reshape(len(inputs), self.num_positions, -1)
        try:
            return inputs, self.loss.roots(outputs), self.loss.coefficients(outputs, targets.numpy())
        except ValueError as error:
            raise ModelError(f"samples {start} to {stop - 1}: {error}") from error

    def chunk(self, start: int, stop: int) -> tuple[list[Tensor], NDArray[np.float64]]:
        """Factors, one tensor a parameter, and coefficients of the samples from ``start`` to ``stop``."""
        inputs, roots, coefficients = self.heads(start, stop)
        return self.model.factors(inputs, roots), coefficients


def _by_position(samples: Samples, shape: tuple[int, ...]) -> Samples:
    """The classes of the positions of each sample in a row; ``shape`` is that of a sample's outputs, classes first."""
    if len(shape) < 2:
        return samples
    found = tuple(samples.targets.shape[1:])
    if found != shape[1:]:
        raise ModelError(
            f"outputs of a sample have shape {shape}, its classes {found}: as torch.nn.CrossEntropyLoss has it, outputs are (batch, "
            "classes, positions) and targets (batch, positions); wrap a model that has them in another order"
        )
    rows = (len(samples), -1) if math.prod(found) > 1 else (len(samples),)
    return dataclasses.replace(samples, targets=samples.targets.reshape(rows))


def _chunks(request: Request, chunk_size: int, todo: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of the samples to do, each no longer than a chunk."""
    if chunk_size < 1:
        raise ModelError(f"chunk_size is {chunk_size}: it must be at least one sample")
    width = request.factors * request.num_parameters * np.dtype(request.dtype).itemsize
    size = max(1, min(chunk_size, _CHUNK_BYTES // width))
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
