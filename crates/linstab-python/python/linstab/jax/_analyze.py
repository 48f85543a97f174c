"""From a model, its data and its optimizer to an analysis, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._data import Samples
from ._factors import factors
from ._gram import gram
from ._model import Apply, Model, Select
from ._optax import OptaxOptimizer, read_optimizer

__all__ = ["analyze_model"]


def analyze_model(
    apply: Apply,
    params: Any,
    data: Any,
    optimizer: Any,
    *,
    loss: str = "mse",
    batch_size: int | list[int] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    learning_rate: float | None = None,
    num_samples: int | None = None,
    seed: int = 0,
    chunk_size: int = 16,
    dtype: str = "float64",
    select: Select | None = None,
    memory_limit: int = 2**30,
    **request: Any,
) -> Any:
    """Thresholds of a model under its optimizer: factors or inner products, then ``linstab.analyze``.

    Parameters
    ----------
    apply
        As for :func:`linstab.jax.factors`, and so are params, data, loss, num_samples, seed, chunk_size, dtype and select.
    optimizer
        The optax state after the last step, or a specification such as ``"sgd:momentum=0.9"``. From a state are read: which
        memory the optimizer has, Adam's and RMSProp's second moment with the bias correction of its step, and all numbers that
        ``optax.inject_hyperparams`` keeps there. What it does not hold is asked for by name.
    batch_size
        Samples a batch; None takes that of the first batch, if data is an iterable of batches.
    hyperparameters
        Numbers and flags that the state does not hold, by optax's names, for example ``{"momentum": 0.9, "nesterov": False}``.
    learning_rate
        Learning rate to judge; None takes the one in the state, if it is there.
    memory_limit
        Bytes for factors; where they do not fit, their inner products are made in groups (:func:`linstab.jax.gram`).
    request
        Whatever else ``linstab.analyze`` takes: ``sampling``, ``last_batch``, ``tolerance``, ``threads`` and so on.
    """
    import linstab

    found = OptaxOptimizer(optimizer, None) if isinstance(optimizer, str) else read_optimizer(optimizer, hyperparameters)
    if not hasattr(data, "shape") and not (isinstance(data, tuple) and len(data) == 2):
        samples = Samples.of(data, num_samples=None, seed=seed)
        data = (samples.inputs, samples.targets)
        batch_size = samples.batch_size if batch_size is None else batch_size
    if found.divisor is not None:
        model = Model.of(apply, params, select=select, dtype=dtype)
        request["preconditioner"] = model.flat(found.divisor, "the second moment")
    common: dict[str, Any] = dict(
        loss=loss, num_samples=num_samples, seed=seed, chunk_size=chunk_size, dtype=dtype, select=select
    )
    if "preconditioner" not in request and _factor_bytes(apply, params, data, common) > memory_limit:
        request["gram"] = gram(apply, params, data, memory_limit=memory_limit, **common)
    else:
        request["factors"] = factors(apply, params, data, **common)
    return linstab.analyze(
        batch_size=batch_size,
        optimizer=found.spec,
        learning_rate=found.learning_rate if learning_rate is None else learning_rate,
        **request,
    )


def _factor_bytes(apply: Apply, params: Any, data: Any, common: Mapping[str, Any]) -> int:
    """Bytes of all factors; one factor a target is near enough for those of classes, which have no axis of outputs."""
    model = Model.of(apply, params, select=common["select"], dtype=common["dtype"])
    targets = np.asarray(data[1])
    samples = common["num_samples"] or len(targets)
    classes = int(targets.max(initial=0)) if common["loss"] == "cross_entropy" else 0
    outputs = max(1, classes) * int(np.prod(targets.shape[1:]))
    return int(samples * outputs * sum(model.sizes) * np.dtype(common["dtype"]).itemsize)
