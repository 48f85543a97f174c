"""A store for factors that do not fit into memory: written sample by sample, whole or clearly unfinished.

While it is written, ``PATH.partial`` is a folder with the factors, the coefficients, a mask of the samples that are done, and
the request they answer. When every sample is done the factors become the plain file ``PATH`` (a ``.npy`` array that any reader
of NumPy files takes) and what else is known of them ``PATH`` with the ending ``.about.npz``. An interrupted store goes on where
it stopped, if the request is the same to the last bit of weights and inputs; else it is refused.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from zipfile import BadZipFile

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from .errors import FileError, InputError, ModelError, OptionError
from .factors import Factors, Parameters

__all__ = ["FactorStore", "Request", "load"]


@dataclass(frozen=True, eq=False)
class Request:
    """What a store is asked to hold: shapes, names, and a fingerprint of weights, inputs and settings."""

    samples: int
    factors: int
    parameters: Parameters
    dtype: str
    loss: str
    population: int
    fingerprint: str
    indices: NDArray[np.int64] | None = None
    labels: NDArray[np.int64] | None = None

    @property
    def num_parameters(self) -> int:
        """Numbers of each factor."""
        return sum(int(np.prod(shape, dtype=np.int64)) for _, shape in self.parameters)

    def to_json(self) -> str:
        """The request without its arrays, in one line."""
        return json.dumps(
            {
                "samples": self.samples,
                "factors": self.factors,
                "parameters": [[name, list(shape)] for name, shape in self.parameters],
                "dtype": self.dtype,
                "loss": self.loss,
                "population": self.population,
                "fingerprint": self.fingerprint,
            },
            sort_keys=True,
        )


class FactorStore:
    """An array of factors on disk, filled in any order and resumed after an interruption.

    Open it with :meth:`open`, write what :attr:`done` does not have with :meth:`write`, and end with :meth:`finish`.
    """

    def __init__(self, path: Path, request: Request) -> None:
        self._path, self._request = path, request
        folder = _partial(path)
        self._values = _mapped(folder / "values.npy", "r+")
        self._coefficients = _mapped(folder / "coefficients.npy", "r+")
        self._done = _mapped(folder / "done.npy", "r+")

    @classmethod
    def open(cls, path: str | Path, request: Request) -> FactorStore | Factors:
        """The store at ``path`` for this request: new, or an interrupted one; finished factors if it is complete.

        Raises ``FileError`` if what is there answers another request.
        """
        path = Path(path)
        if path.suffix != ".npy":
            raise OptionError.of("out", str(path), "a name that ends in .npy: factors are written as a NumPy array")
        if path.exists():
            return _finished(path, request)
        if not _partial(path).exists():
            _create(path, request)
        found = _request_in(_partial(path))
        if found != json.loads(request.to_json()):
            raise _refused(
                _partial(path),
                f"holds the unfinished factors of {_difference(found, request)}: delete that folder, or write to another file",
            )
        return cls(path, request)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """While it is filled: if the model turns out to have no such factors, what is there goes, as no other call can use it."""
        try:
            yield
        except ModelError:
            shutil.rmtree(_partial(self._path), ignore_errors=True)
            raise

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which samples are written, shape (samples,)."""
        return np.array(self._done, dtype=np.bool_)

    def write(self, start: int, values: NDArray[Any], coefficients: NDArray[np.float64]) -> None:
        """Factors and coefficients of samples ``start``, ``start + 1``, ..., on disk when this returns."""
        stop = start + len(values)
        self._values[start:stop] = values
        self._coefficients[start:stop] = coefficients
        # The mask comes after what it vouches for.
        self._values.flush()
        self._coefficients.flush()
        self._done[start:stop] = True
        self._done.flush()

    def finish(self) -> Factors:
        """Turn the store into the file; ``FileError`` if samples are missing."""
        missing = int((~self.done).sum())
        if missing:
            raise _refused(self._path, f"has no factors of {missing} of {self._request.samples} samples yet")
        _write_about(self._path, self._request, np.array(self._coefficients))
        del self._values
        os.replace(_partial(self._path) / "values.npy", self._path)
        shutil.rmtree(_partial(self._path))
        return load(self._path)


