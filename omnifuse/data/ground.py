"""Where a place lies: its upper left corner in a projected reference system, and its centre on the globe."""

import math
from collections.abc import Sequence

import numpy as np

Location = dict[str, str | float]


def locations(corners: Sequence[tuple[str, float, float]], size: float) -> list[Location]:
    """Return `crs`, `left`, `top`, `longitude` and `latitude` of squares, as `Place.info` has them.

    Args:
        corners: Reference system (such as `EPSG:25832`), west edge and north edge of each, in metres.
        size: Side of the squares in metres.
    """
    from rasterio.warp import transform

    found: list[Location] = [{"crs": c, "left": x, "top": y} for c, x, y in corners]
    for system in dict.fromkeys(c for c, _, _ in corners):  # one call for all of a system: setting up a transformation costs milliseconds
        rows = [row for row in found if row["crs"] == system]
        x, y = (np.array([row[edge] for row in rows], np.float64) for edge in ("left", "top"))
        longitude, latitude = transform(system, "EPSG:4326", (x + size / 2).tolist(), (y - size / 2).tolist())
        for row, east, north in zip(rows, longitude, latitude, strict=True):
            if math.isfinite(east) and math.isfinite(north):
                row["longitude"], row["latitude"] = round(east, 7), round(north, 7)  # a centimetre
    return found
