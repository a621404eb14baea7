"""Arrays of any kind as (time, band, y, x) with what their labels and attributes say: bands, dates, units, factors, gaps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray
from jaxtyping import Bool, Num

from omnifuse.errors import InputError

_SYNONYMS = {
    "time": ("time", "t", "date", "dates", "day", "timestamp", "times"),
    "band": ("band", "bands", "channel", "channels", "c", "variable"),
    "y": ("y", "lat", "latitude", "row", "height"),
    "x": ("x", "lon", "longitude", "column", "col", "width"),
}


@dataclass(frozen=True)
class Labelled:
    """An array and what it says of itself; `""`, 1 and 0 where it says nothing.

    Attributes:
        pixels: Stored numbers.
        missing: Where they are no data; None where nothing is declared.
        bands: Names.
        units: Units as written.
        scales: Factors that have not been applied.
        offsets: Summands that have not been applied.
        dates: Of each image, of any kind; None where there are none.
        gsd: Step of the coordinates `x` in their own unit; 0 without coordinates.
        degrees: Whether that step is an angle.
    """

    pixels: Num[np.ndarray, "t c h w"]
    missing: Bool[np.ndarray, "t c h w"] | None
    bands: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    dates: list[Any] | None = None
    gsd: float = 0.0
    degrees: bool = False


def labelled(array: Any, where: str, nodata: float | None = None) -> Labelled:
    """Return any array as (time, band, y, x).

    Axes of xarray are found by name (`time`, `band`, `y`, `x` or a common synonym), in any order; other arrays have that order, or
    (band, y, x). A Dataset has an array per band.

    Args:
        array: xarray, numpy, torch, or what numpy makes an array of.
        where: For messages.
        nodata: Stored number that means no data; None for what the array declares.

    Raises:
        InputError: naming what is wrong with shape, type or axes.
    """
    if isinstance(array, xarray.Dataset):
        return _of_dataset(array, where, nodata)
    if isinstance(array, xarray.DataArray):
        return _of_xarray(array, where, nodata)
    pixels, mask = _plain(array, where)
    if pixels.ndim == 3:
        pixels, mask = pixels[None], None if mask is None else mask[None]
    if pixels.ndim != 4:
        raise InputError(f"{where} has shape {pixels.shape}, expected (dates, bands, height, width) or (bands, height, width). Try: that.")
    count = pixels.shape[1]
    return Labelled(pixels, _gaps(pixels, mask, nodata), ("",) * count, ("",) * count, (1.0,) * count, (0.0,) * count)


def _plain(array: Any, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the numbers of an array and its mask, if it has one."""
    mask = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    try:
        if isinstance(array, torch.Tensor):
            array = array.detach().cpu()
            pixels = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
        else:
            pixels = np.asarray(array)
    except Exception as error:  # an array-like object of someone else may raise anything
        raise InputError(f"{where}: {type(array).__name__} is no array of numbers ({error}). Try: numpy, torch or xarray.") from None
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"{where}: pixels of type {pixels.dtype}. Try: integers or floats.")
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize > 2:
        pixels = pixels.astype(np.int64)  # torch counts with few unsigned types
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False), mask


def _gaps(pixels: np.ndarray, mask: np.ndarray | None, nodata: float | None) -> Bool[np.ndarray, "t c h w"] | None:
    if nodata is None:
        return mask
    missing = ~np.isfinite(pixels) if np.isnan(nodata) else pixels == nodata
    return missing if mask is None else missing | mask


def _of_dataset(dataset: xarray.Dataset, where: str, nodata: float | None) -> Labelled:
    """Read the arrays of a Dataset one by one: each has its own unit."""
    names = [name for name, array in dataset.data_vars.items() if {"y", "x"} <= {_canonical(axis) for axis in array.dims}]
    if not names:
        raise InputError(f"{where}: no array with axes y and x among {', '.join(map(str, dataset)) or 'none'}. Try: an array per band.")
    parts = [_of_xarray(dataset[name], where, nodata) for name in names]
    if len({part.pixels.shape for part in parts}) != 1 or parts[0].pixels.shape[1] != 1:
        raise InputError(f"{where}: arrays of shapes {', '.join(str(part.pixels.shape) for part in parts)}. Try: one band in each.")
    gaps = [part.missing if part.missing is not None else np.zeros(part.pixels.shape, bool) for part in parts]
    return Labelled(
        np.concatenate([part.pixels for part in parts], 1),
        np.concatenate(gaps, 1) if any(part.missing is not None for part in parts) else None,
        tuple(map(str, names)),
        tuple(part.units[0] for part in parts),
        tuple(part.scales[0] for part in parts),
        tuple(part.offsets[0] for part in parts),
        parts[0].dates,
        parts[0].gsd,
        parts[0].degrees,
    )


