"""The picture of a monitored training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._monitor_log import Record
from .errors import NumericalError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]


def draw(records: Sequence[Record], spikes: Sequence[Any], ax: Axes | None) -> Axes:
    """Learning rate and largest stable learning rate over the steps, its interval or two standard errors as a band."""
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install matplotlib, or 'linstab[plot]'") from error
    known = [record for record in records if record.max_learning_rate is not None]
    if not known:
        raise NumericalError("there is nothing to draw: no analysis has been made yet")
    if ax is None:
        _, ax = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    steps = [record.step for record in known]
    ax.plot(steps, [record.max_learning_rate or 0.0 for record in known], label="largest stable learning rate")
    ax.fill_between(steps, [_band(r)[0] for r in known], [_band(r)[1] for r in known], alpha=0.25, linewidth=0)
    rates = [(record.step, record.learning_rate) for record in records if record.learning_rate is not None]
    if rates:
        ax.plot(*zip(*rates), color="black", linestyle="--", label="learning rate")
    for spike in spikes:
        ax.axvline(spike.step, color="tab:red", linewidth=0.8, label="spike" if spike is spikes[0] else None)
    ax.set(xlabel="step", ylabel="learning rate", yscale="log")
    ax.legend()
    return ax


def _band(record: Record) -> tuple[float, float]:
    value = record.max_learning_rate or 0.0
    if record.standard_error is not None:
        return max(value - 2 * record.standard_error, 0.0), value + 2 * record.standard_error
    return value if record.lower is None else record.lower, value if record.upper is None else record.upper
