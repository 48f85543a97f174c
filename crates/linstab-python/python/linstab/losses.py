"""Losses of deep-learning frameworks: the square roots of their curvature at the outputs, and the coefficients of gradients.

A model maps a sample to outputs ``z``; its Jacobian is ``J``, of shape (outputs, parameters). The Gauss-Newton curvature of the
loss of one sample is ``J^T A J``, with ``A`` the second derivative of the loss at the outputs. With ``A = R^T R`` the rows of
``R J`` are the *factors* ``f_q`` of the sample: its curvature is ``sum_q f_q f_q^T``. The gradient of its loss lies in the span
of the factors: it is ``sum_q c_q f_q``, with the coefficients ``c_q`` given here.

===================== ======================================= ======== ================================
loss of one sample    formula                                 factors  what frameworks call it
===================== ======================================= ======== ================================
``mse``               mean over outputs of ``(z - y)^2``      outputs  ``torch.nn.MSELoss()``
``half_squared_error`` half the sum of ``(z - y)^2``          outputs  the loss of most papers
``cross_entropy``     ``-log softmax(z)_label``               C - 1    ``torch.nn.CrossEntropyLoss()``
===================== ======================================= ======== ================================

With a class at each position of a sample (the tokens of a sequence, the pixels of a segmentation) cross-entropy is the mean over
its positions, which is what a batch of samples of one length has for its mean: C - 1 factors a position.

Everything is NumPy in double precision; frameworks only differentiate the outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError

Array = NDArray[np.float64]

LOSSES: tuple[str, ...] = ("mse", "half_squared_error", "cross_entropy")

__all__ = ["LOSSES", "coefficients", "num_factors", "output_roots", "sample_losses"]


def num_factors(loss: str, num_outputs: int, num_positions: int = 1) -> int:
    """Number of factors of a sample: its outputs, or one less than its classes, at each position, for ``cross_entropy``.

    Raises ``ModelError`` for an unknown loss, and for cross-entropy of fewer than two classes.
    """
    _check_loss(loss)
    if loss != "cross_entropy":
        return num_outputs
    if num_outputs < 2:
        raise ModelError(
            f"cross-entropy needs at least two classes, but the model has {num_outputs} output: "
            "give it one output a class, or use loss='mse'"
        )
    return num_positions * (num_outputs - 1)


def output_roots(loss: str, outputs: ArrayLike) -> Array:
    """Rows whose pullback through the model gives the factors.

    ``outputs`` has shape (samples, outputs), for ``cross_entropy`` also (samples, positions, classes); the result has shape
    (samples, factors, outputs), position by position. Row ``q`` of sample ``i``, times the Jacobian of that sample, is its
    factor ``q``. For ``cross_entropy`` the rows are ``diag(s) Q`` transposed, with
    ``s`` the square roots of the probabilities and ``Q`` the first C - 1 columns of the Householder reflection that takes ``s``
    to the last axis: no factor is lost or counted twice, whatever the probabilities.
    """
    z = _as_outputs(loss, outputs)
    if z.ndim == 3:
        return _position_by_position(output_roots(loss, z.reshape(-1, z.shape[2])), z.shape[1])
    samples, num_outputs = z.shape
    count = num_factors(loss, num_outputs)
    if loss != "cross_entropy":
        scale = np.sqrt(2.0 / num_outputs) if loss == "mse" else 1.0
        return np.tile(scale * np.eye(num_outputs), (samples, 1, 1))
    s: Array = np.exp(0.5 * _log_softmax(z))
    common = s * s
    common[:, -1] += s[:, -1]
    share = s[:, :-1] / (1.0 + s[:, -1:])
    roots: Array = -share[:, :, None] * common[:, None, :]
    diagonal = np.arange(count)
    roots[:, diagonal, diagonal] += s[:, :-1]
    return roots


def coefficients(loss: str, outputs: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Coefficients ``c`` of the gradient of each sample's loss: it is ``sum_q c_q f_q``.

    ``outputs`` are as for :func:`output_roots`; ``targets`` have the same shape, or are integer classes, without the last axis,
    for ``cross_entropy``. The result has shape (samples, factors). ``label_smoothing`` is that of ``torch.nn.CrossEntropyLoss``.
    """
    z = _as_outputs(loss, outputs)
    if z.ndim == 3:
        classes = check_labels(targets, shape=z.shape[:2], num_classes=z.shape[2])
        each = coefficients(loss, z.reshape(-1, z.shape[2]), classes.reshape(-1), label_smoothing=label_smoothing)
        return np.asarray(each.reshape(len(z), -1) / np.sqrt(z.shape[1]), dtype=np.float64)
    count = num_factors(loss, z.shape[1])
    if loss != "cross_entropy":
        residuals = z - _as_values(targets, z)
        return residuals * (np.sqrt(2.0 / count) if loss == "mse" else 1.0)
    wanted = _class_probabilities(targets, z, label_smoothing)
    s = np.exp(0.5 * _log_softmax(z))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where nothing is wanted the quotient is zero, also for a probability that has underflown.
        full = s - np.where(wanted > 0.0, wanted / s, 0.0)
    result: Array = full[:, :-1] - s[:, :-1] * (full[:, -1:] / (1.0 + s[:, -1:]))
    if not np.isfinite(result).all():
        worst = int(np.flatnonzero(~np.isfinite(result).all(axis=1))[0])
        raise ModelError(
            f"cross-entropy of sample {worst}: the probability of its class is zero in double precision, "
            "so its gradient has no finite coefficients; this point is far from a minimum"
        )
    return result


