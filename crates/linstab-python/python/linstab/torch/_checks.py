"""What has no factor of a single sample, or not the one meant: refused with what to do about it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..errors import ModelError

__all__ = ["check_forward", "check_modules", "unwrap"]

# Passes over a batch and over one sample differ by rounding, amplified by the depth of the network: half the digits are enough
# to tell that from layers that mix samples.
_SAME_SAMPLE = 0.5


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside the wrappers of torch: compiled, data parallel."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod
        else:
            return model


def check_modules(model: nn.Module) -> None:
    """Refuses layers and parameters for which factors of single samples do not exist."""
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(parameter):
            raise ModelError(f"parameter '{name}' has no shape yet: run one batch through the model first")
        if type(parameter).__name__ == "DTensor" or type(model).__name__ == "FullyShardedDataParallel":
            raise ModelError(f"parameter '{name}' is sharded over processes: gather the model on each of them first")
    for name, parameter in model.named_parameters():
        if parameter.is_complex():
            raise ModelError(f"parameter '{name}' is complex: give its real and imaginary parts as two parameters")
    for name, module in model.named_modules():
        for kind, problem in _PROBLEMS.items():
            sentence = problem(module) if isinstance(module, kind) else None
            if sentence:
                raise ModelError(f"layer '{name}' ({type(module).__name__}) {sentence}")
        if module.training and _normalises_spectrum(module):
            raise ModelError(
                f"layer '{name}' ({type(module).__name__}) changes its spectral norm at each pass: call model.eval()"
            )


def check_forward(run: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    """Refuses a model that is random, mixes samples, or gives something else than (batch, outputs).

    ``run`` maps inputs to what the model returns. Three passes: two over a few samples, one over the first alone.
    """
    few = inputs[: min(len(inputs), 4)]
    first = run(few)
    if not isinstance(first, Tensor):
        raise ModelError(
            f"the model returns {type(first).__name__}: wrap it in a module that returns one tensor of shape (batch, outputs)"
        )
    if first.is_complex() or not first.is_floating_point():
        raise ModelError(f"the model returns {first.dtype} numbers: outputs must be real and floating")
    if first.ndim == 0 or len(first) != len(few):
        raise ModelError(
            f"the model maps {len(few)} samples to outputs of shape {tuple(first.shape)}: the first axis must be the batch, "
            "and losses must not be inside the model"
        )
    second = run(few)
    if not torch.equal(torch.nan_to_num(first), torch.nan_to_num(second)):
        raise ModelError(
            "two passes over the same samples differ: the model is random or changes itself at each pass. Call model.eval(), "
            "remove random operations, or ask for torch.use_deterministic_algorithms(True)"
        )
    tolerance = torch.finfo(first.dtype).eps ** _SAME_SAMPLE * max(1.0, float(first.abs().nan_to_num().max()))
    for index, row in enumerate(first):
        alone = run(few[index : index + 1])
        if alone.shape[1:] == row.shape and float((alone[0] - row).abs().nan_to_num().max()) <= tolerance:
            continue
        raise ModelError(
            "the outputs of a sample depend on the others of its batch: the loss is not a mean over samples. "
            "Call model.eval(), or take out the layer that mixes samples"
        )


def _batch_norm(module: nn.Module) -> str | None:
    assert isinstance(module, _BatchNorm)
    if not module.track_running_stats or module.running_mean is None:
        return "has no running statistics and so mixes the samples of a batch: use track_running_stats=True and model.eval()"
    return "mixes the samples of a batch: call model.eval()" if module.training else None


def _random(module: nn.Module) -> str | None:
    rate = getattr(module, "p", getattr(module, "dropout", 1.0))
    return "is random: call model.eval()" if module.training and rate else None


def _embedding(module: nn.Module) -> str | None:
    assert isinstance(module, (nn.Embedding, nn.EmbeddingBag))
    if module.max_norm is not None:
        return "has max_norm and so writes its own weights at each pass: take max_norm away"
    if module.scale_grad_by_freq:
        return "has scale_grad_by_freq: what it calls gradient is none. Take it away"
    return None


_PROBLEMS: dict[type[nn.Module], Callable[[nn.Module], str | None]] = {
    _BatchNorm: _batch_norm,
    _DropoutNd: _random,
    nn.RReLU: _random,
    nn.RNNBase: _random,
    nn.MultiheadAttention: _random,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
}


def _normalises_spectrum(module: nn.Module) -> bool:
    """Both spectral norms of torch: the parametrization, and the older hook before the forward pass."""
    names = [type(hook).__name__ for hook in module._forward_pre_hooks.values()]
    return type(module).__name__ == "_SpectralNorm" or "SpectralNorm" in names
