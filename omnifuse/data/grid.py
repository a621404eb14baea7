"""Rasters onto the ground square of a place: copied where the pixels coincide, resampled where they do not."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Num

from omnifuse.data.raster_file import Header, read_window
from omnifuse.errors import InputError

_Points = Num[np.ndarray, " n"]
_MOST = 2**27  # numbers that are resampled at once, of 8 bytes each
_SLACK = 0.01  # of a pixel: corners are stored with rounding errors


@dataclass(frozen=True)
class Square:
    """A square of ground, north up.

    Attributes:
        crs: Projected reference system in metres.
        left: West edge in metres.
        top: North edge in metres.
        size: Side in metres.
    """

    crs: str
    left: float
    top: float
    size: float

    def grown(self, metres: float) -> "Square":
        """Return the square with so many metres more on each side."""
        return replace(self, left=self.left - metres, top=self.top + metres, size=self.size + 2 * metres)


def read_square(
    header: Header, index: tuple[int, ...], square: Square, side: int, nodata: float | None, categories: bool = False
) -> tuple[Num[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]:
    """Return stored numbers of the bands `index` (from 1) on `side` × `side` pixels of a square, and where there are none.

    Where the raster's pixels are those of the square they are copied; else they are resampled, bilinearly (over all pixels
    that a larger pixel covers), or to the nearest one for `categories`. Pixels without data do not take part.

    Raises:
        InputError: where the raster does not cover the square; names both extents.
    """
    start = aligned(header, square, side)
    if start is not None:
        values = read_window(header, index, *start, side, side)
        return values, missing_pixels(values, nodata)
    if not covers(header, square, side):
        raise InputError(
            f"{header.path}: covers {header.extent()}, not the whole place: {square.left:.2f}…{square.left + square.size:.2f}, "
            f"{square.top - square.size:.2f}…{square.top:.2f} ({square.crs}). Try: a smaller size, a raster that covers it, "
            "or edge='drop' to leave this image out."
        )
    return _resampled(header, index, square, side, nodata, categories)


def read_part(
    header: Header, index: tuple[int, ...], square: Square, side: int, nodata: float | None, categories: bool = False
) -> tuple[Num[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]:
    """Like `read_square`, of a raster that need not cover the square: what it does not cover has no data."""
    nothing = np.zeros((len(index), side, side), header.dtype), np.ones((len(index), side, side), bool)
    start = _start(header, square, side)
    if start is None:
        x, y = _edge_centres(square, side, header.crs)
        if not (np.isfinite(x).all() and np.isfinite(y).all()) or min(_window(header, square, side)[2:]) <= 0:
            return nothing
        return _resampled(header, index, square, side, nodata, categories)
    row, column = max(start[0], 0), max(start[1], 0)
    height, width = min(start[0] + side, header.height) - row, min(start[1] + side, header.width) - column
    if height <= 0 or width <= 0:
        return nothing
    window = read_window(header, index, row, column, height, width)
    inside = (slice(None), slice(row - start[0], row - start[0] + height), slice(column - start[1], column - start[1] + width))
    values, missing = nothing
    values[inside], missing[inside] = window, missing_pixels(window, nodata)
    return values, missing


def aligned(header: Header, square: Square, side: int) -> tuple[int, int] | None:
    """Return the row and column at which the square's pixels start within the raster; None where the pixels do not coincide."""
    start = _start(header, square, side)
    inside = start is not None and 0 <= start[0] <= header.height - side and 0 <= start[1] <= header.width - side
    return start if inside else None


def _start(header: Header, square: Square, side: int) -> tuple[int, int] | None:
    """Return where the square's pixels start, within the raster or not; None where the pixels do not coincide."""
    pixel = square.size / side
    if not same_system(header.crs, square.crs):
        return None
    if max(abs(header.pixel_width - pixel), abs(header.pixel_height - pixel)) * side > _SLACK * pixel:
        return None
    column, row = (square.left - header.left) / pixel, (header.top - square.top) / pixel
    if abs(column - round(column)) > _SLACK or abs(row - round(row)) > _SLACK:
        return None
    return round(row), round(column)


def covers(header: Header, square: Square, side: int) -> bool:
    """Whether the centre of every pixel of the square lies within the raster."""
    x, y = _edge_centres(square, side, header.crs)
    column, row = (x - header.left) / header.pixel_width, (header.top - y) / header.pixel_height
    return bool(
        np.isfinite(column).all()
        and np.isfinite(row).all()
        and min(column.min(), row.min()) >= -_SLACK
        and column.max() <= header.width + _SLACK
        and row.max() <= header.height + _SLACK
    )


