"""Arrays in `.npy` files, as several data sets are published: the header is checked against the file before anything is read."""

import math
import warnings
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from jaxtyping import Shaped

from omnifuse.errors import InputError

_AGAIN = "Try: download this file again."
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type without reading the values.

    Raises:
        InputError: naming the file where it is missing, is no such file, holds Python objects, or has not the length it says.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. {_AGAIN}")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header that looks like one of Python 2 is parsed in another way
            version = np.lib.format.read_magic(file)
            shape, _, dtype = _READERS[version](file)
            start = file.tell()
    # What NumPy raises depends on where the header is damaged: it parses Python text.
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, TokenError, EOFError, RecursionError, MemoryError) as error:
        raise InputError(f"{path}: no readable .npy header ({type(error).__name__}: {_line(error)}). {_AGAIN}") from None
    if dtype.hasobject:
        raise InputError(f"{path}: holds Python objects, which are not read for safety. Try: save it as plain numbers.")
    found, expected = path.stat().st_size, start + math.prod(shape) * dtype.itemsize
    if found != expected or any(n < 0 for n in shape):
        kind = "cut short" if found < expected else "too long"
        raise InputError(f"{path}: {kind}, {found} bytes where {dtype} of {shape} takes {expected}. {_AGAIN}")
    return shape, dtype


def check_npy(path: Path, dtype: np.dtype[Any], shape: tuple[int | None, ...], axes: str) -> tuple[int, ...]:
    """Return the shape of a file that holds `dtype` of `shape` (None: any length); `axes` says for people what the axes are."""
    found, kind = npy_header(path)
    if len(found) != len(shape) or any(want not in (None, have) for have, want in zip(found, shape, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{path}: shape {found}, expected ({wanted}): {axes}. Try: the published file.")
    if kind != dtype:
        raise InputError(f"{path}: values are {kind}, expected {dtype}. Try: the published file, unconverted.")
    return found


def read_npy(path: Path, dtype: np.dtype[Any], shape: tuple[int | None, ...], axes: str) -> Shaped[np.ndarray, "..."]:
    """Return the array of a file that `check_npy` passes."""
    check_npy(path, dtype, shape, axes)
    try:
        return np.ascontiguousarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({_line(error)}). {_AGAIN}") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
