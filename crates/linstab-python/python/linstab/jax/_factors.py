"""Factors of a model in JAX: one backward pass a factor, mapped over factors and samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .. import losses
from ..errors import ModelError
from ..factors import Factors
from ..store import FactorStore, Request
from ._data import Samples, rows
from ._model import Apply, Model, Select, precision

__all__ = ["Prepared", "chunks", "compiled", "factors", "gradients", "prepare"]

# How far outputs of a sample alone may be from those in its batch, relative to the largest: rounding, in another order.
_SAME_OUTPUTS = {"float64": 1e-9, "float32": 1e-4}


def factors(
    apply: Apply,
    params: Any,
    data: Any,
    *,
    loss: str = "mse",
    num_samples: int | None = None,
    seed: int = 0,
    chunk_size: int = 16,
    dtype: str = "float64",
    out: str | Path | None = None,
    select: Select | None = None,
) -> Factors:
    """Gauss-Newton factors of single samples.

    Parameters
    ----------
    apply
        Outputs of the model, ``apply(params, inputs)``, for a batch: shape (samples, outputs), or (samples,) for one output; with
        cross-entropy also (samples, positions, classes), a sample's loss being the mean over its positions.
    params
        Any pytree of real arrays. They are turned into ``dtype``.
    data
        A pair (inputs, targets) of arrays with one row a sample, or an iterable of such pairs. Inputs may be pytrees.
    loss
        ``"mse"`` (mean over the outputs of a sample), ``"half_squared_error"`` or ``"cross_entropy"``; see ``linstab.losses``.
    num_samples
        Analyse a random subset of so many samples, drawn with ``seed``; None takes all.
    chunk_size
        Samples that are differentiated at once: memory is (chunk_size, factors, parameters).
    dtype
        ``"float64"`` or ``"float32"``, for the model as well as for the factors, whatever ``jax_enable_x64`` says.
    out
        Path of a ``.npy`` file to write to, chunk by chunk; an interrupted call goes on where it stopped.
    select
        Function of the name of a parameter (its path, joined by ``/``) that says whether to analyse it; others stay fixed.

    Raises
    ------
    ModelError
        With a message that says what to do: for parameters that are not real or not finite or twice in the tree, for empty data,
        outputs of another shape than the targets, outputs that are not finite, and for models whose output for a sample depends on
        the other samples of its batch.
    """
    with precision(dtype):
        ready = prepare(
            apply, params, data, loss=loss, num_samples=num_samples, seed=seed, chunk_size=chunk_size, dtype=dtype, select=select
        )
        return _in_memory(ready) if out is None else _on_disk(ready, out)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A checked request: the model, the samples, and what their outputs say.

    ``roots`` has shape (samples, factors, outputs), ``coefficients`` (samples, factors).
    """

    model: Model
    samples: Samples
    loss: str
    chunk_size: int
    dtype: str
    roots: NDArray[Any]
    coefficients: NDArray[np.float64]
    labels: NDArray[np.int64] | None


def prepare(
    apply: Apply,
    params: Any,
    data: Any,
    *,
    loss: str,
    num_samples: int | None,
    seed: int,
    chunk_size: int,
    dtype: str,
    select: Select | None,
) -> Prepared:
    """All checks, and one forward pass over the samples."""
    if chunk_size < 1:
        raise ModelError(f"chunk_size is {chunk_size}: it must be at least 1")
    losses.num_factors(loss, 2)
    model = Model.of(apply, params, select=select, dtype=dtype)
    samples = Samples.of(data, num_samples=num_samples, seed=seed)
    chunk_size = min(chunk_size, len(samples))
    inputs = jax.tree_util.tree_map(lambda array: array.astype(dtype) if array.dtype.kind == "f" else array, samples.inputs)
    samples = Samples(inputs, samples.targets, samples.indices, samples.population, samples.batch_size)
    outputs = _outputs(model, samples, chunk_size, dtype)
    targets, labels = _targets(samples.targets, outputs, loss)
    flat: NDArray[Any] = outputs.reshape(len(outputs), -1)
    if labels is None and loss == "cross_entropy":
        flat = flat.reshape(len(outputs), -1, outputs.shape[-1])
    roots = losses.output_roots(loss, flat).astype(dtype)
    coefficients = losses.coefficients(loss, flat, targets)
    return Prepared(model, samples, loss, chunk_size, dtype, roots, coefficients, labels)


