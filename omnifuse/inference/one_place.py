"""One place from what is at hand: arrays, files or both."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnifuse.data.arrays import place_of_series, series_of
from omnifuse.data.export import Ground, ground_of
from omnifuse.data.grid import Square
from omnifuse.data.place import Place
from omnifuse.data.sources.raster_squares import Footprint, common_squares
from omnifuse.data.stated import BySensor, stated
from omnifuse.errors import InputError
from omnifuse.inference.image_files import Image, images_of
from omnifuse.inference.image_pixels import check_sample, kept_type, read_series
from omnifuse.modalities import Modality, check_names

_log = logging.getLogger(__name__)
_MOST = 1 << 29  # numbers in all images of a place; more is an area
_SQUARE = 0.9  # share of the longer side of the smallest file that a place has at least


def place_of_inputs(
    inputs: Mapping[str, Any],
    modalities: Mapping[str, Modality],
    seasons: Mapping[str, tuple[int, int]],
    *,
    days: BySensor | None = None,
    bands: BySensor | None = None,
    units: BySensor | None = None,
    offset: BySensor | None = None,
    nodata: BySensor | None = None,
) -> tuple[Place, Ground | None]:
    """Return the place that the inputs show, and where it lies if they say it.

    Files show the largest square of ground that all of them cover, in its middle, on the pixels of the coarsest one.

    Args:
        inputs: By sensor, any non-empty subset: arrays, or paths.
        modalities: What the model reads.
        seasons: First and last day since 1970-01-01 that each sensor's encoder knows, for images without dates.
        days: Dates by sensor, where arrays, names and tags do not tell.
        bands: Names of bands by sensor, where arrays and files do not tell.
        units: Unit of the stored numbers by sensor; or one per band.
        offset: Added to the stored numbers by sensor.
        nodata: Stored number by sensor that means no data.

    Raises:
        InputError: naming the sensor, file, band, unit or date, and the remedy.
    """
    if not isinstance(inputs, Mapping) or not inputs:
        what = "no sensor at all" if isinstance(inputs, Mapping) else f"{type(inputs).__name__}, expected images by sensor"
        raise InputError(f"input: {what}. Try: give at least one of {', '.join(modalities)}, as {{{next(iter(modalities))!r}: ...}}.")
    check_names([str(name) for name in inputs], list(modalities), "input")
    said = stated(list(inputs), modalities, days=days, bands=bands, units=units, offset=offset, nodata=nodata)
    files = {name: given for name, given in inputs.items() if is_files(given)}
    arrays = {name: given for name, given in inputs.items() if name not in files}
    series = {name: series_of(array, modalities[name], said[name], seasons) for name, array in arrays.items()}
    ground = ground_of(arrays, modalities)
    if files:
        images = {name: images_of(given, modalities[name], said[name], seasons.get(name)) for name, given in files.items()}
        square = _common(images, modalities)
        for name, own in images.items():
            check_sample(own, modalities[name])
            series[name] = read_series(own, modalities[name], kept_type(own, modalities[name]), square)
        ground = _same(ground, _ground(square), next(iter(files)))
    return place_of_series({name: series[name] for name in inputs}, modalities), ground


def is_files(given: Any) -> bool:
    """Whether an input is paths: a text, a path, or a list of them."""
    return isinstance(given, str | Path) or (
        isinstance(given, Sequence) and len(given) > 0 and all(isinstance(one, str | Path) for one in given)
    )


def _common(images: Mapping[str, Sequence[Image]], modalities: Mapping[str, Modality]) -> Square:
    """Return the square that all files cover."""
    footprints = [
        Footprint(piece.header, modalities[name].gsd, modalities[name].context)
        for name, own in images.items()
        for image in own
        for piece in image.pieces
    ]
    remedy = "Try: crop them to one square, or map the whole area with `omnifuse predict`"
    try:
        square = common_squares({"input": footprints}, 0.0, [modality.gsd for name, modality in modalities.items() if name in images], "")[
            "input"
        ]
    except InputError as error:
        raise InputError(f"input: the files have no square of ground in common ({str(error).partition('. Try')[0]}). {remedy}.") from None
    sides = [(header.width * header.gsd, header.height * header.gsd) for header in (one.header for one in footprints)]
    least = min(sides, key=max)
    if square.size + 2 * max(one.context for one in footprints) < _SQUARE * max(least):
        raise InputError(f"input: a file covers {least[0]:g} × {least[1]:g} m, all of them a square of {square.size:g} m. {remedy}.")
    numbers = sum(len(own) * len(modalities[name].bands) * modalities[name].pixels(square.size) ** 2 for name, own in images.items())
    if numbers > _MOST:
        raise InputError(f"input: {numbers:.2g} numbers over {square.size:g} m, too many for one place. {remedy}.")
    _log.info("input: a place of %g m from %.1f, %.1f (%s)", square.size, square.left, square.top, square.crs)
    return square


def _ground(square: Square) -> Ground:
    from rasterio.crs import CRS

    wkt = CRS.from_user_input(square.crs).to_wkt()
    return Ground((square.left, square.left + square.size), (square.top, square.top - square.size), {"crs_wkt": wkt, "spatial_ref": wkt})


def _same(arrays: Ground | None, files: Ground, name: str) -> Ground:
    """Return the ground of both, which must be the same to a hundredth of its side."""
    if arrays is not None:
        apart = max(abs(a - b) for a, b in zip(arrays.x + arrays.y, files.x + files.y, strict=True))
        if apart > 0.01 * abs(files.x[1] - files.x[0]):
            raise InputError(
                f"input: the files of {name!r} show x {files.x}, y {files.y}, the arrays x {arrays.x}, y {arrays.y}. "
                "Try: crop both to the same square, or give files for all sensors."
            )
    return files
