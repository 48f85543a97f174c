"""The torch example runs, and finds what it sets out to show: its exit code says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")

EXAMPLES = Path(__file__).parent.parent / "examples"
# A minute on one core, and as much again for a machine that has other things to do, several times over.
LIMIT_SECONDS = 500


@pytest.mark.parametrize("runner", [[], [str(Path(__file__).parent / "as_notebook.py")]], ids=["script", "notebook"])
def test_a_network_stays_below_its_threshold_and_leaves_above(runner: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Where a notebook of a clone runs.
    (tmp_path / "data").symlink_to(EXAMPLES.parents[2] / "data")
    command = [sys.executable, *runner, str(EXAMPLES / "torch_digits.py")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 runs grow" in done.stdout
