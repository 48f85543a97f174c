"""Tables of the record: parts written as soon as they are known, and gathered into sorted CSV files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

COLUMNS = {
    "minima": (
        "minimum network activation data loss seed num_samples num_outputs num_parameters final_loss gradient_norm interpolating "
        "sharpness hessian_sharpness coherence seconds"
    ).split(),
    "thresholds": "minimum optimizer sampling batch_size predictor learning_rate lower upper".split(),
    "restarts": (
        "minimum optimizer sampling batch_size ratio learning_rate num_runs num_grown median_passage median_slope num_steps "
        "live_second_moment seconds"
    ).split(),
    "torch": (
        "framework minimum optimizer sampling batch_size ratio learning_rate num_runs num_grown median_passage median_slope num_steps "
        "live_second_moment seconds"
    ).split(),
    "trainings": (
        "training optimizer sampling batch_size step loss learning_rate mean_square gradient_descent_limit batch_sharpness event"
    ).split(),
}
KEYS = {
    "minima": ("minimum",),
    "thresholds": ("minimum", "optimizer", "sampling", "batch_size", "predictor"),
    "restarts": ("minimum", "optimizer", "live_second_moment", "sampling", "batch_size", "ratio"),
    "torch": ("minimum", "optimizer", "live_second_moment", "sampling", "batch_size", "ratio"),
    "trainings": ("training", "step"),
}


class Parts:
    """A folder with one file a part; a part is whole or absent, so that an interrupted run goes on where it stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def refuse_other(self, versions: dict[str, str]) -> None:
        """Refuses to go on with other versions than the parts that are there: a record has one.

        Raises
        ------
        ValueError
            If they differ.
        """
        path, own = self.folder / "versions", self.folder / f"versions.{os.getpid()}"
        own.write_text(json.dumps(versions), encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            # Whoever comes first; unlike a replacement it fails where another share was faster.
            os.link(own, path)
        own.unlink()
        found = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted(found.keys() | versions):
            if found.get(name) != versions.get(name):
                here = f"{found.get(name)}, here it is {versions.get(name)}"
                raise ValueError(f"{self.folder} holds parts made with {name} {here}: take the same, or another --out")

    def done(self, name: str) -> bool:
        """Whether a part is there."""
        return self._path(name).is_file()

    def once(self, name: str, compute: Callable[[], dict[str, list[Row]]]) -> dict[str, list[Row]]:
        """The tables of a part, computed if they are not there."""
        if not self.done(name):
            self.write(name, compute())
        return self.read(name)

    def read(self, name: str) -> dict[str, list[Row]]:
        """The tables of a part that is there."""
        found: dict[str, list[Row]] = json.loads(self._path(name).read_text(encoding="utf-8"))
        return found

    def write(self, name: str, tables: dict[str, list[Row]]) -> None:
        """Makes or replaces a part."""
        written = self._path(name).with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(tables, indent=0), encoding="utf-8")
        written.replace(self._path(name))

    def tables(self, names: Iterable[str]) -> dict[str, list[Row]]:
        """All rows of those of these parts that are there."""
        tables: dict[str, list[Row]] = {name: [] for name in COLUMNS}
        for part in filter(self.done, names):
            for name, rows in self.read(part).items():
                tables[name].extend(rows)
        return tables

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def write(folder: Path, tables: dict[str, list[Row]]) -> None:
    """A CSV file a table that has rows, each whole or as it was before."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        if rows:
            path = folder / f"{name}.csv"
            written = path.with_suffix(f".{os.getpid()}")
            written.write_text(text(name, rows), encoding="utf-8")
            written.replace(path)


def text(name: str, rows: Iterable[Row]) -> str:
    """A table in CSV, sorted by its keys; a number as the shortest text that reads back as it, what is not known as nothing."""
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS[name], lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: [row[key] for key in KEYS[name]]):
        writer.writerow({key: "" if value is None else value for key, value in row.items()})
    return output.getvalue()


def read(path: Path) -> list[dict[str, str]]:
    """A table as texts."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
