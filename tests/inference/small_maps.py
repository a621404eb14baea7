"""A small classified raster with its confidence and imagery, as `omnifuse predict` and people write them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import Affine

NAMES = ("water", "<script>window.hacked = 1</script>", 'built & "roads"', "forest")
COLORS = ("#2b6cb0", "#e6b82e", "#c8452b", "#1b7a3d")
NODATA = 255


@dataclass(frozen=True)
class SmallMap:
    """Paths, and what is in them."""

    map: Path
    confidence: Path
    image: Path
    classes: np.ndarray
    percent: np.ndarray
    transform: Affine


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:], 16)


def write(path: Path, bands: np.ndarray, transform: Affine, crs: str | None = "EPSG:32631", **profile: Any) -> Path:
    """Write (band, row, column) as a GeoTIFF."""
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, transform=transform, crs=crs, **profile
    ) as file:
        file.write(bands)
    return path


def write_classes(path: Path, classes: np.ndarray, transform: Affine, names: tuple[str, ...] = NAMES, crs: str = "EPSG:32631") -> Path:
    """Write classes with colors and names, as a prediction is."""
    write(path, classes[None], transform, crs, nodata=NODATA)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {**{i: (*rgb(color), 255) for i, color in enumerate(COLORS)}, NODATA: (0, 0, 0, 0)})
        file.update_tags(sensors="s2 s1_asc", model="tiny", weights_sha256="0123456789abcdef" * 4)
        file.update_tags(1, **{f"CLASS_{i}": name for i, name in enumerate(names)})
    return path


def small_map(folder: Path, height: int = 30, width: int = 40) -> SmallMap:
    """Write a map of blocks of 5 × 5 pixels of 10 m in random classes, a tenth of them without data."""
    random = np.random.default_rng(0)
    blocks = random.choice([0, 1, 2, 3, NODATA], (-(-height // 5), -(-width // 5)), p=[0.25, 0.25, 0.2, 0.2, 0.1]).astype(np.uint8)
    classes = np.kron(blocks, np.ones((5, 5), np.uint8))[:height, :width]
    percent = np.where(classes == NODATA, NODATA, random.integers(25, 101, classes.shape)).astype(np.uint8)
    transform = Affine(10, 0, 500_000, 0, -10, 5_000_000)
    image = write(folder / "scene.tif", random.integers(0, 3000, (4, height, width)).astype(np.uint16), transform, nodata=0)
    with rasterio.open(image, "r+") as file:
        file.descriptions = ("B02", "B03", "B04", "B08")
    return SmallMap(
        write_classes(folder / "map.tif", classes, transform),
        write(folder / "map_confidence.tif", percent[None], transform, nodata=NODATA),
        image,
        classes,
        percent,
        transform,
    )
