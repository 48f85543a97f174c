"""Inner products of the factors of a model in JAX: closed forms for weight matrices, gradients for the rest."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ..factors import Gram
from ._data import rows
from ._factors import Prepared, chunks, compiled, gradients, prepare
from ._layers import Product, inner_products, products_of, taps
from ._model import Apply, Select, precision

__all__ = ["gram"]

# How far a closed form may be from products of gradients, relative to the largest: rounding, in another order.
_SAME_PRODUCTS = {"float64": 1e-9, "float32": 1e-3}
# Samples on which closed forms are held against gradients.
_SAMPLES_CHECKED = 4


def gram(
    apply: Apply,
    params: Any,
    data: Any,
    *,
    loss: str = "mse",
    num_samples: int | None = None,
    seed: int = 0,
    chunk_size: int = 16,
    dtype: str = "float64",
    select: Select | None = None,
    memory_limit: int = 2**30,
) -> Gram:
    """Inner products of all factors, without ever holding all of them.

    Weight matrices that are used in one matrix product, as in dense layers, need no gradient of a single sample: their inner
    products come from what the product saw and from derivatives at its outputs. Each such closed form is held against gradients
    before it is used. Other parameters go by gradients, in groups of leaves whose factors fit into ``memory_limit`` bytes; where
    a single leaf is too large its factors are made anew for each block of samples that fits. Everything else is as for
    :func:`factors`.
    """
    with precision(dtype):
        ready = prepare(
            apply, params, data, loss=loss, num_samples=num_samples, seed=seed, chunk_size=chunk_size, dtype=dtype, select=select
        )
        samples, count = len(ready.samples), ready.roots.shape[1]
        values = np.zeros((samples * count, samples * count))
        covered = _add_closed_forms(values, ready)
        for group in _groups(ready, covered, memory_limit):
            _add_products(values, ready, group, memory_limit)
    # Rounding of sums over positions is not the same on both sides of the diagonal.
    values = 0.5 * (values + values.T)
    return Gram(values, count, ready.coefficients, loss, ready.samples.indices, ready.samples.population, ready.labels)


def _add_closed_forms(values: NDArray[np.float64], ready: Prepared) -> set[int]:
    """Adds the shares of the weight matrices that have a closed form, and says which leaves they are."""
    samples, factors, _ = ready.roots.shape
    model = ready.model
    first = jax.tree_util.tree_map(lambda array: array[0], ready.samples.inputs)
    program = jax.make_jaxpr(compiled(model).one)(model.analysed, model.fixed, first)
    found = [product for product in products_of(program, len(model.sizes)) if product.pays(samples, factors)]
    if not found:
        return set()
    see = taps(program, found)
    parts: list[list[Any]] = [[] for _ in found]
    for start, stop, chunk in chunks(0, samples, ready.chunk_size):
        seen = see(model.analysed, model.fixed, rows(ready.samples.inputs, chunk), ready.roots[chunk])
        for part, pair in zip(parts, seen):
            part.append([np.asarray(array)[: stop - start] for array in pair])
    covered = set()
    for product, part in zip(found, parts):
        inputs, derivatives = (np.concatenate(side) for side in zip(*part))
        if _agrees(product, inputs, derivatives, ready):
            values += inner_products(inputs, derivatives)
            covered.add(product.leaf)
    return covered


def _agrees(product: Product, inputs: NDArray[Any], derivatives: NDArray[Any], ready: Prepared) -> bool:
    """Whether a closed form gives the products of gradients of a few samples, whatever the program does around the product."""
    count = min(_SAMPLES_CHECKED, len(inputs))
    closed = inner_products(inputs[:count], derivatives[:count])
    parts = [part for _, _, part in gradients(ready, (product.leaf,), 0, count, min(ready.chunk_size, count))]
    plain = np.concatenate(parts).reshape(len(closed), -1).astype(np.float64)
    plain = plain @ plain.T
    return bool(np.abs(closed - plain).max() <= _SAME_PRODUCTS[ready.dtype] * np.abs(plain).max())


def _groups(ready: Prepared, covered: set[int], memory_limit: int) -> list[tuple[int, ...]]:
    """Leaves that are not covered, together as long as the factors of all samples fit into half of the memory."""
    row_bytes = np.dtype(ready.dtype).itemsize * ready.roots.shape[0] * ready.roots.shape[1]
    groups: list[list[int]] = [[]]
    used = 0
    for leaf, size in enumerate(ready.model.sizes):
        if leaf in covered:
            continue
        if groups[-1] and (used + size) * row_bytes > memory_limit // 2:
            groups.append([])
            used = 0
        groups[-1].append(leaf)
        used += size
    return [tuple(group) for group in groups if group]


def _add_products(values: NDArray[np.float64], ready: Prepared, group: tuple[int, ...], memory_limit: int) -> None:
    """Adds a group's share of the inner products, block of samples by block; a block meets those before it, made anew."""
    samples, count, _ = ready.roots.shape
    size = sum(ready.model.sizes[leaf] for leaf in group)
    block = max(1, memory_limit // 2 // (8 * size * count))
    chunk_size = min(ready.chunk_size, block)
    for first in range(0, samples, block):
        last = min(first + block, samples)
        held = np.empty(((last - first) * count, size))
        for start, stop, part in gradients(ready, group, first, last, chunk_size):
            held[(start - first) * count : (stop - first) * count] = part.reshape(-1, size)
        own = slice(first * count, last * count)
        values[own, own] += held @ held.T
        for start, stop, part in gradients(ready, group, 0, first, chunk_size):
            other = slice(start * count, stop * count)
            product = held @ part.reshape(-1, size).astype(np.float64).T
            values[own, other] += product
            values[other, own] += product.T


