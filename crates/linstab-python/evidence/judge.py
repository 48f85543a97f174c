"""How runs are judged, from their misfits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Judge:
    """When a run counts as grown: its misfit has passed a multiple of what it started from; or, where it has neither passed nor decayed
    to a multiple when its steps are used up, the logarithm of its misfit rises over the second half."""

    passage: float
    decay: float

    def passed(self, misfits: np.ndarray) -> np.ndarray:
        """Index of the first record beyond the passage of each run, or the number of records; of misfits (records, runs), the first at the
        start. What is not finite has passed."""
        beyond = ~(misfits < self.passage * misfits[0])
        return np.where(beyond.any(axis=0), beyond.argmax(axis=0), len(misfits))

    def decided(self, misfits: np.ndarray) -> bool:
        """Whether every run has passed or decayed."""
        low = (misfits < self.decay * misfits[0]).any(axis=0)
        return bool(np.all((self.passed(misfits) < len(misfits)) | low))

    def slopes(self, misfits: np.ndarray) -> np.ndarray:
        """Slope of the logarithm of the misfit a record: up to the passage or the end of the decay, over the second half of the way."""
        logs = np.log(np.maximum(misfits, 1e-300))
        low = misfits < self.decay * misfits[0]
        ends = np.minimum(self.passed(misfits), np.where(low.any(axis=0), low.argmax(axis=0), len(misfits)))
        return np.array([_slope(logs[:, run], int(end)) for run, end in enumerate(ends)])

    def grown(self, misfits: np.ndarray) -> np.ndarray:
        """Whether each run grew."""
        low = (misfits < self.decay * misfits[0]).any(axis=0)
        passed = self.passed(misfits) < len(misfits)
        return passed | (~low & (self.slopes(misfits) > 0))


def _slope(logs: np.ndarray, end: int) -> float:
    """Least-squares slope over the second half of the records before and at `end`; finite ones only."""
    stop = min(end, len(logs) - 1)
    part = logs[stop // 2 : stop + 1]
    part = part[np.isfinite(part)]
    if len(part) < 2:
        return float("nan")
    steps = np.arange(len(part)) - (len(part) - 1) / 2
    return float(steps @ part / (steps @ steps))


def summary(judge: Judge, misfits: np.ndarray, steps_per_record: int) -> dict[str, Any]:
    """What came of the runs of a cell, from their misfits (records, runs)."""
    grown, passed = judge.grown(misfits), judge.passed(misfits)
    passages = passed[passed < len(misfits)] * steps_per_record
    slopes = judge.slopes(misfits) / steps_per_record
    slopes = slopes[np.isfinite(slopes)]
    return {
        "num_runs": misfits.shape[1],
        "num_grown": int(grown.sum()),
        "median_passage": float(np.median(passages)) if len(passages) else None,
        "median_slope": float(np.median(slopes)) if len(slopes) else None,
        "num_steps": (len(misfits) - 1) * steps_per_record,
    }
