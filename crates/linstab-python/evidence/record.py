"""What a record was computed with."""

from __future__ import annotations

import datetime
import platform
from importlib import metadata
from pathlib import Path

from .protocol import Protocol
from .tables import Row

PACKAGES = ("linstab", "jax", "jaxlib", "numpy", "scipy", "optax")


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers may depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def write(folder: Path, protocol: Protocol, tables: dict[str, list[Row]], *, quick: bool, seconds: float) -> None:
    """`record.toml`: versions, processor, date, counts and times."""
    restarts = tables["restarts"]
    busy = sum(row["seconds"] for row in restarts) + sum(row["seconds"] for row in tables["minima"])
    lines = [
        f'date = "{datetime.date.today().isoformat()}"',
        f'command = "cargo xtask evidence{" --quick" if quick else ""}"',
        f'protocol = "{protocol.fingerprint}"',
        *(f'{name} = "{version}"' for name, version in versions().items()),
        f'processor = "{_processor()}"',
        f"seeds = {sorted({task.problem.seed for task in protocol.tasks})}",
        f"num_minima = {len(tables['minima'])}",
        f"num_cells = {len(restarts)}",
        f"num_restarts = {sum(row['num_runs'] for row in restarts)}",
        f"hours_of_one_core = {busy / 3600:.2f} # minima and restarts, by the clock",
        f"seconds_of_last_command = {seconds:.0f}",
    ]
    (folder / "record.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
