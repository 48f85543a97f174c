"""Drawing with matplotlib, where it is installed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ._analysis import Analysis

__all__ = ["axes", "thresholds"]


def axes(ax: Axes | None) -> Axes:
    """The axes to draw in: the caller's, or new ones.

    Raises:
        ImportError: without matplotlib.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot() needs matplotlib: pip install 'linstab[plot]'; svg(), png() and report() need nothing"
        ) from error
    made: Axes = Figure(figsize=(6, 4), layout="constrained").subplots()
    return made


def thresholds(analysis: Analysis, ax: Axes | None) -> Axes:
    """Thresholds over the batch size, a line an optimizer, with their intervals."""
    ax = axes(ax)
    rows = analysis.stability
    for optimizer in dict.fromkeys(row.optimizer for row in rows):
        mine = sorted((row for row in rows if row.optimizer == optimizer), key=lambda row: row.batch_size)
        drawn = [row for row in mine if math.isfinite(row.max_learning_rate)]
        sizes = [row.batch_size for row in drawn]
        lower = [row.max_learning_rate_interval[0] for row in drawn]
        upper = [row.max_learning_rate_interval[1] for row in drawn]
        (line,) = ax.plot(sizes, [row.max_learning_rate for row in drawn], marker="o", label=optimizer)
        ax.fill_between(sizes, lower, upper, color=line.get_color(), alpha=0.25, linewidth=0)
    if rows and rows[0].learning_rate is not None:
        ax.axhline(rows[0].learning_rate, color="black", linestyle="--", label="learning rate")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("batch size")
    ax.set_ylabel("largest stable learning rate")
    ax.legend()
    return ax
