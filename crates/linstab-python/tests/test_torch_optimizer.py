"""Optimizers as linstab names them: with the second moment frozen, steps of torch are the steps of the rule, to rounding."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")

from torch import Tensor, nn  # noqa: E402

from linstab.errors import LinstabError
from linstab.torch import optimizer_spec  # noqa: E402
from linstab.torch._optimizer import optimized_names  # noqa: E402

STEPS = 6
# Some rounding errors a step of numbers of size one.
TOLERANCE = 1e-13


class Quadratic(nn.Module):
    """Half of ``w^T H w``, with the parameters in two tensors."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
        self.hessian = root @ root.T / 5
        self.first = nn.Parameter(torch.randn(2, generator=generator, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64))

    def forward(self) -> Tensor:
        w = torch.cat([self.first, self.second])
        return 0.5 * w @ self.hessian @ w

    def vector(self) -> np.ndarray:
        return torch.cat([self.first, self.second]).detach().numpy().copy()


Rule = Callable[[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray, dict[str, float]], tuple[np.ndarray, np.ndarray]]


def sgd(
    w: np.ndarray, v: np.ndarray, g: np.ndarray, eta: float, p: np.ndarray, s: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    g = (g + s.get("weight_decay", 0.0) * w * p) / p
    m = s.get("momentum", 0.0)
    v = m * v + (1 - s.get("dampening", 0.0)) * g
    return w - eta * (g + m * v if s.get("nesterov") else v), v


def adam(
    w: np.ndarray, v: np.ndarray, g: np.ndarray, eta: float, p: np.ndarray, s: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    v = s["beta1"] * v + (1 - s["beta1"]) * g
    return (1 - eta * s.get("weight_decay", 0.0)) * w - eta * v / p, v


def rmsprop(
    w: np.ndarray, v: np.ndarray, g: np.ndarray, eta: float, p: np.ndarray, s: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    v = s.get("momentum", 0.0) * v + g / p
    return w - eta * v, v


RULES: dict[str, Rule] = {"sgd": sgd, "adam": adam, "adamw": adam, "rmsprop": rmsprop}

BUFFERS = {"sgd": "momentum_buffer", "adam": "exp_avg", "adamw": "exp_avg", "rmsprop": "momentum_buffer"}


def settings_of(spec: str) -> dict[str, float]:
    return {key: float({"true": "1", "false": "0"}.get(value, value)) for key, value in re.findall(r"(\w+)=([^,]+)", spec)}


def freeze(optimizer: Any, frozen: dict[Any, dict[str, Tensor]], gradients: dict[Any, Tensor]) -> None:
    """Set second moments and step so that torch's update of them gives back the frozen ones."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state, kept, g = optimizer.state[parameter], frozen[parameter], gradients[parameter]
            decay = group["betas"][1] if "betas" in group else group.get("alpha")
            for name, power in (("exp_avg_sq", 2), ("square_avg", 2), ("grad_avg", 1)):
                if name in kept:
                    state[name].copy_((kept[name] - (1 - decay) * g**power) / decay)
            if "max_exp_avg_sq" in kept:
                state["max_exp_avg_sq"].copy_(kept["max_exp_avg_sq"])
            if "step" in kept:
                state["step"] = kept["step"] - 1


OPTIMIZERS: dict[str, Callable[[Quadratic], Any]] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
    "heavy ball": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "dampening without momentum": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, dampening=0.3),
    "nesterov": lambda m: torch.optim.SGD(m.parameters(), lr=torch.tensor(0.1), momentum=0.9, nesterov=True, weight_decay=0.01),
    "two learning rates": lambda m: torch.optim.SGD(
        [{"params": [m.first]}, {"params": [m.second], "lr": 0.03}], lr=0.1, momentum=0.9
    ),
    "two learning rates and decays": lambda m: torch.optim.SGD(
        [{"params": [m.first], "weight_decay": 0.03}, {"params": [m.second], "lr": 0.03, "weight_decay": 0.1}],
        lr=0.1,
        momentum=0.9,
    ),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=0.1),
    "adam of slow start": lambda m: torch.optim.Adam(m.parameters(), lr=0.1, betas=(0.99, 0.9999), eps=1e-3),
    "amsgrad": lambda m: torch.optim.Adam(m.parameters(), lr=0.1, amsgrad=True),
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), lr=0.1, weight_decay=0.1),
    "adamw without decay": lambda m: torch.optim.AdamW(m.parameters(), lr=0.1, betas=(0.0, 0.99), weight_decay=0),
    "adam of two groups": lambda m: torch.optim.AdamW(
        [{"params": [m.second], "weight_decay": 0.2}, {"params": [m.first], "lr": 0.05, "eps": 1e-4, "weight_decay": 0.4}], lr=0.1
    ),
    "rmsprop": lambda m: torch.optim.RMSprop(m.parameters(), lr=0.01, alpha=0.9),
    "rmsprop centered": lambda m: torch.optim.RMSprop(m.parameters(), lr=0.01, alpha=0.9, momentum=0.5, centered=True),
}


def train(model: Quadratic, optimizer: Any, steps: int = 8) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_torch_are_those_of_the_rule(name: str) -> None:
    model = Quadratic()
    optimizer = OPTIMIZERS[name](model)
    train(model, optimizer)
    spec, eta, preconditioner = optimizer_spec(optimizer, model)
    kind, settings = spec.split(":")[0], settings_of(spec)
    parameters = [model.first, model.second]
    # A step that is frozen: what the specification was read from, again and again.
    frozen = {
        p: {
            k: v.clone()
            for k, v in optimizer.state[p].items()
            if k in ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "step")
        }
        for p in parameters
    }
    w, p = model.vector(), np.ones(5) if preconditioner is None else preconditioner
    buffers = [optimizer.state[q].get(BUFFERS[kind]) for q in parameters]
    v = np.concatenate([np.zeros(q.numel()) if b is None else b.numpy() for q, b in zip(parameters, buffers, strict=True)])
    if kind == "sgd":
        v = v / p
    hessian = model.hessian.numpy()
    start = np.abs(w).max()
    for _ in range(STEPS):
        optimizer.zero_grad()
        model().backward()
        freeze(optimizer, frozen, {q: q.grad.clone() for q in parameters})
        optimizer.step()
        w, v = RULES[kind](w, v, hessian @ w, eta, p, settings)
    assert np.abs(model.vector() - w).max() <= TOLERANCE * max(start, np.abs(w).max())


def test_a_forgotten_bias_correction_would_be_seen() -> None:
    """Negative control: after eight steps of Adam the corrections are far from one."""
    model = Quadratic()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    train(model, optimizer)
    found = optimizer_spec(optimizer, model)[2]
    plain = torch.cat([optimizer.state[p]["exp_avg_sq"].sqrt() for p in (model.first, model.second)]).numpy()
    assert (np.abs(found / plain - 1) > 0.5).all()


def test_specifications_are_those_of_the_command() -> None:
    model = Quadratic()

    def spec(name: str) -> str:
        optimizer = OPTIMIZERS[name](model)
        train(model, optimizer, 1)
        return optimizer_spec(optimizer, model)[0]

    assert spec("sgd") == "sgd"
    assert spec("dampening without momentum") == "sgd"
    assert spec("heavy ball") == "sgd:momentum=0.9,dampening=0.3,weight_decay=0.01"
    assert spec("nesterov") == "sgd:momentum=0.9,nesterov=true,weight_decay=0.01"
    assert spec("adam") == "adam:beta1=0.9"
    assert spec("adamw without decay") == "adamw:beta1=0.0,weight_decay=0.0"
    assert spec("rmsprop") == "rmsprop"
    decoupled = torch.optim.Adam(model.parameters(), weight_decay=0.1, decoupled_weight_decay=True)
    train(model, decoupled, 1)
    assert optimizer_spec(decoupled, model)[0] == "adamw:beta1=0.9,weight_decay=0.1"


def test_a_scheduled_learning_rate_is_the_present_one() -> None:
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    train(model, optimizer, 1)
    schedule.step()
    assert optimizer_spec(optimizer, model)[1:] == (0.05, None)


def two_groups(kind: Any, **second: Any) -> Callable[[Quadratic], Any]:
    return lambda m: kind([{"params": [m.first]}, {"params": [m.second], **second}], lr=0.1)


REFUSED: dict[str, tuple[Callable[[Quadratic], Any], str]] = {
    "adagrad": (lambda m: torch.optim.Adagrad(m.parameters()), "Adagrad is not an optimizer that can be read"),
    "maximize": (lambda m: torch.optim.SGD(m.parameters(), lr=0.1, maximize=True), "group 0 maximizes"),
    "momentum": (two_groups(torch.optim.SGD, momentum=0.9), "different momentum"),
    "decay": (two_groups(torch.optim.SGD, weight_decay=0.1), "groups 0 and 1 have different weight_decay"),
    "beta": (two_groups(torch.optim.Adam, betas=(0.8, 0.9)), "different beta1"),
    "coupled decay": (lambda m: torch.optim.Adam(m.parameters(), weight_decay=0.1), "Train with AdamW"),
    "rmsprop decay": (lambda m: torch.optim.RMSprop(m.parameters(), weight_decay=0.1), "train with weight_decay=0"),
    "no step": (lambda m: torch.optim.Adam(m.parameters()), "no second moment of 'first' yet: take a step"),
    "no rate": (two_groups(torch.optim.SGD, lr=0.0), "freeze what does not move"),
    "another model": (lambda m: torch.optim.SGD(Quadratic().parameters(), lr=0.1), "2 parameters that are not of this model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_optimizers_without_a_rule_are_refused(name: str) -> None:
    build, message = REFUSED[name]
    model = Quadratic()
    with pytest.raises(LinstabError, match=message):
        optimizer_spec(build(model), model)


def test_division_by_zero_is_refused() -> None:
    model = Quadratic()
    optimizer = torch.optim.RMSprop(model.parameters(), eps=0.0)
    train(model, optimizer, 1)
    optimizer.state[model.first]["square_avg"].zero_()
    with pytest.raises(LinstabError, match="divides gradients by zero"):
        optimizer_spec(optimizer, model)


def test_only_what_the_optimizer_moves_counts() -> None:
    model = Quadratic()
    optimizer = torch.optim.SGD([model.second], lr=0.1)
    assert optimized_names(optimizer, model) == ["second"]
    model.first.requires_grad_(False)
    both = torch.optim.Adam([model.second, model.first])
    train(model, both, 1)
    assert optimized_names(both, model) == ["second"]
    found = optimizer_spec(both, model)[2]
    assert found is not None
    assert found.shape == (3,)
