"""The part of the edge test for PyTorch: its networks are those of the record, and its runs do what the theory says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")
import linstab.torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from evidence import framework  # noqa: E402

SAMPLES = 6


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _slow_convolution(images: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """3 x 3 patches at stride 2 of images (samples, side, side, channels); rows of the weight are places, then channels."""
    side = images.shape[1]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    found = np.empty((len(images), side // 2, side // 2, len(bias)))
    for row in range(side // 2):
        for column in range(side // 2):
            patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            found[:, row, column] = patch.reshape(len(images), -1) @ weight + bias
    return found


def _params(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {name: generator.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}


CONVOLUTIONAL = {
    "first.weight": (9, 6),
    "first.bias": (6,),
    "second.weight": (54, 12),
    "second.bias": (12,),
    "output.weight": (48, 3),
    "output.bias": (3,),
}
DENSE = {"0.weight": (64, 16), "0.bias": (16,), "1.weight": (16, 3), "1.bias": (3,)}


def test_a_convolution_is_that_of_the_record() -> None:
    params, images = _params(CONVOLUTIONAL), np.random.default_rng(0).standard_normal((SAMPLES, 8, 8))
    hidden = images[..., None]
    for name in ("first", "second"):
        hidden = _gelu(_slow_convolution(hidden, params[f"{name}.weight"], params[f"{name}.bias"]))
    expected = hidden.reshape(SAMPLES, -1) @ params["output.weight"] + params["output.bias"]
    model = framework.NETWORKS["cnn-gelu"]({name: torch.from_numpy(values) for name, values in params.items()})
    found = model(torch.from_numpy(images)).detach().numpy()
    # Rounding of sums of some hundred products.
    assert found == pytest.approx(expected, rel=1e-11)


@pytest.fixture
def handed_over(tmp_path: Path) -> Path:
    """A network whose outputs are its targets, with full batches and with AdamW."""
    params, images = _params(DENSE), np.random.default_rng(1).standard_normal((SAMPLES, 8, 8))
    model = framework.NETWORKS["mlp-tanh"]({name: torch.from_numpy(values) for name, values in params.items()})
    targets = model(torch.from_numpy(images)).detach().numpy()
    factors = linstab.torch.factors(model, (images, targets), loss="half_squared_error")
    optimizers = {"sgd": None, "sgd:momentum=0.9,nesterov=true": None, "adamw:beta1=0.9,weight_decay=0": np.full(1091, 0.5)}
    path = tmp_path / "mlp-tanh.npz"
    plan = {
        "network": "mlp-tanh",
        "num_runs": 2,
        "num_records": 20,
        "distance": 1e-6,
        "passage": 1e6,
        "decay": 1e-12,
        "settings": [_setting(specification, factors, divisor) for specification, divisor in optimizers.items()],
    }
    divisors = {f"divisor.{name}": np.full(values.shape, 0.5) for name, values in params.items()}
    given = {f"param.{name}": values for name, values in params.items()}
    np.savez(path, images=images, targets=targets, factors=factors.values, plan=np.array(json.dumps(plan)), **given, **divisors)
    return path


def _setting(specification: str, factors: Any, divisor: np.ndarray | None) -> dict[str, Any]:
    asked = {"batch_size": SAMPLES, "optimizer": specification, "sampling": "without-replacement", "preconditioner": divisor}
    threshold = linstab.max_learning_rate(factors, **asked)
    adamw = divisor is not None
    cells = [
        {
            "minimum": "mlp-tanh",
            "optimizer": specification,
            "sampling": "reshuffling",
            "batch_size": SAMPLES,
            "ratio": ratio,
            "learning_rate": ratio * threshold,
            "live_second_moment": int(adamw),
        }
        for ratio in (0.9, 1.2)
    ]
    return {
        "part": f"torch.{specification.partition(':')[0]}.{'nesterov' in specification}",
        "cells": cells,
        "momentum": 0.0 if specification == "sgd" else 0.9,
        "nesterov": "nesterov" in specification,
        "adamw": adamw,
        "epochs_per_record": 10,
        "batches_per_epoch": 1,
    }


@pytest.mark.parametrize("index", range(3))
def test_runs_of_a_framework_decay_below_a_threshold_and_grow_above(handed_over: Path, index: int, tmp_path: Path) -> None:
    """Full batches, whose threshold is certain; 200 steps are well within the memory of the live second moment."""
    framework.run_part(handed_over, index, tmp_path / "parts")
    (path,) = (tmp_path / "parts").glob("*.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["torch"]
    assert [row["num_grown"] for row in rows] == [0, 2]
    assert {row["framework"] for row in rows} == {"torch"}


def test_another_curvature_is_refused(handed_over: Path, tmp_path: Path) -> None:
    """Negative control: factors of twice the loss."""
    with np.load(handed_over) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["factors"] = arrays["factors"] * 2**0.5
    np.savez(handed_over, **arrays)
    with pytest.raises(RuntimeError, match="factors in PyTorch differ"):
        framework.run_part(handed_over, 0, tmp_path / "parts")


def test_fresh_batches_have_their_size_and_no_sample_twice() -> None:
    batches = list(framework.Fresh(10, 4, torch.Generator().manual_seed(0)))
    assert [len(set(batch)) for batch in batches] == [4, 4]
    assert set().union(*batches) <= set(range(10))


@pytest.mark.parametrize(("amsgrad", "grows"), [(False, True), (True, False)])
def test_a_second_moment_that_does_not_forget_is_predicted_by_freezing(handed_over: Path, amsgrad: bool, grows: bool) -> None:
    """At 0.9 of the frozen threshold AdamW leaves within some memories of its second moment, and with the largest one so far it does not."""
    checkpoint = framework.Checkpoint.read(handed_over)
    model, (images, targets) = checkpoint.model, checkpoint.data.tensors
    cell = checkpoint.plan["settings"][2]["cells"][0]
    adamw = torch.optim.AdamW(
        model.parameters(), lr=cell["learning_rate"], betas=(0.9, 0.98), eps=1e-8, weight_decay=0, amsgrad=amsgrad
    )
    for param, divisor in zip(model.parameters(), checkpoint.divisors):
        moment = (divisor - framework.EPSILON) ** 2
        adamw.state[param] = {"step": torch.tensor(1e6), "exp_avg": torch.zeros_like(param), "exp_avg_sq": moment}
        if amsgrad:
            adamw.state[param]["max_exp_avg_sq"] = moment.clone()
        with torch.no_grad():
            param += 1e-6 * torch.randn(param.shape, generator=torch.Generator().manual_seed(0), dtype=param.dtype)
    start = checkpoint.misfit()
    for _ in range(400):
        adamw.zero_grad()
        framework.half_squared_error(model(images), targets).backward()
        adamw.step()
    assert (checkpoint.misfit() > start) == grows
