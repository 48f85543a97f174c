"""From a PyTorch model to its exact thresholds.

>>> import linstab.torch                                                        # doctest: +SKIP
>>> analysis = linstab.torch.analyze_model(model, loader, optimizer, loss="cross_entropy")   # doctest: +SKIP
>>> analysis.max_learning_rate                                                  # doctest: +SKIP

:func:`factors` gives the Gauss-Newton factors of every sample, :func:`gram` their inner products without them,
:func:`optimizer_spec` what ``linstab`` calls a ``torch.optim`` optimizer, and :func:`analyze_model` all of it in one call.
"""

from __future__ import annotations

from ._analysis import analyze_model
from ._factors import factors
from ._gram import gram
from ._optimizer import optimizer_spec

__all__ = ["analyze_model", "factors", "gram", "optimizer_spec"]
