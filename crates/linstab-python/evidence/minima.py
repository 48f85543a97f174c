"""Checkpoints of the edge test: minima found by first-order training and polished by Gauss-Newton steps."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import datasets, losses, networks
from .rules import BETA2, EPSILON

GOAL = 1e-26  # misfit of a polished minimum
GRADIENT_GOAL = 1e-10  # of a minimum at a finite loss: it moves a run by far less than the distance that it starts at
MAX_POLISH = 300
MAX_DAMPING = 1e4  # of the polish, over the mean eigenvalue: where no longer step helps, it is stuck
MAX_STARTS = 4
MAX_ATTEMPTS = 2  # from each start, with twice the first-order steps of the one before


@dataclass(frozen=True)
class Problem:
    """A network, its data and its loss, by name."""

    network: str
    data: str
    loss: str
    seed: int
    num_samples: int

    @property
    def name(self) -> str:
        """Identifier in the tables."""
        short = {"squared_error": "mse", "cross_entropy": "ce", "smoothed_cross_entropy": "smooth"}[self.loss]
        return f"{self.network}.{self.data}.{short}.{self.seed}"


@dataclass(frozen=True)
class Minimum:
    """Where a training has arrived, and what it was trained on."""

    problem: Problem
    network: networks.Network
    place: np.ndarray
    divisor: np.ndarray
    """sqrt(second moment) + eps of Adam at the end of its training, one number a parameter."""
    images: np.ndarray
    targets: np.ndarray
    seconds: float

    @property
    def interpolating(self) -> bool:
        """Whether every sample is fitted to rounding."""
        return float(self.misfit()) < 1e3 * GOAL

    def outputs(self) -> jax.Array:
        """Of all samples."""
        return self.network.apply(jnp.asarray(self.place), jnp.asarray(self.images))

    def misfit(self) -> jax.Array:
        """Half the squared residuals, mean over samples."""
        return losses.misfit(self.problem.loss, self.outputs(), jnp.asarray(self.targets))


def find(problem: Problem, num_steps: int) -> Minimum:
    """Adam on all samples, then Gauss-Newton steps of least norm, or Newton's where the network is too small to interpolate."""
    began = time.perf_counter()
    network, data, targets = _posed(problem)
    polish = _gauss_newton if network.num_parameters > targets.size else _newton
    for attempt, start in itertools.product(range(MAX_ATTEMPTS), range(MAX_STARTS)):
        trained, divisor = _adam(network, problem.loss, network.initial(problem.seed, start), data.images, targets, num_steps * 2**attempt)
        try:
            place = polish(problem, network, np.asarray(trained), data.images, targets)
        except RuntimeError:
            # A kink of a piecewise linear network can be in the way; from elsewhere or from further along it seldom is.
            if (attempt, start) == (MAX_ATTEMPTS - 1, MAX_STARTS - 1):
                raise
        else:
            break
    return Minimum(problem, network, place, np.asarray(divisor), data.images, targets, time.perf_counter() - began)


def restored(problem: Problem, place: np.ndarray, divisor: np.ndarray, seconds: float) -> Minimum:
    """A minimum that has been found before."""
    network, data, targets = _posed(problem)
    return Minimum(problem, network, place, divisor, data.images, targets, seconds)


def _posed(problem: Problem) -> tuple[networks.Network, datasets.Dataset, np.ndarray]:
    """The network of a problem, its data, and the targets of its loss."""
    data = datasets.load(problem.data, problem.num_samples, problem.seed)
    if problem.loss != "squared_error" and not data.is_classes:
        raise ValueError(f"{problem.name}: cross-entropy needs data with classes")
    return networks.named(problem.network, data.num_outputs), data, losses.targets_of(problem.loss, data.targets)


def mean_loss(network: networks.Network, loss: str, place: Any, images: Any, targets: Any) -> Any:
    """The loss of a training, mean over samples."""
    return losses.sample_losses(loss, network.apply(place, images), targets).mean()