def _outputs(model: Model, samples: Samples, chunk_size: int, dtype: str) -> NDArray[Any]:
    passes = compiled(model)
    parts = []
    for start, stop, chunk in chunks(0, len(samples), chunk_size):
        inputs = rows(samples.inputs, chunk)
        try:
            alone = passes.alone(model.analysed, model.fixed, inputs)
        except Exception as error:
            # Flax's own error, told by its name so that flax need not be there.
            if type(error).__name__ != "TraceContextError":
                raise
            raise ModelError(
                "the model changes state of its own, as batch normalisation does in training mode: let apply use it as in "
                "evaluation (flax: use_running_average=True, or model.eval() before nnx.split)"
            ) from error
        if start == 0:
            _compare_with_batch(passes.batch(model.analysed, model.fixed, inputs), np.asarray(alone), dtype)
        parts.append(np.asarray(alone)[: stop - start])
    return np.concatenate(parts)


def _compare_with_batch(batch: Any, alone: NDArray[Any], dtype: str) -> None:
    if not hasattr(batch, "shape") or batch.shape != alone.shape:
        found = getattr(batch, "shape", type(batch).__name__)
        raise ModelError(f"apply gave {found} for {len(alone)} samples: it must give one row of outputs a sample")
    if alone.dtype != np.dtype(dtype):
        raise ModelError(
            f"the model computes in {alone.dtype} by itself, not in {dtype}: remove its casts, or pass dtype='{alone.dtype}'"
        )
    difference = np.abs(np.asarray(batch) - alone).max()
    if difference > _SAME_OUTPUTS[dtype] * np.abs(alone).max():
        raise ModelError(
            f"outputs of a sample alone and in its batch differ by {difference:.1e}: layers in training mode (batch normalisation, "
            "dropout) make samples depend on one another; let apply use them as in evaluation"
        )


def _targets(targets: NDArray[Any], outputs: NDArray[Any], loss: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Targets as rows like the outputs, and the classes if each sample has one."""
    if loss == "cross_entropy":
        if outputs.ndim < 2:
            raise ModelError(f"cross-entropy needs outputs of shape (samples, classes), not {outputs.shape}")
        losses.num_factors(loss, outputs.shape[-1])
        classes = losses.check_labels(targets, shape=outputs.shape[:-1], num_classes=outputs.shape[-1])
        return (classes, classes) if outputs.ndim == 2 else (classes.reshape(len(outputs), -1), None)
    rows_of_targets = targets.reshape(len(targets), -1)
    same = targets.shape == outputs.shape
    if not same and not (rows_of_targets.shape[1] == 1 and outputs[0].size == 1):
        raise ModelError(
            f"outputs have shape {outputs.shape}, targets {targets.shape}: for a squared error they must agree "
            "(integer classes go with loss='cross_entropy')"
        )
    return rows_of_targets, None


def _in_memory(ready: Prepared) -> Factors:
    count = ready.roots.shape[1]
    values = np.empty((len(ready.samples), count, sum(ready.model.sizes)), ready.dtype)
    everything = tuple(range(len(ready.model.sizes)))
    for start, stop, part in gradients(ready, everything, 0, len(ready.samples), ready.chunk_size):
        values[start:stop] = part
    return Factors(
        values,
        ready.coefficients,
        ready.loss,
        ready.model.parameters,
        ready.samples.indices,
        ready.samples.population,
        ready.labels,
    )


def _on_disk(ready: Prepared, out: str | Path) -> Factors:
    samples, model = ready.samples, ready.model
    request = Request(
        len(samples),
        ready.roots.shape[1],
        model.parameters,
        ready.dtype,
        ready.loss,
        samples.population,
        samples.fingerprint(ready.loss, samples.indices, *model.analysed, *model.fixed),
        samples.indices,
        ready.labels,
    )
    store = FactorStore.open(out, request)
    if isinstance(store, Factors):
        return store
    everything = tuple(range(len(model.sizes)))
    done = store.done
    with store.filling():
        for start, stop, _ in chunks(0, len(samples), ready.chunk_size):
            if not done[start:stop].all():
                for _, _, part in gradients(ready, everything, start, stop, ready.chunk_size):
                    store.write(start, part, ready.coefficients[start:stop])
    return store.finish()


def gradients(
    ready: Prepared, group: tuple[int, ...], first: int, last: int, chunk_size: int
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Factors of samples first..last with respect to a group of leaves: (start, stop, values) chunk by chunk."""
    pull = compiled(ready.model).pullback(group)
    for start, stop, chunk in chunks(first, last, chunk_size):
        part = pull(ready.model.analysed, ready.model.fixed, rows(ready.samples.inputs, chunk), ready.roots[chunk])
        values = np.asarray(part)[: stop - start]
        if not np.isfinite(values).all():
            bad = start + int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))[0])
            raise ModelError(
                f"the gradient of sample {bad} is not finite: the model has no derivative there (a root or norm of zero?)"
            )
        yield start, stop, values


