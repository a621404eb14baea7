"""Chunk files of a store: an uncompressed, unsharded Zarr v3 chunk is the raw array followed by its CRC-32C.

So a chunk can be written and read as a plain file, at the speed of the disk. What follows the rows of a place is zero: its part of
the check sum is computed, so a read sees all of the rows and nothing else. `verify_chunk` reads the rest, too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import numpy as np
from jaxtyping import Int, Num, Shaped

from omnifuse.data.crc import extend_zeros
from omnifuse.data.files import Files
from omnifuse.errors import InputError

CRC_BYTES = 4
REMEDY = "Try: copy this file again, or write the store again."
_BLOCK = 1 << 18  # bytes; stays in the second-level cache
_ID = (1 << 63) - 1


def chunk_file(array: Path, index: int, ndim: int) -> Path:
    """Return the file of the chunk that holds row `index` of an array of `ndim` axes with one chunk per row."""
    return array / chunk_name(index, ndim)


def chunk_name(index: int, ndim: int) -> str:
    """Return the name of that file within the folder of the array."""
    return ".".join(["c", str(index), *("0",) * (ndim - 1)])


def write_rows(file: Path, rows: Shaped[np.ndarray, "..."]) -> int:
    """Write the leading rows of a chunk and return their CRC-32C; `finish_chunk` makes it a chunk."""
    raw = _bytes(np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")))
    with file.open("xb", buffering=0) as stream:
        _write_all(stream.fileno(), raw)
    return google_crc32c.value(raw)


def finish_chunk(file: Path, crc: int, num_bytes: int) -> None:
    """Extend the rows in `file` to a chunk of `num_bytes` and append its CRC-32C; the tail is a hole and takes no room on disk."""
    crc = extend_zeros(crc, num_bytes - file.stat().st_size)
    with file.open("r+b", buffering=0) as stream:
        stream.seek(num_bytes)
        stream.write(crc.to_bytes(CRC_BYTES, "little"))


def read_rows(
    file: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    num_bytes: int,
    *,
    check: bool = True,
    seen: Int[np.ndarray, "2"] | None = None,
    chosen: Int[np.ndarray, " k"] | None = None,
) -> Num[np.ndarray, "..."]:
    """Read the leading rows of a chunk of `num_bytes`.

    Args:
        file: The chunk.
        shape: Of the rows.
        dtype: Of the rows.
        num_bytes: Of the whole chunk, without its check sum.
        check: Whether the check sum is compared.
        seen: Modification time and number of the file when it was last summed; it is summed again only if these have changed, and
            they are noted here then.
        chosen: Which of the rows to return. Where nothing is summed no others are read.

    Raises:
        InputError: where the file is missing, of another size, unreadable or damaged; names the file.
    """
    with named(str(file)), file.open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        if status.st_size != num_bytes + CRC_BYTES:  # before anything is allocated
            raise InputError(f"{file}: {status.st_size} bytes, expected {num_bytes + CRC_BYTES}. {REMEDY}")
        version = np.array([status.st_mtime_ns & _ID, status.st_ino & _ID])
        if not check or (seen is not None and np.array_equal(seen, version)):
            return _unsummed(stream.fileno(), shape, dtype, chosen, str(file))
        rows, crc = np.empty(shape, dtype), 0
        for piece in _filled(stream.fileno(), _bytes(rows), str(file), _BLOCK):
            crc = google_crc32c.extend(crc, piece)
        stored = os.pread(stream.fileno(), CRC_BYTES, num_bytes)
    compare(extend_zeros(crc, num_bytes - rows.nbytes), stored, str(file))
    if seen is not None:
        seen[:] = version
    return rows if chosen is None else rows[chosen]


def fetch_rows(files: Files, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic], num_bytes: int) -> Num[np.ndarray, "..."]:
    """Read the leading rows of a chunk as `read_rows` does, wherever it lies: neither its tail nor anything else is transferred."""
    where = files.where(name)
    length = int(np.prod(shape)) * dtype.itemsize
    with named(where):
        raw, stored = files.spans(name, [(0, length), (num_bytes, num_bytes + CRC_BYTES)])
    if len(raw) != length or len(stored) != CRC_BYTES:
        raise InputError(f"{where}: ended while it was read. {REMEDY}")
    compare(extend_zeros(google_crc32c.value(raw), num_bytes - length), stored, where)
    return np.frombuffer(bytearray(raw), dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def verify_chunk(file: Path, num_bytes: int) -> None:
    """Raise `InputError` unless a chunk of `num_bytes` is whole to its last bit: also what follows the rows, which reading skips."""
    with named(str(file)), file.open("rb", buffering=0) as stream:
        found = os.fstat(stream.fileno()).st_size
        if found != num_bytes + CRC_BYTES:
            raise InputError(f"{file}: {found} bytes, expected {num_bytes + CRC_BYTES}. {REMEDY}")
        scratch, crc = np.empty(min(num_bytes, _BLOCK), np.uint8), 0
        for start in range(0, num_bytes, _BLOCK):
            for piece in _filled(stream.fileno(), scratch[: num_bytes - start], str(file), _BLOCK):
                crc = google_crc32c.extend(crc, piece)
        compare(crc, os.pread(stream.fileno(), CRC_BYTES, num_bytes), str(file))


def compare(crc: int, stored: bytes, where: str) -> None:
    """Raise `InputError` unless a check sum is the stored one."""
    expected = int.from_bytes(stored, "little")
    if crc != expected or len(stored) != CRC_BYTES:
        raise InputError(f"{where}: damaged, its CRC-32C is {crc:08x} and should be {expected:08x}. {REMEDY}")


@contextmanager
def named(where: str) -> Iterator[None]:
    """Turn what goes wrong while the file of a chunk is read into an `InputError` that names it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{where}: this chunk is missing, though the store counts it. {REMEDY}") from None
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror or error}). {REMEDY}") from None


def _bytes(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, " n"]:
    return array.reshape(-1).view(np.uint8)


def _write_all(descriptor: int, raw: Shaped[np.ndarray, " n"]) -> None:
    done = 0
    while done < len(raw):  # the kernel writes at most 2 GiB at once
        done += os.write(descriptor, raw[done:].data)


def _unsummed(
    descriptor: int, shape: tuple[int, ...], dtype: np.dtype[np.generic], chosen: Int[np.ndarray, " k"] | None, where: str
) -> Num[np.ndarray, "..."]:
    if chosen is None:
        rows = np.empty(shape, dtype)
        for _ in _filled(descriptor, _bytes(rows), where, rows.nbytes):
            pass
        return rows
    rows = np.empty((len(chosen), *shape[1:]), dtype)
    for row, number in zip(rows, chosen, strict=True):
        os.lseek(descriptor, int(number) * row.nbytes, os.SEEK_SET)
        for _ in _filled(descriptor, _bytes(row), where, row.nbytes):
            pass
    return rows


def _filled(descriptor: int, raw: Shaped[np.ndarray, " n"], where: str, block: int) -> Iterator[Shaped[np.ndarray, " m"]]:
    """Fill `raw` from a file and yield what was filled, piece by piece, so that what is summed is still in the cache."""
    done = 0
    while done < len(raw):
        got = os.readv(descriptor, [raw[done : done + block].data])
        if not got:
            raise InputError(f"{where}: ended while it was read. {REMEDY}")
        yield raw[done : done + got]
        done += got
