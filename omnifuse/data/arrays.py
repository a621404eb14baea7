"""Places from what people hold: arrays with or without labels, in any order of axes, bands and dates, in any unit that is stated."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray
from jaxtyping import Bool, Int, Num

from omnifuse.data.band_names import positions
from omnifuse.data.calibration import calibration, check_values
from omnifuse.data.dates import undated_days
from omnifuse.data.filling import filled
from omnifuse.data.labelled import Labelled, labelled
from omnifuse.data.place import Place, Series
from omnifuse.data.sources.raster_bands import differences
from omnifuse.data.stated import Stated, stated
from omnifuse.errors import InputError
from omnifuse.modalities import Modality, check_names

Dates = Iterable[Any]  # each is checked: datetime64, date, ISO text or days since 1970-01-01
_log = logging.getLogger(__name__)


def place_from_arrays(
    arrays: Mapping[str, Any],
    days: Mapping[str, Dates] | None,
    modalities: Mapping[str, Modality],
    said: Mapping[str, Stated] | None = None,
    seasons: Mapping[str, tuple[int, int]] | None = None,
) -> Place:
    """Return the place that the arrays of its sensors show, checked and sorted by date.

    Args:
        arrays: By modality name: (time, band, y, x), or (band, y, x) for a single image; xarray axes may come in any order
            and its bands by name. Values in the modality's unit, unless `said` or their attributes say another.
        days: Date of each image by modality name, as `datetime64`, `date`, ISO text or days since 1970-01-01. Not needed where
            xarray has a time coordinate or the sensor has a single image by nature.
        modalities: What the model was trained on.
        said: What the user says of each array (`stated`); goes before `days`.
        seasons: First and last day since 1970-01-01 that the model knows, by modality name, over which images without dates are
            spread, with a warning; without, such images are refused.

    Raises:
        InputError: naming sensor, band, unit or date, and the remedy.
    """
    check_names([*map(str, arrays), *map(str, days or {})], list(modalities), "input")
    said = stated(list(arrays), modalities, days=days) if said is None else said
    series = {name: series_of(array, modalities[name], said[name], seasons) for name, array in arrays.items()}
    return place_of_series(series, modalities)


def place_of_series(series: Mapping[str, Series], modalities: Mapping[str, Modality]) -> Place:
    """Return the place that the series of its sensors show, checked.

    Raises:
        InputError: where no sensor has an image, or they do not show one square.
    """
    present = {name: one for name, one in series.items() if len(one.pixels)}
    if not present:
        raise InputError(f"input: no sensor has an image. Try: give at least one of {', '.join(modalities)}.")
    place = Place(dict(series), _size(present, modalities))
    place.check(dict(modalities), "input")
    return place


def series_from_xarray(array: xarray.DataArray, modality: Modality) -> Series:
    """Return the series of one sensor from a labelled array.

    Axes are found by name (`time`, `band`, `y`, `x` or a common synonym). Bands are found by their coordinate (`b02` is `B2`), and
    brought into the modality's order; without a coordinate they must be in that order. Images are sorted by date; a sensor that has
    one image by nature needs none (day 0).

    Raises:
        InputError: naming the axis or band that is missing.
    """
    return series_of(array, modality, Stated())


def series_of(array: Any, modality: Modality, said: Stated, seasons: Mapping[str, tuple[int, int]] | None = None) -> Series:
    """Return the series of one sensor from an array of any kind, as `place_from_arrays` describes it."""
    where = f"input: {modality.name!r}"
    found = labelled(array, where, said.nodata)
    _check_resolution(found, modality, where)
    pixels, kept = _calibrated(found, modality, said, where)
    dates: Dates | None = found.dates if said.days is None else said.days
    if dates is None and len(found.pixels):
        if modality.series and seasons is None:
            raise InputError(f"{where}: {len(found.pixels)} image(s) without dates. Try: `days={{{modality.name!r}: [...]}}`.")
        season = (seasons or {}).get(modality.name) if modality.series else None
        dates = undated_days(len(found.pixels), modality, season)
    day = days_since_1970(dates or [], where)
    if len(day) != len(found.pixels):
        raise InputError(f"{where}: {len(found.pixels)} images but {len(day)} dates. Try: one date per image.")
    by_date = np.argsort(day[kept], kind="stable")
    return Series(np.ascontiguousarray(pixels[by_date]), day[kept][by_date])


def days_since_1970(dates: Dates, where: str) -> Int[np.ndarray, " t"]:
    """Return dates as whole days since 1970-01-01."""
    result = []
    for date in dates:
        try:
            day = int(date) if isinstance(date, int | np.integer) else int(np.array(date, "datetime64[D]").astype(np.int64))
        except (ValueError, TypeError, OverflowError):
            raise InputError(f"{where}: {date!r} is not a date. Try: ISO text such as '2018-06-30', or days since 1970-01-01.") from None
        if not -(2**31) < day < 2**31:  # not-a-time is the smallest integer
            raise InputError(f"{where}: {date!r} is not a date. Try: remove images without a date.")
        result.append(day)
    return np.array(result, np.int32)


def _calibrated(found: Labelled, modality: Modality, said: Stated, where: str) -> tuple[Num[np.ndarray, "t c h w"], Bool[np.ndarray, " n"]]:
    """Return the sensor's bands in its order and unit, and which images they are: those that have data in every band."""
    count, shape = found.pixels.shape[1], found.pixels.shape
    if said.bands and len(said.bands) != count:
        raise InputError(f"bands: {modality.name!r}: {len(said.bands)} names for {count} bands of shape {shape}. Try: one name per band.")
    names = said.bands or found.bands
    at = positions(names, modality, where if any(names) else f"{where} of shape {shape}")
    left_out = [name for number, name in enumerate(names) if number not in at.values()]
    if left_out:
        _log.info("%s: left out %s, which the model does not read", where, ", ".join(left_out))
    calibrations = {
        band: calibration(
            band,
            modality,
            where,
            unit=said.unit_of(band),
            own_unit=found.units[number],
            scale=found.scales[number],
            offset=found.offsets[number],
            add=said.offset,
        )
        for band, number in at.items()
    }
    missing = None if found.missing is None or not found.missing.any() else found.missing
    data = {band: found.pixels[:, n] if missing is None else found.pixels[:, n][~missing[:, n]] for band, n in at.items()}
    _check_finite(found.pixels[:, list(at.values())], None if missing is None else missing[:, list(at.values())], modality, where)
    check_values(data, calibrations, modality, where)
    kept = np.ones(len(found.pixels), bool)
    if missing is not None:
        kept = ~np.any(np.all(missing[:, list(at.values())], axis=(2, 3)), axis=1)
        _log.info(
            "%s: %d of %d images have no data in a band and are left out; gaps of the others take the nearest pixel",
            where,
            (~kept).sum(),
            len(kept),
        )
    computed = {band: pair for band, pair in differences(modality).items() if band not in at}
    if missing is None and not computed and all(calibration.trivial for calibration in calibrations.values()):
        return found.pixels[:, [at[band] for band in modality.bands]], kept
    values = {}
    for band, number in at.items():
        stored = found.pixels[kept, number]
        if missing is not None:
            stored = _without_gaps(stored, missing[kept, number])
        values[band] = calibrations[band].apply(stored)
    for band, (one, other) in computed.items():
        values[band] = values[one] - values[other]
    return np.stack([values[band] for band in modality.bands], 1), kept


