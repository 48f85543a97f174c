"""Cells of the record with a framework's own loader, optimizer and layers: `torch.utils.data.DataLoader` and `torch.optim`.

    python -m evidence.framework FOLDER PARTS [--jobs N]

FOLDER holds what `handover.py` wrote. Each run is a training loop as anybody writes it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import linstab.torch
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.data import DataLoader, Sampler, TensorDataset

from . import judge, streams
from .tables import Parts, Row

BETA2, EPSILON = 0.999, 1e-8
TOLERANCE = 1e-10  # of inner products of factors, relative to the largest: rounding of sums of some thousand products
SETTLED = 1e6  # steps of Adam before the checkpoint: its averages need no correction any more


class Channels(nn.Module):
    """Images (samples, 8, 8) with one channel."""

    def forward(self, images: Tensor) -> Tensor:
        """(samples, 1, 8, 8)."""
        return images[:, None]


class Flat(nn.Module):
    """Features of all places, channels last, as the record's networks have them."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(samples, features)."""
        return hidden.movedim(1, -1).flatten(1)


def _dense(params: dict[str, Tensor], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for index in range(len(params) // 2):
        layers += [_linear(params, str(index)), activation()]
    return nn.Sequential(*layers[:-1])


def _linear(params: dict[str, Tensor], name: str) -> nn.Linear:
    weight = params[f"{name}.weight"]
    layer = nn.Linear(*weight.shape, dtype=weight.dtype)
    layer.load_state_dict({"weight": weight.T, "bias": params[f"{name}.bias"]})
    return layer


def _convolution(params: dict[str, Tensor], name: str) -> nn.Conv2d:
    # Rows are places of a patch, then channels.
    weight = params[f"{name}.weight"].reshape(3, 3, -1, params[f"{name}.bias"].numel())
    layer = nn.Conv2d(weight.shape[2], weight.shape[3], 3, stride=2, padding=1, dtype=weight.dtype)
    layer.load_state_dict({"weight": weight.permute(3, 2, 0, 1), "bias": params[f"{name}.bias"]})
    return layer


def _convolutional(params: dict[str, Tensor]) -> nn.Sequential:
    layers: list[nn.Module] = [Channels()]
    for name in ("first", "second"):
        layers += [_convolution(params, name), nn.GELU(approximate="tanh")]
    return nn.Sequential(*layers, Flat(), _linear(params, "output"))


NETWORKS = {
    "mlp-tanh": lambda params: _dense(params, nn.Tanh),
    "cnn-gelu": _convolutional,
}


class Fresh(Sampler[list[int]]):
    """Batches drawn afresh, so many an epoch."""

    def __init__(self, num_samples: int, batch_size: int, generator: torch.Generator) -> None:
        self.num_samples, self.batch_size, self.generator = num_samples, batch_size, generator

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.num_samples // self.batch_size):
            yield torch.randperm(self.num_samples, generator=self.generator)[: self.batch_size].tolist()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of the record, in PyTorch."""

    model: nn.Sequential
    divisors: list[Tensor]
    """sqrt(second moment) + eps, like the parameters."""
    data: TensorDataset
    factors: np.ndarray
    plan: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """From a file of `handover.py`."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        plan = json.loads(str(arrays.pop("plan")))

        def model_of(kind: str) -> nn.Sequential:
            start = f"{kind}."
            return NETWORKS[plan["network"]](
                {name.removeprefix(start): torch.from_numpy(values) for name, values in arrays.items() if name.startswith(start)}
            )

        data = TensorDataset(torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["targets"]))
        # The second moments have the shapes of the parameters, so that they go the same way.
        divisors = [values.detach() for values in model_of("divisor").parameters()]
        return cls(model_of("param"), divisors, data, arrays["factors"], plan)

    def check(self) -> None:
        """That the framework's network has the curvature of the record's: the same inner products of factors."""
        ours = linstab.torch.factors(self.model, self.data, loss="half_squared_error").values
        found, expected = (rows.reshape(-1, rows.shape[2]) @ rows.reshape(-1, rows.shape[2]).T for rows in (ours, self.factors))
        error = np.abs(found - expected).max() / np.abs(expected).max()
        if not error < TOLERANCE:
            raise RuntimeError(f"{self.plan['network']}: factors in PyTorch differ by {error:.1e} from those of the record")

    def misfit(self) -> float:
        """Half the squared residuals of all samples, mean over them."""
        images, targets = self.data.tensors
        with torch.no_grad():
            return float(half_squared_error(self.model(images), targets))

    def loader(self, cell: Row, generator: torch.Generator) -> DataLoader[Any]:
        """The framework's loader as the cell has it."""
        if cell["sampling"] == "independent":
            return DataLoader(self.data, batch_sampler=Fresh(len(self.data), cell["batch_size"], generator))
        drop_last = cell["sampling"] == "reshuffling-drop-last"
        return DataLoader(self.data, batch_size=cell["batch_size"], shuffle=True, drop_last=drop_last, generator=generator)

    def optimizer(self, cell: Row, setting: dict[str, Any]) -> torch.optim.Optimizer:
        """The framework's optimizer, its state that of the checkpoint."""
        if not setting["adamw"]:
            momentum, nesterov = setting["momentum"], setting["nesterov"]
            return torch.optim.SGD(self.model.parameters(), lr=cell["learning_rate"], momentum=momentum, nesterov=nesterov)
        betas = (setting["momentum"], BETA2)
        adamw = torch.optim.AdamW(self.model.parameters(), lr=cell["learning_rate"], betas=betas, eps=EPSILON, weight_decay=0)
        for param, divisor in zip(self.model.parameters(), self.divisors):
            adamw.state[param] = {
                "step": torch.tensor(SETTLED),
                "exp_avg": torch.zeros_like(param),
                "exp_avg_sq": (divisor - EPSILON) ** 2,
            }
        return adamw

    def run(self, cell: Row, setting: dict[str, Any], seed: int) -> np.ndarray:
        """Misfits of a run, the first at the start, until it is decided."""
        generator = torch.Generator().manual_seed(seed)
        minimum = parameters_to_vector(self.model.parameters()).detach()
        direction = torch.randn(len(minimum), generator=generator, dtype=minimum.dtype)
        vector_to_parameters(minimum + self.plan["distance"] * direction / direction.norm(), self.model.parameters())
        loader, optimizer = self.loader(cell, generator), self.optimizer(cell, setting)
        judged = judge.Judge(self.plan["passage"], self.plan["decay"])
        misfits = [self.misfit()]
        for _ in range(self.plan["num_records"]):
            for _ in range(setting["epochs_per_record"]):
                for images, targets in loader:
                    optimizer.zero_grad()
                    half_squared_error(self.model(images), targets).backward()
                    optimizer.step()
            misfits.append(self.misfit())
            if judged.decided(np.array(misfits)[:, None]):
                break
        vector_to_parameters(minimum, self.model.parameters())
        return np.array(misfits)


def half_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared error, summed over outputs, mean over samples."""
    return 0.5 * ((outputs - targets) ** 2).sum(dim=1).mean()


def rows_of(checkpoint: Checkpoint, setting: dict[str, Any]) -> list[Row]:
    """The cells of a setting."""
    plan, rows = checkpoint.plan, []
    judged = judge.Judge(plan["passage"], plan["decay"])
    for cell in setting["cells"]:
        start = time.perf_counter()
        seeds = (streams.seed_of(setting["part"], cell["ratio"], run) for run in range(plan["num_runs"]))
        runs = [checkpoint.run(cell, setting, seed) for seed in seeds]
        # A run that is decided stays as it is.
        length = max(map(len, runs))
        misfits = np.array([np.pad(run, (0, length - len(run)), mode="edge") for run in runs]).T
        found = judge.summary(judged, misfits, setting["epochs_per_record"] * setting["batches_per_epoch"])
        rows.append({"framework": "torch", **cell, **found, "seconds": time.perf_counter() - start})
    return rows


def run_part(path: Path, index: int, folder: Path) -> str:
    """A setting of a checkpoint, if it is not there yet; its name."""
    torch.set_num_threads(1)
    checkpoint = Checkpoint.read(path)
    setting = checkpoint.plan["settings"][index]

    def computed() -> dict[str, list[Row]]:
        checkpoint.check()
        return {"torch": rows_of(checkpoint, setting)}

    found = Parts(folder).once(setting["part"], computed)["torch"]
    return f"{setting['part']}: grown {[row['num_grown'] for row in found]} of {found[0]['num_runs']}"


def main(arguments: list[str]) -> int:
    """Runs all of it, so many settings at a time."""
    parser = argparse.ArgumentParser(prog="python -m evidence.framework", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args(arguments)
    paths = sorted(chosen.folder.glob("*.npz"))
    asked = [(path, index) for path in paths for index in range(len(Checkpoint.read(path).plan["settings"]))]
    with concurrent.futures.ProcessPoolExecutor(chosen.jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(run_part, path, index, chosen.parts) for path, index in asked]
        for done in concurrent.futures.as_completed(waiting):
            print(done.result(), file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
