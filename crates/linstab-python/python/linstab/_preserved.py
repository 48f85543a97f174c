"""What an analysis in the middle of a training must leave as it was: modes, gradients, random numbers."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["preserved"]


@contextmanager
def preserved(models: Sequence[Any] = ()) -> Iterator[None]:
    """Runs its body with PyTorch modules in evaluation mode, and restores all that the body may have changed.

    That is: the mode of every submodule, the gradients of every parameter, and the states of the random generators of Python,
    NumPy and PyTorch (of its devices, too), as far as they are loaded. JAX keeps no such state.
    """
    modes = [(module, module.training) for model in models for module in model.modules()]
    gradients = [(parameter, parameter.grad) for model in models for parameter in model.parameters()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    torch_states = _torch_states(torch)
    for model in models:
        model.eval()
    for parameter, _ in gradients:
        # The accumulated gradient is set aside, not copied: a backward pass in the body makes one of its own.
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in modes:
            # Not by train(), which would change the submodules, too.
            module.training = training
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        for restore, state in torch_states:
            restore(state)


def _torch_states(torch: Any) -> list[tuple[Any, Any]]:
    """Pairs of a function and the state that it restores."""
    if torch is None or not hasattr(torch, "get_rng_state"):
        return []
    states = [(torch.set_rng_state, torch.get_rng_state())]
    for name in ("cuda", "mps"):
        device = getattr(torch, name, None)
        if name == "cuda" and device is not None and device.is_available() and device.is_initialized():
            states.append((device.set_rng_state_all, device.get_rng_state_all()))
        if name == "mps" and device is not None and getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
            states.append((device.set_rng_state, device.get_rng_state()))
    return states
