"""A dataset on disk: one Zarr v3 store, one group per sensor, opened by plain xarray too.

    <sensor>/pixels (place, time, band, y, x)   one chunk, hence one file, per place; none where the sensor is missing
    <sensor>/count (place)   <sensor>/time (place, time)   frames of each place and their dates
    <sensor>/crc32c (place)   check sum of the values of each place: which file belongs to which
    <sensor>/moments (place, band, 3)   number of pixels, mean and sum of squared deviations: the statistics of any split
    target/labels (place, y, x), or (place, class) for shares of classes   target/count (place)   likewise for labels
    target/labels (place, quantity, y, x) or (place, quantity) of quantities: floats, NaN where unknown
    target/pixels (place, class + 1)   pixels of each class and, last, of the ignored label
    place/...   metadata of the places: numbers as arrays, text in the attributes; `splits` says how a split was made

Two profiles of one layout. *training*: chunks are uncompressed, in the sensor's own type, as long as the longest series (the tail of
shorter ones is zero and takes no room on disk: copy with `cp --sparse` or `rsync -S`), and carry a CRC-32C. *archive*: one shard per
place and sensor, of compressed chunks of one date, each with its CRC-32C. Nobody else knows this layout.

Reading uses no zarr: forked workers may read what was read before, and both profiles are read at several times its speed.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from omnifuse.classes import ClassTable, Quantities
from omnifuse.config import from_dict
from omnifuse.data.chunked import ChunkedArray, Verify, small_array
from omnifuse.data.files import Files, Folder
from omnifuse.data.manifest import Sealed, load_json, open_sealed, parse_root
from omnifuse.data.place import Place, Series
from omnifuse.data.remote import is_address, remote_files
from omnifuse.data.writing import write_store
from omnifuse.errors import InputError
from omnifuse.modalities import Modality, check_names

if TYPE_CHECKING:
    import xarray

__all__ = ["Store", "open_tree", "write_store"]


class Store:
    """Places of a store (a `PlaceSource`); can be pickled, and keeps no file open.

    Metadata, counts and dates are read and checked when it is opened, pixels and labels when a place is asked for.

    Args:
        path: Its folder, or an address: `https://`, `s3://`, `gs://`, `az://` or what fsspec knows (`cloud` extra). Accounts are taken
            from the environment, see `omnifuse.data.remote`.
        verify: When the CRC-32C of an uncompressed chunk is compared. "first": when this process first reads it, and again once the
            file has changed (time of modification). "always": at every read, at about 0.8 of the speed (`python benchmarks/data.py
            read`). "never": not at all. Compressed chunks, and what comes from an address, are compared whenever they are read.

    Attributes:
        provenance: Where the data come from (source, licence, citation) and which version wrote the store.
        how_split: How its named splits were made (seed, method, parameters), by name.

    Raises:
        InputError: naming the file that is missing or damaged.
    """

    modalities: dict[str, Modality]
    classes: ClassTable | None
    quantities: Quantities | None
    size: float
    info: list[dict[str, str | int | float]]

    def __init__(self, path: Path | str, verify: Verify = "first") -> None:
        self.files: Files = remote_files(str(path)) if is_address(str(path)) else Folder(Path(path))
        sealed = open_sealed(self.files.path) if isinstance(self.files, Folder) else _fetch_root(self.files)
        self._documents = sealed.metadata
        attributes = sealed.attributes
        self.size = attributes["size"]
        self.provenance: dict[str, str] = attributes["provenance"]
        self.classes = None if attributes["classes"] is None else from_dict(ClassTable, attributes["classes"], f"{path}: classes")
        measured = attributes.get("quantities")
        self.quantities = None if measured is None else from_dict(Quantities, measured, f"{path}: quantities")
        self.modalities = {
            name: from_dict(Modality, sealed.metadata[name]["attributes"], f"{path}: {name}") for name in attributes["sensors"]
        }
        columns = sealed.metadata["place"]["attributes"]
        self.how_split: dict[str, Any] = columns.get("splits", {})
        numeric = [f"place/{name}" for name in columns["columns"] if name not in columns["text"]]
        of_sensors = [f"{name}/{what}" for name in self.modalities for what in ("count", "time")]
        names = [*of_sensors, *numeric, *(["target/count"] if attributes["labels"] else [])]
        small = dict(zip(names, self.files.together([partial(self._small, name) for name in names]), strict=True))
        self._count = {name: small[f"{name}/count"] for name in self.modalities}
        self._day = {name: small[f"{name}/time"] for name in self.modalities}
        self.info = _rows(columns, small, attributes["places"])
        self._pixels = {name: self._chunked(f"{name}/pixels", verify) for name in self.modalities}
        self._labels = self._chunked("target/labels", verify) if attributes["labels"] else None
        self._labelled = small["target/count"] if attributes["labels"] else np.zeros(len(self.info), np.int32)

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        return self.read(index)

    def read(self, index: int, sensors: Sequence[str] | None = None, dates: Mapping[str, Int[np.ndarray, " _k"]] | None = None) -> Place:
        """Return a place, or a part of it.

        Args:
            index: The place.
            sensors: Those to read; by default all.
            dates: By sensor, which of its images to read: ascending positions among those of the place. An archive decodes only these;
                of the training profile all are read where they are summed (`verify`), as their check sum is one.

        Raises:
            InputError: naming the file that is missing or damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"place {index} of {len(self)}")
        names, rows = list(self.modalities if sensors is None else sensors), dict(dates or {})
        check_names([*names, *rows], list(self.modalities), "store")
        for name, row in rows.items():
            if len(row) and (np.any(np.diff(row) <= 0) or row[0] < 0 or row[-1] >= self._count[name][index]):
                most = int(self._count[name][index])
                raise InputError(
                    f"store: dates {row.tolist()} of {name!r} at place {index}, expected ascending positions below {most}. Try: np.unique."
                )
        tasks = [partial(self._pixels[name].read, index, int(self._count[name][index]), rows.get(name)) for name in names]
        if self._labels is not None and self._labelled[index]:
            tasks.append(partial(self._labels.read, index, None))
        found = self.files.together(tasks)
        series = {name: Series(pixels, self._days_of(name, index, rows.get(name))) for name, pixels in zip(names, found, strict=False)}
        return Place(series, self.size, found[-1] if len(found) > len(names) else None, dict(self.info[index]))

    def check(self, index: int) -> None:
        """Raise `InputError` unless all chunks of a place are whole to the last bit, also after its last image, where reading ends."""
        for name, pixels in self._pixels.items():
            if self._count[name][index]:
                pixels.check(index)
        if self._labels is not None and self._labelled[index]:
            self._labels.check(index)

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]]:
        """Return how many images each sensor has of each place (`omnifuse.data.place.Counted`)."""
        return {name: count.astype(np.int64) for name, count in self._count.items()}

    def days(self, name: str) -> list[Int[np.ndarray, " _t"]]:
        """Return the dates of a sensor at each place, in days since 1970-01-01; none where it is missing."""
        return [row[:count] for row, count in zip(self._day[name], self._count[name], strict=True)]

    def labelled(self) -> Bool[np.ndarray, " places"]:
        """Return which places have labels."""
        return self._labelled.astype(bool)

    def moments(self, name: str) -> Float[np.ndarray, "places bands 3"]:
        """Return per place and band the number of pixels of a sensor, their mean and the sum of squared deviations, as stored."""
        return self._small(f"{name}/moments")

    def class_counts(self) -> Int[np.ndarray, "places labels"] | None:
        """Return per place the pixels of each class and, last, of the ignored label; None where labels are no class maps."""
        return self._small("target/pixels") if "target/pixels" in self._documents else None

    def _small(self, name: str) -> Shaped[np.ndarray, "..."]:
        return small_array(self.files, name, self._documents[name])

    def _chunked(self, name: str, verify: Verify) -> ChunkedArray:
        listed = f"{name.rpartition('/')[0]}/crc32c"
        sums = self._small(listed) if isinstance(self.files, Folder) and listed in self._documents else None
        return ChunkedArray(self.files, name, self._documents[name], verify, sums)

    def _days_of(self, name: str, index: int, rows: Int[np.ndarray, " k"] | None) -> Int[np.ndarray, " t"]:
        days = self._day[name][index, : self._count[name][index]]
        return days.copy() if rows is None else days[rows]


