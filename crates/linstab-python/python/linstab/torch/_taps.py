"""Inputs of the affine layers of a model, and derivatives at their outputs, for a few samples at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

import torch
from torch import Tensor, nn

from ._layers import Affine, affine_layer
from ._model import FunctionalModel

__all__ = ["Taps", "affine_layers", "confirmed", "tap"]

Calls = dict[int, list[tuple[Tensor, Tensor]]]


@dataclass
class Taps:
    """What one layer saw: inputs (samples, ...) and derivatives (samples, factors, positions, units), chunk by chunk.

    ``changed`` if it was called in another way for one of the chunks, so that it has to go by gradients.
    """

    inputs: list[Tensor] = field(default_factory=list)
    derivatives: list[Tensor] = field(default_factory=list)
    changed: bool = False


def affine_layers(model: FunctionalModel) -> list[Affine]:
    """Layers whose inner products need no gradients: affine, and of tensors that no other module holds."""
    owners: dict[int, int] = {}
    for module in model.module.modules():
        for value in module._parameters.values():
            if value is not None:
                owners[id(value)] = owners.get(id(value), 0) + 1
    wanted = {id(value): name for name, value in model.module.named_parameters() if name in model.moving}
    result = []
    for module in model.module.modules():
        own = {key: wanted[id(value)] for key, value in module._parameters.items() if value is not None and id(value) in wanted}
        layer = affine_layer(module, own) if own else None
        if layer is not None and all(owners[id(getattr(module, key))] == 1 for key in own):
            result.append(layer)
    return result


def confirmed(model: FunctionalModel, layers: list[Affine], inputs: Tensor) -> list[Affine]:
    """The layers whose closed form agrees with plain differentiation, for the first of some samples and for all of them.

    What disagrees is used in another way than by calling the layer: a weight that is read by other code, a batch that is not
    the first axis. It goes by gradients.
    """
    with _recorded(layers) as calls, torch.enable_grad():
        leaves = _leaves(model)
        outputs = model(leaves, model.to_inputs(inputs))
    wrong: set[int] = set()
    names = [name for layer in layers for name in layer.names.values()]
    # Weights of the outputs that no symmetry of the loss sends to zero.
    row = torch.cos(1.0 + torch.arange(outputs.shape[1], device=outputs.device, dtype=outputs.dtype))
    for chosen in (slice(0, 1), slice(0, len(inputs))):
        seed = torch.zeros_like(outputs)
        seed[chosen] = row
        wanted = [output for number in range(len(layers)) for _, output in calls[number]]
        found = _gradients(outputs, [leaves[name] for name in names], seed)
        expected = dict(zip(names, found))
        derivatives = iter(_gradients(outputs, wanted, seed))
        for number, layer in enumerate(layers):
            parts = [next(derivatives) for _ in calls[number]]
            closed = _closed(layer, calls[number], parts, len(inputs), chosen)
            if closed is None or not all(_agree(closed[name], expected[name]) for name in layer.names.values()):
                wrong.add(number)
    return [layer for number, layer in enumerate(layers) if number not in wrong]


def tap(model: FunctionalModel, layers: list[Affine], inputs: Tensor, roots: NDArray[np.float64], into: list[Taps]) -> None:
    """Run a few samples and add what each layer saw; ``roots`` as for the factors."""
    samples, count = roots.shape[:2]
    with _recorded(layers) as calls, torch.enable_grad():
        outputs = model(_leaves(model), model.to_inputs(inputs))
    rows = torch.from_numpy(roots).to(outputs.device, outputs.dtype)
    wanted = [output for number in range(len(layers)) for _, output in calls[number]]
    by_factor = [_gradients(outputs, wanted, rows[:, q]) for q in range(count)] if wanted else []
    place = 0
    for number, layer in enumerate(layers):
        those = range(place, place + len(calls[number]))
        place += len(calls[number])
        seen = [layer.inputs(raw, samples) for raw, _ in calls[number]]
        if not seen or any(value is None for value in seen) or (layer.is_convolution and len(seen) > 1):
            into[number].changed = True
            continue
        # Calls of one layer are positions of one input.
        into[number].inputs.append(torch.cat([value for value in seen if value is not None], 1))
        derivatives = [torch.stack([layer.derivatives(part[t], samples) for part in by_factor], 1) for t in those]
        into[number].derivatives.append(torch.cat(derivatives, 2).to(torch.float64))


def _closed(
    layer: Affine, calls: list[tuple[Tensor, Tensor]], derivatives: list[Tensor], samples: int, chosen: slice
) -> dict[str, Tensor] | None:
    """Gradients in closed form of the chosen samples, or None where a layer is called in a way that has none."""
    if not calls or (layer.is_convolution and len(calls) > 1):
        return None
    total: dict[str, Tensor] = {}
    for (raw, _), derivative in zip(calls, derivatives):
        inputs = layer.inputs(raw, samples)
        if inputs is None:
            return None
        d = layer.derivatives(derivative, samples)[chosen].to(torch.float64)
        part = layer.gradient(inputs[chosen], d)
        total = {name: total[name] + value if name in total else value for name, value in part.items()}
    return total


def _agree(closed: Tensor, expected: Tensor) -> bool:
    difference = (closed.reshape(-1) - expected.reshape(-1).to(closed)).abs().max()
    # Half the digits: rounding against a wrong formula.
    tolerance = torch.finfo(expected.dtype).eps ** 0.5
    return bool(difference <= tolerance * max(float(expected.abs().max()), 1e-300))


def _gradients(outputs: Tensor, wanted: list[Tensor], seed: Tensor) -> list[Tensor]:
    if not outputs.requires_grad or not wanted:
        return [torch.zeros_like(value) for value in wanted]
    found = torch.autograd.grad(outputs, wanted, seed, retain_graph=True, allow_unused=True)
    dense = (None if value is None else value.to_dense() if value.is_sparse else value for value in found)
    return [torch.zeros_like(w) if value is None else value for w, value in zip(wanted, dense)]


def _leaves(model: FunctionalModel) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in model.moving.items()}


@contextmanager
def _recorded(layers: list[Affine]) -> Iterator[Calls]:
    """Input and output of every call of each layer, while the context lasts."""
    calls: Calls = {number: [] for number in range(len(layers))}

    def hook(number: int) -> Callable[..., Tensor]:
        def record(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor) -> Tensor:
            calls[number].append(((args[0] if args else kwargs["input"]).detach(), output))
            # What follows may write its input in place: it gets a copy, and the node stays the layer's own.
            return output.clone()

        return record

    handles = [layer.module.register_forward_hook(hook(number), with_kwargs=True) for number, layer in enumerate(layers)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
