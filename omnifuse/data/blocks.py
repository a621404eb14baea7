"""Where places lie in metres: the square block of ground that a place falls in, and what lies within a distance of what."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from omnifuse.errors import ConfigError, InputError

RADIUS = 6_371_007.2  # metres; the sphere with the surface of the Earth (authalic)

Info = Sequence[dict[str, str | int | float]]


def block_column(info: Info, size: float, block: float) -> tuple[list[str], str]:
    """Return the block of ground that the centre of each place falls in, and the coordinates that the grid stands in.

    Blocks are squares of `block` metres, counted from the origin of the places' CRS where all share one (`crs`, `left`, `top`). Else
    longitude and latitude are projected with equal areas around the middle of all places, to the degree (Lambert azimuthal).

    Args:
        info: Metadata of the places.
        size: Side of a place in metres.
        block: Side of a block in metres.
    """
    if block < size:
        raise ConfigError(f"blocks of {block:g} m are smaller than the places ({size:g} m). Try: ten times the size of a place.")
    systems = {row.get("crs") for row in info}
    if len(systems) == 1 and systems != {None} and all("left" in row and "top" in row for row in info):
        centers = np.array([(float(row["left"]) + size / 2, float(row["top"]) - size / 2) for row in info]).reshape(-1, 2)
        system = str(systems.pop())
    else:
        degrees = _degrees(info)
        # The mean direction; a mean of longitudes would be wrong across the date line.
        x, y, z = _unit(degrees).mean(0)
        middle = round(math.degrees(math.atan2(y, x))), round(math.degrees(math.atan2(z, math.hypot(x, y))))
        centers, system = equal_area(degrees, *middle), f"Lambert azimuthal equal area at {middle[0]}, {middle[1]} degrees"
    cells = np.floor(centers / block).astype(np.int64)
    return [f"{column}/{row}" for column, row in cells.tolist()], system


def buffered(parts: Sequence[str], info: Info, side: float, buffer: float, kept: Sequence[str]) -> list[str]:
    """Return the parts with the value `buffer` for places too near to another part, so that no ground is close to both.

    Of two parts in `kept` the one that comes first keeps its places, and the last one gives most. Two places are too near where their
    centres are closer than `buffer` and the diagonal of a place: then their squares may be closer than `buffer`, however they are
    turned.

    Args:
        parts: Part of each place.
        info: Metadata of the places.
        side: Side in metres of the square that a place's sensors see, surroundings included.
        buffer: Metres; 0 changes nothing.
        kept: Parts in order of precedence, such as test, val, train.
    """
    if buffer < 0:
        raise ConfigError(f"a buffer of {buffer:g} m. Try: 0 or more.")
    result = list(parts)
    if not buffer:
        return result
    points = _points(info)
    for number, part in enumerate(kept):
        center = np.array([value == part for value in result], bool)
        others = np.array([value in kept[number + 1 :] for value in result], bool)
        near = near_to(points[others], points[center], buffer + side * math.sqrt(2))
        for index in np.flatnonzero(others)[near]:
            result[index] = "buffer"
    return result


def near_to(points: Float[np.ndarray, "n d"], others: Float[np.ndarray, "m d"], distance: float) -> Bool[np.ndarray, " n"]:
    """Return which points are closer than `distance` to any of the others, looking only into neighboring cells of a grid."""
    cells: dict[tuple[int, ...], list[int]] = {}
    for index, cell in enumerate(np.floor(others / distance).astype(np.int64).tolist()):
        cells.setdefault(tuple(cell), []).append(index)
    around: dict[tuple[int, ...], list[int]] = {}
    for index, cell in enumerate(np.floor(points / distance).astype(np.int64).tolist()):
        around.setdefault(tuple(cell), []).append(index)
    near = np.zeros(len(points), bool)
    for cell, inside in around.items():
        steps = product((-1, 0, 1), repeat=len(cell))
        candidates = [i for step in steps for i in cells.get(tuple(c + s for c, s in zip(cell, step, strict=True)), ())]
        if candidates:
            apart = points[inside][:, None] - others[candidates][None]
            near[inside] = ((apart**2).sum(-1) < distance**2).any(1)
    return near


def equal_area(degrees: Float[np.ndarray, "n 2"], longitude: float, latitude: float) -> Float[np.ndarray, "n 2"]:
    """Project longitude and latitude in degrees to metres around a point (Snyder 1987, Map Projections, eq. 24-2 to 24-4; sphere)."""
    lam, phi = np.radians(degrees[:, 0] - longitude), np.radians(degrees[:, 1])
    phi0 = math.radians(latitude)
    away = 1 + math.sin(phi0) * np.sin(phi) + math.cos(phi0) * np.cos(phi) * np.cos(lam)
    k = np.sqrt(2 / np.maximum(away, 1e-12))
    x = k * np.cos(phi) * np.sin(lam)
    y = k * (math.cos(phi0) * np.sin(phi) - math.sin(phi0) * np.cos(phi) * np.cos(lam))
    return RADIUS * np.stack([x, y], 1)


def _points(info: Info) -> Float[np.ndarray, "n d"]:
    """Return points whose distances are those of the places in metres: map coordinates, or points of the sphere."""
    systems = {row.get("crs") for row in info}
    if len(systems) == 1 and systems != {None} and all("left" in row and "top" in row for row in info):
        return np.array([(float(row["left"]), float(row["top"])) for row in info]).reshape(-1, 2)
    return RADIUS * _unit(_degrees(info))  # the chord is shorter than the arc by 1 mm over 10 km


def _degrees(info: Info) -> Float[np.ndarray, "n 2"]:
    for index, row in enumerate(info):
        if "longitude" not in row or "latitude" not in row:
            raise InputError(
                f"split: place {row.get('id', index)!r} has no longitude and latitude, and the places do not share one `crs` with `left` "
                "and `top`. Try: a split by a key of the metadata."
            )
    return np.array([(float(row["longitude"]), float(row["latitude"])) for row in info]).reshape(-1, 2)


def _unit(degrees: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    lam, phi = np.radians(degrees).T
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], 1)
