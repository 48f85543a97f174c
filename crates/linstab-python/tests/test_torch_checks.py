"""What has no factors of single samples is refused, with what to do about it; and which samples are taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")

sys.path.insert(0, str(Path(__file__).parent))
import torch_models as models  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import (  # noqa: E402
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import linstab.torch as door  # noqa: E402
from linstab.errors import LinstabError  # noqa: E402
from linstab.torch._data import read_batching  # noqa: E402


class Wrapped(nn.Module):
    """A Linear layer, and whatever is done to its outputs."""

    def __init__(self, then: Any) -> None:
        super().__init__()
        self.linear, self.then = nn.Linear(models.WIDTH, 3), then

    def forward(self, x: Tensor) -> Any:
        return self.then(self.linear(x))


def with_layer(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(models.WIDTH, 5), layer, nn.Linear(5, 3))


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(models.WIDTH, 3, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(torch.cfloat) @ self.weight).abs()


REFUSED = {
    "batch norm in training": (lambda: with_layer(nn.BatchNorm1d(5)), r"layer '1' \(BatchNorm1d\) mixes the samples"),
    "batch norm without statistics": (
        lambda: with_layer(nn.BatchNorm1d(5, track_running_stats=False)).eval(),
        "no running statistics",
    ),
    "dropout in training": (lambda: with_layer(nn.Dropout(0.5)), "is random: call model.eval"),
    "attention dropout": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.TransformerEncoderLayer(3, 1, 4)),
        "is random: call model.eval",
    ),
    "spectral norm": (lambda: with_layer(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 5))), "spectral norm at each pass"),
    "older spectral norm": (lambda: with_layer(nn.utils.spectral_norm(nn.Linear(5, 5))), "spectral norm at each pass"),
    "complex": (Complex, "parameter 'weight' is complex"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), "run one batch"),
    "noise": (lambda: Wrapped(lambda z: z + torch.randn_like(z)), "two passes over the same samples differ"),
    "samples mixed": (lambda: Wrapped(lambda z: z - z.mean(0)), "depend on the others of its batch"),
    "tuple": (lambda: Wrapped(lambda z: (z, z)), "returns tuple: wrap it"),
    "loss inside": (lambda: Wrapped(lambda z: z.square().mean()), "first axis must be the batch"),
    "integers": (lambda: Wrapped(lambda z: z.argmax(1)), "outputs must be real and floating"),
    "wrong width": (lambda: nn.Linear(5, 3), "does not run on these inputs in float64"),
    "fixed type": (lambda: Wrapped(lambda z: z @ torch.ones(3, 3)), "pass dtype='float32'"),
    "nan": (lambda: Wrapped(lambda z: z / 0), "outputs are not finite"),
    "detached": (lambda: Wrapped(lambda z: z.detach()), "outputs do not depend on the parameters"),
    "frozen": (lambda: nn.Linear(6, 3).requires_grad_(False), "no trainable parameter"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_models_without_factors_are_refused(what: str) -> None:
    build, message = REFUSED[what]
    torch.manual_seed(0)
    model, x = build(), torch.randn(7, models.WIDTH)
    for method in (door.factors, door.gram):
        with pytest.raises(LinstabError, match=message):
            method(model, (x, torch.randn(7, 3)), loss="mse")


@pytest.mark.parametrize("settings", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}])
def test_embeddings_whose_gradient_is_none_are_refused(settings: dict[str, Any]) -> None:
    model = models.Words(**settings)
    with pytest.raises(LinstabError, match=next(iter(settings))):
        door.factors(model, (torch.zeros(7, 5, dtype=torch.int64), torch.randn(7, 3)), loss="mse")


def test_losses_are_read_or_refused() -> None:
    model, x = models.make("linear")
    y, labels = torch.randn(7, 3, dtype=torch.float64), torch.randint(0, 3, (7,))
    named = door.factors(model, (x, y), loss="mse").values
    assert np.array_equal(door.factors(model, (x, y), loss=nn.MSELoss()).values, named)
    assert np.array_equal(door.factors(model, (x, y), loss=nn.functional.mse_loss).values, named)
    with pytest.raises(LinstabError, match="reduction='sum'"):
        door.factors(model, (x, y), loss=nn.MSELoss(reduction="sum"))
    with pytest.raises(LinstabError, match="class weights"):
        door.factors(model, (x, labels), loss=nn.CrossEntropyLoss(weight=torch.ones(3)))
    with pytest.raises(LinstabError, match="unknown loss 'hinge'"):
        door.factors(model, (x, y), loss="hinge")
    with pytest.raises(LinstabError, match="loss is L1Loss"):
        door.factors(model, (x, y), loss=nn.L1Loss())
    with pytest.raises(LinstabError, match=r"label 3 of sample \d is outside 0..2"):
        door.factors(model, (x, labels + 1), loss="cross_entropy")
    with pytest.raises(LinstabError, match="one integer class a sample"):
        door.factors(model, (x, y), loss="cross_entropy")
    with pytest.raises(LinstabError, match="targets have shape"):
        door.factors(model, (x, labels), loss="mse")
    with pytest.raises(LinstabError, match="dtype is float16"):
        door.factors(model, (x, y), loss="mse", dtype="float16")
    with pytest.raises(LinstabError, match="chunk_size is 0"):
        door.factors(model, (x, y), loss="mse", chunk_size=0)


class Streamed(IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(self.x, self.y, strict=True))


def test_arrays_datasets_and_loaders_give_the_same_samples() -> None:
    model, x = models.make("linear")
    y = models.targets("mse", len(x), 3)
    dataset = TensorDataset(x, y)
    every = door.factors(model, (x, y), loss="mse")
    assert every.indices is None
    assert every.population == len(x)
    shuffled = DataLoader(dataset, batch_size=2, shuffle=True)
    for data in ((x.numpy(), y.numpy()), dataset, shuffled, Streamed(x, y), DataLoader(Streamed(x, y), batch_size=3)):
        assert np.array_equal(door.factors(model, data, loss="mse").values, every.values)
    part = door.factors(model, shuffled, loss="mse", num_samples=4, seed=7)
    assert part.population == len(x)
    assert len(set(part.indices.tolist())) == 4
    assert np.allclose(part.values, every.values[part.indices], rtol=1e-13, atol=1e-15)
    assert np.array_equal(door.factors(model, dataset, loss="mse", num_samples=4, seed=7).indices, part.indices)
    assert any(
        door.factors(model, dataset, loss="mse", num_samples=4, seed=s).indices.tolist() != part.indices.tolist() for s in (8, 9)
    )
    some = door.factors(model, DataLoader(dataset, sampler=SubsetRandomSampler([5, 1, 3])), loss="mse")
    assert some.indices.tolist() == [1, 3, 5]
    assert some.population == 3


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, _: int) -> tuple[Tensor, Tensor]:
        return torch.randn(6), torch.zeros(3)


def test_data_that_is_not_meant_is_refused() -> None:
    model, x = models.make("linear")
    y = models.targets("mse", len(x), 3)

    def refuse(message: str, data: object, **settings: Any) -> None:
        with pytest.raises(LinstabError, match=message):
            door.factors(model, data, loss="mse", **settings)

    refuse("the data is empty", (x[:0], y[:0]))
    refuse("the data is empty", DataLoader(Streamed(x[:0], y[:0])))
    refuse("the data is empty", DataLoader(TensorDataset(x[:0], y[:0])))
    refuse("another one each time it is read", Augmented())
    refuse("not of the same samples", (x, y[:3]))
    refuse("3 parts", TensorDataset(x, y, y))
    refuse("num_samples is 0", (x, y), num_samples=0)
    refuse("data is list: give a DataLoader", [1, 2, 3])
    refuse("draws samples unequally", DataLoader(TensorDataset(x, y), sampler=WeightedRandomSampler([1.0] * 7, 7)))
    bad = x.clone()
    bad[2, 1] = torch.nan
    refuse("NaN or infinity in 1 of 7 samples, the first is number 2", (bad, y))


def test_batches_are_read_from_the_loader() -> None:
    dataset = TensorDataset(torch.zeros(7, 6), torch.zeros(7, 3))

    def batching(**settings: Any) -> tuple[int, str, str]:
        read = read_batching(DataLoader(dataset, **settings))
        return read.batch_size, read.sampling, read.last_batch

    assert batching(batch_size=3) == (3, "cyclic", "keep")
    assert batching(batch_size=3, shuffle=True, drop_last=True) == (3, "reshuffling", "drop")
    assert batching(batch_size=2, sampler=RandomSampler(dataset, replacement=True)) == (2, "with-replacement", "keep")
    assert batching(batch_size=2, sampler=SubsetRandomSampler([0, 1, 2])) == (2, "reshuffling", "keep")
    with pytest.raises(LinstabError, match="draws 3 of 7 samples an epoch"):
        batching(sampler=RandomSampler(dataset, num_samples=3))
    with pytest.raises(LinstabError, match="WeightedRandomSampler draws batches"):
        batching(sampler=WeightedRandomSampler([1.0] * 7, 7))
    with pytest.raises(LinstabError, match="cannot be read from it"):
        batching(batch_sampler=[[0, 1], [2, 3]])
    with pytest.raises(LinstabError, match="does not say how batches are drawn"):
        read_batching((dataset.tensors[0], dataset.tensors[1]))


def test_a_model_that_looks_at_the_sum_of_its_batch_is_refused() -> None:
    class Switched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) * (2.0 if float(x.sum()) > 0.0 else 1.0)

    x = torch.tensor([[3.0, 1.0, 1.0], [-1.0, -1.0, 0.0], [0.5, 0.5, 0.5], [-0.5, 0.0, 0.0]])
    with pytest.raises(LinstabError, match="depend on the others of its batch"):
        door.factors(Switched(), (x, torch.zeros(4, 2)), loss="mse")
