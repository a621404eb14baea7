"""From paths to images: which files are which bands of which date, and what their numbers mean."""

import glob
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from omnifuse.data.arrays import days_since_1970
from omnifuse.data.band_names import check_complete, named, positions
from omnifuse.data.calibration import Calibration, calibration
from omnifuse.data.dates import EPOCH, time_of_file, undated_days
from omnifuse.data.extras import check_installed
from omnifuse.data.raster_file import Header, is_zarr, read_header, read_tags
from omnifuse.data.sources.raster_bands import differences
from omnifuse.data.stated import Stated
from omnifuse.data.zarr_images import images_in_zarr
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

_log = logging.getLogger(__name__)
_ONE_PASS = timedelta(minutes=10)  # tiles and slices of one overpass are seconds apart, two orbits are hours apart


@dataclass(frozen=True)
class Piece:
    """Bands of one image in one file.

    Attributes:
        header: Of the file.
        index: Number of each band of the sensor in the file, from 1.
        calibrations: What its numbers mean, by band.
        nodata: Stored number that means no data; None where there is none.
        named: Whether the bands were found by name, else by their order.
    """

    header: Header
    index: dict[str, int]
    calibrations: dict[str, Calibration]
    nodata: float | None
    named: bool


@dataclass(frozen=True)
class Image:
    """What a sensor saw at one time: bands from one file or several, and side by side where files are tiles; the first one wins."""

    day: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class _Found:
    """One moment in a file; `name` is what may name its band where the file's own bands have no names."""

    path: str
    name: str
    header: Header
    time: datetime | None
    dated: bool  # to the second
    skip: int = 0  # bands of the file before those of this moment
    bands: int = 0  # of this moment; 0 is all


def paths_of(given: Any, name: str) -> list[str]:
    """Return the files that a path, a list of paths or a pattern such as `folder/*.tif` names.

    Raises:
        InputError: where there is none.
    """
    texts = [given] if isinstance(given, str | Path) else list(given) if isinstance(given, Iterable) else [given]
    found: list[str] = []
    for text in texts:
        if not isinstance(text, str | Path) or not str(text).strip() or "\0" in str(text):
            raise InputError(f"input: {name!r}: {text!r} is not a path. Try: a path, a list of paths, or a pattern such as 's2/*.tif'.")
        path = str(text)
        if "://" in path or path.startswith("/vsi") or is_zarr(path):
            found.append(path)
            continue
        matches = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not matches:
            raise InputError(f"{path}: no such file, for {name!r}. Try: a path that exists, or a pattern such as 's2/*.tif'.")
        if Path(matches[0]).is_dir():
            raise InputError(f"{matches[0]}: is a folder, for {name!r}. Try: {str(Path(matches[0]) / '*.tif')!r}.")
        found += matches
    if not found:
        raise InputError(f"input: {name!r}: no file. Try: a path, or leave the sensor out.")
    return found


def images_of(given: Any, modality: Modality, said: Stated, season: tuple[int, int] | None) -> tuple[Image, ...]:
    """Return the images of a sensor in the order of their dates.

    Files of one overpass (10 minutes; one date, where that is all that is known) are one image: its bands, or its tiles. Dates are
    those stated, else of file names, folders and tags; where there is none they are spread over the season, with a warning. A sensor
    that has one image by nature makes one of all its files.

    Args:
        given: A path, a list of paths, or a pattern.
        modality: The sensor.
        said: What the user says of the files.
        season: First and last day since 1970-01-01 of what the model has learned; None where it reads no dates.

    Raises:
        InputError: naming file, band, date or unit, and the remedy.
    """
    check_installed(f"input: {modality.name!r}", "rasterio")
    found = [moment for path in paths_of(given, modality.name) for moment in _moments(path)]
    if said.days is not None:
        found = _dated(found, said.days, modality)
    pieces = [(moment, _piece(moment, modality, own)) for moment, own in zip(found, _per_file(found, modality, said), strict=True)]
    unnamed = [moment for moment, piece in pieces if not piece.named]
    if unnamed and len(modality.bands) > 1:
        order = ", ".join(pieces[found.index(unnamed[0])][1].index)
        _log.warning("%s: its bands have no names that %s has, and are taken as %s.", unnamed[0].path, modality.name, order)
    groups = _groups(pieces, modality)
    for group in groups:
        bands = {band: 0 for _, piece in group for band in piece.index}
        names = dict.fromkeys([*bands, *(name for moment, _ in group for name in moment.header.names)])
        check_complete(bands, list(names), modality, group[0][0].path)
    undated = modality.series and any(group[0][0].time is None for group in groups)
    if undated and len(groups) > 1 and any(group[0][0].time for group in groups):
        path = next(group[0][0].path for group in groups if group[0][0].time is None)
        raise InputError(f"{path}: has no date in its name or tags, other files of {modality.name!r} have. Try: days= for all of them.")
    days = undated_days(len(groups), modality, season) if undated else [_day(group[0][0].time) for group in groups]
    images = tuple(Image(day, tuple(piece for _, piece in group)) for day, group in zip(days, groups, strict=True))
    _log.info("%s: %d images from %d files", modality.name, len(images), len({moment.path for moment in found}))
    return images