def open_tree(path: Path | str, chunks: Mapping[str, int] | Literal["auto"] | None = None) -> "xarray.DataTree":
    """Open a store with xarray: a group per sensor, with its bands, the ids of places and metres on the ground as coordinates.

    A place has `count` images of a sensor. What follows them along `time` are not data: their `time` is NaT, and their pixels are
    zero. So `optical.pixels.where(optical.time.notnull())` has missing values there, and `optical.isel(place=3).pixels[:count]` none.

    Args:
        path: Folder or address of the store.
        chunks: Dask's chunks by axis, such as `{"place": 1}` ({}: those of the files), for work on more than fits into memory;
            by default values are read when they are used.

    Raises:
        InputError: naming the file that is missing or damaged.
    """
    from omnifuse.data.tree import labelled_tree

    return labelled_tree(Store(path), chunks)


def read_whole(folder: Path) -> Shaped[np.ndarray, "..."]:
    """Read a small array of a store on disk."""
    return small_array(Folder(folder.parent), folder.name, load_json(folder / "zarr.json"))


def _fetch_root(files: Files) -> Sealed:
    """Return the root metadata of a store that is not on disk: it has that of all groups and arrays, and small arrays have check sums."""
    where = files.where("zarr.json")
    try:
        document = json.loads(files.read("zarr.json"))
    except OSError as error:
        raise InputError(f"{where}: missing or cannot be reached ({error.strerror}). Try: check the address and the account.") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):  # from the way there: a package that is not installed
            raise
        raise InputError(f"{where}: not JSON ({error}). Try: the address of the folder that holds the store's `zarr.json`.") from None
    return parse_root(document, where)


def _rows(columns: dict[str, Any], small: Mapping[str, Shaped[np.ndarray, "..."]], num_places: int) -> list[dict[str, str | int | float]]:
    """Return the metadata of each place from its columns, text and numbers."""
    values = [columns["text"][name] if name in columns["text"] else small[f"place/{name}"].tolist() for name in columns["columns"]]
    rows = zip(*values, strict=True) if values else ((),) * num_places
    return [{name: value for name, value in zip(columns["columns"], row, strict=True) if value is not None} for row in rows]
