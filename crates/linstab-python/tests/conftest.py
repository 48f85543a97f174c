"""What the tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

# The repository, wherever the package was installed.
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def command() -> str:
    """The command ``linstab``: named in LINSTAB_COMMAND, of the build, or on the path."""
    ending = ".exe" if os.name == "nt" else ""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    candidates = [os.environ.get("LINSTAB_COMMAND"), str(target / "release" / f"linstab{ending}"), shutil.which("linstab")]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return candidate
    pytest.fail("no command linstab: build it (cargo build --release -p linstab-cli) or name it in LINSTAB_COMMAND")


@pytest.fixture
def factors() -> np.ndarray:
    """Twelve samples of three factors and forty parameters, seeded."""
    return np.random.default_rng(7).normal(size=(12, 3, 40))
