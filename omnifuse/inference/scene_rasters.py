"""A scene of rasters on disk or at addresses: any files, resolutions, extents and reference systems, onto one grid."""

import hashlib
import json
import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from omnifuse.config import to_dict
from omnifuse.data.grid import Square, same_system
from omnifuse.data.place import Place
from omnifuse.data.raster_file import Header, metres_per_unit
from omnifuse.data.sources.raster_squares import utm_zone
from omnifuse.data.stated import BySensor, stated
from omnifuse.errors import InputError
from omnifuse.inference.footprint import outlines
from omnifuse.inference.image_files import Image, Piece, images_of
from omnifuse.inference.image_pixels import check_sample, has_data, kept_type, read_series
from omnifuse.inference.scene import Grid
from omnifuse.modalities import Modality, check_names

_log = logging.getLogger(__name__)
_Edges = tuple[float, float, float, float]
_SLACK = 1e-3  # of a cell: edges are stored with rounding errors
_APART = 100  # times the ground that the files cover, from which on what lies between them is taken for an error
_FINER = 100  # times than a model's pixels, from which on a raster's are taken for an error
_EARTH = 41e6  # metres around it
_BLOCK = 2048  # pixels along a side of what is read at once to see where data are
_DARK = 0.005  # share of pixels that are 0 in all bands, from which on 0 is taken for no data that nobody has declared


@dataclass(frozen=True)
class SensorImages:
    """What there is of a sensor.

    Attributes:
        images: In the order of their dates.
        dtype: Type of the pixels that are read.
        edges: West, south, east and north edge of each file in the grid's system, by path.
    """

    images: tuple[Image, ...]
    dtype: np.dtype[np.generic]
    edges: dict[str, _Edges]


