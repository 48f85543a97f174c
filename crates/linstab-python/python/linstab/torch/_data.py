"""Samples out of a loader, a dataset or a pair of arrays, and how a loader draws its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

from ..errors import ModelError

__all__ = ["Batching", "Samples", "population_of", "read_batching", "select_samples"]

# Samples that are fetched from a dataset and collated at a time.
_FETCH = 256


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of the samples to analyse; ``indices`` among the ``population``, or None for all of them in order."""

    inputs: Tensor
    targets: Tensor
    indices: NDArray[np.int64] | None
    population: int

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Batching:
    """How batches are drawn, in the words of ``linstab.analyze``."""

    batch_size: int
    sampling: str
    last_batch: str


def select_samples(data: object, num_samples: int | None, seed: int) -> Samples:
    """All samples of the data, or a random part without replacement that depends on the seed alone."""
    if num_samples is not None and num_samples < 1:
        raise ModelError(f"num_samples is {num_samples}: at least one sample is needed")
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        return _of_arrays(torch.as_tensor(data[0]), torch.as_tensor(data[1]), num_samples, seed)
    if isinstance(data, DataLoader):
        return _of_loader(data, num_samples, seed)
    if isinstance(data, IterableDataset):
        return _of_loader(DataLoader(data, batch_size=_FETCH), num_samples, seed)
    if isinstance(data, Dataset):
        return _of_dataset(data, default_collate, None, num_samples, seed)
    raise ModelError(f"data is {type(data).__name__}: give a DataLoader, a Dataset, or a pair (inputs, targets) of arrays")


def read_batching(data: object) -> Batching:
    """Batch size and order of a loader with the samplers of torch; ``ModelError`` where it cannot be told."""
    advice = "say it yourself with batch_size=, sampling= and last_batch="
    if not isinstance(data, DataLoader):
        raise ModelError(f"{type(data).__name__} does not say how batches are drawn: pass a DataLoader, or {advice}")
    if isinstance(data.dataset, IterableDataset) or type(data.batch_sampler) is not BatchSampler:
        raise ModelError(f"the order of this loader's batches cannot be read from it: {advice}")
    batch_size, sampler = int(data.batch_sampler.batch_size), data.batch_sampler.sampler
    if type(sampler) is RandomSampler and sampler.replacement:
        sampling = "with-replacement"
    elif type(sampler) in (RandomSampler, SubsetRandomSampler):
        sampling = "reshuffling"
    elif type(sampler) is SequentialSampler:
        sampling = "cyclic"
    else:
        raise ModelError(f"{type(sampler).__name__} draws batches in a way that linstab does not know: {advice}")
    if type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples != len(sampler.data_source):
        raise ModelError(f"RandomSampler draws {sampler.num_samples} of {len(sampler.data_source)} samples an epoch: {advice}")
    return Batching(batch_size, sampling, "drop" if data.batch_sampler.drop_last else "keep")