def _of_xarray(array: xarray.DataArray, where: str, nodata: float | None) -> Labelled:
    dates = _dates(array, where)
    array = _in_order(array, where)
    pixels, _ = _plain(array.values, where)
    declared = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    if nodata is None and isinstance(declared, int | float | np.number) and np.isfinite(declared):
        nodata = float(declared)  # one that is not a number is refused unless the user says what to do with it
    count = pixels.shape[1]
    gsd, degrees = _step(array)
    return Labelled(
        pixels,
        _gaps(pixels, None, nodata),
        tuple(_band_names(array, count)),
        tuple(str(unit) for unit in _per_band(array.attrs.get("units", array.attrs.get("unit")), "", count)),
        tuple(_number(value, 1.0, where) for value in _per_band(array.attrs.get("scale_factor"), 1.0, count)),
        tuple(_number(value, 0.0, where) for value in _per_band(array.attrs.get("add_offset"), 0.0, count)),
        dates,
        gsd,
        degrees,
    )


def _in_order(array: xarray.DataArray, where: str) -> xarray.DataArray:
    """Return an array with axes time, band, y, x."""
    axes = ", ".join(map(str, array.dims))
    known = [name for axis in array.dims if (name := _canonical(axis)) is not None]
    if len(known) != len(array.dims) or len(set(known)) != len(known):
        raise InputError(f"{where}: axes are {axes}, expected time, band, y, x. Try: rename the axes, or select along the others.")
    for axis in ("y", "x"):
        if axis not in known:
            raise InputError(f"{where}: axes are {axes}, `{axis}` is missing. Try: rename the axes.")
    try:
        array = array.rename({axis: name for axis, name in zip(array.dims, known, strict=True) if axis != name})
        for axis in ("band", "time"):
            if axis not in array.dims:
                array = array.expand_dims(axis, 0)
    except ValueError as error:
        raise InputError(f"{where}: axes {axes} and coordinates do not fit ({error}). Try: drop_vars() what is not needed.") from None
    return array.transpose("time", "band", "y", "x")


def _band_names(array: xarray.DataArray, count: int) -> Sequence[str]:
    """Return the names of bands: of the coordinate, else of rioxarray's `long_name`."""
    if "band" in array.coords and array.coords["band"].ndim == 1 and array.coords["band"].dtype.kind in "UOST":
        return [name.decode() if isinstance(name, bytes) else str(name) for name in array.coords["band"].values.tolist()]
    return [str(name) for name in _per_band(array.attrs.get("long_name") if count > 1 else None, "", count)]


def _per_band(value: Any, default: Any, count: int) -> list[Any]:
    """Return a value for each band of an attribute that has one for all or one for each."""
    if value is None:
        return [default] * count
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * count
    values = list(value)
    return [default if one is None else one for one in values] if len(values) == count else [default] * count


def _number(value: Any, default: float, where: str) -> float:
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}: attribute `scale_factor` or `add_offset` is {value!r}. Try: a number, or remove it.") from None


def _step(array: xarray.DataArray) -> tuple[float, bool]:
    if "x" not in array.coords or array.coords["x"].ndim != 1 or array.sizes["x"] < 2 or array.coords["x"].dtype.kind not in "iuf":
        return 0.0, False
    x = array.coords["x"].values.astype(np.float64)
    step = abs(float(x[-1] - x[0])) / (len(x) - 1)
    return (step if np.isfinite(step) else 0.0), bool(np.abs(x).max() <= 360 and step < 0.1)


def _dates(array: xarray.DataArray, where: str) -> list[Any] | None:
    for name in _SYNONYMS["time"]:
        if name not in array.coords:
            continue
        times = array.coords[name]
        if times.dtype.kind in "iuf" and "since" in str(times.attrs.get("units", "")):
            try:
                times = xarray.decode_cf(times.drop_vars(list(times.coords)).to_dataset(name="decoded"))["decoded"]
            except Exception as error:  # whatever units and calendars raise
                raise InputError(f"{where}: `{name}` cannot be read as CF has it ({error}). Try: days=.") from None
        if times.dtype.kind in "MOUSTi":
            return [
                time if np.ndim(time) == 0 and not hasattr(time, "calendar") else time.isoformat() for time in np.atleast_1d(times.values)
            ]
    return None


def _canonical(axis: object) -> str | None:
    return next((name for name, synonyms in _SYNONYMS.items() if str(axis).lower() in synonyms), None)
