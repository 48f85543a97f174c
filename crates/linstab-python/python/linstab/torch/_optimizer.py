"""What ``linstab`` calls a ``torch.optim`` optimizer, with the state that it is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from ..errors import ModelError
from ._checks import unwrap

Array = NDArray[np.float64]
Group = dict[str, Any]

__all__ = ["optimized_names", "optimizer_spec"]


def optimizer_spec(optimizer: Optimizer, model: nn.Module) -> tuple[str, float, Array | None]:
    """The specification of an optimizer, its learning rate, and the numbers that gradients are divided by (or None).

    The numbers, one for each parameter in the order of :func:`optimized_names`, are those of the optimizer's last step, with
    the corrections of torch: for Adam ``P = (1 - beta1^t) (sqrt(v / (1 - beta2^t)) + eps)``, so that
    ``w <- w - eta m / P`` is torch's update with its second moment ``v`` frozen; for RMSprop ``sqrt(v) + eps``. Parameter groups
    with learning rates of their own are a change of variables: gradients of group ``g`` are divided by ``eta / eta_g``, too, with
    ``eta`` the learning rate of the first group, which is the one that is returned.

    Raises ``ModelError`` for what has no such form; the message says what to do.
    """
    read = _READERS.get(type(optimizer))
    if read is None:
        known = ", ".join(kind.__name__ for kind in _READERS)
        raise ModelError(
            f"{type(optimizer).__name__} is not an optimizer that can be read ({known} of torch.optim can): call linstab.analyze on "
            "the factors, with a specification such as optimizer='sgd:momentum=0.9'"
        )
    owned = _owned(optimizer, model)
    _refuse_in_every_group(optimizer)
    spec = _shared(optimizer.param_groups, read)
    learning_rate, ratios = _learning_rates(optimizer.param_groups)
    blocks = [
        _denominator(optimizer, group, name, parameter) / ratios[number] for name, (number, group, parameter) in owned.items()
    ]
    divided = not isinstance(optimizer, SGD) or any(ratio != 1.0 for ratio in ratios)
    if not divided:
        return spec, learning_rate, None
    preconditioner = np.concatenate([block.reshape(-1) for block in blocks])
    if not (preconditioner > 0.0).all() or not np.isfinite(preconditioner).all():
        raise ModelError(
            "the optimizer divides gradients by zero: some second moments are zero and eps is 0. Set eps, or freeze the "
            "parameters that never get a gradient with requires_grad_(False)"
        )
    return spec, learning_rate, preconditioner


def optimized_names(optimizer: Optimizer, model: nn.Module) -> list[str]:
    """Names of the trainable parameters that the optimizer moves, in the order of the model."""
    return list(_owned(optimizer, model))


def _owned(optimizer: Optimizer, model: nn.Module) -> dict[str, tuple[int, Group, nn.Parameter]]:
    """Group, by number and content, of each trainable parameter of the model that the optimizer holds."""
    groups = {id(p): (number, group) for number, group in enumerate(optimizer.param_groups) for p in group["params"]}
    named = {name: p for name, p in unwrap(model).named_parameters() if p.requires_grad and id(p) in groups}
    strangers = len(groups) - sum(id(p) in groups for p in unwrap(model).parameters())
    if strangers:
        raise ModelError(
            f"the optimizer holds {strangers} parameters that are not of this model: pass the model that it was made for "
            "(an optimizer made before model.to(...) or of two models cannot be analysed)"
        )
    if not named:
        raise ModelError("the optimizer holds no trainable parameter of this model")
    return {name: (*groups[id(p)], p) for name, p in named.items()}


def _refuse_in_every_group(optimizer: Optimizer) -> None:
    for number, group in enumerate(optimizer.param_groups):
        if group.get("maximize"):
            raise ModelError(f"parameter group {number} maximizes: thresholds are of minimization")


def _shared(groups: list[Group], read: Callable[[Group], dict[str, Any]]) -> str:
    """The specification that all groups have in common.

    Weight decay acts a step as ``lr * weight_decay``: groups with other learning rates agree if these products do.
    """
    readings = [read(group) for group in groups]
    first, reference = readings[0], float(groups[0]["lr"])
    for number, (reading, group) in enumerate(zip(readings, groups)):
        ratio = float(group["lr"]) / reference if reference else 1.0
        for key, value in reading.items():
            wanted = first[key]
            equal = np.isclose(value * ratio, wanted, rtol=1e-12, atol=0.0) if key == "weight_decay" else value == wanted
            if not equal:
                product = " times its learning rate" if key == "weight_decay" and ratio != 1.0 else ""
                raise ModelError(
                    f"parameter groups 0 and {number} have different {key}{product} ({wanted} and {value}): this is no optimizer "
                    "that linstab knows. Analyse one group at a time with factors(..., params=...), or give all groups the same"
                )
    name = first.pop("name")
    settings = ",".join(
        f"{key}={_word(value)}" for key, value in first.items() if value or key in _DEFAULT_NOT_ZERO.get(name, ())
    )
    return f"{name}:{settings}" if settings else name


def _learning_rates(groups: list[Group]) -> tuple[float, list[float]]:
    """Learning rate of the first group, and those of all groups in units of it."""
    rates = [float(group["lr"]) for group in groups]
    if len(set(rates)) == 1:
        return rates[0], [1.0] * len(rates)
    if min(rates) <= 0.0:
        raise ModelError(f"parameter groups have learning rates {rates}: freeze what does not move with requires_grad_(False)")
    return rates[0], [rate / rates[0] for rate in rates]


def _denominator(optimizer: Optimizer, group: Group, name: str, parameter: nn.Parameter) -> Array:
    """What the optimizer divides the gradient of one parameter by, at its last step."""
    if isinstance(optimizer, SGD):
        return np.ones(parameter.numel())
    state = optimizer.state.get(parameter, {})
    if not state:
        raise ModelError(
            f"the optimizer has no second moment of '{name}' yet: take a step first (or freeze it with requires_grad_(False) "
            "if it never gets a gradient)"
        )
    if isinstance(optimizer, RMSprop):
        square = _array(state["square_avg"])
        square = square - _array(state["grad_avg"]) ** 2 if group["centered"] else square
        return np.asarray(np.sqrt(square) + group["eps"])
    beta1, beta2 = (float(beta) for beta in group["betas"])
    step = float(state["step"])
    square = _array(state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"])
    return np.asarray((1.0 - beta1**step) * (np.sqrt(square / (1.0 - beta2**step)) + float(group["eps"])))


def _array(value: Tensor) -> Array:
    return np.asarray(value.detach().to("cpu", torch.float64).numpy().reshape(-1))


def _sgd(group: Group) -> dict[str, Any]:
    momentum = float(group["momentum"])
    # Torch dampens nothing where there is no momentum.
    dampening = float(group["dampening"]) if momentum else 0.0
    decay = float(group["weight_decay"])
    return {
        "name": "sgd",
        "momentum": momentum,
        "dampening": dampening,
        "nesterov": bool(group["nesterov"]),
        "weight_decay": decay,
    }


def _adam(group: Group) -> dict[str, Any]:
    decay = float(group["weight_decay"])
    if group.get("decoupled_weight_decay"):
        return {"name": "adamw", "beta1": float(group["betas"][0]), "weight_decay": decay}
    if decay:
        raise ModelError(
            f"Adam with weight_decay={decay} adds it to the gradient before it is divided: linstab knows AdamW's decay. "
            "Train with AdamW, or with weight_decay=0"
        )
    return {"name": "adam", "beta1": float(group["betas"][0])}


def _adamw(group: Group) -> dict[str, Any]:
    return {"name": "adamw", "beta1": float(group["betas"][0]), "weight_decay": float(group["weight_decay"])}


def _rmsprop(group: Group) -> dict[str, Any]:
    if group["weight_decay"]:
        raise ModelError(
            f"RMSprop with weight_decay={group['weight_decay']} adds it to the gradient before it is divided, which linstab does not "
            "know: train with weight_decay=0"
        )
    return {"name": "rmsprop", "momentum": float(group["momentum"])}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


_READERS: dict[type[Optimizer], Callable[[Group], dict[str, Any]]] = {SGD: _sgd, Adam: _adam, AdamW: _adamw, RMSprop: _rmsprop}

# Parameters whose default in linstab is not zero, and that are named also when they are.
_DEFAULT_NOT_ZERO = {"adam": ("beta1",), "adamw": ("beta1", "weight_decay")}