def load(path: str | Path) -> Factors:
    """Factors of a finished store, mapped from the disk."""
    path = Path(path)
    if not path.exists() and _partial(path).exists():
        raise _refused(path, f"is unfinished: call factors(..., out={str(path)!r}) again, it goes on where it stopped")
    values = _mapped(path, "r")
    request, arrays = _known(path)
    return Factors(
        values,
        loss=request["loss"],
        parameters=tuple((name, tuple(shape)) for name, shape in request["parameters"]),
        population=request["population"],
        **arrays,
    )


def _mapped(path: Path, mode: Literal["r", "r+"]) -> np.memmap[Any, np.dtype[Any]]:
    """An array on disk; what NumPy says of a truncated one is about maps of memory."""
    try:
        return cast("np.memmap[Any, np.dtype[Any]]", np.load(path, mmap_mode=mode))
    except OSError as error:
        raise _refused(path, f"cannot be opened: {error.strerror}") from error
    except (ValueError, EOFError) as error:
        raise _damaged(path) from error


def _request_in(folder: Path) -> Any:
    try:
        return json.loads((folder / "request.json").read_text())
    except (OSError, ValueError) as error:
        raise _damaged(folder) from error


def _known(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What is known of the factors in a file: the request that they answer, and arrays."""
    try:
        with np.load(_about(path), allow_pickle=False) as about:
            names = [name for name in ("coefficients", "indices", "labels") if name in about]
            return json.loads(str(about["request"])), {name: about[name] for name in names}
    except (ValueError, EOFError, KeyError, BadZipFile) as error:
        raise _damaged(_about(path)) from error


def _damaged(path: Path) -> InputError:
    problem = "is truncated or damaged: delete it, and compute the factors again"
    return InputError(f"{path} {problem}", source=str(path), problem=problem)


def _refused(path: Path, reason: str) -> FileError:
    return FileError(f"{path} {reason}", source=str(path))


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _about(path: Path) -> Path:
    return path.with_suffix(".about.npz")


def _create(path: Path, request: Request) -> None:
    """A new folder appears with everything in it, or not at all."""
    folder = path.with_name(f"{path.name}.new-{os.getpid()}")
    shape = (request.samples, request.factors, request.num_parameters)
    try:
        folder.mkdir(parents=True)
        open_memmap(folder / "values.npy", mode="w+", dtype=np.dtype(request.dtype), shape=shape)
        open_memmap(folder / "coefficients.npy", mode="w+", dtype=np.dtype(np.float64), shape=shape[:2])
        open_memmap(folder / "done.npy", mode="w+", dtype=np.dtype(np.bool_), shape=shape[:1])
        (folder / "request.json").write_text(request.to_json())
        os.replace(folder, _partial(path))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _refused(path, f"cannot be written: {error.strerror}") from error


def _finished(path: Path, request: Request) -> Factors:
    if not _about(path).exists():
        raise _refused(path, "exists and was not written by linstab: delete it, or write to another file")
    found, _ = _known(path)
    if found != json.loads(request.to_json()):
        raise _refused(path, f"holds the factors of {_difference(found, request)}: delete it, or write to another file")
    # Left where the process ended between the last two steps of `finish`.
    shutil.rmtree(_partial(path), ignore_errors=True)
    return load(path)


def _difference(found: dict[str, Any], request: Request) -> str:
    wanted = json.loads(request.to_json())
    names = sorted(name for name in wanted if found.get(name) != wanted[name])
    if names == ["fingerprint"]:
        return "other weights, inputs or targets"
    return "another request (different " + ", ".join(n for n in names if n != "fingerprint") + ")"


def _write_about(path: Path, request: Request, coefficients: NDArray[np.float64]) -> None:
    arrays: dict[str, Any] = {"request": np.array(request.to_json()), "coefficients": coefficients}
    arrays.update({n: a for n, a in (("indices", request.indices), ("labels", request.labels)) if a is not None})
    temporary = _partial(path) / "about.npz"
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, _about(path))
