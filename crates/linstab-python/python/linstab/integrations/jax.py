"""Loops in JAX: what a monitor analyses, from the parameters and the optax state of the moment.

    analyse = linstab.integrations.jax.analyser(apply, (inputs, targets), loss="cross_entropy", num_samples=200)
    with linstab.Monitor(analyse, optimizer="sgd:momentum=0.9", batch_size=32) as monitor:
        for step in range(num_steps):
            params, state, loss = update(params, state, next(batches))
            monitor.step(step, params, loss=loss, learning_rate=rate)

What ``analyse`` is called with are the arguments of ``step`` after the number: parameters, and the optax state if it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["analyser"]


def analyser(
    apply: Callable[[Any, Any], Any],
    data: Any,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    hyperparameters: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    sampling: str = "without-replacement",
    **options: Any,
) -> Callable[..., Any]:
    """A function of (params), or of (params, optax state), for :class:`linstab.Monitor`.

    The samples are drawn once, with ``seed``, and stay the same. Of parameters alone it gives factors, for the optimizer and the
    batch size of the monitor. With a state it gives the analysis under the optimizer that the state tells of, with
    ``hyperparameters`` for what the state does not hold (see :func:`linstab.jax.read_optimizer`), ``batch_size`` and
    ``sampling``. ``options`` are those of :func:`linstab.jax.factors`.
    """
    import linstab.jax

    if not (isinstance(data, tuple) and len(data) == 2):
        from ..jax._data import Samples

        # An iterable of batches may be there only once.
        samples = Samples.of(data, num_samples=None, seed=seed)
        data = (samples.inputs, samples.targets)
        batch_size = samples.batch_size if batch_size is None else batch_size

    def analyse(params: Any, state: Any = None) -> Any:
        chosen = {"num_samples": num_samples, "seed": seed, **options}
        if state is None:
            return linstab.jax.factors(apply, params, data, **chosen)
        return linstab.jax.analyze_model(
            apply, params, data, state, hyperparameters=hyperparameters, batch_size=batch_size, sampling=sampling, **chosen
        )

    return analyse
