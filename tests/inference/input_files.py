"""The arrays of `small_models` as files, as people have them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine

LEFT, TOP, CRS = 600_000.0, 5_000_000.0, "EPSG:32631"


def write_tif(
    file: Path,
    values: np.ndarray,
    gsd: float = 10.0,
    *,
    left: float = LEFT,
    top: float = TOP,
    crs: str | None = CRS,
    names: Sequence[str] = (),
    units: Sequence[str] = (),
    scale: float = 1.0,
    offset: float = 0.0,
    tags: Mapping[str, str] | None = None,
    **profile: object,
) -> Path:
    """Write a GeoTIFF of (band, y, x)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    transform = Affine(gsd, 0, left, 0, -gsd, top)
    with rasterio.open(file, "w", **{"driver": "GTiff", "crs": crs, "transform": transform, **shape, **profile}) as image:
        image.write(values)
        for number, name in enumerate(names, 1):
            image.set_band_description(number, name)
        if units:
            image.units = units
        image.scales, image.offsets = (scale,) * len(values), (offset,) * len(values)
        image.update_tags(**(tags or {}))
    return file
