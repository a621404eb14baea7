"""Places from what people hold: arrays with or without labelled axes, in any order of axes, bands and dates."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import xarray
from jaxtyping import Int, Num

from omnifuse.data.place import Place, Series
from omnifuse.errors import InputError
from omnifuse.modalities import Modality, check_names

Dates = Iterable[Any]  # each is checked: datetime64, date, ISO text or days since 1970-01-01
Array = xarray.DataArray | np.ndarray | torch.Tensor

_SYNONYMS = {
    "time": ("time", "t", "date", "dates", "day"),
    "band": ("band", "bands", "channel", "channels", "c", "variable"),
    "y": ("y", "lat", "latitude", "row", "height"),
    "x": ("x", "lon", "longitude", "column", "col", "width"),
}


def place_from_arrays(arrays: Mapping[str, Array], days: Mapping[str, Dates] | None, modalities: Mapping[str, Modality]) -> Place:
    """Return the place that the arrays of its sensors show, checked and sorted by date.

    Args:
        arrays: By modality name: (time, band, y, x), or (band, y, x) for a single image; xarray axes may come in any order
            and its bands by name. Values in the modality's unit.
        days: Date of each image by modality name, as `datetime64`, `date`, ISO text or days since 1970-01-01. Not needed where
            xarray has a time coordinate or the sensor has a single image by nature.
        modalities: What the model was trained on.

    Raises:
        InputError: naming sensor, band or date, and the remedy.
    """
    dates = dict(days or {})
    check_names([*arrays, *dates], list(modalities), "input")
    for name in dates:
        if name not in arrays:
            raise InputError(f"input: dates for {name!r} but no images. Try: give both, or neither.")
    series = {name: _series(array, dates.get(name), modalities[name]) for name, array in arrays.items()}
    present = {name: one for name, one in series.items() if len(one.pixels)}
    if not present:
        raise InputError(f"input: no sensor has an image. Try: give at least one of {', '.join(modalities)}.")
    place = Place(series, _size(present, modalities))
    place.check(dict(modalities), "input")
    return place


def series_from_xarray(array: xarray.DataArray, modality: Modality) -> Series:
    """Return the series of one sensor from a labelled array.

    Axes are found by name (`time`, `band`, `y`, `x` or a common synonym). Bands are found by their coordinate, ignoring case and
    zeros (`b02` is `B2`), and brought into the modality's order; without a coordinate they must be in that order. Images are
    sorted by date; a sensor that has one image by nature needs none (day 0).

    Raises:
        InputError: naming the axis or band that is missing.
    """
    return _series(array, None, modality)


def days_since_1970(dates: Dates, where: str) -> Int[np.ndarray, " t"]:
    """Return dates as whole days since 1970-01-01."""
    result = []
    for date in dates:
        try:
            day = int(date) if isinstance(date, int | np.integer) else int(np.array(date, "datetime64[D]").astype(np.int64))
        except (ValueError, TypeError):
            raise InputError(f"{where}: {date!r} is not a date. Try: ISO text such as '2018-06-30', or days since 1970-01-01.") from None
        if not -(2**31) < day < 2**31:  # not-a-time is the smallest integer
            raise InputError(f"{where}: {date!r} is not a date. Try: remove images without a date.")
        result.append(day)
    return np.array(result, np.int32)


def _series(array: Array, dates: Dates | None, modality: Modality) -> Series:
    where = f"input: {modality.name!r}"
    if isinstance(array, xarray.DataArray):
        if dates is None:
            dates = _dates_of(array)
        pixels = _ordered(array, modality, where)
    else:
        pixels = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4 or pixels.shape[1] != len(modality.bands):
        wanted = ", ".join(f"{band} ({unit})" for band, unit in zip(modality.bands, modality.units, strict=True))
        raise InputError(
            f"{where} has shape {tuple(array.shape)}, expected (dates, {len(modality.bands)}, height, width) or "
            f"({len(modality.bands)}, height, width) with bands {wanted}. Try: give these bands, in this order."
        )
    if dates is None:
        if modality.series and len(pixels):
            raise InputError(f"{where}: {len(pixels)} image(s) without dates. Try: `days={{{modality.name!r}: [...]}}`.")
        dates = [0] * len(pixels)
    day = days_since_1970(dates, where)
    if len(day) != len(pixels):
        raise InputError(f"{where}: {len(pixels)} images but {len(day)} dates. Try: one date per image.")
    by_date = np.argsort(day, kind="stable")
    return Series(np.ascontiguousarray(pixels[by_date]), day[by_date])


def _ordered(array: xarray.DataArray, modality: Modality, where: str) -> Num[np.ndarray, "t c h w"]:
    """Return the values as (time, band, y, x) with the modality's bands."""
    array = array.rename(
        {axis: name for axis in array.dims if (name := _canonical(axis)) is not None and name != axis and name not in array.dims}
    )
    for axis in ("y", "x"):
        if axis not in array.dims:
            raise InputError(f"{where}: axes are {', '.join(map(str, array.dims))}, `{axis}` is missing. Try: rename the axes.")
    if "band" not in array.dims:
        array = array.expand_dims("band", 0)
    if "time" not in array.dims:
        array = array.expand_dims("time", 0)
    if array.ndim != 4:
        raise InputError(f"{where}: axes are {', '.join(map(str, array.dims))}, expected time, band, y, x. Try: select along the others.")
    array = array.transpose("time", "band", "y", "x")
    if "band" in array.coords and array.coords["band"].ndim == 1 and array.coords["band"].dtype.kind in "UOS":
        found = [_plain(str(band)) for band in array.coords["band"].values]
        for band, unit in zip(modality.bands, modality.units, strict=True):
            if _plain(band) not in found:
                raise InputError(
                    f"{where}: band {band} ({unit}) is missing among {', '.join(map(str, array.coords['band'].values))}. "
                    "Try: add it, in this unit, or use a model trained without it."
                )
        array = array.isel(band=[found.index(_plain(band)) for band in modality.bands])
    return array.values


def _dates_of(array: xarray.DataArray) -> Dates | None:
    for name in _SYNONYMS["time"]:
        if name in array.coords and array.coords[name].dtype.kind in "MOUSi":
            return list(np.atleast_1d(array.coords[name].values))
    return None


def _canonical(axis: object) -> str | None:
    return next((name for name, synonyms in _SYNONYMS.items() if str(axis).lower() in synonyms), None)


def _plain(band: str) -> str:
    """Return a band name without case and leading zeros of its numbers: B02 is B2, and B8A is not B8."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", band.strip().lower())


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
