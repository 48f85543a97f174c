"""Factors of torch models against plain autograd, curvlinops, and what must be refused."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")

sys.path.insert(0, str(Path(__file__).parent))
import torch_models as models  # noqa: E402
from torch import nn  # noqa: E402

import linstab.torch as door  # noqa: E402
from linstab.errors import LinstabError  # noqa: E402
from linstab.losses import LOSSES  # noqa: E402

# Backward passes of these small networks lose a few digits of the machine precision (1.1e-16 and 6e-8).
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
BY_LOOP = {"gru", "embedding-sparse"}


def factors_of(model: nn.Module, x: Any, loss: str = "mse", **settings: Any) -> Any:
    with torch.no_grad():
        outputs = model(x).reshape(len(x), -1).shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return door.factors(model, (x, models.targets(loss, len(x), outputs)), loss=loss, **settings)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", models.CASES)
def test_factors_are_those_of_plain_autograd(name: str, dtype: str) -> None:
    model, x = models.make(name, getattr(torch, dtype))
    found = factors_of(model, x, "half_squared_error", dtype=dtype, chunk_size=3)
    expected = np.stack([models.jacobian(model, sample).numpy() for sample in x])
    assert found.values.dtype == np.dtype(dtype)
    assert np.abs(found.values - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()
    trainable = sum(p.numel() for p in model.parameters())
    assert found.values.shape == (models.SAMPLES, expected.shape[1], trainable)


@pytest.mark.parametrize("name", ["linear", "gru", "embedding-sparse"])
def test_a_loop_says_so(name: str) -> None:
    model, x = models.make(name)
    y = models.targets("mse", len(x), models.CLASSES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        door.factors(model, (x, y), loss="mse")
    assert any("loop over samples" in str(w.message) for w in caught) == (name in BY_LOOP)


@pytest.mark.parametrize("loss", LOSSES)
def test_coefficients_give_the_gradient_of_the_torch_loss(loss: str) -> None:
    model, x = models.make("linear")
    y = models.targets(loss, len(x), models.CLASSES)
    found = door.factors(model, (x, y), loss=loss)
    models.torch_loss(loss, model(x), y).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()  # type: ignore[union-attr]
    gradient = np.einsum("iq,iqp->p", found.coefficients, found.values) / len(x)
    assert np.abs(gradient - expected).max() <= 1e-12 * np.abs(expected).max()
    # Negative control: forgetting the mean over samples is seen.
    assert np.abs(gradient * len(x) - expected).max() > 0.1 * np.abs(expected).max()


class PerToken(nn.Module):
    """A class for each token of a sequence, of logits (batch, classes, tokens)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv1d(models.WIDTH, 4, 3, padding=1)
        self.head = nn.Linear(4, models.CLASSES)

    def forward(self, x: Any) -> Any:
        return self.head(torch.tanh(self.mix(x.transpose(1, 2))).transpose(1, 2)).transpose(1, 2)


def test_cross_entropy_of_sequences_is_the_mean_over_tokens() -> None:
    torch.manual_seed(0)
    model, x = PerToken().double(), torch.randn(4, 5, models.WIDTH, dtype=torch.float64)
    y = torch.randint(0, models.CLASSES, (4, 5))
    found = door.factors(model, (x, y), loss=nn.CrossEntropyLoss())
    assert found.num_factors == 5 * (models.CLASSES - 1) and found.labels is None
    parameters = dict(model.named_parameters())

    def outputs(weights: Any, i: int) -> Any:
        return torch.func.functional_call(model, weights, (x[i : i + 1],))

    for i in range(len(x)):
        jacobian = torch.func.jacrev(lambda w: outputs(w, i).reshape(-1))(parameters)
        flat = torch.cat([block.reshape(block.shape[0], -1) for block in jacobian.values()], 1).detach()
        own = lambda z: nn.functional.cross_entropy(z, y[i : i + 1])  # noqa: E731
        logits = outputs(parameters, i).detach()
        second = torch.func.hessian(own)(logits).reshape(flat.shape[0], flat.shape[0])
        expected = (flat.T @ second @ flat).numpy()
        assert np.abs(found.values[i].T @ found.values[i] - expected).max() <= 1e-12 * np.abs(expected).max()
    nn.functional.cross_entropy(model(x), y).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()  # type: ignore[union-attr]
    gradient = np.einsum("iq,iqp->p", found.coefficients, found.values) / len(x)
    assert np.abs(gradient - expected).max() <= 1e-12 * np.abs(expected).max()
    products = door.gram(model, (x, y), loss="cross_entropy").values
    assert np.abs(products - found.gram().values).max() <= 1e-12 * np.abs(products).max()
    with pytest.raises(LinstabError, match="positions\\); wrap a model"):
        door.factors(nn.Sequential(nn.Linear(models.WIDTH, models.CLASSES)).double(), (x, y), loss="cross_entropy")
    with pytest.raises(LinstabError, match="no padding"):
        door.factors(model, (x, torch.where(torch.arange(5) == 4, -100, y)), loss=nn.CrossEntropyLoss())


