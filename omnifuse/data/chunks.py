"""Chunk files of a store: an uncompressed, unsharded Zarr v3 chunk is the raw array followed by its CRC-32C.

So a chunk can be written and read as a plain file, at the speed of the disk, and every bit of it is checked.
"""

import os
from pathlib import Path

import google_crc32c
import numpy as np
from jaxtyping import Num, Shaped

from omnifuse.errors import InputError

_CRC_BYTES = 4
_BLOCK = 1 << 18  # bytes; stays in the second-level cache


def chunk_file(array: Path, index: int, ndim: int) -> Path:
    """Return the file of the chunk that holds row `index` of an array of `ndim` axes with one chunk per row."""
    return array / ".".join(["c", str(index), *("0",) * (ndim - 1)])


def write_rows(file: Path, rows: Shaped[np.ndarray, "..."]) -> int:
    """Write the leading rows of a chunk and return their CRC-32C; `finish_chunk` makes it a chunk."""
    raw = _bytes(np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")))
    with file.open("xb", buffering=0) as stream:
        _write_all(stream.fileno(), raw)
    return google_crc32c.value(raw)


def finish_chunk(file: Path, crc: int, num_bytes: int) -> None:
    """Extend the rows in `file` to a chunk of `num_bytes` and append its CRC-32C; the tail is a hole and takes no room on disk."""
    missing = num_bytes - file.stat().st_size
    zeros = np.zeros(min(missing, _BLOCK), np.uint8)
    for start in range(0, missing, _BLOCK):
        crc = google_crc32c.extend(crc, zeros[: missing - start])
    with file.open("r+b", buffering=0) as stream:
        stream.seek(num_bytes)
        stream.write(crc.to_bytes(_CRC_BYTES, "little"))


def read_rows(file: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic], num_bytes: int) -> Num[np.ndarray, "..."]:
    """Read the leading rows of a chunk of `num_bytes`, checking all of it.

    Raises:
        InputError: where the file is missing, of another size, unreadable or damaged; names the file.
    """
    try:
        with file.open("rb", buffering=0) as stream:
            found = os.fstat(stream.fileno()).st_size
            if found != num_bytes + _CRC_BYTES:  # before anything is allocated
                raise InputError(f"{file}: {found} bytes, expected {num_bytes + _CRC_BYTES}. {_REMEDY}")
            rows = np.empty(shape, dtype)
            scratch = np.empty(min(num_bytes - rows.nbytes, _BLOCK), np.uint8)
            crc = _read_all(stream.fileno(), _bytes(rows), file, 0)
            for start in range(rows.nbytes, num_bytes, _BLOCK):  # what follows the rows is read too: any damage to the file is found
                crc = _read_all(stream.fileno(), scratch[: num_bytes - start], file, crc)
            stored = int.from_bytes(stream.read(_CRC_BYTES), "little")
    except FileNotFoundError:
        raise InputError(f"{file}: this chunk is missing, though the store counts it. {_REMEDY}") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}). {_REMEDY}") from None
    if crc != stored:
        raise InputError(f"{file}: damaged, its CRC-32C is {crc:08x} and should be {stored:08x}. {_REMEDY}")
    return rows


_REMEDY = "Try: copy this file again, or write the store again."


def _bytes(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, " n"]:
    return array.reshape(-1).view(np.uint8)


def _write_all(descriptor: int, raw: Shaped[np.ndarray, " n"]) -> None:
    done = 0
    while done < len(raw):  # the kernel writes at most 2 GiB at once
        done += os.write(descriptor, raw[done:].data)


def _read_all(descriptor: int, raw: Shaped[np.ndarray, " n"], file: Path, crc: int) -> int:
    """Fill `raw` and return the extended check sum, block by block so that what is summed is still in the cache."""
    done = 0
    while done < len(raw):
        got = os.readv(descriptor, [raw[done : done + _BLOCK].data])
        if not got:
            raise InputError(f"{file}: ended while it was read. {_REMEDY}")
        crc = google_crc32c.extend(crc, raw[done : done + got])
        done += got
    return crc
