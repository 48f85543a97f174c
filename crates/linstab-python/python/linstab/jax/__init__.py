"""From a model in JAX to its thresholds.

    apply = lambda params, inputs: model.apply(params, inputs)
    factors = linstab.jax.factors(apply, params, (inputs, targets), loss="cross_entropy")
    print(linstab.analyze(factors, batch_size=32, optimizer="sgd:momentum=0.9"))

``apply(params, inputs)`` gives the outputs for a batch of inputs, and ``params`` is a pytree of real arrays. In one line each:

* flax.linen: ``apply = model.apply`` with ``params = variables``, if the model has parameters alone;
* flax.nnx: ``graph, params, rest = nnx.split(model, nnx.Param, ...)`` and
  ``apply = lambda params, inputs: nnx.merge(graph, params, rest)(inputs)``;
* equinox: ``params, static = equinox.partition(model, equinox.is_inexact_array)`` and
  ``apply = lambda params, inputs: jax.vmap(equinox.combine(params, static))(inputs)``.

Computations are in float64 by default, whatever ``jax_enable_x64`` says outside. The model is differentiated one sample at a time:
layers that look at a whole batch must be used as in evaluation, and are refused if they are not.
"""

from ._analyze import analyze_model
from ._factors import factors
from ._gram import gram
from ._optax import OptaxOptimizer, read_optimizer

__all__ = ["OptaxOptimizer", "analyze_model", "factors", "gram", "read_optimizer"]
