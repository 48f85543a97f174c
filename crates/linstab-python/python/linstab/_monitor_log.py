"""Where a monitor writes: a CSV file of whole lines, and the loggers that a training has."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
from pathlib import Path
from typing import Any

from .errors import FileError

__all__ = ["CsvLog", "Record", "forward"]


@dataclasses.dataclass(frozen=True)
class Record:
    """One analysis along a training; None where a number is not known.

    ``max_learning_rate`` is the largest stable learning rate of the optimizer at this point, ``lower`` and ``upper`` the interval in
    which it lies, ``standard_error`` that of the subset as a sample of the data. ``batch_sharpness`` and
    ``gradient_noise_interaction`` are to be held against 2 / learning_rate, as ``sharpness``. ``seconds`` is what this analysis
    cost, ``share`` that of all of them so far in the wall time. ``event`` is empty, ``spike``, or what went wrong.
    """

    step: int
    loss: float | None = None
    learning_rate: float | None = None
    max_learning_rate: float | None = None
    lower: float | None = None
    upper: float | None = None
    standard_error: float | None = None
    batch_sharpness: float | None = None
    gradient_noise_interaction: float | None = None
    sharpness: float | None = None
    coherence: float | None = None
    seconds: float = 0.0
    share: float = 0.0
    responsible_samples: tuple[int, ...] = ()
    event: str = ""

    def numbers(self) -> dict[str, float]:
        """The quantities that are known, by name."""
        skipped = {"step", "responsible_samples", "event"}
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in skipped}
        return {name: float(value) for name, value in values.items() if value is not None}

    def cells(self) -> list[str]:
        """The cells of its line; numbers as they are read back to the last bit."""
        return [_cell(getattr(self, field.name)) for field in dataclasses.fields(self)]

    @classmethod
    def of_cells(cls, cells: list[str]) -> Record:
        """The record of a line."""
        values: dict[str, Any] = {}
        for field, cell in zip(dataclasses.fields(cls), cells):
            if field.name == "step":
                values["step"] = int(cell)
            elif field.name == "event":
                values["event"] = cell
            elif field.name == "responsible_samples":
                values["responsible_samples"] = tuple(int(sample) for sample in cell.split())
            else:
                values[field.name] = float(cell) if cell else None
        return cls(**values)


HEADER = [field.name for field in dataclasses.fields(Record)]


class CsvLog:
    """A CSV file that grows by whole lines, each on disk when it is written.

    A file that is there is continued; one with another header is refused. A line that was cut off is dropped.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.records = self._resume()
        self._file = self._path.open("ab", buffering=0)
        if self._path.stat().st_size == 0:
            self._write(HEADER)

    def write(self, record: Record) -> None:
        """Append a record."""
        self._write(record.cells())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, cells: list[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        # One write of an unbuffered file: a line is there as a whole.
        self._file.write(line.getvalue().encode())

    def _refused(self, reason: str) -> FileError:
        return FileError(f"{self._path} {reason}: log to another file", source=str(self._path))

    def _resume(self) -> list[Record]:
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        rows = list(csv.reader(io.StringIO(whole.decode())))
        if rows and rows[0] != HEADER:
            raise self._refused(f"has the columns {','.join(rows[0])}, which are not those of a monitor")
        if content and not rows and not ",".join(HEADER).encode().startswith(content):
            raise self._refused("is not the log of a monitor")
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        return [Record.of_cells(row) for row in rows[1:]]


def forward(writer: Any, record: Record, prefix: str) -> None:
    """Give a record to a TensorBoard ``SummaryWriter`` (``add_scalar``) or a Weights & Biases run (``log``)."""
    numbers = {prefix + name: value for name, value in record.numbers().items() if math.isfinite(value)}
    if hasattr(writer, "add_scalar"):
        for name, value in numbers.items():
            writer.add_scalar(name, value, record.step)
    else:
        writer.log(numbers, step=record.step)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return value.replace("\n", " ") if isinstance(value, str) else repr(value)
