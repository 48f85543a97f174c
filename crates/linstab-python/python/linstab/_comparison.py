"""Two analyses side by side."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._analysis import Analysis

__all__ = ["Change", "changes"]


@dataclasses.dataclass(frozen=True)
class Change:
    """A quantity of two analyses."""

    name: str
    first: float
    second: float
    differs: bool
    """Whether they are apart by more than what is known of them."""

    @property
    def ratio(self) -> float:
        """The second over the first."""
        return self.second / self.first if self.first else float("nan")


def changes(first: Analysis, second: Analysis) -> tuple[Change, ...]:
    """What two analyses have in common, and whether it differs."""
    found = [
        Change(name, a, b, a != b)
        for name, a, b in (
            ("sharpness", first.sharpness, second.sharpness),
            ("trace", first.trace, second.trace),
            ("effective_rank", first.effective_rank, second.effective_rank),
        )
    ]
    if first.coherence is not None and second.coherence is not None:
        a, b = first.coherence.sigma, second.coherence.sigma
        found.append(Change("coherence", a, b, a != b))
    there = {(row.optimizer, row.batch_size, row.sampling): row for row in second.stability}
    for row in first.stability:
        other = there.get((row.optimizer, row.batch_size, row.sampling))
        if other is None:
            continue
        (low, high), (other_low, other_high) = row.max_learning_rate_interval, other.max_learning_rate_interval
        name = f"max_learning_rate of {row.optimizer} at {row.batch_size}"
        apart = high < other_low or other_high < low
        found.append(Change(name, row.max_learning_rate, other.max_learning_rate, apart))
    return tuple(found)
