"""Writing a store: chunk files first, by as many processes as one likes; then arrays, metadata and check sums; then its name."""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Num
from torch.utils.data import DataLoader, Dataset

from omnifuse import __version__
from omnifuse.config import to_dict
from omnifuse.data.chunks import chunk_file, finish_chunk, write_rows
from omnifuse.data.layout import CRC32C, array_document, group_document, is_numeric, raw_codec, write_document, write_small
from omnifuse.data.loading import read_place
from omnifuse.data.manifest import seal
from omnifuse.data.place import PlaceSource
from omnifuse.errors import InputError

_NO_DATE = -(2**31)
_RESERVED = ("place", "target")


def write_store(
    source: PlaceSource,
    path: Path,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write every place of a source to a new store; nothing stands at `path` before it is complete.

    Args:
        source: The places, each of which is checked against the source's modalities.
        path: Folder to be made.
        workers: Processes that read and write; 1 works in this one.
        progress: Called with (places done, places in all).

    Raises:
        InputError: where `path` exists or a place is not what the modalities say; names the place.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path}: exists already. Try: another path, or remove it first.")
    for name in source.modalities:
        if name in _RESERVED or "/" in name or name.startswith((".", "_")):
            raise InputError(f"{path}: a sensor cannot be called {name!r} in a store. Try: another name.")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        for array in [*(f"{name}/pixels" for name in source.modalities), "target/labels"]:
            (partial / array).mkdir(parents=True)
        records = _write_chunks(source, partial, workers, progress)
        _finish(source, partial, records)
        partial.rename(path)
    except BaseException:  # also when interrupted
        shutil.rmtree(partial, ignore_errors=True)
        raise


@dataclass(frozen=True)
class _Written:
    """What was written for one place into one array; `day` has no dates where it is labels."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    day: Int[np.ndarray, " t"]
    crc: int


class _ChunkWriter(Dataset[dict[str, _Written]]):
    """Getting an item writes the chunks of that place: so a loader's workers write in parallel."""

    def __init__(self, source: PlaceSource, folder: Path) -> None:
        self.source = source
        self.folder = folder

    def __getitem__(self, index: int) -> dict[str, _Written]:
        place, where = read_place(self.source, index), f"place {self.source.info[index]['id']!r} ({index})"
        place.check(self.source.modalities, where)
        if place.size != self.source.size:
            raise InputError(f"{where}: {place.size:g} m wide, the source says {self.source.size:g} m. Try: one place size per store.")
        written = {
            f"{name}/pixels": self._write(f"{name}/pixels", index, series.pixels, series.day, 5)
            for name, series in place.series.items()
            if len(series.pixels)
        }
        if place.target is not None:
            written["target/labels"] = self._write("target/labels", index, place.target, np.zeros(0, np.int32), place.target.ndim + 1)
        return written

    def _write(self, array: str, index: int, values: Num[np.ndarray, "..."], day: Int[np.ndarray, " t"], ndim: int) -> _Written:
        crc = write_rows(chunk_file(self.folder / array, index, ndim), values)
        return _Written(values.shape, values.dtype.newbyteorder("="), day.astype(np.int32), crc)


def _write_chunks(
    source: PlaceSource, folder: Path, workers: int, progress: Callable[[int, int], None] | None
) -> list[dict[str, _Written]]:
    loader = DataLoader(
        _ChunkWriter(source, folder),
        batch_size=None,
        sampler=range(len(source)),
        collate_fn=_identity,
        num_workers=workers if workers > 1 else 0,
    )
    records = []
    for record in loader:
        records.append(record)
        if progress is not None:
            progress(len(records), len(source))
    return records


def _finish(source: PlaceSource, folder: Path, records: list[dict[str, _Written]]) -> None:
    """Make the chunk files a Zarr store."""
    for name, modality in source.modalities.items():
        written = [record.get(f"{name}/pixels") for record in records]
        side = modality.pixels(source.size)
        frame, dtype = _uniform(written, 1, (len(modality.bands), side, side), name, source)
        count = np.array([0 if one is None else len(one.day) for one in written], np.int32)
        longest = int(count.max(initial=0))
        day = np.full((len(written), longest), _NO_DATE, np.int32)
        for row, one in zip(day, written, strict=True):
            if one is not None:
                row[: len(one.day)] = one.day
        write_document(folder / name, group_document(to_dict(modality)))
        _complete(folder / name / "pixels", written, (longest, *frame), dtype, ("time", "band", "y", "x"))
        write_small(folder / name / "count", count, ("place",))
        dates = {"units": "days since 1970-01-01", "calendar": "standard", "_FillValue": _NO_DATE}
        write_small(folder / name / "time", day, ("place", "time"), dates)
    labels = [record.get("target/labels") for record in records]
    if any(one is not None for one in labels):
        shape, dtype = _uniform(labels, 0, (), "labels", source)
        write_document(folder / "target", group_document({}))
        _complete(
            folder / "target" / "labels",
            labels,
            shape,
            dtype,
            ("y", "x") if len(shape) == 2 else tuple(f"axis_{i}" for i in range(len(shape))),
        )
        write_small(folder / "target" / "count", np.array([one is not None for one in labels], np.int32), ("place",))
    else:
        shutil.rmtree(folder / "target")
    _write_info(folder / "place", source.info)
    attributes = {
        "size": source.size,
        "places": len(records),
        "sensors": list(source.modalities),
        "labels": any(one is not None for one in labels),
        "classes": None if source.classes is None else to_dict(source.classes),
        "provenance": {**source.provenance, "writer": f"omnifuse {__version__}"},
    }
    seal(folder, attributes, {"target/labels", *(f"{name}/pixels" for name in source.modalities)})


def _uniform(
    written: Sequence[_Written | None], skip: int, default: tuple[int, ...], name: str, source: PlaceSource
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape (without the first `skip` axes) and type that all places share."""
    found = [(one.shape[skip:], one.dtype) for one in written if one is not None]
    for index, one in enumerate(written):
        if one is not None and (one.shape[skip:], one.dtype) != found[0]:
            raise InputError(
                f"place {source.info[index]['id']!r} ({index}): {name!r} is {one.dtype} of {one.shape[skip:]}, "
                f"earlier places have {found[0][1]} of {found[0][0]}. Try: one type and size per sensor."
            )
    return found[0] if found else (default, np.dtype(np.uint8))


def _complete(
    folder: Path, written: Sequence[_Written | None], chunk: tuple[int, ...], dtype: np.dtype[Any], axes: tuple[str, ...]
) -> None:
    """Describe the array whose chunk files were written, and bring these to their common length."""
    grid = (1, *(max(n, 1) for n in chunk))
    document = array_document((len(written), *chunk), dtype, grid, (raw_codec(dtype), CRC32C), ("place", *axes), {})
    write_document(folder, document)
    for index, one in enumerate(written):
        if one is not None:
            finish_chunk(chunk_file(folder, index, 1 + len(chunk)), one.crc, math.prod(chunk) * dtype.itemsize)


def _write_info(folder: Path, info: Sequence[dict[str, str | int | float]]) -> None:
    """Write metadata columns: arrays where every place has a number of one type, else a JSON list (null: none)."""
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in info] for name in dict.fromkeys(name for row in info for name in row)}
    text = {name: column for name, column in columns.items() if not is_numeric(column)}
    write_document(folder, group_document({"columns": list(columns), "text": text}))
    for name, column in columns.items():
        if name not in text:
            write_small(folder / name, np.array(column), ("place",))


def _identity(item: Any) -> Any:
    return item
