"""Inner products of one layer, from its inputs and the derivatives at its outputs, without the gradients of its weights.

The gradient of an affine layer, for factor ``q`` of sample ``i``, is ``sum_t d_iqt a_it^T`` over positions ``t`` (one for a Linear
layer on vectors, the pixels for a convolution, the tokens of a sequence), with ``a`` the input, a one appended for the bias, and
``d`` the derivative of the factor's output row at the output. So inner products are
``sum_ts (a_it . a_js) (d_iqt . d_jrs)``, and no weight enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Affine", "affine_layer"]

# Bytes of intermediate results at a time.
_BLOCK_BYTES = 128 * 2**20

# Multiplications of a large product in the time that one number, spread over positions, takes to be written and read again
# (measured over seven layers of convolutions and sequences: 3.5 to 6.4 ns against 0.045 ns).
_SPREAD_COST = 90


@dataclass(frozen=True)
class Affine:
    """An affine layer: a module, and which of its tensors are asked for, by their names in the model."""

    module: nn.Module
    names: dict[str, str]

    @property
    def has_bias(self) -> bool:
        """Whether the bias counts."""
        return "bias" in self.names

    @property
    def is_convolution(self) -> bool:
        """Whether inputs are pictures, whose patches are the positions."""
        return isinstance(self.module, (nn.Conv1d, nn.Conv2d))

    def inputs(self, raw: Tensor, samples: int) -> Tensor | None:
        """Inputs as (samples, ...), or None if the batch cannot be its first axis."""
        if isinstance(self.module, (nn.Conv1d, nn.Conv2d)):
            return raw if len(raw) == samples and raw.ndim == _spatial(self.module) + 2 else None
        if raw.numel() == 0 or raw.shape[0] % samples:
            return None
        width = () if isinstance(self.module, nn.Embedding) else raw.shape[-1:]
        return raw.reshape(samples, -1, *width)

    def derivatives(self, raw: Tensor, samples: int) -> Tensor:
        """Derivatives at the outputs as (samples, positions, units)."""
        if isinstance(self.module, (nn.Conv1d, nn.Conv2d)):
            return raw.flatten(2).transpose(1, 2)
        return raw.reshape(samples, -1, raw.shape[-1])

    def positions(self, inputs: Tensor, vocabulary: Tensor | None) -> Tensor:
        """Inputs as (samples, positions, numbers), in double precision, a one appended for the bias.

        For an embedding these are indicators of the tokens in ``vocabulary``, none for the padding.
        """
        if isinstance(self.module, nn.Embedding):
            assert vocabulary is not None
            a = (inputs[:, :, None] == vocabulary).to(torch.float64)
        elif isinstance(self.module, (nn.Conv1d, nn.Conv2d)):
            a = _patches(self.module, inputs.to(torch.float64))
        else:
            a = inputs.to(torch.float64)
        if "weight" not in self.names:
            a = a[:, :, :0]
        return torch.cat([a, a.new_ones(*a.shape[:2], 1)], 2) if self.has_bias else a

    def vocabulary(self, inputs: Tensor) -> Tensor | None:
        """Tokens that occur, without the padding, whose row never moves."""
        if not isinstance(self.module, nn.Embedding):
            return None
        tokens: Tensor = torch.unique(inputs)
        return tokens if self.module.padding_idx is None else tokens[tokens != self.module.padding_idx]

    def products(self, inputs: Tensor, derivatives: Tensor, start: int, stop: int) -> Tensor:
        """Rows of the inner products that belong to the samples from ``start`` to ``stop``.

        ``inputs`` has shape (samples, ...), ``derivatives`` (samples, factors, positions, units), double precision; the result
        ((stop - start) * factors, samples * factors).
        """
        vocabulary = self.vocabulary(inputs)
        num_positions = derivatives.shape[2]
        if num_positions == 1:
            a = self.positions(inputs, vocabulary)[:, 0]
            return _single_position(a, derivatives[:, :, 0], start, stop)
        numbers = self.positions(inputs[:1], vocabulary).shape[2]
        if _pairs_are_cheaper(len(inputs), numbers, derivatives):
            return self._by_pairs(inputs, derivatives, vocabulary, start, stop)
        return self._by_gradients(inputs, derivatives, vocabulary, start, stop)

    def _by_pairs(self, inputs: Tensor, derivatives: Tensor, vocabulary: Tensor | None, start: int, stop: int) -> Tensor:
        """Similarities of the positions of two samples spread the derivatives of one over the positions of the other."""
        samples, k, length, units = derivatives.shape
        result = derivatives.new_empty(stop - start, k, samples, k)
        rows = max(1, int((_BLOCK_BYTES / (8 * length * max(units, length))) ** 0.5))
        for i in range(start, stop, rows):
            i_end = min(i + rows, stop)
            a_i = self.positions(inputs[i:i_end], vocabulary).flatten(0, 1)
            d_i = derivatives[i:i_end].flatten(2)
            for j in range(0, samples, rows):
                d_j = derivatives[j : j + rows]
                a_j = self.positions(inputs[j : j + rows], vocabulary).flatten(0, 1)
                similar = (a_i @ a_j.T).reshape(len(a_i), len(d_j), length).transpose(0, 1)
                for r in range(k):
                    spread = (similar @ d_j[:, r]).reshape(len(d_j), i_end - i, length * units)
                    result[i - start : i_end - start, :, j : j + rows, r] = d_i @ spread.permute(1, 2, 0)
        return result.reshape((stop - start) * k, samples * k)

    def _by_gradients(self, inputs: Tensor, derivatives: Tensor, vocabulary: Tensor | None, start: int, stop: int) -> Tensor:
        """Gradients of a few output units at a time, so that memory does not grow with the layer."""
        samples, k, length, units = derivatives.shape
        numbers = self.positions(inputs[:1], vocabulary).shape[2]
        result = derivatives.new_zeros((stop - start) * k, samples * k)
        width = max(1, _BLOCK_BYTES // (8 * samples * k * numbers))
        chunk = max(1, _BLOCK_BYTES // (8 * length * (numbers + k * units)))
        for unit in range(0, units, width):
            some = derivatives[..., unit : unit + width]
            rows = torch.cat(
                [
                    torch.einsum("iqto,itd->iqod", some[i : i + chunk], self.positions(inputs[i : i + chunk], vocabulary))
                    for i in range(0, samples, chunk)
                ]
            ).reshape(samples * k, -1)
            result += rows[start * k : stop * k] @ rows.T
        return result

    def gradient(self, inputs: Tensor, derivatives: Tensor) -> dict[str, Tensor]:
        """Gradient of ``sum_i`` over the given samples, by name in the model; ``derivatives`` is (samples, positions, units)."""
        vocabulary = self.vocabulary(inputs)
        full = torch.einsum("ito,itd->od", derivatives, self.positions(inputs, vocabulary))
        result: dict[str, Tensor] = {}
        if "weight" in self.names:
            weight = full[:, :-1] if self.has_bias else full
            if isinstance(self.module, nn.Embedding):
                assert vocabulary is not None
                spread = weight.new_zeros(self.module.num_embeddings, weight.shape[0])
                spread[vocabulary] = weight.T
                weight = spread
            result[self.names["weight"]] = weight
        if self.has_bias:
            result[self.names["bias"]] = full[:, -1]
        return result


def affine_layer(module: nn.Module, names: dict[str, str]) -> Affine | None:
    """The affine layer that a module is, or None if its inner products go by gradients.

    ``names`` gives the name in the model of each tensor of the module that is asked for.
    """
    if type(module) is nn.Linear or type(module) is nn.Embedding:
        return Affine(module, names)
    if type(module) in (nn.Conv1d, nn.Conv2d) and isinstance(module, (nn.Conv1d, nn.Conv2d)):
        closed = module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return Affine(module, names) if closed else None
    return None


def _pairs_are_cheaper(samples: int, numbers: int, derivatives: Tensor) -> bool:
    """Work for a pair of samples, by similarities of positions and by gradients, in multiplications."""
    _, k, length, units = derivatives.shape
    by_pairs = length**2 * (numbers + k * units) + k * length * units * (k + _SPREAD_COST)
    by_gradients = k**2 * numbers * units + k * length * numbers * units / samples
    return by_pairs < by_gradients


def _single_position(a: Tensor, d: Tensor, start: int, stop: int) -> Tensor:
    samples, k, units = d.shape
    rows = d.reshape(samples * k, units)
    result = (rows[start * k : stop * k] @ rows.T).reshape(stop - start, k, samples, k)
    result *= (a[start:stop] @ a.T)[:, None, :, None]
    return result.reshape((stop - start) * k, samples * k)


def _spatial(module: nn.Conv1d | nn.Conv2d) -> int:
    return 1 if isinstance(module, nn.Conv1d) else 2


def _patches(module: nn.Conv1d | nn.Conv2d, inputs: Tensor) -> Tensor:
    """Patches that each output position sees, (samples, positions, channels * kernel)."""
    axes = _spatial(module)
    if axes == 1:
        # A row of pixels is a picture of height one.
        inputs = inputs[:, :, None]
    padding = module.padding
    assert not isinstance(padding, str)
    patches: Tensor = functional.unfold(
        inputs,
        (1, *module.kernel_size)[-2:],
        dilation=(1, *module.dilation)[-2:],
        padding=(0, *padding)[-2:],
        stride=(1, *module.stride)[-2:],
    )
    return patches.transpose(1, 2)
