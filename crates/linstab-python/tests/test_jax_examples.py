"""The JAX examples run, end within a minute or so, and find what they set out to show: their exit codes say."""

from __future__ import annotations

import ast
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")
pytest.importorskip("linstab._linstab")
import linstab  # noqa: E402

EXAMPLES = Path(__file__).parent.parent / "examples"
# A minute on two cores, and as much again for a machine that has other things to do, three times over.
LIMIT_SECONDS = 360


NOTEBOOK = Path(__file__).parent / "as_notebook.py"


def run(*arguments: str, folder: Path, runner: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    # An example finds the module beside it, as it does when a user runs it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, *runner, str(EXAMPLES / arguments[0]), *arguments[1:]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def test_a_network_stays_below_its_threshold_and_leaves_above(tmp_path: Path) -> None:
    found = run("jax_digits.py", folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "of 20 runs decay" in found.stdout and "of 20 runs grow" in found.stdout


# Two that run to their end; of the others, what is defined before they are asked for something.
@pytest.mark.parametrize("name", ["jax_digits", "watch_training", "check_in_ci", "digits_factors", "convolutional_factors"])
def test_examples_run_as_notebooks(name: str, tmp_path: Path) -> None:
    found = run(f"{name}.py", folder=tmp_path, runner=(str(NOTEBOOK),))
    assert found.returncode == 0, found.stdout + found.stderr
    shown = {"jax_digits": "of 20 runs grow", "watch_training": "analyses took"}
    assert shown.get(name, "") in found.stdout


def test_examples_have_a_title_and_whole_cells() -> None:
    sys.path.insert(0, str(NOTEBOOK.parent))
    from as_notebook import cells

    scripts = sorted(path for path in EXAMPLES.glob("*.py") if path.name != "digits_network.py")
    assert len(scripts) > 5
    for path in scripts:
        (is_code, title), *rest = cells(path.read_text())
        assert not is_code and title.startswith("# # ") and any(is_code for is_code, _ in rest), path
        for is_code, content in [(is_code, title), *rest]:
            ast.parse(content)
            assert is_code or all(line.startswith("#") for line in content.split("\n") if line), content


def test_restarts_of_a_part_of_the_table(tmp_path: Path) -> None:
    found = run("edge_restart.py", "--quick", folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "2 of 2 cells passed" in found.stdout


def test_sam_finds_the_flatter_minimum(tmp_path: Path) -> None:
    found = run("sgd_against_sam.py", folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_training_is_watched_and_its_spike_explained(tmp_path: Path) -> None:
    found = run("watch_training.py", "--log", "watched.csv", folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    with (tmp_path / "watched.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert any(line["event"] == "spike" or line["responsible_samples"] for line in lines)
    # Half of the time is allowed, and the first analysis may come at any time; a later one may cost somewhat more than the last did.
    assert all(float(line["share"]) <= 0.6 for line in lines[1:])


def test_a_check_passes_and_fails_by_its_exit_code(tmp_path: Path) -> None:
    def check(*more: str) -> int:
        return run("check_in_ci.py", "--baseline", "baseline.json", *more, folder=tmp_path).returncode

    assert check("--update") == 0
    assert check() == 0
    # Large learning rates end next to their edge: stable, but without the margin.
    assert check("--learning-rate", "0.2") == 1
    baseline = tmp_path / "baseline.json"
    report = json.loads(baseline.read_text())
    report["stability"][0]["max_learning_rate"] *= 1.5
    report["stability"][0]["max_learning_rate_interval"] = [x * 1.5 for x in report["stability"][0]["max_learning_rate_interval"]]
    baseline.write_text(json.dumps(report))
    # A threshold that is not what it was.
    assert check() == 3


def test_factors_of_a_network_with_ten_classes_become_a_file(tmp_path: Path) -> None:
    found = run("digits_factors.py", "digits.npy", folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    factors = np.load(tmp_path / "digits.npy")
    assert factors.shape == (100, 10, 3658)
    # Sharpness of the mean loss: the largest eigenvalue of the mean of the samples' curvatures.
    rows = factors.reshape(1000, -1)
    assert 5 < np.linalg.eigvalsh(rows @ rows.T / 100)[-1] < 200
    refused = run("digits_factors.py", "digits.npy", folder=tmp_path)
    assert refused.returncode == 2 and "a new file that ends in .npy" in refused.stderr


def test_the_shipped_factors_are_those_of_the_example(tmp_path: Path) -> None:
    found = run("convolutional_factors.py", str(tmp_path / "written.npy"), folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    shipped = EXAMPLES.parents[2] / "data" / "convolutional-factors.npy"
    # Another machine may round otherwise, and a training carries that on; another batch size would be seen.
    written, there, other = (
        linstab.max_learning_rate(str(path), batch_size=size)
        for path, size in [(tmp_path / "written.npy", 1), (shipped, 1), (shipped, 4)]
    )
    assert abs(written / there - 1) < 1e-3 < abs(other / there - 1), (written, there, other)
