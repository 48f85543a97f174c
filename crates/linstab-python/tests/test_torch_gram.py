"""Inner products layer by layer against the factors, over one process and over two."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")

sys.path.insert(0, str(Path(__file__).parent))
import torch_models as models  # noqa: E402
from test_guide import blocks_of  # noqa: E402
from torch import nn  # noqa: E402

import linstab.torch as door  # noqa: E402
from linstab.errors import LinstabError  # noqa: E402
from linstab.torch import _gram, _layers, _taps  # noqa: E402
from linstab.torch._model import FunctionalModel  # noqa: E402

# Sums of other order over the layers of a small network, in double precision.
TOLERANCE = 1e-12


def both(model: nn.Module, x: Any, loss: str, **settings: Any) -> tuple[Any, Any]:
    with torch.no_grad():
        outputs = model(x).reshape(len(x), -1).shape[1]
    data = (x, models.targets(loss, len(x), outputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        factors = door.factors(model, data, loss=loss, **settings).gram()
        return door.gram(model, data, loss=loss, **settings | {"chunk_size": 3}), factors


def assert_same(found: Any, expected: Any) -> None:
    assert np.abs(found.values - expected.values).max() <= TOLERANCE * np.abs(expected.values).max()
    assert np.array_equal(found.values, found.values.T)
    assert np.allclose(found.coefficients, expected.coefficients, rtol=1e-12, atol=1e-14)
    assert (found.loss, found.num_factors, found.population) == (expected.loss, expected.num_factors, expected.population)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("name", models.CASES)
def test_gram_is_that_of_the_factors(name: str, loss: str) -> None:
    assert_same(*both(*models.make(name), loss))


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "embedding", "embedding-padding", "repeated", "transformer"])
def test_either_way_through_positions_is_the_same(name: str, pairs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_layers, "_pairs_are_cheaper", lambda *_: pairs)
    # Blocks of a few numbers, so that every loop takes several turns.
    monkeypatch.setattr(_layers, "_BLOCK_BYTES", 5000)
    assert_same(*both(*models.make(name), "mse"))


def test_parameters_that_are_left_out() -> None:
    model, x = models.make("conv2d")
    for params in (["0.bias"], ["0.weight", "3.bias"], ["3"]):
        assert_same(*both(model, x, "mse", params=params))
    model[3].weight.requires_grad_(False)
    assert_same(*both(model, x, "mse", num_samples=4, seed=3))


def test_large_tensors_go_through_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gram, "_MEMORY_BYTES", 4000)
    assert_same(*both(*models.make("attention"), "mse"))


CLOSED = {
    "linear": {"0", "2"},
    "conv2d": {"0", "3"},
    "conv2d-groups": {"3"},
    "embedding": {"embedding", "hidden", "head"},
    "tied-modules": {"head"},
    "tied-by-code": {"hidden"},
    "repeated": {"step", "head"},
    "flattened": {"hidden", "head"},
    "attention": {"head"},
    "transformer": {"encoder.linear1", "encoder.linear2", "head"},
    "transformer-batch-second": {"head"},
    "weight-norm": {"2"},
    "unused": {"used"},
    "in-place": {"0", "2"},
}


@pytest.mark.parametrize("name", CLOSED)
def test_which_layers_need_no_gradients(name: str) -> None:
    model, x = models.make(name)
    functional = FunctionalModel(model, None, "float64")
    found = _taps.confirmed(functional, _taps.affine_layers(functional), x[:4])
    names = {module: name for name, module in model.named_modules()}
    assert {names[layer.module] for layer in found} == CLOSED[name]


def test_a_closed_form_that_is_not_confirmed_would_be_wrong() -> None:
    """Negative control: without the check the weight that code reads, too, is counted once."""
    model, x = models.make("tied-by-code")
    data = (x, models.targets("mse", len(x), 7))
    expected = door.factors(model, data, loss="mse").gram()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gram, "confirmed", lambda _, layers, __: layers)
        found = door.gram(model, data, loss="mse")
    assert np.abs(found.values - expected.values).max() > 0.01 * np.abs(expected.values).max()


def test_a_layer_whose_calls_change_goes_by_gradients() -> None:
    class Lengths(nn.Module):
        """Calls its layer once or twice, by the number of samples in a batch: as many as it likes, with the same result."""

        def __init__(self) -> None:
            super().__init__()
            self.step, self.head = nn.Linear(models.WIDTH, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) == 2:
                hidden = self.step(x.T.reshape(-1).reshape(models.WIDTH, 2).T)
            else:
                hidden = nn.functional.linear(x, self.step.weight, self.step.bias) if len(x) == 1 else self.step(x)
            return self.head(torch.tanh(hidden))

    torch.manual_seed(0)
    model = Lengths().double()
    # Chunks of three, three and one sample: the last reads the weights without calling the layer.
    assert_same(*both(model, torch.randn(7, models.WIDTH, dtype=torch.float64), "mse"))


SCRIPT = """
import os
import sys
import torch, numpy as np
import torch.distributed as distributed
import torch_models as models
import linstab.torch as door
from linstab.errors import LinstabError
torch.set_num_threads(1)
distributed.init_process_group("gloo")
def leave(code):
    # At once: now and then a thread of gloo outlives the interpreter, and ends the process by a signal when all is done.
    distributed.destroy_process_group()
    sys.stderr.flush()
    os._exit(code)
