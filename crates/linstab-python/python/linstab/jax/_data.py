"""Samples out of what training loops in JAX have: a pair of arrays, or an iterable of batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

__all__ = ["Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and targets of the samples that are analysed.

    ``inputs`` is an array or a pytree of arrays, one row a sample, as ``targets``. ``indices`` says which samples of the data
    these are (None: all), ``population`` how many the data has, ``batch_size`` the rows of the first batch of an iterable.
    """

    inputs: Any
    targets: NDArray[Any]
    indices: NDArray[np.int64] | None
    population: int
    batch_size: int | None

    @classmethod
    def of(cls, data: Any, *, num_samples: int | None, seed: int) -> Samples:
        """``data`` is a tuple (inputs, targets), or an iterable of such pairs, one a batch.

        With ``num_samples`` a random subset of so many, the same for the same seed, in the order of the data.
        """
        inputs, targets, batch_size = _together(data)
        population = len(targets)
        if num_samples is None or num_samples == population:
            return cls(inputs, targets, None, population, batch_size)
        if not 1 <= num_samples <= population:
            raise ModelError(f"num_samples is {num_samples}: the data has {population} samples")
        generator = np.random.default_rng(seed)
        indices = np.sort(generator.choice(population, num_samples, replace=False)).astype(np.int64)
        return cls(rows(inputs, indices), targets[indices], indices, population, batch_size)

    def __len__(self) -> int:
        return len(self.targets)

    def fingerprint(self, *settings: Any) -> str:
        """Hash of the samples and of what else is given: arrays by their bytes, the rest by its text."""
        digest = hashlib.sha256()
        for item in (*jax.tree_util.tree_leaves(self.inputs), self.targets, *settings):
            if isinstance(item, np.ndarray):
                digest.update(f"{item.dtype}{item.shape}".encode())
                digest.update(np.ascontiguousarray(item).tobytes())
            else:
                digest.update(repr(item).encode())
        return digest.hexdigest()


def rows(inputs: Any, chosen: Any) -> Any:
    """Chosen rows of each array of the inputs."""
    return jax.tree_util.tree_map(lambda array: array[chosen], inputs)


def _together(data: Any) -> tuple[Any, NDArray[Any], int | None]:
    if isinstance(data, tuple) and len(data) == 2:
        inputs, targets = _pair(data, "data")
        return (*_not_empty(inputs, targets), None)
    if hasattr(data, "shape") or not isinstance(data, Iterable):
        raise ModelError(f"data must be a pair (inputs, targets) or an iterable of such pairs, not {type(data).__name__}")
    batches = [_pair(batch, f"batch {index}") for index, batch in enumerate(data)]
    if not batches:
        raise ModelError("data is empty: the iterable gave no batch (an iterator that was used up gives none either)")
    inputs = jax.tree_util.tree_map(lambda *arrays: np.concatenate(arrays), *(batch[0] for batch in batches))
    return (*_not_empty(inputs, np.concatenate([batch[1] for batch in batches])), len(batches[0][1]))


def _pair(pair: Any, what: str) -> tuple[Any, NDArray[Any]]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ModelError(f"{what} must be a pair (inputs, targets), not {type(pair).__name__}")
    inputs = jax.tree_util.tree_map(np.asarray, pair[0])
    targets = np.asarray(pair[1])
    for array in (*jax.tree_util.tree_leaves(inputs), targets):
        if array.dtype == object:
            raise ModelError(f"{what} holds Python objects: give arrays of numbers, one row a sample")
        if array.ndim == 0 or len(array) != (len(targets) if targets.ndim else -1):
            shapes = [leaf.shape for leaf in jax.tree_util.tree_leaves(inputs)]
            raise ModelError(f"{what}: inputs {shapes} and targets {targets.shape} must have one row a sample, equally many")
    return inputs, targets


def _not_empty(inputs: Any, targets: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
    if not jax.tree_util.tree_leaves(inputs):
        raise ModelError("data has no inputs")
    if len(targets) == 0:
        raise ModelError("data is empty: there are no samples")
    return inputs, targets
