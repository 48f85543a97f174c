"""A monitor that follows a training: how far is the learning rate from the edge, and who is to blame for a spike?"""

from __future__ import annotations

import logging
import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._monitor_log import CsvLog, Record, forward
from ._preserved import preserved
from .errors import ModelError, OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Monitor", "Record", "Spike"]

_LOGGER = logging.getLogger("linstab")

# Losses that must have been seen before one of them can be a spike.
_FEWEST_LOSSES = 5


@dataclass(frozen=True)
class Spike:
    """A jump of the loss at ``step``, above ``median`` of the losses before it.

    ``responsible_samples`` carry the direction that is the first to become unstable, worst first, as the analysis at step
    ``analysed_at`` found them (indices into the data; empty and None if there has been no analysis yet).
    """

    step: int
    loss: float
    median: float
    responsible_samples: tuple[int, ...] = ()
    analysed_at: int | None = None

    def __str__(self) -> str:
        who = "no analysis has been made yet"
        if self.analysed_at is not None:
            names = ", ".join(map(str, self.responsible_samples)) or "none in particular"
            who = f"samples that carry the unstable direction (analysis of step {self.analysed_at}): {names}"
        before = f"from a median of {self.median:.3g}" if math.isfinite(self.median) else "after few others"
        return f"the loss jumped to {self.loss:.3g} at step {self.step}, {before}; {who}"


