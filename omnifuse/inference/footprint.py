"""Where squares and maps lie on the globe: outlines in WGS 84, as GeoJSON and as well-known binary."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from omnifuse.errors import InputError

Ring = list[tuple[float, float]]  # longitude and latitude in degrees, counter-clockwise, the first point again at the end
Outline = list[Ring]  # one ring, or two where it crosses the antimeridian: RFC 7946 wants it cut there
_DIGITS = 7  # of a degree: a centimetre, and the same text whatever the version of PROJ
_RADIUS, _FLATNESS = 6_378_137.0, 1 / 298.257223563  # of WGS 84


def outlines(crs: str, left: Sequence[float], top: Sequence[float], width: float, height: float, parts: int = 1) -> list[Outline]:
    """Return the outlines of north-up rectangles of one size in one reference system.

    Args:
        crs: Projected reference system, as text that GDAL reads.
        left: West edges in metres.
        top: North edges in metres.
        width: From west to east in metres.
        height: From north to south in metres.
        parts: Pieces that an edge is cut into: straight edges on a map are not straight in degrees.

    Raises:
        InputError: where a corner has no place on the globe.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    along = np.arange(parts) / parts
    still = np.zeros(parts)
    across = np.concatenate([still, along, still + 1, 1 - along])  # down the west edge, then counter-clockwise
    down = np.concatenate([along, still + 1, 1 - along, still])
    x = np.asarray(left, np.float64)[:, None] + across * width
    y = np.asarray(top, np.float64)[:, None] - down * height
    try:
        east, north = transform(crs, "EPSG:4326", x.ravel().tolist(), y.ravel().tolist())
    except CRSError as error:
        raise InputError(f"crs {crs!r}: not known ({error}). Try: an EPSG code, such as EPSG:32631.") from None
    except CPLE_BaseError:  # what GDAL says of some points; of others it returns infinity
        if len(left) > 1:  # one by one, to name the one that it speaks of
            return [outlines(crs, [x], [y], width, height, parts)[0] for x, y in zip(left, top, strict=True)]
        east, north = [math.inf] * x.size, [math.inf] * x.size
    points = np.stack([np.array(east).reshape(x.shape), np.array(north).reshape(y.shape)], -1)
    if not np.isfinite(points).all():
        row = int((~np.isfinite(points)).any((1, 2)).nonzero()[0][0])
        raise InputError(
            f"a square at {left[row]:.1f}, {top[row]:.1f} is outside of {crs}. Try: check its corner and its reference system."
        )
    return [_cut(one) for one in points]


def outline_around(longitude: float, latitude: float, size: float) -> Outline:
    """Return the outline of a square of `size` metres around a point, its edges along meridians and parallels.

    Lengths are those of the ellipsoid at the point, so that a square of a kilometre is right to a metre below 80° of latitude.
    """
    sine, eccentricity = math.sin(math.radians(latitude)), _FLATNESS * (2 - _FLATNESS)
    normal = _RADIUS / math.sqrt(1 - eccentricity * sine**2)
    north = math.degrees(size / 2 / (normal * (1 - eccentricity) / (1 - eccentricity * sine**2)))
    east = math.degrees(size / 2 / (normal * math.cos(math.radians(latitude))))
    corners = [(-east, north), (-east, -north), (east, -north), (east, north)]
    return _cut(np.array([(longitude + x, latitude + y) for x, y in corners]))


def place_outlines(info: Sequence[Mapping[str, str | int | float]], size: float) -> list[Outline | None]:
    """Return the outline of each place of a source from its `Place.info`; None where that does not say where it lies."""
    found: list[Outline | None] = [None] * len(info)
    systems: dict[str, list[int]] = {}
    for index, row in enumerate(info):
        if {"crs", "left", "top"} <= set(row):
            systems.setdefault(str(row["crs"]), []).append(index)
        elif {"longitude", "latitude"} <= set(row):
            found[index] = outline_around(float(row["longitude"]), float(row["latitude"]), size)
    for crs, indices in systems.items():  # one call for all of a system: setting up a transformation costs milliseconds
        left, top = ([float(info[index][edge]) for index in indices] for edge in ("left", "top"))
        for index, outline in zip(indices, outlines(crs, left, top, size, size), strict=True):
            found[index] = outline
    return found


