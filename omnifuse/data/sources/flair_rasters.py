"""The small square GeoTIFFs of the FLAIR data sets: pixels, and where they lie without reading these."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from omnifuse.errors import InputError


@dataclass(frozen=True)
class Header:
    """What a raster's header says.

    Attributes:
        bands: Number of bands.
        height: Rows.
        width: Columns.
        dtype: Name of the type of its numbers.
        epsg: Code of its coordinate reference system; 0 where it has none or only a definition of its own.
        left: Left edge in that system, metres.
        top: Upper edge in that system, metres.
        gsd: Metres per pixel.
    """

    bands: int
    height: int
    width: int
    dtype: str
    epsg: int
    left: float
    top: float
    gsd: float


def read_header(file: Path) -> Header:
    """Read the header of a raster.

    Raises:
        InputError: where the file is missing, no raster, or not north up.
    """
    with _open(file) as raster:
        transform = raster.transform
        if transform.b or transform.d or (raster.crs and transform.e > 0):
            raise InputError(f"{file}: the image is turned or not north up. Try: download this file again.")
        epsg = _epsg(raster.crs.to_wkt()) if raster.crs else 0
        return Header(
            raster.count, raster.height, raster.width, raster.dtypes[0], epsg, float(transform.c), float(transform.f), float(transform.a)
        )


def read_raster(file: Path, band: int | None = None) -> Shaped[np.ndarray, "c h w"]:
    """Read all bands, or one (counted from 1).

    Raises:
        InputError: where the file is missing, no raster, or damaged.
    """
    with _open(file) as raster:
        return raster.read(None if band is None else [band])


def check_image(found: Sequence[int], dtype: str, shape: Sequence[int], dtypes: Sequence[str], where: str) -> None:
    """Raise `InputError` unless (bands, height, width) and type are as expected."""
    if tuple(found) != tuple(shape) or dtype not in dtypes:
        raise InputError(
            f"{where}: {dtype} of {tuple(found)} (bands, height, width), expected {' or '.join(dtypes)} of {tuple(shape)}. "
            "Try: download this file again."
        )


@contextmanager
def _open(file: Path) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not file.is_file():
        raise InputError(f"{file}: no such file. Try: download it again.")
    # Listing a folder of hundreds of patches for side files, on every open, costs more than the read.
    with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(file) as raster:
                yield raster
        except RasterioError as error:
            raise InputError(f"{file}: cannot be read as a raster ({error}). Try: download this file again.") from None


@lru_cache(maxsize=64)
def _epsg(wkt: str) -> int:
    from rasterio.crs import CRS

    return CRS.from_wkt(wkt).to_epsg() or 0