@dataclass(frozen=True)
class RasterScene:
    """A scene whose pixels lie in files (a `Scene`)."""

    modalities: dict[str, Modality]
    grid: Grid
    fingerprint: str
    sensors: dict[str, SensorImages] = field(repr=False)

    def read(self, row: int, col: int, cells: int) -> Place | None:
        square = self._square(row, col, cells)
        series = {}
        for name, sensor in self.sensors.items():
            modality = self.modalities[name]
            near = _near(sensor, square.grown(0.0 if modality.per_place else modality.context))
            series[name] = read_series(near, modality, sensor.dtype, square)
        if not any(len(one.pixels) for one in series.values()):
            return None
        info: dict[str, str | int | float] = {"id": f"{row}_{col}", "crs": square.crs, "left": square.left, "top": square.top}
        return Place(series, square.size, None, info)

    def valid(self, row: int, col: int, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        found = np.zeros((height, width), bool)
        finest = min(piece.header.gsd for sensor in self.sensors.values() for image in sensor.images for piece in image.pieces)
        block = max(16, int(_BLOCK * min(1.0, finest / self.grid.gsd)))
        for top in range(0, height, block):
            for left in range(0, width, block):
                part = found[top : top + block, left : left + block]
                part |= self._valid(row + top, col + left, max(part.shape))[: part.shape[0], : part.shape[1]]
        rows, cols = np.arange(row, row + height)[:, None], np.arange(col, col + width)[None]
        return found & (rows >= 0) & (rows < self.grid.height) & (cols >= 0) & (cols < self.grid.width)

    def _valid(self, row: int, col: int, cells: int) -> Bool[np.ndarray, "h w"]:
        found, square = np.zeros((cells, cells), bool), self._square(row, col, cells)
        for sensor in self.sensors.values():
            for image in _near(sensor, square):
                for piece in image.pieces:
                    if found.all():
                        return found
                    found |= has_data(piece, square, cells)
        return found

    def _square(self, row: int, col: int, cells: int) -> Square:
        return Square(self.grid.crs, self.grid.left + col * self.grid.gsd, self.grid.top - row * self.grid.gsd, cells * self.grid.gsd)


def open_scene(
    modalities: Mapping[str, Modality],
    paths: BySensor,
    *,
    gsd: float,
    seasons: Mapping[str, tuple[int, int]] | None = None,
    days: BySensor | None = None,
    bands: BySensor | None = None,
    units: BySensor | None = None,
    offset: BySensor | None = None,
    nodata: BySensor | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    crs: str = "",
) -> RasterScene:
    """Open rasters as a scene; only headers and a sample of the pixels are read.

    The first raster of the first sensor gives the reference system, or its UTM zone where it is not in metres, and where cells start.
    What lies on other pixels is resampled when it is read, bilinearly.

    Args:
        modalities: What the model reads.
        paths: Files by sensor: a path, a list of paths, or a pattern such as `s2/*.tif`. GeoTIFF and whatever else GDAL reads, by
            path or address, and Zarr stores with `x`, `y`, `time` and `band` (or an array per band).
        gsd: Metres of the cells of the map, as the model makes it.
        seasons: First and last day since 1970-01-01 that each sensor's encoder knows, for images without dates; sensors that read
            no dates are left out.
        days: Date of each file (or of each image stacked in a single one) by sensor, where names and tags do not tell.
        bands: Names of the bands by sensor in the order of the files.
        units: Unit of the numbers by sensor, such as `reflectance`, `reflectance*10000`, `dB`, `linear`; or one per band.
        offset: Added to the stored numbers by sensor: -1000, or `baseline 04.00`, for Sentinel-2 of that processing baseline.
        nodata: Stored number by sensor that means no data, where the files do not declare it.
        bounds: West, south, east and north edge in the map's reference system; without, all ground of all files.
        crs: Reference system of the map in metres, such as `EPSG:32631`.

    Raises:
        InputError: naming the file, sensor, band, date or unit, and the remedy.
    """
    if not isinstance(paths, Mapping) or not paths:
        raise InputError(f"input: no sensor at all. Try: give at least one of {', '.join(modalities)}.")
    check_names([str(name) for name in paths], list(modalities), "input")
    said = stated(list(paths), modalities, days=days, bands=bands, units=units, offset=offset, nodata=nodata)
    images = {name: images_of(given, modalities[name], said[name], (seasons or {}).get(name)) for name, given in paths.items()}
    for name, own in images.items():
        _check(own, modalities[name])
    reference = next(iter(images.values()))[0].pieces[0].header
    system = _system(crs, reference)
    edges = {
        name: {piece.header.path: _edges(piece.header, system) for image in own for piece in image.pieces} for name, own in images.items()
    }
    grid = _grid(system, reference, gsd, [one for own in edges.values() for one in own.values()], bounds)
    middle = grid.left + grid.width * gsd / 2, grid.top - grid.height * gsd / 2
    outlines(grid.crs, [middle[0]], [middle[1]], gsd, gsd)  # refuses what is nowhere on the globe; corners may be
    sensors = {name: SensorImages(own, kept_type(own, modalities[name]), edges[name]) for name, own in images.items()}
    known = {name: modalities[name] for name in paths}
    return RasterScene(known, grid, _fingerprint(known, images, grid), sensors)


def _check(images: tuple[Image, ...], modality: Modality) -> None:
    for header in {piece.header.path: piece.header for image in images for piece in image.pieces}.values():
        if not modality.per_place and _FINER * header.gsd < modality.gsd:
            raise InputError(
                f"{header.path}: pixels of {header.gsd:.3g} m, {modality.name!r} has pixels of {modality.gsd:g} m. "
                f"Try: check its reference system and size of pixels, or `gdalwarp -tr {modality.gsd:g} {modality.gsd:g}`."
            )
    dark, seen = check_sample(images, modality)
    path = images[0].pieces[0].header.path
    if not seen:
        _log.warning("%s: a sample of %s has no data at all.", path, modality.name)
    undeclared = any(piece.nodata is None for image in images for piece in image.pieces)
    if dark > _DARK and undeclared and {"reflectance*10000", "8-bit"} & set(modality.units):
        warnings.warn(
            f"{path}: {dark:.0%} of the pixels looked at are 0 in all bands of {modality.name!r} and no number is declared to be no data. "
            f"Try: nodata={{{modality.name!r}: 0}} if they are that.",
            stacklevel=3,
        )


def _system(crs: str, reference: Header) -> str:
    """Return the reference system of the map."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if not crs:
        return reference.crs if reference.metric == 1.0 else utm_zone(reference)
    try:
        metric = metres_per_unit(CRS.from_user_input(crs))
    except CRSError:
        raise InputError(f"crs: {crs!r} is not a reference system. Try: EPSG:32631 or the like.") from None
    if metric != 1.0:
        raise InputError(f"crs: {crs} is not in metres. Try: {utm_zone(reference)}, the UTM zone of {reference.path}.")
    return crs


def _edges(header: Header, crs: str) -> _Edges:
    """Return west, south, east and north edge of a raster in a reference system."""
    from rasterio._err import CPLE_BaseError  # what GDAL says of a system without a way to another; rasterio has no public name for it
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    right, bottom = header.left + header.width * header.pixel_width, header.top - header.height * header.pixel_height
    if header.metric and max(right - header.left, header.top - bottom) * header.metric > _EARTH:
        raise InputError(
            f"{header.path}: claims {header.width} × {header.height} pixels of {header.gsd:.3g} m, more than goes around the Earth. "
            "Try: check its size of pixels and reference system with `gdalinfo`."
        )
    if same_system(header.crs, crs):
        return header.left, bottom, right, header.top
    try:
        found = transform_bounds(header.crs, crs, header.left, bottom, right, header.top)
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        raise InputError(f"{header.path}: does not fit onto {crs} ({str(error)[:200]}). Try: crs= the UTM zone of the area.") from None
    if not np.isfinite(found).all():
        raise InputError(f"{header.path}: covers {header.extent()}, which {crs} does not reach. Try: crs= the UTM zone of the area.")
    return tuple(float(edge) for edge in found)  # type: ignore[return-value]


def _grid(crs: str, reference: Header, gsd: float, edges: list[_Edges], bounds: tuple[float, float, float, float] | None) -> Grid:
    left, top = (reference.left, reference.top) if same_system(reference.crs, crs) else (0.0, 0.0)
    west, south, east, north = (min(e[0] for e in edges), min(e[1] for e in edges), max(e[2] for e in edges), max(e[3] for e in edges))
    if bounds is not None:
        west, south, east, north = _checked_bounds(bounds, (west, south, east, north), crs)
    elif (east - west) * (north - south) > _APART * sum((e[2] - e[0]) * (e[3] - e[1]) for e in set(edges)):
        raise InputError(
            f"input: the files lie far apart, from {west:.0f} to {east:.0f} and {south:.0f} to {north:.0f} ({crs}). "
            "Try: check their reference systems, or bounds= the area that is wanted."
        )
    first_col, last_col = math.floor((west - left) / gsd + _SLACK), math.ceil((east - left) / gsd - _SLACK)
    first_row, last_row = math.floor((top - north) / gsd + _SLACK), math.ceil((top - south) / gsd - _SLACK)
    return Grid(crs, left + first_col * gsd, top - first_row * gsd, gsd, max(1, last_row - first_row), max(1, last_col - first_col))


def _checked_bounds(bounds: Any, whole: _Edges, crs: str) -> _Edges:
    where = f"bounds: {bounds!r}"
    try:
        west, south, east, north = (float(edge) for edge in bounds)
    except (TypeError, ValueError):
        raise InputError(f"{where}: expected west, south, east, north. Try: four numbers in metres of {crs}.") from None
    if not (np.isfinite([west, south, east, north]).all() and west < east and south < north):
        raise InputError(f"{where}: expected west < east and south < north. Try: four numbers in metres of {crs}.")
    if west >= whole[2] or east <= whole[0] or south >= whole[3] or north <= whole[1]:
        raise InputError(
            f"{where}: outside of the files, which reach from {whole[0]:.0f} to {whole[2]:.0f} and {whole[1]:.0f} to {whole[3]:.0f} "
            f"({crs}). Try: bounds within these, in metres of {crs}."
        )
    return west, south, east, north


def _near(sensor: SensorImages, square: Square) -> tuple[Image, ...]:
    """Return the images with the files that may reach into a square."""
    right, bottom = square.left + square.size, square.top - square.size

    def reaches(piece: Piece) -> bool:
        west, south, east, north = sensor.edges[piece.header.path]
        margin = 2 * piece.header.gsd
        return west - margin < right and east + margin > square.left and south - margin < square.top and north + margin > bottom

    kept = (replace(image, pieces=tuple(filter(reaches, image.pieces))) for image in sensor.images)
    return tuple(image for image in kept if image.pieces)


def _fingerprint(modalities: Mapping[str, Modality], images: Mapping[str, tuple[Image, ...]], grid: Grid) -> str:
    """Return a hash of the files as they lie on disk and of how they are read."""
    facts: list[Any] = [{name: to_dict(modality) for name, modality in modalities.items()}, repr(grid)]
    for name, own in images.items():
        for image in own:
            facts += [[name, image.day, repr(piece), *_state(piece.header.path)] for piece in image.pieces]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _state(path: str) -> tuple[str, int, int]:
    """Return the absolute path, size and time of change of a local file (of a Zarr store: of its metadata); zeros for an address."""
    file = Path(path.partition("#")[0])
    file = file / "zarr.json" if file.is_dir() else file
    if not file.is_file():
        return path, 0, 0
    found = file.stat()
    return str(file.resolve()), found.st_size, found.st_mtime_ns
