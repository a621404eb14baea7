"""The small square GeoTIFFs of the FLAIR data sets: pixels, and where they lie without reading these."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from omnifuse.errors import InputError

_AGAIN = "Try: download this file again."


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
        InputError: where the file is missing, no raster, cut short, or not north up.
    """
    with _open(file) as raster:
        transform = raster.transform
        if transform.b or transform.d or (raster.crs and transform.e > 0):
            raise InputError(f"{file}: the image is turned or not north up. {_AGAIN}")
        _check_length(raster, file)
        epsg = _epsg(raster.crs.to_wkt()) if raster.crs else 0
        return Header(
            raster.count, raster.height, raster.width, raster.dtypes[0], epsg, float(transform.c), float(transform.f), float(transform.a)
        )


def read_raster(
    file: Path, shape: tuple[int, int, int], dtypes: tuple[str, ...], band: int | None = None, reason: str = ""
) -> Shaped[np.ndarray, "c h w"]:
    """Read all bands, or one (counted from 1), of a raster that must have `shape` (bands, height, width) and one of `dtypes`.

    `reason` says in the error why this shape.

    Raises:
        InputError: where the file is missing, no raster, of another shape or type, or damaged.
    """
    with _open(file) as raster:
        check_image((raster.count, raster.height, raster.width), raster.dtypes[0], shape, dtypes, str(file), reason)
        return raster.read(None if band is None else [band])


def check_image(found: tuple[int, ...], dtype: str, shape: tuple[int, ...], dtypes: tuple[str, ...], where: str, reason: str = "") -> None:
    """Raise `InputError` unless (bands, height, width) and type are as expected."""
    if found != shape or dtype not in dtypes:
        wanted = f"{' or '.join(dtypes)} of {shape}{f' ({reason})' if reason else ''}"
        raise InputError(f"{where}: {dtype} of {found} (bands, height, width), expected {wanted}. {_AGAIN}")


@contextmanager
def _open(file: Path) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

    if not file.is_file():
        raise InputError(f"{file}: no such file. {_AGAIN}")
    # Listing a folder of hundreds of patches for side files, on every open, costs more than the read.
    with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(file) as raster:
                yield raster
        except (RasterioError, CRSError) as error:
            raise InputError(f"{file}: cannot be read as a raster ({' '.join(str(error).split())}). {_AGAIN}") from None


def _check_length(raster: Any, file: Path) -> None:
    """Raise `InputError` where the last block of the last band would lie beyond the end of the file."""
    height, width = raster.block_shapes[-1]
    block = f"{(raster.width - 1) // width}_{(raster.height - 1) // height}"
    start, length = (raster.get_tag_item(f"BLOCK_{what}_{block}", "TIFF", bidx=raster.count) for what in ("OFFSET", "SIZE"))
    found = file.stat().st_size
    if start is not None and length is not None and int(start) + int(length) > found:
        raise InputError(f"{file}: cut short, {found} bytes where the image ends at {int(start) + int(length)}. {_AGAIN}")


@lru_cache(maxsize=64)
def _epsg(wkt: str) -> int:
    from rasterio.crs import CRS

    return CRS.from_wkt(wkt).to_epsg() or 0
