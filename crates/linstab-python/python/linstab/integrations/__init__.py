"""Monitors for training loops that belong to somebody else, each imported by itself:

* :mod:`linstab.integrations.lightning`: a ``Callback`` of Lightning;
* :mod:`linstab.integrations.transformers`: a ``TrainerCallback`` of Hugging Face;
* :mod:`linstab.integrations.jax`: what to analyse in a loop of one's own, from parameters and an optax state.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = ("jax", "lightning", "transformers")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
