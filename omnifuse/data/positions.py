"""Whether the positions that places state can be true, and agree with each other."""

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import numpy as np

from omnifuse.data.problems import Problem

_TOLERANCE = 30.0  # metres; positions are often rounded to a pixel, and a square that is turned has its centre where it was

Info = Sequence[dict[str, str | int | float]]


def position_problems(info: Info, size: float, file: str) -> Iterator[Problem]:
    """Yield impossible coordinates, unknown coordinate systems, and corners that are not where longitude and latitude say.

    The last two need rasterio; without it they are not looked for.
    """
    by_system: dict[str, list[int]] = {}
    for index, row in enumerate(info):
        name = str(row.get("id", index))
        for key, limit in (("longitude", 180.0), ("latitude", 90.0)):
            if key in row and not abs(_number(row[key])) <= limit:
                yield Problem(file, f"{key} {row[key]}, expected -{limit:g} to {limit:g} degrees", "correct the metadata", name)
        if "crs" in row:
            if not {"left", "top"} <= set(row) or not all(math.isfinite(_number(row[key])) for key in ("left", "top")):
                yield Problem(file, f"{row['crs']} without the upper left corner of the place", "give `left` and `top` in metres", name)
            else:
                by_system.setdefault(str(row["crs"]), []).append(index)
    if find_spec("rasterio") is not None:
        for system, indices in by_system.items():
            yield from _misplaced(system, [info[index] for index in indices], size, file)


def _misplaced(system: str, rows: Info, size: float, file: str) -> Iterator[Problem]:
    from rasterio.crs import CRS
    from rasterio.warp import transform

    first = str(rows[0].get("id", ""))
    try:
        crs = CRS.from_user_input(system)
    except ValueError:  # CRSError is one; a code that is no number is another
        yield Problem(file, f"{len(rows)} places are in {system!r}, which is no coordinate system", "a code such as EPSG:32631", first)
        return
    placed = [row for row in rows if {"longitude", "latitude"} <= set(row)]
    if not placed:
        return
    lon, lat = (np.array([_number(row[key]) for row in placed]) for key in ("longitude", "latitude"))
    x, y = (np.array(axis) for axis in transform("EPSG:4326", crs, lon.tolist(), lat.tolist()))
    dx = x - np.array([_number(row["left"]) + size / 2 for row in placed])
    dy = y - np.array([_number(row["top"]) - size / 2 for row in placed])
    for row, apart in zip(placed, np.hypot(dx, dy).tolist(), strict=True):
        if not apart <= _TOLERANCE:
            what = f"the centre is {apart:.0f} m from where {system}, `left` and `top` put it"
            yield Problem(file, what, "correct the coordinate system or the corner", str(row.get("id", "")))


def _number(value: str | int | float) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
