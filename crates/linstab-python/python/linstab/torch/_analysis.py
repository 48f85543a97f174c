"""Model, loader and optimizer in, thresholds out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

import torch
from torch import nn
from torch.optim import Optimizer

from .._functions import optimizers
from ..errors import ModelError
from ..factors import Factors, Gram
from ._data import population_of, read_batching
from ._factors import factors
from ._gram import gram
from ._optimizer import optimized_names, optimizer_spec

if TYPE_CHECKING:
    from .. import Analysis

__all__ = ["analyze_model"]

# Loaders whose batches depend on one another through the epoch.
_BY_EPOCHS = ("reshuffling", "cyclic")


def analyze_model(
    model: nn.Module,
    data: object,
    optimizer: Optimizer,
    *,
    loss: str | nn.Module | object,
    num_samples: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | list[int] | None = None,
    sampling: str | None = None,
    last_batch: str | None = None,
    seed: int = 0,
    chunk_size: int = 16,
    dtype: DTypeLike | torch.dtype = "float64",
    out: str | Path | None = None,
    **options: Any,
) -> Analysis:
    """The largest stable learning rates of a model, for the optimizer and the loader that train it.

    The optimizer says its rule, its learning rate and, for Adam, AdamW and RMSprop, its second moment, which is taken as frozen
    (:func:`optimizer_spec`); a DataLoader says the batch size and the order of its batches. What is given here goes before what
    they say. ``num_samples`` takes a random part of the data, which then speaks for all of it with standard errors. ``out``
    streams factors to a file where they do not fit into memory. ``options`` go to ``linstab.analyze``.

    Raises ``ModelError`` where the answer would not be that of the training at hand; the message says what to do.
    """
    from .. import analyze

    spec, own_rate, preconditioner = optimizer_spec(optimizer, model)
    if batch_size is None or sampling is None:
        read = read_batching(data)
        batch_size = read.batch_size if batch_size is None else batch_size
        # What is left over matters where batches are cut from an order.
        left_over = read.last_batch if (sampling or read.sampling) in _BY_EPOCHS else "keep"
        sampling, last_batch = sampling or read.sampling, last_batch or left_over
    _check_part(data, num_samples, sampling)
    common: dict[str, Any] = {
        "loss": loss,
        "params": optimized_names(optimizer, model),
        "num_samples": num_samples,
        "seed": seed,
        "chunk_size": chunk_size,
        "dtype": dtype,
    }
    values: Factors | Gram
    if preconditioner is None and out is None:
        values = gram(model, data, **common)
    else:
        values = factors(model, data, out=out, **common)
        if preconditioner is not None and not _divides(spec):
            values, preconditioner = values.gram(preconditioner), None
    rate = own_rate if learning_rate is None else learning_rate
    return analyze(
        values,
        optimizer=spec,
        batch_size=batch_size,
        sampling=sampling,
        last_batch=last_batch or "keep",
        learning_rate=rate if rate > 0.0 else None,
        preconditioner=preconditioner,
        seed=seed,
        **options,
    )


def _divides(spec: str) -> bool:
    """Whether the optimizer of linstab divides gradients itself; for others the division is a change of variables."""
    name = spec.split(":")[0]
    return any(rule.name == name and rule.preconditioned for rule in optimizers())


def _check_part(data: object, num_samples: int | None, sampling: str) -> None:
    """Says before the work is done that a part of the data does not speak for batches that depend on all of it."""
    population = population_of(data)
    if num_samples is None or (population is not None and num_samples >= population) or sampling not in _BY_EPOCHS:
        return
    raise ModelError(
        f"num_samples={num_samples} is a part of the data, and the loader's batches are {sampling}: they depend on all samples of an "
        "epoch, so a part does not say their threshold. Pass sampling='without-replacement', for batches of the same size drawn "
        "afresh, or analyse all samples"
    )