class Monitor:
    """Follows a training at a bounded cost.

    Parameters
    ----------
    analyse
        Called with whatever :meth:`step` is given after the step number; returns an ``Analysis``, or factors or inner products
        (``linstab.torch.factors`` and the like, of a fixed subset), which are then analysed for ``optimizer`` and ``batch_size``.
        Factors of a subset give the threshold for all data with its standard error, and batch sharpness and gradient-noise
        interaction besides; an ``Analysis`` gives what it has.
    every
        Steps from one analysis to the next.
    budget
        Largest share of the wall time, since entering, that analyses may take. One that is due waits until the share, with its
        cost taken as that of the last one, is below this. The first is made when it is due: its cost is not known before.
    log
        Path of a CSV file, which is continued if it is there; None for none.
    writer
        A TensorBoard ``SummaryWriter`` or a Weights & Biases run: anything with ``add_scalar`` or ``log``.
    optimizer
        For factors and inner products: one optimizer, as of ``linstab.analyze``.
    batch_size
        Of these, one size.
    sampling
        Of these, how batches are drawn.
    models
        PyTorch modules that are put into evaluation mode meanwhile and restored afterwards, their gradients and all random
        states as well.
    spike_factor
        A loss is a spike if it is not finite, or above ``spike_factor`` times the median of the last ``spike_window``
        losses. The next one is told of only after the loss has come back below that.
    spike_window
        Losses that the median is taken of.
    prefix
        Of the names that a writer is told.
    clock
        Seconds, from any start.
    """

    def __init__(
        self,
        analyse: Callable[..., Any],
        *,
        every: int = 100,
        budget: float = 0.05,
        log: str | os.PathLike[str] | None = "linstab.csv",
        writer: Any = None,
        optimizer: str = "sgd",
        batch_size: int | None = None,
        sampling: str = "without-replacement",
        models: Iterable[Any] = (),
        spike_factor: float = 3.0,
        spike_window: int = 50,
        prefix: str = "linstab/",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        loggers = "with add_scalar (TensorBoard) or log (Weights & Biases)"
        for name, value, fits, allowed in (
            ("analyse", analyse, callable(analyse), "a function that returns an analysis or factors"),
            ("every", every, every >= 1, "at least 1"),
            ("budget", budget, 0 < budget <= 1, "in (0, 1]"),
            ("spike_factor", spike_factor, spike_factor > 1, "above 1"),
            ("spike_window", spike_window, spike_window >= _FEWEST_LOSSES, f"at least {_FEWEST_LOSSES}"),
            ("writer", writer, writer is None or hasattr(writer, "add_scalar") or hasattr(writer, "log"), loggers),
        ):
            if not fits:
                raise OptionError.of(name, value, allowed)
        self._analyse, self._every, self._budget = analyse, every, budget
        self._log_path, self._writer, self._prefix = log, writer, prefix
        self._optimizer, self._batch_size, self._sampling = optimizer, batch_size, sampling
        self.models = list(models)
        self._spike_factor, self._losses = spike_factor, deque[float](maxlen=spike_window)
        self._clock = clock
        self._started: float | None = None
        self._log: CsvLog | None = None
        self._spent = self._last_cost = 0.0
        self._next_step: int | None = None
        self._in_spike = False
        self._analysed = False
        self.records: list[Record] = []
        self.spikes: list[Spike] = []

    def __enter__(self) -> Monitor:
        if self._log_path is not None:
            self._log = CsvLog(self._log_path)
            self.records = list(self._log.records)
        self._started = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._spent:
            _LOGGER.info("%d analyses took %.1f %% of the time", len(self.records), 100 * self.share)
        self._finished, self._started = self.share, None

    _finished = 0.0

    @property
    def share(self) -> float:
        """Share of the wall time, since entering, that analyses took; measured."""
        if self._started is None:
            return self._finished
        elapsed = self._clock() - self._started
        return self._spent / elapsed if elapsed > 0 else 0.0

    def step(self, step: int, *state: Any, loss: Any = None, learning_rate: Any = None) -> Record | None:
        """Tell of a step that was made; returns what an analysis found, if it was due.

        ``state`` is what ``analyse`` is called with, in JAX for example the parameters and the optimizer's state. ``loss`` and
        ``learning_rate`` are numbers, or arrays of one number; reading a loss that is still being computed waits for it.
        """
        if self._started is None:
            raise ModelError("the monitor is not running: use it as `with linstab.Monitor(...) as monitor:`")
        spike = None if loss is None else self._detect(step, _real(loss))
        if self._next_step is None:
            self._next_step = step
        record = None
        if (step >= self._next_step or spike is not None) and self._affordable():
            self._next_step = step + self._every
            record = self._record(step, state, loss, learning_rate)
            if spike is not None:
                spike = replace(spike, responsible_samples=record.responsible_samples, analysed_at=step)
                record = replace(record, event=record.event or "spike")
            self._write(record)
        if spike is not None:
            self._tell(spike)
        return record

    def observe(self, step: int, loss: Any) -> Spike | None:
        """Look at a loss alone, where it comes at other times than the steps; a spike is told of and returned."""
        spike = self._detect(step, _real(loss))
        if spike is not None:
            self._tell(spike)
        return spike

    def _detect(self, step: int, loss: float) -> Spike | None:
        median = statistics.median(self._losses) if len(self._losses) >= _FEWEST_LOSSES else math.inf
        # As far above a negative median as above a positive one.
        high = not math.isfinite(loss) or loss > median + (self._spike_factor - 1) * abs(median)
        begins = high and not self._in_spike
        self._in_spike = high
        if math.isfinite(loss):
            self._losses.append(loss)
        if not begins:
            return None
        last = next((record for record in reversed(self.records) if record.max_learning_rate is not None), None)
        return Spike(step, loss, median) if last is None else Spike(step, loss, median, last.responsible_samples, last.step)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws learning rate and largest stable learning rate over the steps, with matplotlib."""
        from ._monitor_plot import draw

        return draw(self.records, self.spikes, ax)

    def _affordable(self) -> bool:
        """Whether the share stays within the budget if the analysis costs what the last one did."""
        assert self._started is not None
        elapsed = self._clock() - self._started
        return not self._spent or self._spent + self._last_cost <= self._budget * (elapsed + self._last_cost)

    def _record(self, step: int, state: tuple[Any, ...], loss: Any, learning_rate: Any) -> Record:
        begun = self._clock()
        known = Record(step, _number(loss), _number(learning_rate))
        try:
            with preserved(self.models):
                known = replace(known, **self._findings(self._analyse(*state)))
        except Exception as error:
            # A mistake shows at the first analysis. Later it is the training that has left the reach of the analysis (it has
            # diverged, say), which is no reason to end it.
            if not self._analysed:
                raise
            _LOGGER.warning("no analysis at step %d: %s", step, error)
            known = replace(known, event=f"{type(error).__name__}: {error}")
        self._analysed = True
        self._last_cost = self._clock() - begun
        self._spent += self._last_cost
        return replace(known, seconds=self._last_cost, share=self.share)

    def _findings(self, found: Any) -> dict[str, Any]:
        """The fields of a record that an analysis tells."""
        indices = getattr(found, "indices", None)
        gradients: Any = found
        if hasattr(found, "values") and hasattr(found, "coefficients"):
            found, gradients = self._of_factors(found)
        if not getattr(found, "stability", ()):
            raise ModelError(
                f"analyse returned {type(found).__name__}: it must return an Analysis with a row, or factors or inner products"
            )
        row = found.stability[0]
        lower, upper = row.max_learning_rate_interval
        values = {
            diagnostic.name: diagnostic.value
            for diagnostic in reversed(gradients.diagnostics)
            if (diagnostic.optimizer, diagnostic.batch_size) == _first(gradients)
        }
        samples = [entry.sample for entry in found.responsible_samples]
        return {
            "max_learning_rate": row.max_learning_rate,
            "lower": lower,
            "upper": upper,
            "standard_error": row.standard_error,
            "batch_sharpness": values.get("batch_sharpness"),
            "gradient_noise_interaction": values.get("gradient_noise_interaction"),
            "sharpness": found.sharpness,
            "coherence": None if found.coherence is None else found.coherence.sigma,
            "responsible_samples": tuple(int(s if indices is None else indices[s]) for s in samples),
        }

    def _of_factors(self, found: Any) -> tuple[Any, Any]:
        """The analysis for all data, and where that cannot have diagnostics of gradients the one of the subset alone."""
        import linstab

        whole = linstab.analyze(found, optimizer=self._optimizer, batch_size=self._batch_size, sampling=self._sampling)
        if whole.diagnostics or found.coefficients is None:
            return whole, whole
        size = None if self._batch_size is None else min(self._batch_size, found.num_samples)
        alone = replace(found, indices=None, population=None)
        # Diagnostics are of batches that are drawn afresh.
        return whole, linstab.analyze(alone, optimizer=self._optimizer, batch_size=size)

    def _tell(self, spike: Spike) -> None:
        self.spikes.append(spike)
        _LOGGER.warning("%s", spike)

    def _write(self, record: Record) -> None:
        self.records.append(record)
        if self._log is not None:
            self._log.write(record)
        if self._writer is not None:
            forward(self._writer, record, self._prefix)


def _first(analysis: Any) -> tuple[str, int]:
    return analysis.stability[0].optimizer, analysis.stability[0].batch_size


def _real(value: Any) -> float:
    # A loss of PyTorch still knows how it was made, and warns where that is dropped silently.
    return float(value.detach() if hasattr(value, "detach") else value)


def _number(value: Any) -> float | None:
    return None if value is None else _real(value)
