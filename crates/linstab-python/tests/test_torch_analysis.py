"""From model, loader and optimizer to thresholds, against the same question asked by hand and against runs of torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")

sys.path.insert(0, str(Path(__file__).parent))
import torch_models as models  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import linstab  # noqa: E402
import linstab.torch as door  # noqa: E402

# Intervals of exact thresholds are a millionth wide.
TOLERANCE = 2e-6


def problem(loss: str = "mse", samples: int = 12) -> tuple[nn.Module, TensorDataset]:
    torch.manual_seed(0)
    model = models.mlp().double()
    x = torch.randn(samples, models.WIDTH, dtype=torch.float64)
    return model, TensorDataset(x, models.targets(loss, samples, models.CLASSES))


def step(model: nn.Module, optimizer: Any, dataset: TensorDataset, loss: str = "mse") -> None:
    for _ in range(3):
        optimizer.zero_grad()
        models.torch_loss(loss, model(dataset.tensors[0]), dataset.tensors[1]).backward()
        optimizer.step()


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_optimizer_and_loader_say_the_question(loss: str) -> None:
    model, dataset = problem(loss)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    loader = DataLoader(dataset, batch_size=3, sampler=torch.utils.data.RandomSampler(dataset, replacement=True))
    found = door.analyze_model(model, loader, optimizer, loss=loss)
    expected = linstab.analyze(
        door.factors(model, dataset, loss=loss),
        batch_size=3,
        optimizer="sgd:momentum=0.9,nesterov=true",
        sampling="with-replacement",
        learning_rate=0.05,
    )
    assert found.max_learning_rate == pytest.approx(expected.max_learning_rate, rel=TOLERANCE)
    assert found.stable == expected.stable
    # Negative control: without the momentum the answer is another.
    plain = door.analyze_model(model, loader, torch.optim.SGD(model.parameters(), lr=0.05), loss=loss)
    assert abs(plain.max_learning_rate / found.max_learning_rate - 1) > 0.05


def test_what_is_said_goes_before_what_is_read() -> None:
    model, dataset = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(dataset, batch_size=3, shuffle=True)
    found = door.analyze_model(
        model, loader, optimizer, loss="mse", batch_size=[2, 12], sampling="without-replacement", learning_rate=10.0
    )
    assert found.stable is False
    factors = door.factors(model, dataset, loss="mse")
    expected = linstab.analyze(factors, batch_size=[2, 12])
    assert found.max_learning_rate == pytest.approx(expected.max_learning_rate, rel=TOLERANCE)
    with pytest.raises(linstab.LinstabError, match="does not say how batches are drawn"):
        door.analyze_model(model, dataset, optimizer, loss="mse")


def full_batch_threshold(model: nn.Module, dataset: TensorDataset, optimizer: Any) -> float:
    found = door.analyze_model(model, dataset, optimizer, loss="mse", batch_size=12, sampling="without-replacement")
    return float(found.max_learning_rate)


def linearised_growth(model: nn.Module, dataset: TensorDataset, optimizer: Any, factor: float, steps: int) -> float:
    """Growth of the loss of the linearised model under torch's own optimizer with all learning rates times a factor."""
    x = dataset.tensors[0]
    jacobian = torch.cat([models.jacobian(model, sample) for sample in x]).detach()
    parameters = list(model.parameters())
    torch.manual_seed(1)
    with torch.no_grad():
        for p in parameters:
            p.normal_(0.0, 1e-3)
    for group in optimizer.param_groups:
        group["lr"] *= factor

    def loss() -> Tensor:
        outputs = jacobian @ torch.cat([p.reshape(-1) for p in parameters])
        return (outputs**2).mean()

    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses[-1] / losses[steps // 2]


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_groups_with_learning_rates_of_their_own(factor: float) -> None:
    model, dataset = problem()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.5)
    threshold = full_batch_threshold(model, dataset, optimizer)
    growth = linearised_growth(model, dataset, optimizer, factor * threshold / 0.1, 400)
    assert (growth < 1) == (factor < 1)


def test_adam_is_asked_with_its_second_moment() -> None:
    model, dataset = problem()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    step(model, optimizer, dataset)
    spec, _, preconditioner = door.optimizer_spec(optimizer, model)
    loader = DataLoader(dataset, batch_size=4, sampler=torch.utils.data.RandomSampler(dataset, replacement=True))
    found = door.analyze_model(model, loader, optimizer, loss="mse")
    factors = door.factors(model, dataset, loss="mse")
    expected = linstab.analyze(
        factors, batch_size=4, optimizer=spec, sampling="with-replacement", preconditioner=preconditioner, learning_rate=1e-3
    )
    assert found.max_learning_rate == expected.max_learning_rate
    full = full_batch_threshold(model, dataset, optimizer)
    assert preconditioner is not None
    sharpness = np.linalg.eigvalsh(factors.gram(preconditioner).values)[-1] / len(dataset)
    # Heavy ball's limit in the average form, shifted by a hundredth of weight decay: 2 (1 + beta) / (1 - beta) over sharpness.
    assert full == pytest.approx(2 * 1.9 / 0.1 / sharpness, rel=0.05)


def test_a_part_speaks_for_all_and_factors_go_through_a_file(tmp_path: Path) -> None:
    model, dataset = problem(samples=40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(dataset, batch_size=4, sampler=torch.utils.data.RandomSampler(dataset, replacement=True))
    settings: dict[str, Any] = {"loss": "mse", "num_samples": 20, "seed": 3}
    found = door.analyze_model(model, loader, optimizer, **settings)
    through = door.analyze_model(model, loader, optimizer, **settings, out=tmp_path / "factors.npy")
    assert through.max_learning_rate == pytest.approx(found.max_learning_rate, rel=TOLERANCE)
    expected = linstab.analyze(
        door.factors(model, dataset, **settings), batch_size=4, population=40, sampling="with-replacement", learning_rate=0.05
    )
    assert found.max_learning_rate == pytest.approx(expected.max_learning_rate, rel=TOLERANCE)


def test_a_part_does_not_speak_for_a_shuffled_loader() -> None:
    model, dataset = problem(samples=40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for data in (DataLoader(dataset, batch_size=4, shuffle=True), DataLoader(dataset, batch_size=4)):
        with pytest.raises(linstab.LinstabError, match="Pass sampling='without-replacement'"):
            door.analyze_model(model, data, optimizer, loss="mse", num_samples=20)
        found = door.analyze_model(model, data, optimizer, loss="mse", num_samples=20, sampling="without-replacement")
        assert found.max_learning_rate > 0


def test_only_the_optimizer_s_parameters_move() -> None:
    model, dataset = problem()
    head = torch.optim.SGD(model[2].parameters(), lr=0.05)
    some = full_batch_threshold(model, dataset, head)
    gram = door.gram(model, dataset, loss="mse", params="2")
    assert some == pytest.approx(2 * len(dataset) / np.linalg.eigvalsh(gram.values)[-1], rel=TOLERANCE)