def geojson(outline: Outline) -> dict[str, Any]:
    """Return a Polygon, or a MultiPolygon where the outline was cut."""
    if len(outline) == 1:
        return {"type": "Polygon", "coordinates": [[list(point) for point in outline[0]]]}
    return {"type": "MultiPolygon", "coordinates": [[[list(point) for point in ring]] for ring in outline]}


def wkb(outline: Outline) -> bytes:
    """Return what `geojson` returns, as well-known binary."""
    polygons = [struct.pack(f"<BIII{2 * len(ring)}d", 1, 3, 1, len(ring), *(v for point in ring for v in point)) for ring in outline]
    return polygons[0] if len(polygons) == 1 else struct.pack("<BII", 1, 6, len(polygons)) + b"".join(polygons)


def read_wkb(raw: bytes) -> Outline:
    """Return the outline that `wkb` wrote; holes of the polygons of others are passed over.

    Raises:
        InputError: for anything but little-endian polygons.
    """
    try:
        order, kind, number = struct.unpack_from("<BII", raw)
        if order != 1 or kind not in (3, 6):
            raise InputError(f"geometry of type {kind}, expected a polygon. Try: a table that `omnifuse embed` wrote.")
        if kind == 6:
            parts, start = [], 9
            for _ in range(number):
                ring, start = _ring_at(raw, start)
                parts.append(ring)
            return parts
        return [_ring_at(raw, 0)[0]]
    except struct.error:
        raise InputError("geometry: cut short. Try: write the table again.") from None


def _ring_at(raw: bytes, start: int) -> tuple[Ring, int]:
    """Return the outer ring of the polygon that begins there, and where the polygon ends."""
    rings, place = struct.unpack_from("<I", raw, start + 5)[0], start + 9
    found: list[Ring] = []
    for _ in range(rings):
        (points,) = struct.unpack_from("<I", raw, place)
        values = struct.unpack_from(f"<{2 * points}d", raw, place + 4)
        found.append(list(zip(values[::2], values[1::2], strict=True)))
        place += 4 + 16 * points
    return found[0], place


def bbox(outline: Outline) -> tuple[float, float, float, float]:
    """Return west, south, east and north; west is larger than east where the outline crosses the antimeridian."""
    rings = [np.array(ring) for ring in outline]
    south, north = min(float(ring[:, 1].min()) for ring in rings), max(float(ring[:, 1].max()) for ring in rings)
    return float(rings[0][:, 0].min()), south, float(rings[-1][:, 0].max()), north


def centre(outline: Outline) -> tuple[float, float]:
    """Return longitude and latitude of the middle of an outline's box."""
    west, south, east, north = bbox(outline)
    middle = (west + east + 360 * (west > east)) / 2
    return (middle + 180) % 360 - 180 if abs(middle) > 180 else middle, (south + north) / 2


def _cut(corners: Float[np.ndarray, "n 2"]) -> Outline:
    """Close a ring without its last point; where it crosses 180°, return the part west of that and the part east of it."""
    longitude = np.where(np.ptp(corners[:, 0]) > 180, corners[:, 0] % 360, corners[:, 0])
    points = np.column_stack([longitude, corners[:, 1]])
    if longitude.max() <= 180 and longitude.min() >= -180:
        return [_closed(points)]
    if longitude.min() < -180:  # a square around a point just east of the antimeridian
        points[:, 0] += 360
    if points[:, 0].min() >= 180:
        return [_closed(points - [360, 0])]
    west, east = _below(points, 180.0), _below(points * [-1, 1], -180.0) * [-1, 1]
    return [_closed(west), _closed(east - [360, 0])]


def _below(points: Float[np.ndarray, "n 2"], most: float) -> Float[np.ndarray, "m 2"]:
    """Return the part of a convex ring whose x is at most `most`."""
    kept: list[tuple[float, float]] = []
    for (x, y), (next_x, next_y) in zip(points, np.roll(points, -1, 0), strict=True):
        if x <= most:
            kept.append((float(x), float(y)))
        if (x < most < next_x) or (next_x < most < x):
            kept.append((most, float(y + (next_y - y) * (most - x) / (next_x - x))))
    return np.array(kept)


def _closed(points: Float[np.ndarray, "n 2"]) -> Ring:
    ring = [(round(float(x), _DIGITS), round(float(y), _DIGITS)) for x, y in points]
    return [*ring, ring[0]]
