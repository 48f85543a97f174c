"""What an optax state says of its optimizer, and what it does not.

An optax optimizer is a pair of functions, and its numbers are inside them, out of reach; what it has remembered is in its state.
So the state alone says which memory there is (and for Adam and RMSProp what the second moment is), and the rest has to be asked
for, unless the optimizer was made with ``optax.inject_hyperparams``, which puts its numbers into the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ..errors import ModelError

__all__ = ["OptaxOptimizer", "read_optimizer"]

# States of transformations that remember nothing of the gradients.
_STATELESS = ("EmptyState",)
_SCHEDULES = ("ScaleByScheduleState",)
_ADAM, _TRACE = "ScaleByAdamState", "TraceState"
_RMS = ("ScaleByRmsState", "ScaleByRmsWithCountState")
# What else can be told of a hyperparameter's name: optax calls some of them differently in different places.
_ALIASES = {"b1": ("b1", "beta1"), "b2": ("b2", "beta2"), "momentum": ("momentum", "decay"), "decay": ("decay", "b2")}

# Names that mean something here, and arguments of optax's functions that change no threshold.
_KNOWN = {
    *("learning_rate", "momentum", "decay", "nesterov", "b1", "beta1", "b2", "beta2", "eps", "eps_root", "eps_in_sqrt"),
    *("weight_decay", "accumulator_dtype", "mu_dtype", "initial_scale", "centered", "bias_correction", "mask"),
}


@dataclass(frozen=True, eq=False)
class OptaxOptimizer:
    """An optax optimizer as the analysis takes it.

    ``spec`` is a specification as of ``linstab analyze --optimizer``; ``divisor`` the pytree of numbers, one a parameter, that
    Adam or RMSProp divides gradients by at this step (None for others); ``learning_rate`` None where the state does not say.
    """

    spec: str
    learning_rate: float | None
    divisor: Any = field(repr=False, default=None)


def read_optimizer(state: Any, hyperparameters: Mapping[str, Any] | None = None) -> OptaxOptimizer:
    """Reads an optax state.

    ``hyperparameters`` are the numbers that the state does not hold, by the names that optax gives them. Raises ``ModelError``
    naming those that are missing, and for optimizers that the analysis does not know.
    """
    injected, states = _unwrap(state)
    _require_known(hyperparameters or {})
    given = _Given({**injected, **dict(hyperparameters or {})}, frozenset(injected))
    accumulators = [entry for entry in states if _name(entry) not in _STATELESS + _SCHEDULES]
    kinds = ["rms" if _name(entry) in _RMS else _name(entry) for entry in accumulators]
    if kinds == [_ADAM]:
        return _adam(states, accumulators[0], given)
    if kinds == ["rms"] or kinds == ["rms", _TRACE]:
        return _rmsprop(states, accumulators, given)
    if kinds in ([], [_TRACE]):
        return _sgd(states, accumulators, given)
    raise ModelError(
        f"the optimizer keeps {', '.join(map(_name, accumulators))}: the analysis knows sgd with momentum, adam, adamw and rmsprop; "
        "if its rule is one of `linstab analyze --help`, give that specification in the place of the state"
    )


def _require_known(hyperparameters: Mapping[str, Any]) -> None:
    unknown = [name for name in hyperparameters if name not in _KNOWN]
    if unknown:
        raise ModelError(f"unknown hyperparameters {', '.join(unknown)}; known are: {', '.join(sorted(_KNOWN))}")


class _Given:
    """Hyperparameters that are known; asking for others is collected, so that one error names them all."""

    def __init__(self, values: Mapping[str, Any], injected: frozenset[str]) -> None:
        self._values = dict(values)
        self._injected = injected
        self._missing: dict[str, str] = {}

    def ask(self, name: str, meaning: str, stand_in: float = 0.5) -> float:
        for alias in _ALIASES.get(name, (name,)):
            if alias in self._values:
                return _number(self._values[alias])
        self._missing[name] = meaning
        return stand_in

    def get(self, name: str) -> float | None:
        return _number(self._values[name]) if name in self._values else None

    def require(self) -> None:
        """Raises ``ModelError`` if anything that was asked for is missing."""
        if not self._missing:
            return
        wanted = ", ".join(f"{name} ({meaning})" for name, meaning in self._missing.items())
        raise ModelError(
            f"the optax state does not say: {wanted}. Pass hyperparameters={{'{next(iter(self._missing))}': ..., ...}}, "
            "or make the optimizer with optax.inject_hyperparams, which keeps its numbers (not its flags) in the state"
        )


def _sgd(states: list[Any], accumulators: list[Any], given: _Given) -> OptaxOptimizer:
    terms = []
    if accumulators:
        momentum = given.ask("momentum", "decay of the trace")
        nesterov = bool(given.ask("nesterov", "True or False"))
        terms += [f"momentum={momentum!r}"] + (["nesterov=true"] if nesterov else [])
    before, after = _hidden(states, accumulators)
    # Without memory it does not matter where the decay stands, and a decay before the trace is part of the gradient.
    decay = _weight_decay(given, before + after)
    given.require()
    if decay and before and after and accumulators:
        raise ModelError(
            "there are transformations on both sides of the trace, so the state does not say which weight decay this is: give the "
            "specification, 'sgd:weight_decay=..' for a decay before the trace, 'sgdw:weight_decay=..' for one after it"
        )
    if decay:
        terms.append(f"weight_decay={decay!r}")
    name = "sgdw" if decay and accumulators and after else "sgd"
    return OptaxOptimizer(_spec(name, terms), given.get("learning_rate"))


def _adam(states: list[Any], adam: Any, given: _Given) -> OptaxOptimizer:
    beta1 = given.ask("b1", "decay of the first moment")
    beta2 = given.ask("b2", "decay of the second moment")
    eps = given.ask("eps", "added to the root")
    eps_root = given.ask("eps_root", "added under the root, optax's default is 0")
    nesterov = bool(given.ask("nesterov", "True or False", stand_in=0.0))
    before, after = _hidden(states, [adam])
    decay = _weight_decay(given, before + after)
    given.require()
    if nesterov:
        raise ModelError("adam with nesterov=True: the analysis knows adam and adamw without it")
    if decay and before:
        raise ModelError(
            "a transformation stands before adam: a weight decay there is part of the gradient that adam divides, which the "
            "analysis does not know; it knows the decay of adamw, which stands after"
        )
    moment = _corrected(adam.nu, beta2, int(adam.count))
    divisor = jax.tree_util.tree_map(lambda nu: np.sqrt(nu + eps_root) + eps, moment)
    terms = [f"beta1={beta1!r}"] + ([f"weight_decay={decay!r}"] if decay else [])
    return OptaxOptimizer(_spec("adamw" if decay else "adam", terms), given.get("learning_rate"), divisor)


def _rmsprop(states: list[Any], accumulators: list[Any], given: _Given) -> OptaxOptimizer:
    rms = accumulators[0]
    eps = given.ask("eps", "added to the second moment or its root")
    inside = bool(given.ask("eps_in_sqrt", "True, optax's default, or False"))
    counted = "count" in rms._fields
    beta2 = given.ask("decay", "decay of the second moment") if counted else 0.0
    momentum = given.ask("momentum", "decay of the trace") if len(accumulators) > 1 else 0.0
    nesterov = bool(given.ask("nesterov", "True or False", stand_in=0.0)) if len(accumulators) > 1 else False
    before, after = _hidden(states, accumulators)
    decay = _weight_decay(given, before + after)
    given.require()
    if decay or nesterov:
        raise ModelError("rmsprop with weight decay or nesterov: the analysis knows rmsprop and its momentum without them")
    moment = _corrected(rms.nu, beta2, int(rms.count)) if counted else _doubles(rms.nu)
    root = (lambda nu: np.sqrt(nu + eps)) if inside else (lambda nu: np.sqrt(nu) + eps)
    divisor = jax.tree_util.tree_map(root, moment)
    return OptaxOptimizer(_spec("rmsprop", [f"momentum={momentum!r}"]), given.get("learning_rate"), divisor)


def _weight_decay(given: _Given, hidden: int) -> float:
    """The decay; asked for where a transformation that remembers nothing could be one."""
    known = given.get("weight_decay")
    if known is not None or not hidden:
        return known or 0.0
    return given.ask("weight_decay", f"0 if none of the {hidden} transformations without memory is one", stand_in=0.0)


def _hidden(states: list[Any], accumulators: list[Any]) -> tuple[int, int]:
    """How many transformations without memory stand before the memory and after it, the learning rate not counted."""
    last = max((index for index, entry in enumerate(states) if any(entry is a for a in accumulators[:1])), default=-1)
    stateless = [index for index, entry in enumerate(states) if _name(entry) in _STATELESS]
    before = sum(index < last for index in stateless)
    after = len(stateless) - before
    scheduled = any(_name(entry) in _SCHEDULES for entry in states)
    return before, after if scheduled else max(0, after - 1)


def _corrected(moment: Any, beta2: float, count: int) -> Any:
    """Second moment with the bias correction of the current step."""
    if count < 1:
        raise ModelError("the optimizer has not made a step yet: its second moment is zero, train before the analysis")
    return jax.tree_util.tree_map(lambda nu: nu / (1.0 - beta2**count), _doubles(moment))


def _doubles(tree: Any) -> Any:
    return jax.tree_util.tree_map(lambda leaf: np.asarray(leaf).astype(np.float64), tree)


def _unwrap(state: Any) -> tuple[dict[str, Any], list[Any]]:
    """Injected hyperparameters, and the states of single transformations in their order."""
    injected: dict[str, Any] = {}
    states = []
    for entry in _flatten(state):
        if isinstance(entry, Mapping):
            injected.update(entry)
        else:
            states.append(entry)
    if not states:
        raise ModelError("this is no optax state: give optimizer.init(params), or what update returned last, or a specification")
    return injected, states


def _flatten(state: Any) -> Iterator[Any]:
    if hasattr(state, "hyperparams") and hasattr(state, "inner_state"):
        yield state.hyperparams
        yield from _flatten(state.inner_state)
    elif isinstance(state, tuple) and not hasattr(state, "_fields"):
        for entry in state:
            yield from _flatten(entry)
    elif isinstance(state, tuple):
        yield state
    else:
        raise ModelError(f"an optax state has no {type(state).__name__}: give the state of the optimizer, or a specification")


def _name(state: Any) -> str:
    return type(state).__name__


def _number(value: Any) -> float:
    """A hyperparameter as it was written: 0.9 in single precision is 0.9."""
    array = np.asarray(value)
    return float(str(array[()])) if array.dtype.kind == "f" else float(array)


def _spec(name: str, terms: list[str]) -> str:
    return f"{name}:{','.join(terms)}" if terms else name