def same_system(one: str, other: str) -> bool:
    """Whether two reference systems are the same, however they are written."""
    if one == other:
        return True
    from rasterio.crs import CRS

    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def _resampled(
    header: Header, index: tuple[int, ...], square: Square, side: int, nodata: float | None, categories: bool
) -> tuple[Num[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]:
    from rasterio import Affine
    from rasterio.warp import Resampling, reproject

    row, column, height, width = _window(header, square, side)
    if len(index) * height * width > _MOST:
        raise InputError(
            f"{header.path}: {width} × {height} pixels of {header.gsd:.3g} m onto {side} × {side} of {square.size / side:.3g} m are more "
            f"than is resampled at once. Try: `gdalwarp -tr {square.size / side:g} {square.size / side:g} {header.path} coarser.tif`, "
            "or a smaller place or tile."
        )
    stored = read_window(header, index, row, column, height, width)
    source = np.where(missing_pixels(stored, nodata), np.nan, stored.astype(np.float64))  # holds every integer type in use exactly
    target = np.full((len(index), side, side), np.nan)
    pixel = square.size / side
    reproject(
        source,
        target,
        src_transform=Affine(
            header.pixel_width,
            0,
            header.left + column * header.pixel_width,
            0,
            -header.pixel_height,
            header.top - row * header.pixel_height,
        ),
        src_crs=header.crs,
        src_nodata=np.nan,
        dst_transform=Affine(pixel, 0, square.left, 0, -pixel, square.top),
        dst_crs=square.crs,
        dst_nodata=np.nan,
        resampling=Resampling.nearest if categories else Resampling.bilinear,
        tolerance=0,  # the default approximates where a pixel comes from, to an eighth of one
        **_scales(header, square, side),
    )
    missing = ~np.isfinite(target)
    if np.issubdtype(stored.dtype, np.integer):
        target = np.rint(target)
    return np.where(missing, 0, target).astype(stored.dtype), missing


def _scales(header: Header, square: Square, side: int) -> dict[str, float]:
    """Return GDAL's pixels of the square per pixel of the raster, at most 1.

    GDAL would take them from the boxes around both, which for a turned square is too few: it then averages where it should not.
    """
    pixel, middle = square.size / side, square.size / 2
    x = square.left + middle + pixel * np.array([-0.5, 0.5, 0.0, 0.0])
    y = square.top - middle + pixel * np.array([0.0, 0.0, -0.5, 0.5])
    x, y = transformed(x, y, square.crs, header.crs)
    columns, rows = x / header.pixel_width, y / header.pixel_height
    across, down = (np.hypot(axis[1] - axis[0], axis[3] - axis[2]) for axis in (columns, rows))
    return {"XSCALE": 1 / max(1.0, float(across)), "YSCALE": 1 / max(1.0, float(down))}


def _window(header: Header, square: Square, side: int) -> tuple[int, int, int, int]:
    """Return row, column, height and width of the part of the raster that matters, with a margin for the interpolation."""
    x, y = _edge_centres(square, side, header.crs)
    pixel = square.size / side
    margin = 3 + int(np.ceil(2 * pixel / (header.pixel_width * (header.metric or 111_320))))
    column, row = (x - header.left) / header.pixel_width, (header.top - y) / header.pixel_height
    first_column, last_column = max(int(column.min()) - margin, 0), min(int(column.max()) + margin + 1, header.width)
    first_row, last_row = max(int(row.min()) - margin, 0), min(int(row.max()) + margin + 1, header.height)
    return first_row, first_column, last_row - first_row, last_column - first_column


def _edge_centres(square: Square, side: int, crs: str) -> tuple[_Points, _Points]:
    """Return x and y in `crs` of the centres of pixels along the square's edges, at most 33 along each."""
    pixel = square.size / side
    along = np.unique(np.linspace(0, side - 1, min(side, 33)).round()) + 0.5
    first, last = np.full_like(along, 0.5), np.full_like(along, side - 0.5)
    x = square.left + pixel * np.concatenate([along, along, first, last])
    y = square.top - pixel * np.concatenate([first, last, along, along])
    return transformed(x, y, square.crs, crs)


def transformed(x: _Points, y: _Points, source: str, target: str) -> tuple[_Points, _Points]:
    """Return points in another reference system; infinity where it does not reach.

    Raises:
        InputError: where there is no way from one system to the other.
    """
    from rasterio._err import CPLE_BaseError  # what GDAL says of a system without a way to another; rasterio has no public name for it
    from rasterio.warp import transform

    if same_system(source, target):
        return x, y
    try:
        east, north = transform(source, target, x.tolist(), y.tolist())
    except CPLE_BaseError as error:
        raise InputError(f"{source} cannot be told in {target} ({str(error)[:200]}). Try: check both reference systems.") from None
    return np.array(east), np.array(north)


def missing_pixels(values: Num[np.ndarray, "c h w"], nodata: float | None) -> Bool[np.ndarray, "c h w"]:
    """Return where stored numbers are no data: `nodata`, or not finite."""
    missing = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if nodata is not None and np.isfinite(nodata):
        with np.errstate(over="ignore"):  # one beyond the range of the stored type stands for infinity
            missing |= values == (np.float64(nodata).astype(values.dtype) if values.dtype.kind == "f" else nodata)
    return missing
