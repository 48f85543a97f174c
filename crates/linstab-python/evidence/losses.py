"""Losses of the edge test, and the gradient of a sample's loss in its outputs: the residual, which vanishes where a sample is fitted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

SMOOTHING = 0.1
LOSSES = ("squared_error", "cross_entropy", "smoothed_cross_entropy")


def targets_of(loss: str, targets: np.ndarray) -> np.ndarray:
    """What a loss holds outputs, or their softmax, against."""
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r}: allowed are {', '.join(LOSSES)}")
    if loss == "smoothed_cross_entropy":
        return (1 - SMOOTHING) * targets + SMOOTHING / targets.shape[1]
    return targets


def sample_losses(loss: str, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the squared error, summed over outputs, or the cross-entropy, of each sample."""
    if loss == "squared_error":
        return 0.5 * jnp.sum((outputs - targets) ** 2, axis=-1)
    return -jnp.sum(targets * jax.nn.log_softmax(outputs), axis=-1)


def residuals(loss: str, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Derivatives of a sample's loss in its outputs."""
    return outputs - targets if loss == "squared_error" else jax.nn.softmax(outputs) - targets


def misfit(loss: str, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the squared residuals, mean over the samples: the squared error itself, and for cross-entropy what a run is measured by, since
    it can fall by any number of decades where the loss falls to the entropy of the targets."""
    return 0.5 * jnp.sum(residuals(loss, outputs, targets) ** 2, axis=-1).mean()


def kind(loss: str) -> str:
    """The name of its curvature in `linstab`; smoothing changes none."""
    return "half_squared_error" if loss == "squared_error" else "cross_entropy"