def sample_losses(loss: str, outputs: ArrayLike, targets: ArrayLike, *, label_smoothing: float = 0.0) -> Array:
    """Loss of each sample, shape (samples,); the mean over samples is what a framework reports."""
    z = _as_outputs(loss, outputs)
    num_factors(loss, z.shape[-1])
    if loss == "cross_entropy":
        wanted = _class_probabilities(targets, z, label_smoothing)
        return np.asarray(-(wanted * _log_softmax(z)).sum(axis=-1).reshape(len(z), -1).mean(axis=1), dtype=np.float64)
    squares = (z - _as_values(targets, z)) ** 2
    return np.asarray(squares.mean(axis=1) if loss == "mse" else 0.5 * squares.sum(axis=1), dtype=np.float64)


def _check_loss(loss: str) -> None:
    if loss not in LOSSES:
        known = ", ".join(repr(name) for name in LOSSES)
        raise ModelError(f"unknown loss {loss!r}: linstab knows {known}")


def _position_by_position(roots: Array, num_positions: int) -> Array:
    """Roots of all positions of a sample as blocks of one matrix, for the mean over its positions."""
    _, count, classes = roots.shape
    result = np.zeros((len(roots) // num_positions, num_positions, count, num_positions, classes))
    place = np.arange(num_positions)
    # Indices on two axes come first in what they choose.
    result[:, place, :, place] = roots.reshape(-1, num_positions, count, classes).swapaxes(0, 1) / np.sqrt(num_positions)
    return result.reshape(len(result), num_positions * count, num_positions * classes)


def _as_outputs(loss: str, outputs: ArrayLike) -> Array:
    z = np.asarray(outputs, dtype=np.float64)
    if z.ndim != 2 and not (z.ndim == 3 and loss == "cross_entropy"):
        raise ModelError(f"outputs must have shape (samples, outputs), not {z.shape}")
    bad = np.flatnonzero(~np.isfinite(z).reshape(len(z), -1).all(axis=1))
    if bad.size:
        raise ModelError(
            f"the model's outputs are not finite for {bad.size} of {len(z)} samples, the first is number {bad[0]}: "
            "the training has diverged, or the inputs hold NaN or infinity"
        )
    return z


def _as_values(targets: ArrayLike, z: Array) -> Array:
    y = np.asarray(targets)
    if y.ndim == 1 and z.shape[1] == 1:
        y = y[:, None]
    if y.shape != z.shape:
        raise ModelError(
            f"targets have shape {np.shape(targets)}, outputs {z.shape}: for a squared error they must agree "
            "(integer classes go with loss='cross_entropy')"
        )
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise ModelError("targets hold NaN or infinity")
    return y


def _class_probabilities(targets: ArrayLike, z: Array, label_smoothing: float) -> Array:
    classes = check_labels(targets, shape=z.shape[:-1], num_classes=z.shape[-1])
    if not 0.0 <= label_smoothing <= 1.0:
        raise ModelError(f"label_smoothing is {label_smoothing}: it must lie between 0 and 1")
    wanted = np.full(z.shape, label_smoothing / z.shape[-1])
    wanted += (1.0 - label_smoothing) * (classes[..., None] == np.arange(z.shape[-1]))
    return wanted


def check_labels(targets: ArrayLike, *, shape: tuple[int, ...], num_classes: int) -> NDArray[np.int64]:
    """Integer classes, shape (samples,) or (samples, positions), each at least 0 and below ``num_classes``; else ``ModelError``."""
    labels: NDArray[Any] = np.asarray(targets)
    if labels.shape != shape or labels.dtype.kind not in "iu":
        where = "a sample" if len(shape) == 1 else "a sample and position"
        raise ModelError(
            f"cross-entropy needs one integer class {where}, shape {shape}, "
            f"not targets of shape {labels.shape} and type {labels.dtype}"
        )
    bad = np.argwhere((labels < 0) | (labels >= num_classes))
    if bad.size:
        raise ModelError(
            f"label {labels[tuple(bad[0])]} of sample {bad[0][0]} is outside 0..{num_classes - 1}: "
            f"the model has {num_classes} classes (samples with an ignored label must be left out of the data, and sequences have no padding)"
        )
    return labels.astype(np.int64)


def _log_softmax(z: Array) -> Array:
    shifted = z - z.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float64)
