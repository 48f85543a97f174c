"""What the callbacks for PyTorch trainers share: the factors to analyse, and the optimizer as the analysis takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ModelError
from ..monitor import Monitor

__all__ = ["learning_rate", "monitor_of"]


def monitor_of(
    data: Any,
    analyse: Callable[[Any, Any], Any] | None,
    options: dict[str, Any],
    monitor_options: dict[str, Any] | None,
) -> Monitor:
    """The monitor of a callback: of a function of (model, optimizer), or of data whose model is analysed under its optimizer."""
    if (data is None) == (analyse is None):
        raise ModelError("give data to analyse, or a function `analyse` of (model, optimizer): one of them")

    def of_data(model: Any, optimizer: Any) -> Any:
        import linstab.torch

        return linstab.torch.analyze_model(model, data, optimizer, **options)

    return Monitor(analyse or of_data, **(monitor_options or {}))


def learning_rate(optimizer: Any) -> float | None:
    """Learning rate of an optimizer, None if its groups have different ones."""
    rates = {float(group["lr"]) for group in getattr(optimizer, "optimizer", optimizer).param_groups}
    return rates.pop() if len(rates) == 1 else None