name, out, kind = sys.argv[1:]
model, x = models.make(name)
if kind == "broken" and distributed.get_rank() == 1:
    model, x = models.make(name, seed=1)
data = (x, models.targets("cross_entropy", len(x), 3))
refusals = {"broken": "different weights or samples", "foreign": "was not written by linstab"}
try:
    found = door.gram(model, data, loss="cross_entropy") if kind != "foreign" else None
    factors = door.factors(model, data, loss="cross_entropy", chunk_size=2, out=f"{out}.npy")
    memory = door.factors(model, data, loss="cross_entropy", chunk_size=2)
except LinstabError as error:
    assert refusals[kind] in str(error), error
    leave(0)
assert kind == "whole" and np.array_equal(factors.values, memory.values) and np.array_equal(factors.coefficients, memory.coefficients)
np.savez(f"{out}-{distributed.get_rank()}.npz", values=found.values, coefficients=found.coefficients, factors=factors.values)
distributed.barrier()
leave(0)
"""


ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(Path(door.__file__).parents[2]), str(Path(__file__).parent)]),
    "OMP_NUM_THREADS": "1",
}


def torchrun(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """A launcher at work."""
    command = [sys.executable, "-m", "torch.distributed.run", *arguments]
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(launched: subprocess.Popen[str]) -> str:
    """What it printed."""
    out, err = launched.communicate(timeout=300)
    assert launched.returncode == 0, err[-3000:]
    return out


def run_two(tmp_path: Path, name: str, kind: str) -> None:
    """Two processes as torchrun starts them, over gloo."""
    (tmp_path / "work.py").write_text(SCRIPT)
    finished(torchrun("--standalone", "--nproc-per-node=2", "work.py", name, str(tmp_path / "out"), kind, folder=tmp_path))


def test_two_hosts_agree_with_one_process_as_the_guide_shows(tmp_path: Path) -> None:
    """The program of the page on clusters under its own flags: two launchers that meet on a port, and what the page says one process prints."""
    page = (Path(__file__).parents[1] / "docs" / "clusters.md").read_text()
    (block,) = [block for block in blocks_of(page) if "init_process_group" in block.text]
    (script,) = [block.text.replace("\\\n", "") for block in blocks_of(page) if "srun torchrun" in block.text]
    (tmp_path / "analyse.py").write_text(block.text)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    values = {"$SLURM_NNODES": "2", "$SLURM_JOB_ID": "1", "$HEAD:29500": f"localhost:{port}"}
    (line,) = [line for line in script.splitlines() if line.startswith("srun")]
    arguments = [values.get(word, word) for word in shlex.split(line)[2:]]
    assert "analyse.py" in arguments and not [word for word in arguments if "$" in word], arguments
    arguments[arguments.index("--nproc-per-node") + 1] = "1"
    hosts = [torchrun(*arguments, folder=tmp_path) for _ in range(2)]
    printed = [finished(host) for host in hosts]
    assert sorted(printed) == ["", block.output]


@pytest.mark.parametrize("name", ["conv2d", "transformer"])
def test_two_processes_agree_with_one(tmp_path: Path, name: str) -> None:
    run_two(tmp_path, name, "whole")
    model, x = models.make(name)
    data = (x, models.targets("cross_entropy", len(x), 3))
    expected, factors = (method(model, data, loss="cross_entropy") for method in (door.gram, door.factors))
    for rank in range(2):
        found = np.load(tmp_path / f"out-{rank}.npz")
        assert np.abs(found["values"] - expected.values).max() <= TOLERANCE * np.abs(expected.values).max()
        assert np.allclose(found["coefficients"], expected.coefficients, rtol=1e-12)
        assert np.abs(found["factors"] - factors.values).max() <= TOLERANCE * np.abs(factors.values).max()


def test_processes_with_different_weights_are_refused(tmp_path: Path) -> None:
    run_two(tmp_path, "linear", "broken")


def test_all_processes_refuse_a_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "out.npy").write_text("mine")
    run_two(tmp_path, "linear", "foreign")
    assert (tmp_path / "out.npy").read_text() == "mine"


def test_a_million_parameters_need_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """2000 rows of a million parameters: as factors they would be 16 GB."""
    monkeypatch.setattr(_gram, "_by_gradients", None)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 960), nn.ReLU(), nn.Linear(960, 960), nn.ReLU(), nn.Linear(960, 11))
    data = (torch.rand(200, 64), torch.randint(0, 11, (200,)))
    found = door.gram(model, data, loss="cross_entropy")
    assert found.values.shape == (2000, 2000)
    # The first two samples, by their factors.
    few = door.factors(model, (data[0][:2], data[1][:2]), loss="cross_entropy").gram()
    assert np.abs(found.values[:20, :20] - few.values).max() <= TOLERANCE * np.abs(few.values).max()
