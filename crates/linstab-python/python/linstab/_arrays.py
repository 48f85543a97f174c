"""Arrays as the extension takes them: their bytes, uncopied where they lie in one piece."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from .errors import InputError, OptionError

__all__ = ["described"]

# Types of numbers by NumPy's kind and size in bytes; integers are for labels.
_KINDS = {
    ("f", 2): "f16",
    ("f", 4): "f32",
    ("f", 8): "f64",
    **{("i", size): f"i{8 * size}" for size in (1, 2, 4, 8)},
    **{("u", size): f"u{8 * size}" for size in (1, 2, 4, 8)},
}


def described(value: object, name: str, *, tensor: str | None = None) -> dict[str, Any]:
    """Describe an array or a path for the extension.

    Arrays in C or Fortran order are not copied; others are copied once. PyTorch tensors on another device come to the CPU, bfloat16 is taken
    as it is. A path is opened and read in blocks, as the command does.

    Raises:
        InputError: for object arrays, masked arrays, complex numbers and types that the analysis does not know.
    """
    if not (tensor is None or isinstance(tensor, str)):
        raise OptionError.of("tensor", tensor, "the name of an array in a file")
    if isinstance(value, (str, os.PathLike)):
        return {"path": os.fspath(value), "tensor": tensor, "usual": name}
    if tensor is not None:
        raise InputError(
            f"{name}: tensor={tensor!r} names a tensor of a file, and {name} is no path",
            source=name,
            problem="a tensor's name without a file",
        )
    array, kind = _as_array(value, name)
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        array = np.ascontiguousarray(array)
    fortran = not array.flags.c_contiguous
    flat = array.reshape(-1, order="F" if fortran else "C").view(np.uint8)
    big = array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big")
    return {
        "bytes": flat,
        "kind": kind,
        "big_endian": big,
        "fortran_order": fortran,
        "shape": list(array.shape),
        "name": name,
    }


def _as_array(value: Any, name: str) -> tuple[np.ndarray[Any, Any], str]:
    def refuse(problem: str) -> InputError:
        return InputError(f"{name}: {problem}", source=name, problem=problem)

    if isinstance(value, np.ma.MaskedArray):
        raise refuse("is a masked array, whose mask would be lost; fill it or drop the masked samples")
    # A PyTorch tensor, without importing torch: NumPy takes neither bfloat16 nor other devices.
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":
            return np.asarray(value.view(sys.modules["torch"].int16)), "bf16"
    try:
        array = np.asarray(value)
    except Exception as error:
        raise refuse(f"is no array ({type(value).__name__}): {error}") from error
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16), "bf16"
    if array.dtype.kind == "b":
        return array.view(np.uint8), "u8"
    kind = _KINDS.get((array.dtype.kind, array.dtype.itemsize))
    if kind is None:
        hint = {"O": "an array of objects: rows of unlike length?", "c": "complex numbers"}.get(array.dtype.kind)
        said = f" ({hint})" if hint else ""
        raise refuse(
            f"has entries of type {array.dtype}{said}; supported: float16, bfloat16, float32, float64 "
            "(and integers for labels)"
        )
    return array, kind