def _moments(path: str) -> list[_Found]:
    if is_zarr(path):
        images = images_in_zarr(path)
        headers = {i.name: read_header(i.path) for i in reversed(images)}  # one for all times of an array
        return [_Found(path, i.name, replace(headers[i.name], path=i.path), i.time, True) for i in images]
    header = read_header(path)
    time, source = time_of_file(path, read_tags(path))
    if time:
        _log.debug("%s: taken on %s, says its %s", path, time, source)
    stem = Path(path).stem
    return [_Found(path, stem, header, time, time is not None and (time.hour, time.minute, time.second) != (0, 0, 0))]


def _dated(found: Sequence[_Found], days: Sequence[Any], modality: Modality) -> list[_Found]:
    """Give files, or the images stacked in a single one, the dates that are stated."""
    try:
        times = [EPOCH + timedelta(days=int(day)) for day in days_since_1970(days, f"days: {modality.name!r}")]
    except OverflowError:
        raise InputError(f"days: {modality.name!r}: a date beyond the years 1 to 9999. Try: the dates of the images.") from None
    if len(found) == 1 and len(times) > 1:
        per_image, rest = divmod(len(found[0].header.names), len(times))
        if rest or not per_image:
            raise InputError(
                f"{found[0].path}: {len(found[0].header.names)} bands are not a whole number for each of {len(times)} dates of "
                f"{modality.name!r}. Try: one date per file."
            )
        return [replace(found[0], time=time, dated=False, skip=i * per_image, bands=per_image) for i, time in enumerate(times)]
    if len(times) != len(found):
        raise InputError(f"days: {modality.name!r}: {len(found)} images but {len(times)} dates. Try: one date per image or file.")
    return [replace(moment, time=time, dated=False) for moment, time in zip(found, times, strict=True)]


def _per_file(found: Sequence[_Found], modality: Modality, said: Stated) -> list[Stated]:
    """Return what is said of each file: names of bands are those of every file, or one for each file of one band."""
    if len(said.bands) == len(found) > 1 and all(len(moment.header.names) == 1 for moment in found):
        return [replace(said, bands=(band,)) for band in said.bands]
    return [said] * len(found)


def _piece(moment: _Found, modality: Modality, said: Stated) -> Piece:
    header, where = moment.header, moment.path
    if np.dtype(header.dtype).kind not in "iuf":
        raise InputError(f"{where}: pixels of type {header.dtype}. Try: integers or floats, such as the power of complex values.")
    numbers = range(moment.skip + 1, moment.skip + (moment.bands or len(header.names)) + 1)
    if said.bands and len(said.bands) != len(numbers):
        raise InputError(f"bands: {modality.name!r}: {len(said.bands)} names, {where} has {len(numbers)} bands. Try: one name per band.")
    names = list(said.bands) or [header.names[number - 1] for number in numbers]
    at = named(names, modality, where)
    if not at and len(names) == 1:
        at = named([moment.name], modality, where)  # a file per band
    by_name = bool(at)
    if not at:
        at = positions(names, modality, where)
    left_out = [name or f"number {numbers[i]}" for i, name in enumerate(names) if i not in at.values()]
    if left_out:
        _log.info("%s: left out %s, which %s does not read", where, ", ".join(left_out), modality.name)
    index = {band: numbers[i] for band, i in at.items()}
    calibrations = {
        band: calibration(
            band,
            modality,
            where,
            unit=said.unit_of(band),
            own_unit=header.units[number - 1],
            scale=header.scales[number - 1],
            offset=header.offsets[number - 1],
            add=said.offset,
        )
        for band, number in index.items()
    }
    return Piece(header, index, calibrations, header.nodata if said.nodata is None else said.nodata, by_name)


def _groups(pieces: Sequence[tuple[_Found, Piece]], modality: Modality) -> list[list[tuple[_Found, Piece]]]:
    """Put together what is one image."""
    if not modality.series:
        return [list(pieces)]
    dated = sorted((pair for pair in pieces if pair[0].time is not None), key=lambda pair: pair[0].time or EPOCH)
    groups: list[list[tuple[_Found, Piece]]] = []
    for pair in dated:
        if groups and _one_pass(groups[-1][-1][0], pair[0]):
            groups[-1].append(pair)
        else:
            groups.append([pair])
    undated = [pair for pair in pieces if pair[0].time is None]
    bands = [band for _, piece in undated for band in piece.index]
    if undated and len(set(bands)) == len(bands):
        return [*groups, undated]
    needed = set(modality.bands) - set(differences(modality))
    for moment, piece in undated:
        if not needed <= set(piece.index):
            raise InputError(
                f"{moment.path}: has only {', '.join(piece.index)} of {modality.name!r} and no date to join it to other files by. "
                "Try: days= with a date per file, or dates such as 2018-06-30 in the names."
            )
    return [*groups, *([pair] for pair in undated)]


def _one_pass(one: _Found, other: _Found) -> bool:
    if one.time is None or other.time is None:
        return False
    if one.dated and other.dated:
        return other.time - one.time <= _ONE_PASS
    return one.time.date() == other.time.date()


def _day(time: datetime | None) -> int:
    return 0 if time is None else (time - EPOCH).days
