"""Maps with coordinates: from what was predicted or embedded to xarray, on the ground of the arrays it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Num

from omnifuse.classes import ClassTable, Quantities
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

Dataset = xr.Dataset


@dataclass(frozen=True)
class Ground:
    """Where a place lies, in the coordinates of the arrays that it came from.

    Attributes:
        x: Outer edges, of the first column and of the last.
        y: Outer edges, of the first row and of the last (falling in a north-up raster).
        crs: Attributes of the `spatial_ref` coordinate, as CF and rioxarray write it; empty if there was none.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    crs: dict[str, Any] = field(default_factory=dict)


def ground_of(arrays: Mapping[str, Any], modalities: Mapping[str, Modality]) -> Ground | None:
    """Return the ground of the place, context cut off; None where no array has coordinates `x` and `y`.

    Raises:
        InputError: where two sensors lie on different ground: more than half a pixel of the coarser one apart.
    """
    first: tuple[str, Ground] | None = None
    for name, array in arrays.items():
        modality = modalities[name]
        if not isinstance(array, xr.DataArray | xr.Dataset) or modality.per_place or not {"x", "y"} <= set(array.coords):
            continue
        if not all(_are_numbers(array[axis]) for axis in ("x", "y")):
            raise InputError(f"input: coordinates `x` and `y` of {name!r} are not numbers along one axis. Try: drop_vars(['x', 'y']).")
        cut = modality.context / modality.gsd
        crs = dict(array.coords["spatial_ref"].attrs) if "spatial_ref" in array.coords else {}
        found = Ground(_edges(array["x"].to_numpy(), cut, modality.gsd), _edges(array["y"].to_numpy(), cut, -modality.gsd), crs)
        if first is None:
            first = (name, found)
            continue
        apart = max(abs(a - b) for a, b in zip(first[1].x + first[1].y, found.x + found.y, strict=True))
        share = apart / abs(found.x[1] - found.x[0])
        pixels = max(array.sizes["x"] - 2 * cut, 1)
        known = modalities[first[0]]
        coarser = max(1 / pixels, known.gsd / modality.gsd / pixels)
        if share > coarser / 2 or (crs.get("crs_wkt") != first[1].crs.get("crs_wkt")):
            raise InputError(
                f"input: {name!r} lies at x {found.x}, y {found.y}, but {first[0]!r} at x {first[1].x}, y {first[1].y}"
                f"{'' if share > coarser / 2 else ' in another coordinate system'}. Try: resample all sensors to the same square of ground."
            )
    return first[1] if first else None


def _are_numbers(coordinate: xr.DataArray) -> bool:
    return coordinate.ndim == 1 and coordinate.size > 0 and coordinate.dtype.kind in "iuf" and bool(np.isfinite(coordinate).all())


def _edges(centers: Num[np.ndarray, " n"], cut: float, step: float) -> tuple[float, float]:
    """Return the outer edges of pixels with these centers, less `cut` pixels on each side; `step` if there is one pixel alone."""
    if len(centers) > 1:
        step = float(centers[-1] - centers[0]) / (len(centers) - 1)
    return float(centers[0]) + (cut - 0.5) * step, float(centers[-1]) - (cut - 0.5) * step


def prediction_dataset(
    labels: Int[np.ndarray, "h w"], probability: Float[np.ndarray, "k h w"], classes: ClassTable, ground: Ground | None
) -> Dataset:
    """Return `labels` (y, x), with names and colors as CF flags, and `probability` (class, y, x)."""
    flags = {
        "long_name": "class",
        "flag_values": list(range(len(classes.names))),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in classes.names),
        "flag_colors": " ".join(classes.colors),
    }
    variables = {"labels": (("y", "x"), labels, flags), "probability": (("class", "y", "x"), probability, {"units": "1"})}
    return _on_ground(xr.Dataset(variables, {"class": list(classes.names)}), ground)


def quantity_dataset(values: Float[np.ndarray, "q ..."], quantities: Quantities, ground: Ground | None) -> Dataset:
    """Return one variable per quantity, a number or a map (y, x), with its unit."""
    axes = ("y", "x") if values.ndim == 3 else ()
    named = zip(quantities.names, quantities.units, values, strict=True)
    dataset = xr.Dataset({name: (axes, value, {"units": unit or "1"}) for name, unit, value in named})
    return _on_ground(dataset, ground if axes else None)


def embedding_dataset(place: Float[np.ndarray, " d"], cells: Float[np.ndarray, "d h w"], ground: Ground | None) -> Dataset:
    """Return `place` (feature) and `cells` (feature, y, x)."""
    return _on_ground(xr.Dataset({"place": (("feature",), place), "cells": (("feature", "y", "x"), cells)}), ground)


def _on_ground(dataset: Dataset, ground: Ground | None) -> Dataset:
    """Give a map the centers of its cells as coordinates, and the coordinate system if it is known."""
    if ground is None:
        return dataset
    for axis, (start, stop) in (("x", ground.x), ("y", ground.y)):
        cells = dataset.sizes[axis]
        dataset = dataset.assign_coords({axis: start + (np.arange(cells) + 0.5) * (stop - start) / cells})
    if ground.crs:
        dataset = dataset.assign_coords(spatial_ref=((), 0, ground.crs))
        for name in dataset.data_vars:
            if "x" in dataset[name].dims:
                dataset[name].attrs["grid_mapping"] = "spatial_ref"
    return dataset
