"""What the callbacks for PyTorch trainers share: the factors to analyse, and the optimizer as the analysis takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["analyser", "learning_rate"]


def analyser(data: Any, options: dict[str, Any]) -> Callable[[Any, Any], Any]:
    """A function of (model, optimizer) that analyses the model under its optimizer."""

    def analyse(model: Any, optimizer: Any) -> Any:
        import linstab.torch

        return linstab.torch.analyze_model(model, data, optimizer, **options)

    return analyse


def learning_rate(optimizer: Any) -> float | None:
    """Learning rate of an optimizer, None if its groups have different ones."""
    rates = {float(group["lr"]) for group in getattr(optimizer, "optimizer", optimizer).param_groups}
    return rates.pop() if len(rates) == 1 else None
