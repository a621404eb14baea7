"""The arrays of a store: one chunk or one shard per place, read directly where the layout is ours and through zarr where it is not."""

import math
from typing import Any, Literal

import google_crc32c
import numpy as np
from jaxtyping import Int, Num, Shaped
from torch.utils.data import get_worker_info

from omnifuse.data.chunks import CRC_BYTES, REMEDY, chunk_name, compare, fetch_rows, named, read_rows, verify_chunk
from omnifuse.data.files import Files, Folder
from omnifuse.data.sharded import Sharding, read_shard, sum_of_shard
from omnifuse.errors import InputError

Verify = Literal["first", "always", "never"]


class ChunkedArray:
    """An array with one chunk or shard per place.

    Args:
        files: Where the store lies.
        name: Of the array, as a path in the store.
        document: Its metadata.
        verify: When the check sum of an uncompressed file is compared; those of a shard and what comes from a server always are.
        sums: Check sum of the values of each place, so that on disk the file of another place is not taken for its own.
    """

    def __init__(
        self,
        files: Files,
        name: str,
        document: dict[str, Any],
        verify: Verify = "first",
        sums: Int[np.ndarray, " places"] | None = None,
    ) -> None:
        self.files = files
        self.name = name
        self.shape: tuple[int, ...] = tuple(document["shape"])
        self.dtype: np.dtype[Any] = np.dtype(document["data_type"])
        self.verify = verify
        self.sums = sums
        separator = document["chunk_key_encoding"].get("configuration", {}).get("separator", "/")
        ours = document["chunk_key_encoding"]["name"] == "default" and separator == "."
        self.plain = ours and is_plain(document, (1, *self.shape[1:]))
        self.sharding = Sharding.of(document) if ours else None
        self._seen = np.zeros((self.shape[0], 2), np.int64)
        self._zarr: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zarr": None, "_seen": np.zeros_like(self._seen)}  # another process sees for itself

    def read(self, index: int, count: int | None, rows: Int[np.ndarray, " k"] | None = None) -> Num[np.ndarray, "..."]:
        """Return the values of a place.

        Args:
            index: The place.
            count: How many of its rows are data; None: it is all data.
            rows: Which of these rows, ascending; all by default.
        """
        shape = self.shape[1:] if count is None else (count, *self.shape[2:])
        if count == 0 or (rows is not None and not len(rows)):
            return np.zeros((0, *shape[1:]), self.dtype)
        file = f"{self.name}/{chunk_name(index, len(self.shape))}"
        if self.sharding is not None:
            values = read_shard(self.files, file, self.sharding, shape, rows)
            self._check_place(file, index)
            return values
        if self.plain and isinstance(self.files, Folder):
            seen = self._seen[index] if self.verify == "first" else None
            path, check = self.files.path / file, self.verify != "never"
            before = self._seen[index].copy()
            values = read_rows(path, shape, self.dtype, self._num_bytes, check=check, seen=seen, chosen=rows)
            if check and (seen is None or not np.array_equal(seen, before)):
                self._check_place(file, index)
            return values
        if self.plain:
            values = fetch_rows(self.files, file, shape, self.dtype, self._num_bytes)
        else:
            values = self._through_zarr(index, count)
        return values if rows is None else values[rows]  # the check sum is that of all rows, so all are read

    def check(self, index: int) -> None:
        """Raise `InputError` unless the chunk of a place is whole to its last bit, what follows its rows included."""
        file = f"{self.name}/{chunk_name(index, len(self.shape))}"
        if self.plain and isinstance(self.files, Folder):
            verify_chunk(self.files.path / file, self._num_bytes)
            self._check_place(file, index)
        else:
            self.read(index, None)

    def _check_place(self, file: str, index: int) -> None:
        """Raise `InputError` where a file on disk is whole but is not the one that was written for this place."""
        if self.sums is None or not isinstance(self.files, Folder):
            return
        if self.sharding is not None:
            found = sum_of_shard(self.files, file, self.sharding)
        else:
            with named(self.files.where(file)):
                found = int.from_bytes(self.files.tail(file, CRC_BYTES), "little")
        if found != self.sums[index]:
            self._seen[index] = 0  # or the next read would trust it
            raise InputError(f"{self.files.where(file)}: not the file of this place, its values sum to {found:08x}. {REMEDY}")

    @property
    def _num_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def _through_zarr(self, index: int, count: int | None) -> Num[np.ndarray, "..."]:
        if self._zarr is None:
            self._zarr = open_zarr(self.files, self.name)
        grid = self._zarr.shards or self._zarr.chunks
        extent = [(index, index + 1), *((0, n) for n in self.shape[1:])]
        if count is not None:
            extent[1] = (0, count)
        blocks = [range(start // step, (stop - 1) // step + 1) for (start, stop), step in zip(extent, grid, strict=True)]
        for block in np.ndindex(*(len(axis) for axis in blocks)):  # zarr would read a missing one as zeros
            key = self._zarr.metadata.encode_chunk_key(tuple(axis[i] for axis, i in zip(blocks, block, strict=True)))
            with named(self.files.where(f"{self.name}/{key}")):
                self.files.tail(f"{self.name}/{key}", 1)
        try:
            return np.asarray(self._zarr[index] if count is None else self._zarr[index, :count])
        except Exception as error:  # codecs raise errors of many types, none of which names the file
            where = self.files.where(self.name)
            raise InputError(f"{where}: the chunk of place {index} cannot be decoded ({error}). Try: copy the store again.") from error


def small_array(files: Files, name: str, document: dict[str, Any]) -> Shaped[np.ndarray, "..."]:
    """Read an array that is one chunk.

    Raises:
        InputError: where its file is missing, unreadable or damaged; names the file.
    """
    shape, dtype = tuple(document["shape"]), np.dtype(document["data_type"])
    if 0 in shape:
        return np.zeros(shape, dtype)
    if not is_plain(document, shape):
        return np.asarray(open_zarr(files, name)[...])
    file = f"{name}/{chunk_name(0, len(shape))}"
    with named(files.where(file)):
        raw = files.read(file)
    if len(raw) != math.prod(shape) * dtype.itemsize + CRC_BYTES:
        raise InputError(f"{files.where(file)}: {len(raw)} bytes, expected {math.prod(shape) * dtype.itemsize + CRC_BYTES}. {REMEDY}")
    values = np.frombuffer(bytearray(raw[:-CRC_BYTES]), dtype)
    compare(google_crc32c.value(raw[:-CRC_BYTES]), raw[-CRC_BYTES:], files.where(file))
    return values.reshape(shape)


def is_plain(document: dict[str, Any], chunk: tuple[int, ...]) -> bool:
    """Whether each chunk is a file with the raw values and a CRC-32C."""
    return (
        document["chunk_grid"] == {"name": "regular", "configuration": {"chunk_shape": list(chunk)}}
        and document["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "."}}
        and [codec["name"] for codec in document["codecs"]] == ["bytes", "crc32c"]
        and document["codecs"][0].get("configuration", {}).get("endian", "little") == "little"
    )


def open_zarr(files: Files, name: str) -> Any:
    """Open an array with zarr."""
    import zarr

    if get_worker_info() is not None:  # each of many workers would else start a thread per core
        zarr.config.set({"async.concurrency": 4, "threading.max_workers": 1})
    return zarr.open_array(files.zarr_store(), path=name, mode="r")
