"""The ground square of each place of a table of rasters: as the table says, or the common ground of its rasters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnifuse.data.grid import Square, transformed
from omnifuse.data.raster_file import Header, metres_per_unit
from omnifuse.data.sources.raster_table import RasterTable
from omnifuse.errors import InputError


@dataclass(frozen=True)
class Footprint:
    """One raster of a place.

    Attributes:
        header: What the file says.
        gsd: Metres per pixel that it will have.
        context: Metres that it must cover around the place.
    """

    header: Header
    gsd: float
    context: float


def squares_of_table(table: RasterTable, size: float, where: str) -> dict[str, Square]:
    """Return the squares of the places that have a corner in the table.

    Raises:
        InputError: for a reference system that is none, or is not in metres, or corners without a size.
    """
    import rasterio.crs

    squares = {}
    metric: dict[str, bool] = {}
    for place, known in table.places.items():
        if "crs" not in known:
            continue
        crs = str(known["crs"])
        if crs not in metric:
            try:
                metric[crs] = metres_per_unit(rasterio.crs.CRS.from_user_input(crs)) == 1.0
            except rasterio.errors.CRSError:
                raise InputError(
                    f"{where}: place {place!r}: `crs` is {crs!r}, not a reference system. Try: EPSG:32631 or the like."
                ) from None
        if not metric[crs]:
            raise InputError(f"{where}: place {place!r}: `crs` {crs} is not in metres. Try: the UTM zone of the place, such as EPSG:32631.")
        if not size:
            raise InputError(
                f"{where}: place {place!r} has a corner, but the side of the places is not known. Try: size= their side in metres."
            )
        squares[place] = Square(crs, float(known["left"]), float(known["top"]), size)
    return squares


def common_squares(
    footprints: Mapping[str, Sequence[Footprint]], size: float, whole_pixels: Sequence[float], where: str
) -> dict[str, Square]:
    """Return the square of each place in the middle of the ground that all its rasters cover.

    The coarsest raster of a place (the first of several) gives the reference system, or the UTM zone of its centre where that is
    not in metres; and the square starts where one of its pixels starts, or at a multiple of its resolution.

    Args:
        footprints: Rasters by place.
        size: Side in metres; 0 for the largest that the places have, which must be the same for all.
        whole_pixels: Metres per pixel of all sensors and labels, of which a side found here is a multiple.
        where: For messages.

    Raises:
        InputError: where the rasters of a place have too little ground in common, or less than those of another; names the place.
    """
    grounds = {place: _common_ground(rasters) for place, rasters in footprints.items()}
    if not size:
        step = math.lcm(*(max(1, round(gsd * 1000)) for gsd in whole_pixels)) / 1000
        sides = {place: math.floor(ground.side / step + 1e-6) * step for place, ground in grounds.items()}
        place, largest = min(sides, key=sides.__getitem__), max(sides, key=sides.__getitem__)
        size = sides[place]
        if size != sides[largest]:  # one bad raster would else shrink every place
            raise InputError(
                f"{where}: place {place!r}: its rasters have {size:g} m of ground in common, those of {largest!r} {sides[largest]:g} m. "
                f"Try: size={size or step:g} if that is right, or edge='drop' to leave out images that do not cover their place."
            )
        if not size:
            raise InputError(
                f"{where}: place {place!r}: its rasters have {grounds[place].side:g} m of ground in common, less than {step:g} m, the "
                f"least that all resolutions divide. Try: size=, and edge='drop' to leave out images that do not cover it."
            )
    for place, ground in grounds.items():
        if ground.side < size - 1e-6:
            raise InputError(
                f"{where}: place {place!r}: its rasters have {ground.side:g} m of ground in common, less than the size of {size:g} m. "
                f"Try: a smaller size, or edge='drop' to leave out images that do not cover it."
            )
    return {place: ground.middle(size) for place, ground in grounds.items()}


@dataclass(frozen=True)
class _Ground:
    """Ground on a grid of `step` metres: left edge, top edge, and cells from west to east and from north to south."""

    crs: str
    left: float
    top: float
    columns: int
    rows: int
    step: float

    @property
    def side(self) -> float:
        return max(0, min(self.columns, self.rows)) * self.step

    def middle(self, size: float) -> Square:
        cells = math.ceil(size / self.step - 1e-6)
        column, row = (self.columns - cells) // 2, (self.rows - cells) // 2
        return Square(self.crs, self.left + column * self.step, self.top - row * self.step, size)


def _common_ground(rasters: Sequence[Footprint]) -> _Ground:
    reference = max(rasters, key=lambda raster: raster.gsd)  # the first of several
    header, step = reference.header, reference.gsd
    crs, origin = (header.crs, (header.left, header.top)) if header.metric == 1.0 else (utm_zone(header), (0.0, 0.0))
    edges = np.array([_inner(raster, crs) for raster in rasters])
    west, north = edges[:, 0].max(), edges[:, 1].min()
    east, south = edges[:, 2].min(), edges[:, 3].max()
    first_column, first_row = (math.ceil(edge / step - 0.01) for edge in (west - origin[0], origin[1] - north))
    last_column, last_row = (math.floor(edge / step + 0.01) for edge in (east - origin[0], origin[1] - south))
    return _Ground(
        crs, origin[0] + first_column * step, origin[1] - first_row * step, last_column - first_column, last_row - first_row, step
    )


def _inner(raster: Footprint, crs: str) -> tuple[float, float, float, float]:
    """Return west, north, east and south edge of the largest upright rectangle in `crs` that a raster is sure to cover."""
    from rasterio.warp import transform

    header = raster.header
    right, bottom = header.left + header.width * header.pixel_width, header.top - header.height * header.pixel_height
    along = np.linspace(0, 1, 21)
    x, y = header.left + along * (right - header.left), header.top + along * (bottom - header.top)
    west, north, east, south = (header.left, header.top, right, bottom)
    if header.crs != crs:
        west = max(transform(header.crs, crs, [header.left] * 21, y.tolist())[0])
        east = min(transform(header.crs, crs, [right] * 21, y.tolist())[0])
        north = min(transform(header.crs, crs, x.tolist(), [header.top] * 21)[1])
        south = max(transform(header.crs, crs, x.tolist(), [bottom] * 21)[1])
    return west + raster.context, north - raster.context, east - raster.context, south + raster.context


def utm_zone(header: Header) -> str:
    """Return the UTM zone of a raster's centre.

    Raises:
        InputError: where that has no place on the globe.
    """
    x, y = header.left + header.width * header.pixel_width / 2, header.top - header.height * header.pixel_height / 2
    (longitude,), (latitude,) = transformed(np.array([x]), np.array([y]), header.crs, "EPSG:4326")
    if not np.isfinite([longitude, latitude]).all():
        raise InputError(f"{header.path}: covers {header.extent()}, which is nowhere on the globe. Try: check its reference system.")
    return f"EPSG:{32600 if latitude >= 0 else 32700}".removesuffix("00") + f"{int((longitude + 180) // 6) % 60 + 1:02d}"
