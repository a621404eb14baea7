"""A unit of conversion: read some places, write their files, and say what was written. A pure function, wherever it runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import google_crc32c
import numpy as np
from jaxtyping import Num

from omnifuse.classes import ClassTable
from omnifuse.data.chunks import chunk_file
from omnifuse.data.journal import Record, Written
from omnifuse.data.loading import read_place
from omnifuse.data.place import Place, PlaceSource
from omnifuse.data.profiles import dates_per_chunk, profile_called
from omnifuse.data.statistics import Moments
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

_BLOCK = 1 << 20  # bytes


def convert_places(
    source: PlaceSource, folder: Path, profile: str, indices: Sequence[int], known: Sequence[Record | None]
) -> list[tuple[int, Record]]:
    """Write places of a source to a store that is being made; return (index, what was written) of each.

    Args:
        source: Where places come from.
        folder: Has `store` with a folder per array, and `incoming` for files that are not complete.
        profile: Name of the layout's profile.
        indices: The places.
        known: What an earlier run wrote of each, or None. A place whose files are still so is not read again.

    Raises:
        InputError: naming the place.
    """
    done = []
    for index, record in zip(indices, known, strict=True):
        intact = record is not None and all(_is_intact(_file(folder, name, index, one), one) for name, one in record.items())
        done.append((index, record if record is not None and intact else _convert(source, folder, profile, index)))
    return done


def class_pixels(target: Num[np.ndarray, "..."], classes: ClassTable) -> tuple[int, ...]:
    """Return the pixels of each class of a label map, and of the ignored label; nothing where the labels are no map."""
    if target.ndim != 2 or target.dtype.kind not in "iu":
        return ()
    ignored = target == classes.ignore
    counts = np.bincount(target[~ignored].astype(np.int64), minlength=len(classes.names))
    return (*counts.tolist(), int(ignored.sum()))


def _convert(source: PlaceSource, folder: Path, profile: str, index: int) -> Record:
    place, where = read_place(source, index), f"place {source.info[index]['id']!r} ({index})"
    place.check(source.modalities, where)
    if place.size != source.size:
        raise InputError(f"{where}: {place.size:g} m wide, the source says {source.size:g} m. Try: one place size per store.")
    try:
        return _write(place, folder, profile, index, source.modalities, source.classes)
    except OSError as error:
        raise InputError(
            f"{where}: cannot be written to {folder} ({error.strerror}). Try: free disk space, a folder that every worker sees; "
            "the same command goes on."
        ) from error


def _write(place: Place, folder: Path, profile: str, index: int, modalities: Mapping[str, Modality], classes: ClassTable | None) -> Record:
    record = {}
    for name, series in place.series.items():
        if len(series.pixels):
            moments = Moments.of(series.pixels)
            rows = zip(moments.mean.tolist(), moments.deviation.tolist(), strict=True)
            summary = tuple((float(moments.count), mean, deviation) for mean, deviation in rows)
            day = tuple(int(day) for day in series.day)
            record[f"{name}/pixels"] = _write_file(
                folder, f"{name}/pixels", profile, index, series.pixels, dates_per_chunk(modalities[name]), day, summary
            )
    if place.target is not None:
        counts = class_pixels(place.target, classes) if classes is not None else ()
        record["target/labels"] = _write_file(folder, "target/labels", profile, index, place.target, 0, (), counts)
    return record


def _write_file(
    folder: Path,
    name: str,
    profile: str,
    index: int,
    values: Num[np.ndarray, "..."],
    dates: int,
    day: tuple[int, ...],
    summary: tuple[tuple[float, ...], ...] | tuple[int, ...],
) -> Written:
    partial = folder / "incoming" / uuid4().hex
    crc, pieces = profile_called(profile).write(partial, values, dates)
    written = Written(values.shape, values.dtype.name, day, crc, tuple(pieces), summary)
    partial.replace(_file(folder, name, index, written))
    return written


def _file(folder: Path, name: str, index: int, written: Written) -> Path:
    return chunk_file(folder / "store" / name, index, 1 + len(written.shape))


def _is_intact(file: Path, written: Written) -> bool:
    """Whether the file begins with what was written; it may have been completed since."""
    crc, left = 0, sum(written.pieces)
    try:
        with file.open("rb", buffering=0) as stream:
            while left and (block := stream.read(min(_BLOCK, left))):
                crc, left = google_crc32c.extend(crc, block), left - len(block)
    except OSError:
        return False
    return not left and crc == written.crc