def _adam(network: networks.Network, loss: str, place: Any, images: Any, targets: Any, num_steps: int) -> tuple[Any, Any]:
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, num_steps, alpha=0.1), b2=BETA2, eps=EPSILON)

    def step(_: int, carry: Any) -> Any:
        place, state = carry
        gradient = jax.grad(lambda place: mean_loss(network, loss, place, images, targets))(place)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(place, updates), state

    place = jnp.asarray(place)
    place, state = jax.jit(lambda carry: jax.lax.fori_loop(0, num_steps, step, carry))((place, optimizer.init(place)))
    return place, jnp.sqrt(state[0].nu / (1 - BETA2**num_steps)) + EPSILON


def _aims(loss: str, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """What a sample's outputs lack to be fitted, linear in them: for cross-entropy, logits to the logarithms of their targets."""
    if loss == "squared_error":
        return outputs - targets
    difference = outputs - jnp.log(targets)
    return difference - difference.mean(axis=-1, keepdims=True)


def _gauss_newton(problem: Problem, network: networks.Network, place: np.ndarray, images: Any, targets: Any) -> np.ndarray:
    images, targets = jnp.asarray(images), jnp.asarray(targets)

    def lacks(place: jax.Array) -> jax.Array:
        return _aims(problem.loss, network.apply(place, images), targets).reshape(-1)

    @jax.jit
    def move(place: jax.Array, damping: jax.Array) -> jax.Array:
        jacobian, now = jax.jacrev(lacks)(place), lacks(place)
        gram = jacobian @ jacobian.T
        gram = gram + damping * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
        return -jacobian.T @ jnp.linalg.solve(gram, now)

    size = jax.jit(lambda place: jnp.mean(lacks(place) ** 2))
    current, found, damping = jnp.asarray(place), float(size(jnp.asarray(place))), 1e-4
    for _ in range(MAX_POLISH):
        tried = current + move(current, jnp.asarray(damping))
        value = float(size(tried))
        if value < found:
            current, found, damping = tried, value, max(damping / 30, 1e-13)
        else:
            # At rounding no step helps any more.
            if found < GOAL or damping > MAX_DAMPING:
                break
            damping *= 10
    if found > GOAL:
        raise RuntimeError(f"{problem.name}: the polish ended at {found:.1e}, not at {GOAL:.0e}: train longer, or widen the network")
    return np.asarray(current)


def _newton(problem: Problem, network: networks.Network, place: np.ndarray, images: Any, targets: Any) -> np.ndarray:
    """Newton's steps on the loss, with the moduli of eigenvalues, until the gradient is at rounding."""
    images, targets = jnp.asarray(images), jnp.asarray(targets)

    def loss(place: jax.Array) -> jax.Array:
        return mean_loss(network, problem.loss, place, images, targets)

    @jax.jit
    def parts(place: jax.Array) -> Any:
        values, vectors = jnp.linalg.eigh(jax.hessian(loss)(place))
        gradient = jax.grad(loss)(place)
        return loss(place), gradient, values, vectors

    current = jnp.asarray(place)
    value, gradient, values, vectors = parts(current)
    damping = 1e-3
    for _ in range(300):
        if float(jnp.linalg.norm(gradient)) < GRADIENT_GOAL:
            return np.asarray(current)
        floor = damping * jnp.max(jnp.abs(values))
        tried = current - vectors @ ((vectors.T @ gradient) / (jnp.abs(values) + floor))
        after = parts(tried)
        if float(after[0]) <= float(value) * (1 + 1e-14):
            current, (value, gradient, values, vectors), damping = tried, after, max(damping / 10, 1e-14)
        else:
            damping *= 10
    raise RuntimeError(f"{problem.name}: Newton's steps ended at a gradient of {float(jnp.linalg.norm(gradient)):.1e}, not at {GRADIENT_GOAL:.0e}")
