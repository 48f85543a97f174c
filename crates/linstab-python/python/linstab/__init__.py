"""Will this minimum hold under my optimizer, my batch size, my loader, and up to which learning rate?

>>> import numpy as np, linstab
>>> factors = np.random.default_rng(0).normal(size=(20, 50))
>>> answer = linstab.analyze(factors, batch_size=[1, 4], learning_rate=0.01)
>>> answer.stable
True

``linstab.torch`` and ``linstab.jax`` make factors from a model; ``linstab.Monitor`` follows a training.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._analysis import Analysis, analyze
from ._comparison import Change
from ._functions import (
    Check,
    CheckedNumber,
    CoherenceMatrix,
    MinimaComparison,
    OptimizerRule,
    StabilityMap,
    check,
    coherence,
    compare,
    criteria,
    growth_per_step,
    lyapunov,
    max_learning_rate,
    optimizers,
    stability_map,
)
from ._linstab import __version__
from .errors import (
    FileError,
    InputError,
    LinstabError,
    MemoryLimitError,
    ModelError,
    NonFiniteError,
    NumericalError,
    OptionError,
    OutOfRangeError,
)
from .factors import Factors, Gram

if TYPE_CHECKING:
    from .monitor import Monitor

__all__ = [
    "Analysis",
    "Change",
    "Check",
    "CheckedNumber",
    "CoherenceMatrix",
    "Factors",
    "FileError",
    "Gram",
    "InputError",
    "LinstabError",
    "MemoryLimitError",
    "ModelError",
    "MinimaComparison",
    "Monitor",
    "NonFiniteError",
    "NumericalError",
    "OptimizerRule",
    "OptionError",
    "OutOfRangeError",
    "StabilityMap",
    "__version__",
    "analyze",
    "check",
    "coherence",
    "compare",
    "criteria",
    "growth_per_step",
    "lyapunov",
    "max_learning_rate",
    "optimizers",
    "stability_map",
]

# Imported when they are asked for: a framework takes seconds to import, and need not be there.
_LAZY_MODULES = ("integrations", "jax", "monitor", "torch")


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name == "Monitor":
        return importlib.import_module(".monitor", __name__).Monitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
