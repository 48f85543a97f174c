"""Data of the edge test: each one has images of 8 x 8 numbers, so that each network can be given each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIDE = 8
NUM_CLASSES = 10


@dataclass(frozen=True)
class Dataset:
    """Images (samples, 8, 8), and targets (samples, outputs) of the squared error; for classes they are one-hot."""

    name: str
    images: np.ndarray
    targets: np.ndarray
    is_classes: bool

    @property
    def num_outputs(self) -> int:
        """Outputs of a network for these data."""
        return self.targets.shape[1]


def load(name: str, num_samples: int, seed: int) -> Dataset:
    """The data of a name; `seed` chooses the samples."""
    if name not in DATASETS:
        raise ValueError(f"data {name!r}: allowed are {', '.join(DATASETS)}")
    generator = np.random.default_rng([seed, *name.encode()])
    return DATASETS[name](num_samples, generator)


def _digits(num_samples: int, generator: np.random.Generator) -> Dataset:
    """Optical digits of this repository, ten classes, pixels in 0..1."""
    table = np.loadtxt(repository() / "data" / "digits" / "digits.csv", delimiter=",")
    rows = table[generator.choice(len(table), size=num_samples, replace=False)]
    images = rows[:, :64].reshape(-1, SIDE, SIDE) / 16.0
    return Dataset("digits", images, np.eye(NUM_CLASSES)[rows[:, 64].astype(int)], is_classes=True)


def _parity(num_samples: int, generator: np.random.Generator) -> Dataset:
    """The paper's data: random signs, labelled by the product of the first two. Half of the others repeat these."""
    signs = generator.choice([-1.0, 1.0], size=(num_samples, SIDE * SIDE))
    copied = generator.random(signs.shape) < 0.5
    copied[:, :2] = False
    leading = signs[:, np.arange(SIDE * SIDE) % 2]
    signs = np.where(copied, leading, signs)
    labels = signs[:, :1] * signs[:, 1:2]
    return Dataset("parity", signs.reshape(-1, SIDE, SIDE) / 4.0, labels, is_classes=False)


def _regression(num_samples: int, generator: np.random.Generator) -> Dataset:
    """Gaussian inputs with a decaying spectrum, and two smooth functions of them."""
    scales = (1.0 + np.arange(SIDE * SIDE)) ** -0.5
    inputs = generator.standard_normal((num_samples, SIDE * SIDE)) * scales
    directions = generator.standard_normal((SIDE * SIDE, 2))
    targets = np.sin(inputs @ directions)
    return Dataset("regression", inputs.reshape(-1, SIDE, SIDE), targets, is_classes=False)


DATASETS: dict[str, Callable[[int, np.random.Generator], Dataset]] = {
    "digits": _digits,
    "parity": _parity,
    "regression": _regression,
}


def repository() -> Path:
    """The clone that this file is in."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "data" / "digits" / "digits.csv").is_file():
            return folder
    raise FileNotFoundError("data/digits/digits.csv: the evidence is computed in a clone of the repository")
