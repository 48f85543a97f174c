"""A torch model as a function of its parameters, in the precision of the analysis, and the factors of a few samples."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from ..errors import ModelError
from ..factors import Parameters
from ._checks import check_forward, check_modules, unwrap

Selection = str | Sequence[str] | Callable[[str, nn.Parameter], bool] | None

__all__ = ["FunctionalModel", "Selection", "select_parameters"]

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


class FunctionalModel:
    """A model whose trainable parameters are arguments.

    ``moving`` are the parameters that factors are taken for, by name, each shared tensor once; all numbers are in the precision
    of the analysis. The model itself is never written.
    """

    def __init__(self, model: nn.Module, params: Selection, dtype: DTypeLike | torch.dtype) -> None:
        self.module = unwrap(model)
        check_modules(self.module)
        self.dtype = read_precision(dtype)
        names = select_parameters(self.module, params)
        every = dict(self.module.named_parameters())
        self.device = every[names[0]].device
        _say_cast(every, self.dtype)
        self.moving = {name: self._cast(every[name]) for name in names}
        rest = {name: value for name, value in every.items() if name not in self.moving}
        # Copies of the buffers: a forward pass may write them.
        buffers = {name: self._cast(value).clone() for name, value in self.module.named_buffers()}
        self.fixed = {**{name: self._cast(value) for name, value in rest.items()}, **buffers}
        self._canonical = _canonical_names(self.module)
        self._by_loop: bool | None = None
        # Whether classes are the first axis of a sample's outputs, as torch has them for cross-entropy: they become the last.
        self.classes_first = False

    @property
    def parameters(self) -> Parameters:
        """Names and shapes of the parameters, in the order of the factors."""
        return tuple((name, tuple(value.shape)) for name, value in self.moving.items())

    def to_inputs(self, inputs: Tensor) -> Tensor:
        """Inputs on the device of the model, floating ones in the precision of the analysis."""
        return self._cast(inputs).to(self.device)

    def __call__(self, moving: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs of the samples, flattened to (samples, outputs)."""
        outputs = self._raw(moving, inputs)
        if self.classes_first and outputs.ndim > 2:
            outputs = outputs.movedim(1, -1)
        return outputs.reshape(len(inputs), -1)

    def check(self, inputs: Tensor) -> None:
        """Refuses a model whose outputs are not those of single samples."""
        try:
            with torch.no_grad():
                check_forward(lambda x: self._raw(self.moving, x), self.to_inputs(inputs[:4]))
        except RuntimeError as error:
            other = "float32" if self.dtype is torch.float64 else "float64"
            raise ModelError(
                f"the model does not run on these inputs in {_name(self.dtype)}: {_first_line(error)}. If it fixes a type "
                f"inside, pass dtype={other!r}; it takes one tensor of inputs, with the batch as first axis"
            ) from error
        with torch.enable_grad():
            leaves = {name: value.detach().clone().requires_grad_() for name, value in self.moving.items()}
            if not self._raw(leaves, self.to_inputs(inputs[:1])).requires_grad:
                raise ModelError(
                    "the outputs do not depend on the parameters: the model detaches them, runs under torch.no_grad() inside, or "
                    "uses none of the parameters that are analysed"
                )

    def output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Shape of the outputs of a sample, as the model gives them."""
        with torch.no_grad():
            return tuple(self._raw(self.moving, self.to_inputs(inputs)).shape[1:])

    def outputs(self, inputs: Tensor) -> NDArray[np.float64]:
        """Outputs as an array, (samples, outputs)."""
        with torch.no_grad():
            outputs = self(self.moving, self.to_inputs(inputs))
        return np.asarray(outputs.to("cpu", torch.float64).numpy())

    def factors(self, inputs: Tensor, roots: NDArray[np.float64], names: Iterable[str] | None = None) -> list[Tensor]:
        """Factors of a few samples, one tensor (samples, factors, numbers) a parameter of ``names`` (default: all).

        ``roots`` has shape (samples, factors, outputs). By ``vmap``, which is held against plain differentiation of the first
        sample once; where it fails, by a loop, with a warning.
        """
        names = list(self.moving if names is None else names)
        moving = {name: self.moving[name] for name in names}
        inputs, rows = self.to_inputs(inputs), torch.from_numpy(roots).to(self.device, self.dtype)
        with torch.enable_grad():
            if self._by_loop is None:
                self._by_loop = self._vmap_fails(moving, inputs[:2], rows[:2])
            return self._looped(moving, inputs, rows) if self._by_loop else self._mapped(moving, inputs, rows)

    def fingerprint(self, *others: object) -> str:
        """A hash of all weights and buffers, and of other tensors and settings."""
        digest = hashlib.sha256()
        for value in [*self.moving.items(), *sorted(self.fixed.items()), *others]:
            parts = value if isinstance(value, tuple) else (value,)
            for part in parts:
                if isinstance(part, Tensor):
                    digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
                    flat = part.detach().cpu().contiguous().reshape(-1)
                    digest.update(flat.view(torch.uint8).numpy().tobytes())
                else:
                    digest.update(repr(part).encode())
        return digest.hexdigest()

    def _raw(self, moving: dict[str, Tensor], inputs: Tensor) -> Tensor:
        tensors = {**self.fixed, **self.moving, **moving}
        # Every place of a module once: a module that is registered twice would be left with the tensors of this call.
        places = {place: tensors[name] for place, name in self._canonical.items()}
        outputs: Tensor = functional_call(self.module, places, (inputs,), tie_weights=False)
        return outputs

    def _cast(self, value: Tensor) -> Tensor:
        return value.detach().to(self.dtype) if value.is_floating_point() else value.detach()

    def _mapped(self, moving: dict[str, Tensor], inputs: Tensor, rows: Tensor) -> list[Tensor]:
        def one(x: Tensor, root: Tensor) -> dict[str, Tensor]:
            pull = vjp(lambda w: self(w, x[None])[0], moving)[1]
            rows: dict[str, Tensor] = vmap(lambda row: pull(row)[0])(root)
            return rows

        pulled = vmap(one)(inputs, rows)
        return [pulled[name].reshape(*rows.shape[:2], -1).detach() for name in moving]

    def _looped(self, moving: dict[str, Tensor], inputs: Tensor, rows: Tensor) -> list[Tensor]:
        leaves = {name: value.detach().clone().requires_grad_() for name, value in moving.items()}
        result = [value.new_zeros(*rows.shape[:2], value.numel()) for value in moving.values()]
        for i in range(len(inputs)):
            outputs = self(leaves, inputs[i : i + 1])[0]
            if not outputs.requires_grad:
                continue
            for q in range(rows.shape[1]):
                gradients = torch.autograd.grad(outputs, list(leaves.values()), rows[i, q], retain_graph=True, allow_unused=True)
                for into, gradient in zip(result, gradients):
                    if gradient is not None:
                        into[i, q] = (gradient.to_dense() if gradient.is_sparse else gradient).reshape(-1)
        return result

    def _vmap_fails(self, moving: dict[str, Tensor], inputs: Tensor, rows: Tensor) -> bool:
        expected = self._looped(moving, inputs[:1], rows[:1])
        try:
            found = self._mapped(moving, inputs, rows)
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError) as error:
            return _warn_loop(_first_line(error))
        # Half the digits: rounding of two orders of summation against a wrong derivative.
        size = max(1e-300, max(float(value.abs().max()) for value in expected if value.numel()))
        worst = max(float((a - b[:1]).abs().max()) for a, b in zip(expected, found) if a.numel())
        if not worst <= torch.finfo(self.dtype).eps ** 0.5 * size:
            return _warn_loop(f"its derivatives differ from those of plain differentiation, relatively by {worst / size:.1e}")
        return False


def select_parameters(model: nn.Module, params: Selection) -> list[str]:
    """Names of the trainable parameters that are asked for, in the order of the model, each shared tensor by its first name.

    ``params`` is None for all of them, names or prefixes of names (``"encoder"`` means ``encoder.weight``, too), or a function of
    name and parameter.
    """
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not trainable:
        raise ModelError("the model has no trainable parameter: every one has requires_grad=False, or there are none")
    if params is None:
        return list(trainable)
    if callable(params):
        chosen = [name for name, value in trainable.items() if params(name, value)]
        if not chosen:
            raise ModelError(f"params chooses none of the {len(trainable)} trainable parameters")
        return chosen
    first_names = {id(value): name for name, value in trainable.items()}
    wanted: set[str] = set()
    if not isinstance(params, Sequence):
        raise ModelError(f"params is {type(params).__name__}: give names, prefixes of names, or a function of name and parameter")
    if not params:
        raise ModelError(f"params is empty: name one of {', '.join(trainable)}, or leave it out for all of them")
    for prefix in [params] if isinstance(params, str) else params:
        every = model.named_parameters(remove_duplicate=False)
        hits = {id(value) for name, value in every if name == prefix or name.startswith(prefix.rstrip(".") + ".")}
        found = {first_names[key] for key in hits if key in first_names}
        if not found:
            raise ModelError(
                f"params: no trainable parameter is called {prefix!r} or begins with it; there are {', '.join(trainable)}"
            )
        wanted |= found
    return [name for name in trainable if name in wanted]


def read_precision(dtype: DTypeLike | torch.dtype) -> torch.dtype:
    """The precision that derivatives are taken and stored in."""
    name = _name(dtype) if isinstance(dtype, torch.dtype) else np.dtype(dtype).name
    if name not in _PRECISIONS:
        raise ModelError(f"dtype is {name}: derivatives are taken in 'float64' or 'float32'")
    return _PRECISIONS[name]


def _say_cast(parameters: dict[str, nn.Parameter], dtype: torch.dtype) -> None:
    low = sorted({_name(value.dtype) for value in parameters.values() if value.dtype in (torch.bfloat16, torch.float16)})
    if low:
        warnings.warn(
            f"parameters are {' and '.join(low)}: they are cast, and derivatives taken in {_name(dtype)}. "
            "The curvature is that of these weights, without the rounding of a training in low precision",
            stacklevel=4,
        )


def _warn_loop(reason: str) -> bool:
    warnings.warn(
        f"vmap does not differentiate this model ({reason}): falling back to a loop over samples, which is right but slower",
        stacklevel=5,
    )
    return True


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _canonical_names(module: nn.Module) -> dict[str, str]:
    """Names of all tensors of all modules, each module once, and the name that ``named_parameters`` or ``named_buffers`` has for each."""
    names = {id(value): name for name, value in [*module.named_parameters(), *module.named_buffers()]}
    places = {}
    for prefix, inner in module.named_modules():
        for attribute, value in [*inner._parameters.items(), *inner._buffers.items()]:
            if value is not None:
                places[f"{prefix}.{attribute}" if prefix else attribute] = names[id(value)]
    return places
