"""Exceptions of the package. Each carries what it says as attributes, too."""

from __future__ import annotations

from typing import Any

__all__ = [
    "FileError",
    "InputError",
    "LinstabError",
    "MemoryLimitError",
    "ModelError",
    "NonFiniteError",
    "NumericalError",
    "OptionError",
    "OutOfRangeError",
]


class LinstabError(Exception):
    """What stops an analysis. Every exception of the package is one."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.__dict__.update(data)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.__dict__.copy())


def _rebuild(kind: type[LinstabError], message: str, data: dict[str, Any]) -> LinstabError:
    return kind(message, **data)


class OptionError(LinstabError, ValueError):
    """An option is not admissible: its ``name``, its ``value`` and what is ``allowed``."""

    name: str
    value: str
    allowed: str

    @classmethod
    def of(cls, name: str, value: object, allowed: str) -> OptionError:
        """In the words that all of them have."""
        return cls(f"{name} is {value!r}, allowed: {allowed}", name=name, value=repr(value), allowed=allowed)


class InputError(LinstabError, ValueError):
    """An array or a file is damaged or holds what cannot be analysed: the ``source`` and the ``problem``."""

    source: str
    problem: str


class NonFiniteError(LinstabError, ValueError):
    """A factor is NaN or infinite: ``source``, ``sample``, ``factor``, ``parameter`` (from 0) and ``value``."""

    source: str
    sample: int
    factor: int
    parameter: int
    value: float


class OutOfRangeError(LinstabError, ValueError):
    """Products of factors leave the range of numbers: ``what``, its ``value`` and what is ``allowed``."""

    what: str
    value: str
    allowed: str


class ModelError(LinstabError, ValueError, TypeError):
    """A model, its data, loss or optimizer cannot be analysed, or not as they were given; the message says what to do."""


class MemoryLimitError(LinstabError, MemoryError):
    """The analysis does not fit: bytes that are ``needed`` at least, and the ``limit``."""

    needed: int
    limit: int


class FileError(LinstabError, OSError):
    """The file system refused: ``source`` is the file."""

    source: str

    def __str__(self) -> str:
        return str(self.args[0])


class NumericalError(LinstabError, ArithmeticError):
    """An iteration failed, or there is nothing to analyse: no curvature, say."""