def test_label_smoothing_moves_the_gradient_and_not_the_curvature() -> None:
    model, x = models.make("linear")
    y = models.targets("cross_entropy", len(x), models.CLASSES)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    smooth, plain = (door.factors(model, (x, y), loss=loss) for loss in (criterion, "cross_entropy"))
    assert np.array_equal(smooth.values, plain.values)
    criterion(model(x), y).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()  # type: ignore[union-attr]
    gradient = np.einsum("iq,iqp->p", smooth.coefficients, smooth.values) / len(x)
    assert np.abs(gradient - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("name", ["linear", "conv2d", "layer-norm"])
def test_sharpness_is_that_of_curvlinops(name: str, loss: str, dtype: str, tolerance: float) -> None:
    curvlinops = pytest.importorskip("curvlinops")
    sparse = pytest.importorskip("scipy.sparse.linalg")
    precision = getattr(torch, dtype)
    model, x = models.make(name, precision)
    y = models.targets(loss, len(x), models.CLASSES, precision)
    criterion = nn.MSELoss() if loss == "mse" else nn.CrossEntropyLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters = list(model.parameters())
        operator = curvlinops.GGNLinearOperator(model, criterion, parameters, [(x, y)]).to_scipy()
    start = np.ones(operator.shape[0], dtype=dtype)
    expected = float(sparse.eigsh(operator, k=1, which="LA", v0=start, tol=0 if dtype == "float64" else 1e-7)[0][0])
    gram = door.factors(model, (x, y), loss=criterion, dtype=dtype).gram()
    found = np.linalg.eigvalsh(gram.values)[-1] / len(x)
    assert found == pytest.approx(expected, rel=tolerance)


def test_single_precision_weights_are_taken_in_double() -> None:
    model, x = models.make("conv2d", torch.float32)
    found = factors_of(model, x)
    expected = factors_of(model.double(), x.double())
    assert found.values.dtype == np.float64
    assert np.abs(found.values - expected.values).max() <= 1e-12 * np.abs(expected.values).max()
    assert next(models.make("conv2d", torch.float32)[0].parameters()).dtype is torch.float32


def test_half_precision_is_cast_and_said() -> None:
    model, x = models.make("linear", torch.bfloat16)
    with pytest.warns(UserWarning, match="parameters are bfloat16: they are cast"):
        found = door.factors(model, (x, models.targets("mse", len(x), 3)), loss="mse")
    wide, _ = models.make("linear", torch.bfloat16)
    expected = factors_of(wide.double(), x.double())
    assert np.array_equal(found.values, expected.values)


def test_parameters_by_name_prefix_and_predicate() -> None:
    model, x = models.make("transformer")
    everything = factors_of(model, x)
    some = factors_of(model, x, params=["head", "encoder.norm1.weight"])
    assert [name for name, _ in some.parameters] == ["encoder.norm1.weight", "head.weight", "head.bias"]
    columns = {}
    start = 0
    for name, shape in everything.parameters:
        columns[name] = slice(start, start := start + int(np.prod(shape)))
    assert np.allclose(
        some.values, np.concatenate([everything.values[:, :, columns[n]] for n, _ in some.parameters], 2), rtol=1e-12
    )
    matrices = factors_of(model, x, params=lambda name, p: p.ndim == 2)
    assert all(len(shape) == 2 for _, shape in matrices.parameters)
    with pytest.raises(LinstabError, match="no trainable parameter is called 'hea'"):
        factors_of(model, x, params="hea")
    with pytest.raises(LinstabError, match="params is empty: name one of"):
        factors_of(model, x, params=[])
    with pytest.raises(LinstabError, match="params is int: give names"):
        factors_of(model, x, params=3)
    tied, x = models.make("tied-modules")
    assert factors_of(tied, x, params="second.weight").parameters == (("first.weight", (6, 6)),)
    tied.head.requires_grad_(False)
    assert "head.weight" not in dict(factors_of(tied, x).parameters)
    tied.requires_grad_(False)
    with pytest.raises(LinstabError, match="no trainable parameter"):
        factors_of(tied, x)


def test_the_model_is_left_as_it_was() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(models.WIDTH, 2)
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.passes += 1
            return self.linear(x)

    model, (_, x) = Counting(), models.make("linear")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    data = (x.float(), models.targets("mse", len(x), 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        door.factors(model, data, loss="mse")
        door.gram(model, data, loss="mse")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_an_interrupted_file_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = models.make("conv2d")
    y = models.targets("mse", len(x), 3)
    expected = door.factors(model, (x, y), loss="mse", num_samples=5, chunk_size=2)
    original, calls = door._factors.Problem.chunk, []  # type: ignore[attr-defined]

    def interrupted(self: Any, start: int, stop: int) -> Any:
        calls.append((start, stop))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, start, stop)

    monkeypatch.setattr(door._factors.Problem, "chunk", interrupted)  # type: ignore[attr-defined]
    path = tmp_path / "factors.npy"
    settings: dict[str, Any] = {"loss": "mse", "num_samples": 5, "chunk_size": 2, "out": path}
    with pytest.raises(KeyboardInterrupt):
        door.factors(model, (x, y), **settings)
    assert not path.exists()
    found = door.factors(model, (x, y), **settings)
    assert calls == [(0, 2), (2, 4), (4, 5), (4, 5)]
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.coefficients, expected.coefficients)
    assert np.array_equal(found.indices, expected.indices)
    with torch.no_grad():
        next(model.parameters()).add_(1e-9)
    with pytest.raises(LinstabError, match="other weights"):
        door.factors(model, (x, y), **settings)


def test_a_module_that_is_registered_twice_is_left_as_it_was() -> None:
    shared = nn.Linear(6, 6)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(6, 2)).eval()
    x, y = torch.randn(5, 6), torch.randn(5, 2)
    before = [(name, value, value.clone()) for name, value in model.named_parameters(remove_duplicate=False)]
    found = door.factors(model, (x, y), loss="mse")
    door.gram(model, (x, y), loss="mse")
    after = list(model.named_parameters(remove_duplicate=False))
    for (name, same, values), (name_after, now) in zip(before, after):
        assert name == name_after and now is same and torch.equal(now, values)
    # Both uses of the shared layer are in its factors.
    double = copy.deepcopy(model).double()
    outputs = double(x.double())
    rows = [torch.autograd.grad(outputs[0, q], list(double.parameters()), retain_graph=True) for q in range(2)]
    for q, row in enumerate(rows):
        plain = torch.cat([gradient.reshape(-1) for gradient in row])
        np.testing.assert_allclose(found.values[0, q], plain.numpy(), rtol=1e-12, atol=1e-14)  # sqrt(2 / 2 outputs) is 1


def test_samples_with_a_label_that_the_loss_ignores_are_refused() -> None:
    model, x = nn.Linear(4, 3), torch.randn(6, 4)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    with pytest.raises(LinstabError, match="ignores the label 0"):
        door.factors(model, (x, torch.tensor([0, 1, 2, 1, 2, 1])), loss=loss)
    assert door.factors(model, (x, torch.tensor([2, 1, 2, 1, 2, 1])), loss=loss).num_samples == 6