def chunks(first: int, last: int, chunk_size: int) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """(start, stop, rows): always chunk_size rows, the last one repeated to fill up, so that nothing is compiled twice."""
    for start in range(first, last, chunk_size):
        yield start, min(start + chunk_size, last), np.minimum(np.arange(start, start + chunk_size), last - 1)


@dataclass(frozen=True, eq=False)
class _Passes:
    """Compiled passes through a model."""

    batch: Callable[..., Any]
    alone: Callable[..., Any]
    one: Callable[..., Any]
    pullback: Callable[[tuple[int, ...]], Callable[..., Any]]


def compiled(model: Model) -> _Passes:
    """Compiled once for a function and a tree of parameters; a function that cannot be hashed is compiled each time."""
    try:
        hash(model.apply)
    except TypeError:
        return _compile(model.apply, model.treedef, model.chosen)
    return _compiled(model.apply, model.treedef, model.chosen)


def _compile(apply: Apply, treedef: Any, chosen: tuple[bool, ...]) -> _Passes:
    def outputs(analysed: Any, fixed: Any, inputs: Any) -> Any:
        moving, still = iter(analysed), iter(fixed)
        leaves = [next(moving) if take else next(still) for take in chosen]
        return apply(jax.tree_util.tree_unflatten(treedef, leaves), inputs)

    def one(analysed: Any, fixed: Any, inputs: Any) -> Any:
        result = outputs(analysed, fixed, jax.tree_util.tree_map(lambda array: array[None], inputs))
        if not hasattr(result, "shape") or result.shape[:1] != (1,):
            found = getattr(result, "shape", type(result).__name__)
            raise ModelError(f"apply gave {found} for one sample: it must give one array with one row of outputs a sample")
        return result[0]

    @lru_cache(maxsize=64)
    def pullback(group: tuple[int, ...]) -> Callable[..., Any]:
        def single(analysed: Any, fixed: Any, inputs: Any, roots: Any) -> Any:
            def of_group(leaves: Any) -> Any:
                whole = list(analysed)
                for index, leaf in zip(group, leaves):
                    whole[index] = leaf
                return one(whole, fixed, inputs).reshape(-1)

            _, pull = jax.vjp(of_group, [analysed[index] for index in group])
            (parts,) = jax.vmap(pull)(roots)
            return jnp.concatenate([leaf.reshape(len(roots), -1) for leaf in parts], axis=1)

        mapped: Callable[..., Any] = jax.jit(jax.vmap(single, in_axes=(None, None, 0, 0)))
        return mapped

    return _Passes(jax.jit(outputs), jax.jit(jax.vmap(one, in_axes=(None, None, 0))), one, pullback)


# A training loop asks again and again about one function; a few of them stay compiled.
_compiled = lru_cache(maxsize=8)(_compile)
