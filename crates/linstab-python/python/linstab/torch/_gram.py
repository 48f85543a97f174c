"""Inner products of the factors of a torch model, layer by layer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..factors import Gram
from ._factors import Problem
from ._layers import Affine
from ._model import Selection
from ._ranks import Ranks
from ._taps import Taps, affine_layers, confirmed, tap

__all__ = ["gram"]

# Bytes of factors of the layers without a closed form that are held in memory at a time; a single tensor that needs more goes
# through a temporary file.
_MEMORY_BYTES = 2**30


def gram(
    model: nn.Module,
    data: object,
    *,
    loss: str | nn.Module | object = "mse",
    params: Selection = None,
    num_samples: int | None = None,
    seed: int = 0,
    chunk_size: int = 64,
    dtype: DTypeLike | torch.dtype = "float64",
) -> Gram:
    """Inner products of the Gauss-Newton factors of all samples, the product ``factors(...).gram()`` without the factors.

    Linear and Embedding layers, and convolutions and sequences where that is cheaper, need no gradient of a single sample: their
    inner products come from inputs and from derivatives at outputs. All other parameters (normalisations, attention, recurrent
    layers, shared tensors) go by gradients, of those parameters alone. Each closed form is held against plain differentiation
    before it is used, so that a layer whose weights are read by other code goes by gradients, too. Sums are in double precision.

    Under ``torchrun``, with ``torch.distributed`` initialized, samples are divided among the processes and every process gets
    the whole result. Each needs the same model and all of the data.

    Arguments and exceptions are those of :func:`factors`. The values have shape (samples * factors, samples * factors).
    """
    problem = Problem.read(model, data, loss=loss, params=params, num_samples=num_samples, seed=seed, dtype=dtype)
    if chunk_size < 1:
        raise ModelError(f"chunk_size is {chunk_size}: it must be at least one sample")
    ranks = Ranks(problem.model.device)
    request = problem.request(fingerprint=ranks.count > 1)
    ranks.check_same(request.fingerprint)
    samples, k = len(problem.samples), problem.num_factors
    layers = confirmed(problem.model, affine_layers(problem.model), problem.samples.inputs[:4])
    start, stop = ranks.share(samples)
    taps = [Taps() for _ in layers]
    own_coefficients = np.empty((stop - start, k))
    for low in range(start, stop, chunk_size):
        high = min(low + chunk_size, stop)
        inputs, roots, own_coefficients[low - start : high - start] = problem.heads(low, high)
        tap(problem.model, layers, inputs, roots, taps)
    total = torch.zeros((stop - start) * k, samples * k, dtype=torch.float64)
    covered: set[str] = set()
    for layer, seen in zip(layers, taps):
        if not ranks.any(seen.changed):
            total += _closed_form(layer, seen, ranks, samples, start, stop)
            covered |= set(layer.names.values())
    for names in _groups(problem, [name for name in problem.model.moving if name not in covered]):
        total += _by_gradients(problem, names, chunk_size, ranks, start, stop)
    values = torch.zeros(samples * k, samples * k, dtype=torch.float64)
    values[start * k : stop * k] = total
    values = ranks.add(values)
    coefficients = ranks.gather(torch.from_numpy(own_coefficients), samples)
    return Gram(
        (0.5 * (values + values.T)).numpy(),
        k,
        coefficients=coefficients.numpy(),
        loss=request.loss,
        indices=request.indices,
        population=request.population,
        labels=request.labels,
    )


def _closed_form(layer: Affine, seen: Taps, ranks: Ranks, samples: int, start: int, stop: int) -> Tensor:
    """Rows of this process of the inner products of one layer; what the layer saw is let go."""
    inputs = ranks.gather(torch.cat(seen.inputs), samples)
    derivatives = ranks.gather(torch.cat(seen.derivatives), samples)
    seen.inputs.clear()
    seen.derivatives.clear()
    return layer.products(inputs, derivatives, start, stop).cpu()


def _groups(problem: Problem, names: list[str]) -> list[list[str]]:
    """Parameters that are differentiated together: as many as memory allows, at least one."""
    groups: list[list[str]] = []
    room = 0
    for name in names:
        need = _bytes(problem, [name])
        if not groups or need > room:
            groups.append([])
            room = _MEMORY_BYTES
        groups[-1].append(name)
        room -= need
    return groups


def _bytes(problem: Problem, names: list[str]) -> int:
    numbers = sum(problem.model.moving[name].numel() for name in names)
    return 8 * len(problem.samples) * problem.num_factors * int(numbers)


def _by_gradients(problem: Problem, names: list[str], chunk_size: int, ranks: Ranks, start: int, stop: int) -> Tensor:
    """Rows of this process of the inner products of some parameters, by their factors."""
    samples, k = len(problem.samples), problem.num_factors
    with tempfile.TemporaryDirectory(prefix="linstab-") as folder:
        shape = (samples * k, sum(problem.model.moving[name].numel() for name in names))
        rows = _rows(shape, Path(folder))
        size = max(1, min(chunk_size, _MEMORY_BYTES // (8 * k * shape[1])))
        for low in range(start, stop, size):
            high = min(low + size, stop)
            inputs, roots, _ = problem.heads(low, high)
            column = 0
            for part in problem.model.factors(inputs, roots, names):
                rows[low * k : high * k, column : column + part.shape[2]] = part.reshape(-1, part.shape[2]).cpu().numpy()
                column += part.shape[2]
        result = torch.zeros((stop - start) * k, samples * k, dtype=torch.float64)
        width = max(1, _MEMORY_BYTES // (8 * 8 * shape[0]))
        for column in range(0, shape[1], width):
            own = torch.from_numpy(np.array(rows[start * k : stop * k, column : column + width]))
            every = ranks.gather(own.reshape(stop - start, k, -1), samples).reshape(samples * k, -1)
            result += own @ every.T
        del rows
    return result


def _rows(shape: tuple[int, int], folder: Path) -> NDArray[np.float64]:
    if 8 * shape[0] * shape[1] <= _MEMORY_BYTES:
        return np.zeros(shape)
    return np.memmap(folder / "rows", dtype=np.float64, mode="w+", shape=shape)
