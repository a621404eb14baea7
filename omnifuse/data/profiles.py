"""The two profiles of a store's layout: how the values of one place and array become a file.

A file is written in two steps, because its length depends on the longest series of all places: `write` as soon as the place is
read, `finish` when all of them are. What stands in the file after the first step is a prefix of what stands in it after the second.
"""

import math
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num

from omnifuse.data.chunks import CRC_BYTES, finish_chunk, write_rows
from omnifuse.data.files import Folder
from omnifuse.data.layout import CRC32C, Document, array_document, raw_codec
from omnifuse.data.sharded import sum_of_chunks
from omnifuse.data.shards import finish_shard, inner_chunk, shard_codec, shard_shape, write_pieces
from omnifuse.errors import ConfigError
from omnifuse.modalities import Modality


@runtime_checkable
class Profile(Protocol):
    """How arrays are stored.

    Shapes are those of one place. `dates` is how many dates a chunk may hold; 0 where the first axis is not one of dates.
    """

    def write(self, file: Path, values: Num[np.ndarray, "..."], dates: int) -> tuple[int, list[int]]:
        """Write the values of a place to a new file; return the CRC-32C of the file, and the bytes of its pieces."""

    def finish(self, file: Path, crc: int, pieces: Sequence[int], shape: Sequence[int], dtype: np.dtype[Any], dates: int) -> None:
        """Complete the file that `write` left, for an array whose places have this shape; it may have been completed before."""

    def place_sum(self, file: Path, pieces: Sequence[int]) -> int:
        """Return a number that tells a completed file from that of another place: a check sum over all of its values."""

    def document(
        self, places: int, shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[str], attributes: Mapping[str, Any], dates: int
    ) -> Document:
        """Return the `zarr.json` of the array over all places."""


class Training:
    """One uncompressed chunk per place, as long as the longest series, that can be read as a plain file."""

    def write(self, file: Path, values: Num[np.ndarray, "..."], dates: int) -> tuple[int, list[int]]:
        return write_rows(file, values), [values.nbytes]

    def finish(self, file: Path, crc: int, pieces: Sequence[int], shape: Sequence[int], dtype: np.dtype[Any], dates: int) -> None:
        os.truncate(file, sum(pieces))
        finish_chunk(file, crc, math.prod(shape) * dtype.itemsize)

    def place_sum(self, file: Path, pieces: Sequence[int]) -> int:
        return int.from_bytes(Folder(file.parent).tail(file.name, CRC_BYTES), "little")

    def document(
        self, places: int, shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[str], attributes: Mapping[str, Any], dates: int
    ) -> Document:
        chunk = (1, *(max(n, 1) for n in shape))
        return array_document((places, *shape), dtype, chunk, (raw_codec(dtype), CRC32C), ("place", *axes), attributes)


class Archive:
    """One shard per place: compressed chunks of one date, for object stores and for keeping."""

    def write(self, file: Path, values: Num[np.ndarray, "..."], dates: int) -> tuple[int, list[int]]:
        return write_pieces(file, values, inner_chunk(values.shape, values.dtype, dates))

    def finish(self, file: Path, crc: int, pieces: Sequence[int], shape: Sequence[int], dtype: np.dtype[Any], dates: int) -> None:
        os.truncate(file, sum(pieces))
        finish_shard(file, pieces, shape, inner_chunk(shape, dtype, dates))

    def place_sum(self, file: Path, pieces: Sequence[int]) -> int:
        return sum_of_chunks(Folder(file.parent), file.name, np.cumsum(pieces).tolist())

    def document(
        self, places: int, shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[str], attributes: Mapping[str, Any], dates: int
    ) -> Document:
        inner = inner_chunk(shape, dtype, dates)
        chunk = (1, *shard_shape(shape, inner))
        return array_document((places, *shape), dtype, chunk, (shard_codec(inner, dtype),), ("place", *axes), attributes)


PROFILES: dict[str, Profile] = {"training": Training(), "archive": Archive()}


def dates_per_chunk(modality: Modality) -> int:
    """Return how many dates of a sensor a chunk may hold."""
    return 64 if modality.series else 1


def profile_called(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        ConfigError: for an unknown one, naming the nearest.
    """
    if name not in PROFILES:
        near = get_close_matches(name, PROFILES, 1)
        raise ConfigError(f"store: unknown profile {name!r}; known are {', '.join(PROFILES)}. Try: {near[0] if near else 'one of these'}.")
    return PROFILES[name]
