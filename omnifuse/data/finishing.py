"""From files of places to a store: files of one length, arrays over all places, metadata, check sums."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnifuse import __version__
from omnifuse.classes import ClassTable, Labels
from omnifuse.config import to_dict
from omnifuse.data.chunks import chunk_file
from omnifuse.data.journal import Record, Written
from omnifuse.data.layout import group_document, is_numeric, write_document, write_small
from omnifuse.data.manifest import seal, small_files
from omnifuse.data.place import PlaceSource, how_split, labels_of, quantities_of
from omnifuse.data.profiles import dates_per_chunk, profile_called
from omnifuse.modalities import Modality

_NO_DATE = -(2**31)
_DATES = {"units": "days since 1970-01-01", "calendar": "standard", "_FillValue": _NO_DATE}
_ABOUT = {
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "left": {"long_name": "left edge in `crs`", "units": "m"},
    "top": {"long_name": "upper edge in `crs`", "units": "m"},
}


def arrays_of(source: PlaceSource) -> list[str]:
    """Return the arrays whose files are one per place, as paths in the store."""
    return [*(f"{name}/pixels" for name in source.modalities), "target/labels"]


def finish(source: PlaceSource, store: Path, profile: str, records: Sequence[Record]) -> None:
    """Make a store of the files of all places; what an earlier try left besides them is written anew."""
    chunked = set(arrays_of(source))
    for name in ["zarr.json", *small_files(store, chunked)]:
        (store / name).unlink(missing_ok=True)
    for name, modality in source.modalities.items():
        _finish_sensor(store / name, modality, modality.pixels(source.size), profile, [record.get(f"{name}/pixels") for record in records])
    labels = [record.get("target/labels") for record in records]
    labelled = any(one is not None for one in labels)
    if labelled:
        _finish_labels(store / "target", labels_of(source), profile, labels)
    else:
        (store / "target" / "labels").rmdir()
        (store / "target").rmdir()
    _write_info(store / "place", source.info, how_split(source))
    measured = quantities_of(source)
    attributes = {
        "profile": profile,
        "size": source.size,
        "places": len(records),
        "sensors": list(source.modalities),
        "labels": labelled,
        "classes": None if source.classes is None else to_dict(source.classes),
        **({} if measured is None else {"quantities": to_dict(measured)}),
        "provenance": {**source.provenance, "writer": f"omnifuse {__version__}"},
    }
    seal(store, attributes, chunked)
    os.sync()  # before the store gets its name; file by file it would be 4 ms each


def _finish_sensor(group: Path, modality: Modality, side: int, profile: str, written: Sequence[Written | None]) -> None:
    bands = len(modality.bands)
    found = next((one for one in written if one is not None), None)
    frame, dtype = (found.shape[1:], np.dtype(found.dtype)) if found else ((bands, side, side), np.dtype(np.uint8))
    count = np.array([0 if one is None else len(one.day) for one in written], np.int32)
    longest = int(count.max(initial=0))
    day = np.full((len(written), longest), _NO_DATE, np.int32)
    moments = np.zeros((len(written), bands, 3))
    for index, one in enumerate(written):
        if one is not None:
            day[index, : len(one.day)] = one.day
            moments[index] = one.summary
    about = {"long_name": modality.title, "bands": list(modality.bands), "band_units": list(modality.units), "gsd": modality.gsd}
    if len(set(modality.units)) == 1:
        about["units"] = modality.units[0]
    write_document(group, group_document(to_dict(modality)))
    _finish_array(
        group / "pixels", profile, written, (longest, *frame), dtype, ("time", "band", "y", "x"), about, dates_per_chunk(modality)
    )
    write_small(group / "count", count, ("place",), {"long_name": "images of the place"})
    write_small(group / "time", day, ("place", "time"), _DATES)
    named = {"long_name": "pixels, mean, sum of squared deviations"}
    write_small(group / "moments", moments, ("place", "band", "moment"), named)


def _finish_labels(group: Path, labels: Labels | None, profile: str, written: Sequence[Written | None]) -> None:
    found = next(one for one in written if one is not None)
    axes = {1: ("class",), 2: ("y", "x")}.get(len(found.shape), tuple(f"axis_{i}" for i in range(len(found.shape))))
    about: dict[str, Any] = {"long_name": "class"}
    if isinstance(labels, ClassTable):
        about |= {
            "flag_values": list(range(len(labels.names))),
            "flag_meanings": " ".join(name.replace(" ", "_") for name in labels.names),
            "flag_colors": " ".join(labels.colors),
            "ignored": labels.ignore,
        }
    elif labels is not None:
        axes = ("quantity", "y", "x")[: len(found.shape)]
        about = {"long_name": "quantity", "quantities": list(labels.names), "quantity_units": list(labels.units)}
    write_document(group, group_document({}))
    _finish_array(group / "labels", profile, written, found.shape, np.dtype(found.dtype), axes, about, 0)
    write_small(
        group / "count", np.array([one is not None for one in written], np.int32), ("place",), {"long_name": "label maps of the place"}
    )
    if found.summary:
        pixels = np.array([(0,) * len(found.summary) if one is None else one.summary for one in written], np.int64)
        write_small(group / "pixels", pixels, ("place", "label"), {"long_name": "pixels of each class, and of the ignored label"})


def _finish_array(
    folder: Path,
    profile: str,
    written: Sequence[Written | None],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: tuple[str, ...],
    attributes: dict[str, Any],
    dates: int,
) -> None:
    """Describe the array whose files were written, and complete these."""
    layout = profile_called(profile)
    write_document(folder, layout.document(len(written), shape, dtype, axes, attributes, dates))
    sums = np.zeros(len(written), np.int64)
    for index, one in enumerate(written):
        if one is not None:
            file = chunk_file(folder, index, 1 + len(shape))
            layout.finish(file, one.crc, one.pieces, shape, dtype, dates)
            sums[index] = layout.place_sum(file, one.pieces)
    write_small(folder.parent / "crc32c", sums, ("place",), {"long_name": "check sum of the values of the place, as its file has it"})


def _write_info(folder: Path, info: Sequence[dict[str, str | int | float]], splits: Mapping[str, Any]) -> None:
    """Write metadata columns: arrays where every place has a number of one type, else a JSON list (null: none)."""
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in info] for name in dict.fromkeys(name for row in info for name in row)}
    text = {name: column for name, column in columns.items() if not is_numeric(column)}
    write_document(folder, group_document({"columns": list(columns), "text": text, **({"splits": dict(splits)} if splits else {})}))
    for name, column in columns.items():
        if name not in text:
            write_small(folder / name, np.array(column), ("place",), _ABOUT.get(name, {}))
