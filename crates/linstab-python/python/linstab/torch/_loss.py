"""What a user means by a loss: its name, a torch module, or a function of ``torch.nn.functional``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from torch import nn

from .. import losses
from ..errors import ModelError
from ..losses import Array

__all__ = ["Loss", "read_loss"]


@dataclass(frozen=True)
class Loss:
    """A loss that linstab knows, with the label smoothing of its targets (which changes gradients, not curvature)."""

    name: str
    label_smoothing: float = 0.0
    ignored_label: int | None = None

    def roots(self, outputs: Array) -> Array:
        """Rows whose pullback gives the factors, (samples, factors, outputs); with classes of positions those are the last axis."""
        return losses.output_roots(self.name, outputs)

    def coefficients(self, outputs: Array, targets: np.typing.NDArray[np.generic]) -> Array:
        """Coefficients of the gradients, (samples, factors)."""
        if self.ignored_label is not None and bool((np.asarray(targets) == self.ignored_label).any()):
            raise ModelError(
                f"the loss ignores the label {self.ignored_label}, and some samples have it: they have no curvature, and batches count "
                "them all the same. Leave them out of the data, and give sequences of one length, without padding"
            )
        return losses.coefficients(self.name, outputs, targets, label_smoothing=self.label_smoothing)


def read_loss(loss: object) -> Loss:
    """The loss that a name, a module or a function stands for; refuses what its batches do not average."""
    if isinstance(loss, str):
        losses.num_factors(loss, 2)
        return Loss(loss)
    if loss is nn.functional.mse_loss:
        return Loss("mse")
    if loss is nn.functional.cross_entropy:
        return Loss("cross_entropy")
    if isinstance(loss, (nn.MSELoss, nn.CrossEntropyLoss)):
        if loss.reduction != "mean":
            raise ModelError(
                f"the loss has reduction={loss.reduction!r}: thresholds are for the mean over a batch. Use reduction='mean' "
                "in the training (with a sum the learning rate is B times what it seems, and depends on the last batch)"
            )
        return Loss("mse") if isinstance(loss, nn.MSELoss) else _cross_entropy(loss)
    raise ModelError(
        f"loss is {_name(loss)}: give 'mse', 'half_squared_error', 'cross_entropy', torch.nn.MSELoss() or torch.nn.CrossEntropyLoss()"
    )


def _cross_entropy(loss: nn.CrossEntropyLoss) -> Loss:
    if loss.weight is not None:
        raise ModelError("CrossEntropyLoss has class weights: samples would count unequally, which is not supported")
    return Loss("cross_entropy", float(loss.label_smoothing), int(loss.ignore_index))


def _name(value: object) -> str:
    return getattr(value, "__name__", type(value).__name__)
