"""What is predicted for a setting of the edge test: every quantity of `linstab` that switches at a learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import linstab
import linstab.jax
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from . import linear, losses, minima, rules
from .restarts import Loader

SAMPLINGS = {
    "independent": ("without-replacement", "keep"),
    "reshuffling": ("reshuffling", "keep"),
    "reshuffling-drop-last": ("reshuffling", "drop"),
}


@dataclass(frozen=True)
class Prediction:
    """A learning rate, and the interval it is known to; they are equal where it is exact."""

    predictor: str
    learning_rate: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Analysed:
    """A checkpoint with its factors."""

    minimum: minima.Minimum

    @cached_property
    def factors(self) -> Any:
        """Gauss-Newton factors of the samples, and residuals of a point beside the minimum: at it they are zero, and diagnostics that
        divide by a gradient 0/0."""
        minimum = self.minimum
        is_error = minimum.problem.loss == "squared_error"
        found = linstab.jax.factors(
            lambda params, images: minimum.network.apply(params["place"], images),
            {"place": minimum.place},
            (minimum.images, minimum.targets if is_error else minimum.targets.argmax(axis=1)),
            loss=losses.kind(minimum.problem.loss),
        )
        away = np.random.default_rng(minimum.problem.seed).standard_normal(found.values.shape[2])
        return replace(found, coefficients=found.values @ away)

    @cached_property
    def sharpness(self) -> float:
        """Largest eigenvalue of the mean Gauss-Newton curvature."""
        rows = self.factors.values.reshape(-1, self.factors.values.shape[2])
        return float(np.linalg.norm(rows, 2) ** 2 / len(self.factors.values))

    @cached_property
    def coherence(self) -> float:
        """The paper's sigma."""
        return float(linstab.coherence(self.factors).sigma)

    def hessian_sharpness(self) -> float:
        """Largest eigenvalue of the Hessian of the loss itself, by automatic differentiation, from products with vectors."""
        minimum = self.minimum
        images, targets = jnp.asarray(minimum.images), jnp.asarray(minimum.targets)

        def gradient(place: Any) -> Any:
            return jax.grad(lambda p: minima.mean_loss(minimum.network, minimum.problem.loss, p, images, targets))(place)

        product = jax.jit(lambda vector: jax.jvp(gradient, (jnp.asarray(minimum.place),), (vector,))[1])
        size = minimum.place.size
        operator = LinearOperator((size, size), matvec=lambda v: np.asarray(product(jnp.asarray(v.reshape(-1)))), dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(size)
        return float(eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])

    def mean_square(self, specification: str, sampling: str, batch_size: int) -> Prediction:
        """The exact threshold of an optimizer and a loader."""
        row = self._analysis(specification, sampling, batch_size, diagnostics=False).stability[0]
        return Prediction("mean_square", row.max_learning_rate, *row.max_learning_rate_interval)

    def gram(self, preconditioned: bool) -> np.ndarray:
        """Inner products of all factors, with those of a preconditioner."""
        rows = self.factors.values.reshape(-1, self.factors.values.shape[2])
        if preconditioned:
            rows = rows / np.sqrt(self.minimum.divisor)
        return np.asarray(rows @ rows.T)

    def all(self, specification: str, sampling: str, batch_size: int, num_epochs: int, seed: int) -> list[Prediction]:
        """Every prediction for a setting, that of its own loader first."""
        own = self.mean_square(specification, sampling, batch_size)
        analysis = self._analysis(specification, "independent", batch_size, diagnostics=True)
        row = analysis.stability[0]
        fresh = Prediction("mean_square_independent", row.max_learning_rate, *row.max_learning_rate_interval)
        limit = row.gradient_descent_limit
        found = [own, fresh, Prediction("gradient_descent_limit", limit, limit, limit)]
        found.append(self._almost_sure(specification, sampling, batch_size, own, num_epochs, seed))
        criteria = ((criterion.name.replace("-", "_"), criterion.max_learning_rate) for criterion in row.criteria)
        diagnostics = ((diagnostic.name, diagnostic.learning_rate) for diagnostic in analysis.diagnostics)
        known = {prediction.predictor for prediction in found}
        return found + list(_exact(dict([*criteria, *diagnostics]), known))

    def _almost_sure(
        self, specification: str, sampling: str, batch_size: int, own: Prediction, num_epochs: int, seed: int
    ) -> Prediction:
        """Of a single run; full batches have no chance in them."""
        if batch_size == len(self.minimum.images):
            return replace(own, predictor="almost_sure")
        rule, numbers = rules.parse(specification)
        loader = Loader(sampling, len(self.minimum.images), batch_size)
        gram = self.gram(rule.preconditioned)
        found = linear.almost_sure(rule, loader, gram, own.learning_rate, numbers, num_epochs, seed)
        return Prediction("almost_sure", found.value, found.lower, found.upper)

    def _analysis(self, specification: str, sampling: str, batch_size: int, *, diagnostics: bool) -> linstab.Analysis:
        drawing, last_batch = SAMPLINGS[sampling]
        return linstab.analyze(
            self.factors,
            batch_size=batch_size,
            optimizer=specification,
            sampling=drawing,
            last_batch=last_batch,
            preconditioner=self.minimum.divisor if specification.startswith("adamw") else None,
            diagnostics=diagnostics,
            top=0,
            threads=1,
        )


def _exact(rates: dict[str, float | None], known: set[str]) -> Iterator[Prediction]:
    for name, rate in rates.items():
        if rate is not None and not math.isnan(rate) and name not in known:
            yield Prediction(name, rate, rate, rate)