def _check_finite(pixels: Num[np.ndarray, "t c h w"], missing: Bool[np.ndarray, "t c h w"] | None, modality: Modality, where: str) -> None:
    wrong = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
    wrong = wrong if missing is None else wrong & ~missing
    if wrong.any():
        raise InputError(
            f"{where} has a value that is not finite, first in image {int(np.argmax(np.any(wrong, axis=(1, 2, 3))))}. Try: drop or fill "
            f"it, or nodata={{{modality.name!r}: float('nan')}} to take the nearest pixel."
        )


def _without_gaps(values: Num[np.ndarray, "t h w"], missing: Bool[np.ndarray, "t h w"]) -> Num[np.ndarray, "t h w"]:
    images = [filled(image, gap) for image, gap in zip(values, missing, strict=True)]
    return np.stack(images) if images else values


def _check_resolution(found: Labelled, modality: Modality, where: str) -> None:
    """Refuse coordinates whose step is not the sensor's pixel; those in degrees are taken to fit."""
    if not modality.per_place and found.gsd and not found.degrees and abs(found.gsd / modality.gsd - 1) > 0.01:
        raise InputError(
            f"{where}: coordinates `x` are {found.gsd:g} apart, the model's pixels are {modality.gsd:g} m. "
            f"Try: resample to {modality.gsd:g} m, or give the file's path, which is resampled when it is read."
        )


def _size(present: Mapping[str, Series], modalities: Mapping[str, Modality]) -> float:
    """Return the side of the ground square in metres, on which all sensors must agree."""
    sizes = {}
    for name, one in present.items():
        modality, (height, width) = modalities[name], one.pixels.shape[2:]
        if height != width:
            raise InputError(f"input: {name!r} is {height}×{width} pixels, a place is a square. Try: crop it, or predict a scene.")
        if not modality.per_place:
            sizes[name] = width * modality.gsd - 2 * modality.context
    if not sizes:
        return max(modalities[name].gsd for name in present)
    first = next(iter(sizes))
    for name, size in sizes.items():
        if abs(size - sizes[first]) > 1e-3 or size <= 0:
            raise InputError(
                f"input: {name!r} covers {size:g} m of ground, {first!r} covers {sizes[first]:g} m. "
                f"Try: crop both to the same square; {name!r} has pixels of {modalities[name].gsd:g} m"
                + (f" and {modalities[name].context:g} m of surroundings on each side." if modalities[name].context else ".")
            )
    return sizes[first]