def population_of(data: object) -> int | None:
    """Number of samples of the data, or None if only reading it all would tell."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and hasattr(data[0], "shape"):
        return len(data[0])
    if isinstance(data, DataLoader):
        return population_of(data.dataset) if not isinstance(data.sampler, SubsetRandomSampler) else len(data.sampler)
    return len(data) if isinstance(data, Dataset) and hasattr(data, "__len__") else None


def _choose(population: int, num_samples: int | None, seed: int) -> NDArray[np.int64] | None:
    if population == 0:
        raise ModelError("the data is empty: there is no sample to analyse")
    if num_samples is None or num_samples >= population:
        return None
    chosen = np.random.default_rng(seed).choice(population, num_samples, replace=False)
    return np.sort(chosen).astype(np.int64)


def _of_arrays(inputs: Tensor, targets: Tensor, num_samples: int | None, seed: int) -> Samples:
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
        raise ModelError(
            f"inputs of shape {tuple(inputs.shape)} and targets of shape {tuple(targets.shape)} are not of the same samples"
        )
    indices = _choose(len(inputs), num_samples, seed)
    if indices is None:
        return _checked(Samples(inputs, targets, None, len(inputs)))
    chosen = torch.from_numpy(indices)
    return _checked(Samples(inputs[chosen.to(inputs.device)], targets[chosen.to(targets.device)], indices, len(inputs)))


def _of_loader(loader: DataLoader[Any], num_samples: int | None, seed: int) -> Samples:
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        inputs, targets = _concatenate(_pair(batch) for batch in loader)
        return _of_arrays(inputs, targets, num_samples, seed)
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if isinstance(sampler, WeightedRandomSampler):
        raise ModelError("WeightedRandomSampler draws samples unequally, the analysis counts each once: pass loader.dataset")
    subset = list(sampler.indices) if isinstance(sampler, SubsetRandomSampler) else None
    known = (RandomSampler, SequentialSampler, SubsetRandomSampler, DistributedSampler)
    if not isinstance(sampler, known):
        raise ModelError(f"which samples {type(sampler).__name__} draws cannot be told: pass loader.dataset, or a Subset of it")
    return _of_dataset(loader.dataset, loader.collate_fn, subset, num_samples, seed)


def _of_dataset(
    dataset: Dataset[Any],
    collate: Callable[[list[Any]], Any],
    subset: Sequence[int] | None,
    num_samples: int | None,
    seed: int,
) -> Samples:
    """``subset`` are the numbers of the samples that count, in the order of the dataset; None for all."""
    size: int = len(dataset) if subset is None else len(subset)  # type: ignore[arg-type,unused-ignore]
    everything = np.arange(size) if subset is None else np.sort(np.asarray(subset, dtype=np.int64))
    chosen = _choose(len(everything), num_samples, seed)
    indices = everything if chosen is None else everything[chosen]
    _check_repeats(dataset, collate, int(indices[0]))
    blocks = (indices[start : start + _FETCH] for start in range(0, len(indices), _FETCH))
    inputs, targets = _concatenate(_pair(collate([dataset[int(i)] for i in block])) for block in blocks)
    named = None if chosen is None and subset is None else indices.astype(np.int64)
    return _checked(Samples(inputs, targets, named, len(everything)))


def _check_repeats(dataset: Dataset[Any], collate: Callable[[list[Any]], Any], index: int) -> None:
    """A sample with random augmentation is another one at each visit: there is no fixed curvature to analyse."""
    first, second = (_pair(collate([dataset[index]]))[0] for _ in range(2))
    if first.shape != second.shape or not torch.equal(torch.nan_to_num(first), torch.nan_to_num(second)):
        raise ModelError(
            f"sample {index} of the dataset is another one each time it is read (random augmentation): "
            "pass the dataset without its random transforms"
        )


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    if isinstance(batch, dict):
        what = f"a dictionary with {sorted(batch)}"
    elif isinstance(batch, (tuple, list)):
        what = f"{len(batch)} parts ({', '.join(type(part).__name__ for part in batch)})"
    else:
        what = type(batch).__name__
    raise ModelError(
        f"a batch of the data is {what}: it must be a pair (inputs, targets) of tensors, of which the model takes the first"
    )


def _concatenate(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    collected = list(pairs)
    if not collected:
        raise ModelError("the data is empty: there is no sample to analyse")
    shapes = sorted({tuple(inputs.shape[1:]) for inputs, _ in collected})
    if len(shapes) > 1:
        raise ModelError(f"samples have different shapes ({shapes[0]} and {shapes[-1]}): pad or crop them to one shape")
    return torch.cat([inputs for inputs, _ in collected]), torch.cat([targets for _, targets in collected])


def _checked(samples: Samples) -> Samples:
    inputs = samples.inputs
    if inputs.is_complex():
        raise ModelError("inputs are complex: give real and imaginary parts as channels")
    if inputs.is_floating_point():
        bad = (~torch.isfinite(inputs).reshape(len(inputs), -1).all(1)).nonzero()
        if len(bad):
            raise ModelError(
                f"inputs hold NaN or infinity in {len(bad)} of {len(inputs)} samples, the first is number {int(bad[0])}"
            )
    return samples
