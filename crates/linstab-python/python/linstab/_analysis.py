"""The analysis of a minimum: :func:`analyze` and its answer."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _linstab
from ._comparison import Change, changes
from ._request import Progress, Source, request_of, source_of
from .errors import OptionError
from .results import Coherence, Diagnostic, Group, ResponsibleSample, Stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Analysis", "analyze"]


def analyze(
    factors: Source | None = None,
    *,
    gram: Source | None = None,
    num_factors: int | None = None,
    tensor: str | None = None,
    batch_size: int | Iterable[int] | None = None,
    optimizer: str | Iterable[str] = "sgd",
    sampling: str = "without-replacement",
    last_batch: str = "keep",
    learning_rate: float | None = None,
    lyapunov: bool = False,
    residuals: Source | None = None,
    loss: str | None = None,
    labels: Source | None = None,
    preconditioner: Source | None = None,
    population: int | None = None,
    scale: float = 1.0,
    tolerance: float = 1e-6,
    diagnostics: bool | None = None,
    top: int = 5,
    seed: int = 0,
    threads: int | None = None,
    memory_limit: int | str = "1GiB",
    progress: Progress = None,
) -> Analysis:
    """Find up to which learning rate a minimum holds, for an optimizer, batch sizes and a way of drawing batches.

    The mean-square threshold is exact for the curvatures ``H_i = scale * sum_q f_iq f_iq^T`` of the samples: below it the mean square
    of the distance from the minimum decays, above it grows.

    Args:
        factors: Gradients of each sample's outputs, (samples, parameters) or (samples, factors, parameters), float16 to float64; or a path
            of such an array (.npy, .npz, .safetensors), which is read in blocks; or what ``linstab.torch.factors`` and
            ``linstab.jax.factors`` return, which know their gradients and their data set.
        gram: Inner products in the place of factors, (samples * factors, samples * factors).
        num_factors: Factors of a sample of these inner products. Default: 1, or what they know themselves.
        tensor: Name of the array in a .npz or .safetensors file.
        batch_size: Samples a batch, one or several. Default: those of 1, 8, 32 that are not more than the samples.
        optimizer: Specifications as ``"sgd:momentum=0.9,nesterov=true"``, one or several; :func:`linstab.optimizers` lists them.
        sampling: ``"without-replacement"``, ``"with-replacement"``, ``"bernoulli"`` (batches drawn afresh), ``"reshuffling"`` or
            ``"cyclic"`` (epochs, as data loaders do).
        last_batch: ``"keep"`` or ``"drop"`` samples that do not fill a batch of an epoch.
        learning_rate: A learning rate to judge: adds the growth per step and a verdict.
        lyapunov: Estimate the Lyapunov exponent at the learning rate, too.
        residuals: Coefficients of the gradients, (samples,) or (samples, factors): the gradient of sample i is
            ``sum_q c_iq f_iq``. Adds diagnostics of gradients.
        loss: The loss that these are of, ``"half_squared_error"`` (or nothing said), ``"mse"`` or ``"cross_entropy"``: some diagnostics hold
            for squared errors alone. It changes no scale: the factors and coefficients carry it.
        labels: Integers, (samples,): adds coherence by label.
        preconditioner: One positive number a parameter, ``sqrt(v) + eps``, for optimizers that divide gradients by it.
        population: Samples of the data set that these are a random part of: thresholds of training on all of it.
        scale: What every curvature is multiplied by; 1 for ``|f - y|^2 / 2``, ``2 / k`` for the mean-squared error of k outputs.
        tolerance: Relative width of intervals that is good enough, 1e-11 to 1e-4.
        diagnostics: Whether to add published diagnostics. Default: where there are any, for batches drawn afresh from all of the data; True
            refuses others.
        top: Number of responsible samples to name.
        seed: Root of the random streams of estimates.
        threads: Worker threads; they change the time, never the results. Default: one a core.
        memory_limit: Bytes, or a text as ``"2GiB"``, for the products and their analysis.
        progress: True, or a function that is called with (stage, done, total).

    Returns:
        The answer; the same numbers, bit by bit, as the command ``linstab analyze`` gives.

    Raises:
        LinstabError: ``OptionError`` for a bad request, ``InputError`` and ``NonFiniteError`` for bad arrays, ``MemoryLimitError`` if it
            does not fit, ``NumericalError`` if it cannot be computed.

    Example:
        >>> import numpy as np, linstab
        >>> answer = linstab.analyze(np.diag([2.0, 1.0]), batch_size=1, learning_rate=0.4)
        >>> round(answer.max_learning_rate, 6), answer.stable
        (0.5, True)
    """
    source = source_of(
        factors,
        gram,
        num_factors=num_factors,
        tensor=tensor,
        preconditioner=preconditioner,
        memory_limit=memory_limit,
        threads=threads,
        progress=progress,
    )
    request = request_of(
        factors if gram is None else gram,
        batch_size=batch_size,
        optimizer=optimizer,
        sampling=sampling,
        last_batch=last_batch,
        learning_rate=learning_rate,
        lyapunov=lyapunov,
        residuals=residuals,
        loss=loss,
        labels=labels,
        population=population,
        scale=scale,
        tolerance=tolerance,
        diagnostics=diagnostics,
        top=top,
        seed=seed,
    )
    return Analysis(_linstab.analyze(source, request))


class Analysis:
    """What an analysis found: frozen, and picklable bit by bit.

    ``print`` it for the verdict in words; in a notebook it shows its table and first figure.
    """

    __slots__ = ("_findings", "_report")

    def __init__(self, findings: _linstab.Findings) -> None:
        object.__setattr__(self, "_findings", findings)
        object.__setattr__(self, "_report", json.loads(findings.json()))

    _findings: _linstab.Findings
    _report: dict[str, Any]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an analysis is frozen: {name} cannot be set")

    def __reduce__(self) -> tuple[type[Analysis], tuple[_linstab.Findings]]:
        return Analysis, (self._findings,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Analysis) and self._findings.state() == other._findings.state()

    def __hash__(self) -> int:
        return hash(self._findings.state())

    def __repr__(self) -> str:
        return f"<Analysis: {self.verdict}>"

    def __str__(self) -> str:
        return self._findings.words().rstrip()

    @property
    def verdict(self) -> str:
        """What is stable up to where, and why, in one sentence."""
        # The words are broken into lines; the verdict ends at the first empty one.
        return " ".join(self._findings.words().split("\n\n", 1)[0].split())

    def _repr_html_(self) -> str:
        words = f"<pre>{html.escape(str(self))}</pre>"
        try:
            return self.svg() + words
        except OptionError:  # nothing limits: nothing to draw
            return words

    # The first optimizer at the first batch size: what most people ask about.

    @property
    def max_learning_rate(self) -> float:
        """The mean-square threshold of the first optimizer at the first batch size."""
        return self.stability[0].max_learning_rate

    @property
    def interval(self) -> tuple[float, float]:
        """Learning rates between which that threshold lies."""
        return self.stability[0].max_learning_rate_interval

    @property
    def stable(self) -> bool | None:
        """Whether the learning rate is below that threshold; None without one, and within the interval of an estimate."""
        return self.stability[0].stable

    @property
    def growth_per_step(self) -> float | None:
        """Growth per step of the mean square at the learning rate."""
        return self.stability[0].growth_per_step

    # All of it.

    @property
    def stability(self) -> tuple[Stability, ...]:
        """A row for each optimizer and batch size."""
        return tuple(Stability.of_row(row) for row in self._report["stability"])

    def at(self, batch_size: int, optimizer: str | None = None) -> Stability:
        """The row of a batch size and an optimizer (its specification as the report has it; default: the first).

        Raises:
            KeyError: if it was not asked for.
        """
        wanted = self.stability[0].optimizer if optimizer is None else optimizer
        for row in self.stability:
            if (row.batch_size, row.optimizer) == (batch_size, wanted):
                return row
        there = ", ".join(f"{row.optimizer} at {row.batch_size}" for row in self.stability)
        raise KeyError(f"{wanted} at batch size {batch_size} was not asked for; there are: {there}")

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Published quantities beside the exact thresholds."""
        return tuple(Diagnostic.of_row(row) for row in self._report.get("diagnostics", ()))

    @property
    def responsible_samples(self) -> tuple[ResponsibleSample, ...]:
        """The samples that limit SGD, worst first."""
        return tuple(ResponsibleSample.of_row(row) for row in self._report["responsible_samples"])

    @property
    def coherence(self) -> Coherence | None:
        """Coherence of the samples; None without curvature."""
        row = self._report["coherence"]
        return None if row is None else Coherence.of_row(row)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Coherence by label, where labels were given."""
        return tuple(Group.of_row(row) for row in self._report.get("groups", ()))

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return int(self._report["num_samples"])

    @property
    def num_factors(self) -> int:
        """Factors of a sample."""
        return int(self._report["num_factors"])

    @property
    def num_parameters(self) -> int | None:
        """Number of parameters; None where inner products were given."""
        value = self._report["num_parameters"]
        return None if value is None else int(value)

    @property
    def sharpness(self) -> float:
        """Largest eigenvalue of the mean curvature."""
        return float(self._report["sharpness"])

    @property
    def trace(self) -> float:
        """Trace of the mean curvature."""
        return float(self._report["trace"])

    @property
    def rank(self) -> int:
        """Rank of the mean curvature."""
        return int(self._report["rank"])

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of the eigenvalues of the mean curvature."""
        return float(self._report["effective_rank"])

    # Other shapes of it.

    def to_dict(self) -> dict[str, Any]:
        """The report of ``linstab analyze --format json``, key by key."""
        copied: dict[str, Any] = json.loads(self._findings.json())
        return copied

    def to_json(self) -> str:
        """The report as text: the bytes that the command writes."""
        return self._findings.json()

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Flat numbers for a logger: names are made of the prefix, the optimizer, the batch size and the quantity.

        The first row stands under its quantity alone, too.
        """
        flat = {"sharpness": self.sharpness, "trace": self.trace, "effective_rank": self.effective_rank}
        if self.coherence is not None:
            flat["coherence"] = self.coherence.sigma
        for index, row in enumerate(self.stability):
            numbers = {
                "max_learning_rate": row.max_learning_rate,
                "growth_per_step": row.growth_per_step,
                "full_batch_share": row.full_batch_share,
                "learning_rate_ratio": None if row.learning_rate is None else row.learning_rate / row.max_learning_rate,
            }
            known = {name: number for name, number in numbers.items() if number is not None}
            flat.update(known if index == 0 else {})
            flat.update({f"{row.optimizer}/{row.batch_size}/{name}": number for name, number in known.items()})
        for diagnostic in self.diagnostics:
            if diagnostic.value is not None:
                name = f"{diagnostic.optimizer}/{diagnostic.batch_size}/{diagnostic.name}"
                flat[name] = diagnostic.value
        return {prefix + name: float(number) for name, number in flat.items()}

    def report(self, path: str | os.PathLike[str], *, title: str | None = None) -> None:
        """Write a page with every figure, one HTML file; it is put in place as a whole.

        Raises:
            FileError: if it cannot be written.
        """
        page = self._findings.page("factors" if title is None else title, "linstab.analyze(...).report(...)")
        _linstab.write_atomically(path, page.encode())

    def svg(self) -> str:
        """The curve of thresholds over the batch size, as SVG.

        Raises:
            OptionError: if no threshold is finite.
        """
        return self._findings.drawing()[0].decode()

    def png(self) -> bytes:
        """The same as PNG."""
        return self._findings.drawing()[1]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw thresholds over the batch size with matplotlib, a line an optimizer, and the learning rate.

        Raises:
            ImportError: without matplotlib; :meth:`svg` and :meth:`png` need none.
        """
        from ._plot import thresholds

        return thresholds(self, ax)

    def compare(self, other: Analysis) -> tuple[Change, ...]:
        """What differs from another analysis: sharpness, trace, coherence, and the thresholds that both have.

        For changes with standard errors, paired by samples, see :func:`linstab.compare`.
        """
        return changes(self, other)
