"""Reading shards: the compressed chunks of one place and array in one file, with an index of them at its end (Zarr v3).

Chunks are decoded into place one by one, in this thread: on series of the shape of PASTIS more than twice as quick as through zarr
(`python benchmarks/data.py`), and a fork cannot harm it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Int, Num

from omnifuse.data.chunks import CRC_BYTES, REMEDY, compare, named
from omnifuse.data.files import Files, Folder, Span
from omnifuse.errors import InputError

_ENTRY = 16  # bytes of the index for a chunk: where it starts, and its length
_MISSING = 2**64 - 1


@dataclass(frozen=True)
class Sharding:
    """How the values of a place lie in a shard.

    Attributes:
        shard: Shape of a shard without the axis of places.
        inner: Shape of the chunks in it, likewise.
        codec: What compresses a chunk: "blosc", "zstd" or, where nothing does, "".
        dtype: Of the values.
    """

    shard: tuple[int, ...]
    inner: tuple[int, ...]
    codec: str
    dtype: np.dtype[Any]

    @staticmethod
    def of(document: dict[str, Any]) -> "Sharding | None":
        """Return it from the metadata of an array; None where it is not one shard per place with a CRC-32C on every chunk."""
        grid = document["chunk_grid"]["configuration"]["chunk_shape"]
        if [codec["name"] for codec in document["codecs"]] != ["sharding_indexed"] or document["fill_value"] not in (0, 0.0):
            return None
        if grid[0] != 1 or any(step < size for step, size in zip(grid[1:], document["shape"][1:], strict=True)):
            return None
        options = document["codecs"][0]["configuration"]
        first, *middle, last = [codec["name"] for codec in options["codecs"]]
        index = [codec["name"] for codec in options["index_codecs"]]
        if (first, last, index, options.get("index_location", "end")) != ("bytes", "crc32c", ["bytes", "crc32c"], "end"):
            return None
        if middle not in ([], ["blosc"], ["zstd"]) or options["codecs"][0].get("configuration", {}).get("endian", "little") != "little":
            return None
        return Sharding(tuple(grid[1:]), tuple(options["chunk_shape"][1:]), "".join(middle), np.dtype(document["data_type"]))

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(size // step for size, step in zip(self.shard, self.inner, strict=True))


def read_shard(
    files: Files, name: str, sharding: Sharding, shape: tuple[int, ...], rows: Int[np.ndarray, " k"] | None = None
) -> Num[np.ndarray, "..."]:
    """Read the leading values of a place.

    Args:
        files: Where the shard lies.
        name: Its file.
        sharding: How it is laid out.
        shape: Of the leading values.
        rows: Which of them along the first axis, ascending; all by default. The others are neither transferred nor decoded, but for
            those that share a chunk.

    Raises:
        InputError: where the file is missing, unreadable or damaged; names the file.
    """
    where = files.where(name)
    step = sharding.inner[0]
    wanted = np.arange(math.ceil(shape[0] / step)) if rows is None else np.unique(rows // step)
    blocks = [(int(number), *rest) for number in wanted for rest in np.ndindex(*sharding.blocks[1:])]
    out = np.empty((len(wanted) * step, *shape[1:]), sharding.dtype)
    first = {int(number): position * step for position, number in enumerate(wanted)}
    with named(where):
        for (number, *rest), piece in zip(blocks, _pieces(files, name, sharding, blocks, 2 * len(wanted) * step > shape[0]), strict=True):
            sides = [slice(i * n, (i + 1) * n) for i, n in zip(rest, sharding.inner[1:], strict=True)]
            _decode(piece, out[(slice(first[number], first[number] + step), *sides)], sharding, where)
    return out[: shape[0]] if rows is None else out[np.searchsorted(wanted, rows // step) * step + rows % step]


def sum_of_shard(files: Files, name: str, sharding: Sharding) -> int:
    """Return a check sum over all values of a place, from those that stand at the end of each chunk."""
    where = files.where(name)
    with named(where):
        index = _index(np.frombuffer(files.tail(name, _index_bytes(sharding)), np.uint8), sharding, where)
        return sum_of_chunks(files, name, [stop for _, stop in _spans(index, list(np.ndindex(*sharding.blocks))) if stop])


def sum_of_chunks(files: Files, name: str, stops: Sequence[int]) -> int:
    """Return the CRC-32C of the CRC-32C of each chunk, which are the last bytes before each of `stops`."""
    return google_crc32c.value(b"".join(files.spans(name, [(stop - CRC_BYTES, stop) for stop in stops])))


def _pieces(files: Files, name: str, sharding: Sharding, blocks: list[tuple[int, ...]], most: bool) -> Iterator[Num[np.ndarray, " _n"]]:
    """Yield chunks as they are stored, each valid until the next; from a server in one request where `most` of them are wanted."""
    where = files.where(name)
    if most and not isinstance(files, Folder):
        raw = np.frombuffer(files.read(name), np.uint8)
        yield from (raw[start:stop] for start, stop in _spans(_index(raw, sharding, where), blocks))
        return
    spans = _spans(_index(np.frombuffer(files.tail(name, _index_bytes(sharding)), np.uint8), sharding, where), blocks)
    if isinstance(files, Folder):
        yield from files.each(name, spans)
    else:
        yield from (np.frombuffer(piece, np.uint8) for piece in files.spans(name, spans))


def _index_bytes(sharding: Sharding) -> int:
    return math.prod(sharding.blocks) * _ENTRY + CRC_BYTES


def _index(raw: Num[np.ndarray, " n"], sharding: Sharding, where: str) -> Num[np.ndarray, "... 2"]:
    """Return the (start, length) of each chunk from the end of a shard, after checking it."""
    if len(raw) < _index_bytes(sharding):
        raise InputError(f"{where}: {len(raw)} bytes, the index alone has {_index_bytes(sharding)}. {REMEDY}")
    entries = raw[len(raw) - _index_bytes(sharding) : -CRC_BYTES]
    compare(google_crc32c.value(entries.tobytes()), raw[-CRC_BYTES:].tobytes(), where)
    return np.frombuffer(entries.tobytes(), "<u8").reshape(*sharding.blocks, 2)


def _spans(index: Num[np.ndarray, "... 2"], blocks: list[tuple[int, ...]]) -> list[Span]:
    """Return the bytes of chunks; none where a chunk is not stored, because it is zero."""
    entries = [(int(start), int(length)) for start, length in (index[block] for block in blocks)]
    return [(0, 0) if start == _MISSING else (start, start + length) for start, length in entries]


def _decode(piece: Num[np.ndarray, " n"], out: Num[np.ndarray, "..."], sharding: Sharding, where: str) -> None:
    """Decode a chunk into the part of `out` that it covers; at the edges it is larger."""
    if not len(piece):
        out[...] = 0
        return
    if len(piece) < CRC_BYTES:
        raise InputError(f"{where}: ended while it was read. {REMEDY}")
    encoded = piece[:-CRC_BYTES]
    compare(google_crc32c.value(encoded), piece[-CRC_BYTES:].tobytes(), where)
    direct = out.shape == sharding.inner and out.flags.c_contiguous
    chunk = out if direct else np.empty(sharding.inner, sharding.dtype)
    _decompress(encoded, chunk, sharding.codec, where)
    if not direct:
        out[...] = chunk[tuple(slice(n) for n in out.shape)]


def _decompress(encoded: Num[np.ndarray, " n"], chunk: Num[np.ndarray, "..."], codec: str, where: str) -> None:
    import numcodecs.blosc
    import numcodecs.zstd

    numcodecs.blosc.use_threads = False  # its threads do not survive a fork
    raw = chunk.reshape(-1).view(np.uint8)
    try:
        if codec == "blosc":
            found = int.from_bytes(encoded[4:8].tobytes(), "little")  # the header has it, so that nothing too large is decoded
            if found == raw.nbytes:
                numcodecs.blosc.decompress(encoded, raw)
        else:
            values = encoded if codec == "" else np.frombuffer(numcodecs.zstd.decompress(encoded), np.uint8)
            found = values.nbytes
            if found == raw.nbytes:
                raw[:] = values
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{where}: a chunk cannot be decoded ({error}). {REMEDY}") from None
    if found != raw.nbytes:
        raise InputError(f"{where}: a chunk has {found} bytes, expected {raw.nbytes}. {REMEDY}")
