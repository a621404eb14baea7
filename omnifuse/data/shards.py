"""Shards: all chunks of one place and array in one Zarr v3 file, compressed, each with its CRC-32C, and an index of them at the end.

The index has an entry for every chunk that the longest series would have, so its length is known only when all places are:
`write_pieces` writes the chunks, `finish_shard` the index.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Num

from omnifuse.data.layout import CRC32C, Document, raw_codec

_SIDE = 256  # pixels of a chunk along y and x, at most
_BYTES = 1 << 16  # small images of a series share a chunk up to this size
_MISSING = 2**64 - 1

# `python benchmarks/data.py codec`: LZ4 after a bit shuffle takes 0.66 of the raw size of Sentinel-2 and 0.77 of Sentinel-1 and is read
# at 0.42 of the speed of a mapped .npy; after a byte shuffle 0.69, 0.87 and 0.36; Zstandard 0.62, 0.75 and at most 0.20.
_CODEC, _LEVEL = "lz4", 5


def inner_chunk(shape: Sequence[int], dtype: np.dtype[Any], dates: int) -> tuple[int, ...]:
    """Return the shape of the chunks within a shard: one date and at most 256×256 pixels, or as many small dates as make 64 KiB.

    Args:
        shape: Of the values of a place: (time, band, y, x), or without the first axis.
        dtype: Of the values.
        dates: How many of them a chunk may hold; 0 where the first axis is not one of dates.
    """
    first = 1 if dates else 0
    inner = [max(n, 1) for n in shape[first:]]
    for axis in range(len(inner))[-2:] if len(inner) > 1 else ():
        inner[axis] = math.ceil(inner[axis] / math.ceil(inner[axis] / _SIDE))
    if not dates:
        return tuple(inner)
    return (min(dates, max(1, _BYTES // (math.prod(inner) * dtype.itemsize))), *inner)


def write_pieces(file: Path, values: Num[np.ndarray, "..."], inner: Sequence[int]) -> tuple[int, list[int]]:
    """Write the chunks of a place one after another to a new file; return the CRC-32C of the file, and the bytes of each chunk."""
    codec, crc, sizes = _blosc(), 0, []
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    with file.open("xb") as stream:
        for block in np.ndindex(*_blocks(values.shape, inner)):
            chunk = np.zeros(inner, little.dtype)
            part = little[tuple(slice(i * n, (i + 1) * n) for i, n in zip(block, inner, strict=True))]
            chunk[tuple(slice(n) for n in part.shape)] = part
            encoded = bytes(codec.encode(chunk))
            piece = encoded + google_crc32c.value(encoded).to_bytes(4, "little")
            stream.write(piece)
            crc = google_crc32c.extend(crc, piece)
            sizes.append(len(piece))
    return crc, sizes


def finish_shard(file: Path, sizes: Sequence[int], shape: Sequence[int], inner: Sequence[int]) -> None:
    """Append the index to the chunks in `file`, of an array whose places have this shape."""
    missing = math.prod(_blocks(shape, inner)) - len(sizes)
    starts = np.cumsum([0, *sizes])[:-1].tolist()
    entries = [value for entry in zip(starts, sizes, strict=True) for value in entry] + [_MISSING] * (2 * missing)
    index = struct.pack(f"<{len(entries)}Q", *entries)
    with file.open("ab") as stream:
        stream.write(index + google_crc32c.value(index).to_bytes(4, "little"))


def shard_shape(shape: Sequence[int], inner: Sequence[int]) -> tuple[int, ...]:
    """Return the least multiple of the inner chunk that covers the values of every place."""
    return tuple(blocks * n for blocks, n in zip(_blocks(shape, inner), inner, strict=True))


def shard_codec(inner: Sequence[int], dtype: np.dtype[Any]) -> Document:
    """Return the codec of an array with one shard per place, as its metadata says it."""
    blosc = {
        "name": "blosc",
        "configuration": {"typesize": dtype.itemsize, "cname": _CODEC, "clevel": _LEVEL, "shuffle": "bitshuffle", "blocksize": 0},
    }
    index = {"name": "bytes", "configuration": {"endian": "little"}}
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, *inner],
            "codecs": [raw_codec(dtype), blosc, CRC32C],
            "index_codecs": [index, CRC32C],
            "index_location": "end",
        },
    }


def _blocks(shape: Sequence[int], inner: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.ceil(max(n, 1) / step) for n, step in zip(shape, inner, strict=True))


def _blosc() -> Any:
    import numcodecs.blosc

    numcodecs.blosc.use_threads = False  # several threads may write their blocks in any order, so other bytes each time
    return numcodecs.blosc.Blosc(_CODEC, _LEVEL, numcodecs.blosc.BITSHUFFLE)
