"""A dataset on disk: one Zarr v3 store, one group per sensor, opened by plain xarray too.

    <sensor>/pixels (place, time, band, y, x)   one chunk, hence one file, per place; none where the sensor is missing
    <sensor>/count (place)   <sensor>/time (place, time)   frames of each place and their dates
    target/labels (place, y, x)   target/count (place)   likewise for labels
    place/...   metadata of the places: numbers as arrays, text in the attributes

Chunks are uncompressed, in the sensor's own type, as long as the longest series (the tail of shorter ones is zero and takes no
room on disk: copy with `cp --sparse` or `rsync -S`), and carry a CRC-32C. Nobody else knows this layout.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch.utils.data import get_worker_info

from omnifuse.classes import ClassTable
from omnifuse.config import from_dict
from omnifuse.data.chunks import chunk_file, read_rows
from omnifuse.data.manifest import Sealed, load_json, open_sealed
from omnifuse.data.place import Place, Series
from omnifuse.data.writing import write_store
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

if TYPE_CHECKING:
    import xarray

__all__ = ["Store", "open_tree", "write_store"]


class Store:
    """Places of a store (a `PlaceSource`); can be pickled, and keeps no file open.

    Metadata, counts and dates are read and checked when it is opened, pixels and labels when a place is asked for.

    Attributes:
        provenance: Where the data come from (source, licence, citation) and which version wrote the store.

    Raises:
        InputError: naming the file that is missing or damaged.
    """

    modalities: dict[str, Modality]
    classes: ClassTable | None
    size: float
    info: list[dict[str, str | int | float]]

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        sealed = open_sealed(self.path)
        attributes = sealed.attributes
        self.size = attributes["size"]
        self.provenance: dict[str, str] = attributes["provenance"]
        self.classes = None if attributes["classes"] is None else from_dict(ClassTable, attributes["classes"], f"{path}: classes")
        self.modalities = {name: _modality(sealed, name, self.path) for name in attributes["sensors"]}
        self.info = _read_info(sealed, self.path)
        self._pixels = {name: ChunkedArray(self.path / name / "pixels") for name in self.modalities}
        self._count = {name: read_whole(self.path / name / "count") for name in self.modalities}
        self._day = {name: read_whole(self.path / name / "time") for name in self.modalities}
        self._labels = ChunkedArray(self.path / "target" / "labels") if attributes["labels"] else None
        self._has_class_counts = "target/pixels" in sealed.metadata
        self._labelled = read_whole(self.path / "target" / "count") if attributes["labels"] else np.zeros(len(self.info), np.int32)

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        if not 0 <= index < len(self):
            raise IndexError(f"place {index} of {len(self)}")
        series = {}
        for name, pixels in self._pixels.items():
            count = int(self._count[name][index])
            series[name] = Series(pixels.read(index, count), self._day[name][index, :count].copy())
        target = self._labels.read(index, None) if self._labels is not None and self._labelled[index] else None
        return Place(series, self.size, target, dict(self.info[index]))

    def days(self, name: str) -> list[Int[np.ndarray, " _t"]]:
        """Return the dates of a sensor at each place, in days since 1970-01-01; none where it is missing."""
        return [row[:count] for row, count in zip(self._day[name], self._count[name], strict=True)]

    def labelled(self) -> Bool[np.ndarray, " places"]:
        """Return which places have labels."""
        return self._labelled.astype(bool)

    def moments(self, name: str) -> Float[np.ndarray, "places bands 3"]:
        """Return per place and band the number of pixels of a sensor, their mean and the sum of squared deviations, as stored."""
        return read_whole(self.path / name / "moments")

    def class_counts(self) -> Int[np.ndarray, "places labels"] | None:
        """Return per place the pixels of each class and, last, of the ignored label; None where labels are no class maps."""
        return read_whole(self.path / "target" / "pixels") if self._has_class_counts else None


class ChunkedArray:
    """An array with one chunk per place. Reads the file itself where it is a plain one, through zarr where it is not."""

    def __init__(self, folder: Path) -> None:
        metadata = load_json(folder / "zarr.json")
        self.folder = folder
        self.shape: tuple[int, ...] = tuple(metadata["shape"])
        self.dtype: np.dtype[Any] = np.dtype(metadata["data_type"])
        self.plain = _is_plain(metadata, (1, *self.shape[1:]))
        self._zarr: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zarr": None}

    def read(self, index: int, count: int | None) -> Num[np.ndarray, "..."]:
        """Return the first `count` rows of place `index`; all of it without a count."""
        shape = self.shape[1:] if count is None else (count, *self.shape[2:])
        if count == 0:
            return np.zeros(shape, self.dtype)
        if self.plain:
            file = chunk_file(self.folder, index, len(self.shape))
            return read_rows(file, shape, self.dtype, math.prod(self.shape[1:]) * self.dtype.itemsize)
        return self._read_with_zarr(index, count)

    def _read_with_zarr(self, index: int, count: int | None) -> Num[np.ndarray, "..."]:
        if self._zarr is None:
            self._zarr = _open_zarr(self.folder)
        grid = self._zarr.shards or self._zarr.chunks
        extent = [(index, index + 1), *((0, n) for n in self.shape[1:])]
        if count is not None:
            extent[1] = (0, count)
        blocks = [range(start // step, (stop - 1) // step + 1) for (start, stop), step in zip(extent, grid, strict=True)]
        for block in np.ndindex(*(len(axis) for axis in blocks)):  # zarr would read a missing one as zeros
            file = self.folder / self._zarr.metadata.encode_chunk_key(tuple(axis[i] for axis, i in zip(blocks, block, strict=True)))
            if not file.is_file():
                raise InputError(f"{file}: this chunk is missing, though the store counts it. Try: copy the store again.")
        try:
            return np.asarray(self._zarr[index] if count is None else self._zarr[index, :count])
        except Exception as error:  # codecs raise errors of many types, none of which names the file
            raise InputError(
                f"{self.folder}: the chunk of place {index} cannot be decoded ({error}). Try: copy the store again."
            ) from error


def open_tree(path: Path) -> "xarray.DataTree":
    """Open a store with xarray: a group per sensor, lazily. Only the first `count` frames of a place are data."""
    import xarray

    open_sealed(Path(path))
    return xarray.open_datatree(path, engine="zarr")


def read_whole(folder: Path) -> Shaped[np.ndarray, "..."]:
    """Read a small array."""
    metadata = load_json(folder / "zarr.json")
    shape, dtype = tuple(metadata["shape"]), np.dtype(metadata["data_type"])
    if 0 in shape:
        return np.zeros(shape, dtype)
    if _is_plain(metadata, shape):
        return read_rows(chunk_file(folder, 0, len(shape)), shape, dtype, math.prod(shape) * dtype.itemsize)
    return np.asarray(_open_zarr(folder)[...])


def _is_plain(metadata: dict[str, Any], chunk: Sequence[int]) -> bool:
    """Whether each chunk is a file with the raw values and a CRC-32C."""
    return (
        metadata["chunk_grid"] == {"name": "regular", "configuration": {"chunk_shape": list(chunk)}}
        and metadata["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "."}}
        and [codec["name"] for codec in metadata["codecs"]] == ["bytes", "crc32c"]
        and metadata["codecs"][0].get("configuration", {}).get("endian", "little") == "little"
    )


def _open_zarr(folder: Path) -> Any:
    import zarr

    if get_worker_info() is not None:  # each of many workers would else start a thread per core
        zarr.config.set({"async.concurrency": 4, "threading.max_workers": 1})
    return zarr.open_array(folder, mode="r")


def _modality(sealed: Sealed, name: str, path: Path) -> Modality:
    return from_dict(Modality, sealed.metadata[name]["attributes"], f"{path}: {name}")


def _read_info(sealed: Sealed, path: Path) -> list[dict[str, str | int | float]]:
    attributes = sealed.metadata["place"]["attributes"]
    columns: dict[str, Int[np.ndarray, " n"] | list[Any]] = {}
    for name in attributes["columns"]:
        columns[name] = attributes["text"][name] if name in attributes["text"] else read_whole(path / "place" / name).tolist()
    rows = zip(*columns.values(), strict=True) if columns else ((),) * sealed.attributes["places"]
    return [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]
