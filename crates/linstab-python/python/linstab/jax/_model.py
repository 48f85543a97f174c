"""A JAX model as a function of a list of arrays, with the checks that come before any derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ModelError
from ..factors import Parameters

__all__ = ["DTYPES", "Apply", "Model", "Select", "precision"]

Apply = Callable[[Any, Any], Any]
Select = Callable[[str], bool]

DTYPES = ("float64", "float32")

_EQUINOX = (
    "for an equinox module: params, static = equinox.partition(model, equinox.is_inexact_array) and "
    "apply = lambda params, x: jax.vmap(equinox.combine(params, static))(x)"
)


@dataclass(frozen=True, eq=False)
class Model:
    """Parameters of a model, told apart into those that are analysed and those that stay fixed.

    ``analysed`` are NumPy arrays in the precision of the analysis, in the order of ``jax.tree_util.tree_leaves``; ``fixed`` the
    other leaves. ``chosen`` says which leaves are analysed, ``treedef`` how they make up the parameters again.
    """

    apply: Apply
    treedef: Any
    chosen: tuple[bool, ...]
    names: tuple[str, ...]
    analysed: tuple[Any, ...]
    fixed: tuple[Any, ...]

    @classmethod
    def of(cls, apply: Apply, params: Any, *, select: Select | None, dtype: str) -> Model:
        """Checks the parameters, and takes those whose name ``select`` accepts (None: all).

        A name is the path to the leaf, its parts joined by ``/``. Raises ``ModelError`` for leaves that are no arrays and
        ``ModelError`` for arrays that are not real numbers, not finite, or in the tree twice.
        """
        if not callable(apply):
            raise ModelError(f"apply must be a function of (params, inputs), not {type(apply).__name__}")
        leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
        named = [(jax.tree_util.keystr(path, simple=True, separator="/") or "params", leaf) for path, leaf in leaves]
        for name, leaf in named:
            if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
                raise ModelError(f"parameter {name} is a {type(leaf).__name__}, not an array; {_EQUINOX}")
        chosen = tuple(select is None or bool(select(name)) for name, _ in named)
        wanted = [pair for pair, take in zip(named, chosen) if take]
        if sum(int(np.prod(leaf.shape)) for _, leaf in wanted) == 0:
            known = ", ".join(name for name, _ in named[:5]) or "none"
            raise ModelError(f"there are no parameters to analyse; the leaves of params are: {known}")
        for name, leaf in wanted:
            _require_real(name, leaf)
        _require_distinct(named)
        return cls(
            apply,
            treedef,
            chosen,
            tuple(name for name, _ in wanted),
            tuple(_finite(name, leaf, dtype) for name, leaf in wanted),
            tuple(_as_precise(leaf, dtype) for (_, leaf), take in zip(named, chosen) if not take),
        )

    @property
    def parameters(self) -> Parameters:
        """Names and shapes of the analysed leaves."""
        return tuple((name, tuple(leaf.shape)) for name, leaf in zip(self.names, self.analysed))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of each analysed leaf."""
        return tuple(int(leaf.size) for leaf in self.analysed)

    def flat(self, tree: Any, what: str) -> np.ndarray:
        """Numbers of a pytree like the parameters, shape (parameters,), of the analysed leaves alone."""
        leaves, treedef = jax.tree_util.tree_flatten(tree)
        if treedef.num_leaves != self.treedef.num_leaves:
            raise ModelError(f"{what} has {treedef.num_leaves} arrays, the parameters {self.treedef.num_leaves}")
        wanted = [np.asarray(leaf) for leaf, take in zip(leaves, self.chosen) if take]
        for name, expected, leaf in zip(self.names, self.analysed, wanted):
            if leaf.shape != expected.shape:
                raise ModelError(f"{what} of {name} has shape {leaf.shape}, the parameter {expected.shape}")
        return np.concatenate([leaf.astype(np.float64).ravel() for leaf in wanted])


def precision(dtype: str) -> Any:
    """Context in which JAX computes in ``dtype``, whatever ``jax_enable_x64`` says outside of it."""
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}: factors are computed in 'float64' or 'float32'")
    # Older versions have it among the experimental functions.
    home = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    return home.enable_x64(dtype == "float64")


def _require_real(name: str, leaf: Any) -> None:
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return
    kind = "complex" if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else "not a real number"
    advice = (
        "give real and imaginary parts as parameters of their own"
        if kind == "complex"
        else "leave it out of params, or out of the analysis: select=lambda name: name != " + repr(name)
    )
    raise ModelError(f"parameter {name} has type {leaf.dtype}, which is {kind}: {advice}")


def _require_distinct(named: list[tuple[str, Any]]) -> None:
    """The same array in two places would count as two parameters, which they are not if the training ties them."""
    seen: dict[int, str] = {}
    for name, leaf in named:
        other = seen.setdefault(id(leaf), name)
        if other != name:
            raise ModelError(
                f"parameters {other} and {name} are the same array: if they are tied, give it once and let apply use it twice; "
                "if each is trained by itself, copy one"
            )


def _finite(name: str, leaf: Any, dtype: str) -> Any:
    array = _as_precise(leaf, dtype)
    if not np.isfinite(array).all():
        raise ModelError(f"parameter {name} holds NaN or infinity: the training has diverged")
    return array


def _as_precise(leaf: Any, dtype: str) -> Any:
    """A leaf with its real numbers in the precision of the analysis; others, such as random keys, as they are."""
    return np.asarray(leaf).astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
