"""Where a raster lies on the Earth: longitudes and latitudes, metres and square metres of its pixels, and where north is."""

import numpy as np
from jaxtyping import Float

from omnifuse.data.raster_file import Header
from omnifuse.errors import InputError

_Points = Float[np.ndarray, "*n"]
_AXIS, _ECCENTRICITY = 6_378_137.0, 0.00669437999014  # WGS 84: semi-major axis in metres, first eccentricity squared
_ROWS = 65  # at which the area of a pixel is computed; between them it is interpolated


def longitudes_latitudes(header: Header, columns: _Points, rows: _Points) -> tuple[_Points, _Points]:
    """Return WGS 84 degrees of points given in pixels from the upper left corner; longitudes do not jump at the date line."""
    x, y = header.left + columns * header.pixel_width, header.top - rows * header.pixel_height
    longitude, latitude = _transform(header, header.crs, "EPSG:4326", x.ravel(), y.ravel())
    return np.unwrap(longitude, period=360.0).reshape(x.shape), latitude.reshape(x.shape)


def lattice(header: Header, points: int) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """Return longitude and latitude at `points` × `points` evenly spread points from corner to corner, by row."""
    columns, rows = np.meshgrid(np.linspace(0, header.width, points), np.linspace(0, header.height, points))
    return longitudes_latitudes(header, columns, rows)


def pixel_areas(header: Header) -> Float[np.ndarray, " h"]:
    """Return square metres on the WGS 84 ellipsoid of a pixel of each row, at the middle column.

    Not the nominal area of the grid: that of Web Mercator is twice the true one at 45° north, and degrees have none.
    """
    rows = np.unique(np.linspace(0, header.height - 1, min(header.height, _ROWS)).round()) + 0.5
    return np.interp(np.arange(header.height) + 0.5, rows, np.abs(np.linalg.det(_edges(header, rows))))


def pixel_metres(header: Header) -> tuple[float, float]:
    """Return the length on the ground in metres of a row's and of a column's step in the middle of a raster."""
    across, down = np.linalg.norm(_edges(header, np.array([header.height / 2]))[0], axis=1)
    return float(across), float(down)


def true_north(header: Header) -> float:
    """Return degrees clockwise from a raster's up to true north, in its middle."""
    longitude, latitude = longitudes_latitudes(header, np.array([header.width / 2]), np.array([header.height / 2]))
    step = np.array([0.0, 1e-4 if latitude[0] < 89.9 else -1e-4])  # degrees
    x, y = _transform(header, "EPSG:4326", header.crs, np.repeat(longitude, 2), latitude + step)
    across, up = pixel_metres(header)
    east, north = (x[1] - x[0]) / header.pixel_width * across, (y[1] - y[0]) / header.pixel_height * up
    return float(np.degrees(np.arctan2(east, north) if step[1] > 0 else np.arctan2(-east, -north)))


def _edges(header: Header, rows: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2 2"]:
    """Return in metres (east, north) the two edges of a pixel in the middle column around each row coordinate."""
    columns = np.full_like(rows, header.width / 2)
    offsets = ((-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5))
    at = [longitudes_latitudes(header, columns + across, rows + down) for across, down in offsets]
    latitude = np.radians(at[0][1])
    curve = 1 - _ECCENTRICITY * np.sin(latitude) ** 2
    parallel, meridian = _AXIS / np.sqrt(curve) * np.cos(latitude), _AXIS * (1 - _ECCENTRICITY) / curve**1.5
    steps = [[one - other for one, other in zip(at[end], at[start], strict=True)] for start, end in ((0, 1), (2, 3))]
    turned = [[np.radians((east + 180) % 360 - 180) * parallel, np.radians(north) * meridian] for east, north in steps]
    return np.moveaxis(np.array(turned), 2, 0)


def _transform(
    header: Header, source: str, target: str, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    from rasterio._err import CPLE_BaseError  # what GDAL says of a system without a way to another; rasterio has no public name for it
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        across, up = (np.array(part) for part in transform(source, target, x.tolist(), y.tolist()))
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(
            f"{header.path}: no way from {source[:80]} to {target[:80]} ({error}). Try: `gdalwarp -t_srs EPSG:…` first."
        ) from None
    if not (np.isfinite(across).all() and np.isfinite(up).all()):
        raise InputError(f"{header.path}: {header.extent()} is not on the Earth. Try: `gdal_edit.py -a_srs EPSG:…` with its true system.")
    return across, up
