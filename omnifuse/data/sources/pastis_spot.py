"""The SPOT images of PASTIS-HD: one GeoTIFF per patch, 8-bit red, green and blue at 1 m."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from omnifuse.errors import InputError

SPOT_DAY = np.array([18078], np.int32)  # 2019-07-01, in days since 1970-01-01
SPOT_NAME = "SPOT6_RVB_1M00_2019"
# Where PASTIS-HD has been unpacked: inside PASTIS, without its own folders, or beside it.
SPOT_FOLDERS = (f"DATA_SPOT/PASTIS_{SPOT_NAME}", "DATA_SPOT", f"PASTIS_{SPOT_NAME}", f"../PASTIS-HD/DATA_SPOT/PASTIS_{SPOT_NAME}")

BLACK = 0.001  # share of pixels that may be black
_AGAIN = "Try: download this file again."


def read_image(file: Path, side: int) -> UInt8[np.ndarray, "3 h w"]:
    """Return an image on `side`×`side` pixels; another number of pixels over the same ground is resampled."""
    with _opened(file) as image:
        how = _resampling("average" if min(image.height, image.width) > side else "bilinear")
        return image.read(out_shape=(3, side, side), resampling=how)


def image_shape(file: Path) -> tuple[int, int]:
    """Return height and width of an image, from its header."""
    with _opened(file) as image:
        return image.height, image.width


def image_problems(file: Path, side: int, values: bool) -> list[str]:
    """Return what is unexpected about an image that can be read; raise `InputError` where it cannot."""
    found = []
    with _opened(file) as image:
        if (image.height, image.width) != (side, side):
            found.append(f"{image.height}×{image.width} pixels, expected {side}×{side}: it is resampled when read")
        if values:
            black = float((image.read() == 0).all(0).mean())
            if black > BLACK:
                found.append(f"{black:.1%} of the image is black: a border without data?")
    return found


def spot_folder(folder: Path) -> Path:
    """Return the folder of the images, or raise an `InputError` that lists where they were sought."""
    for name in SPOT_FOLDERS:
        if next((folder / name).glob(f"{SPOT_NAME}_*.tif"), None) is not None:
            return folder / name
    raise InputError(
        f"{folder}: no SPOT images {SPOT_NAME}_<id>.tif in any of {', '.join(SPOT_FOLDERS)}. Try: unpack PASTIS-HD there, or "
        "leave `spot` out."
    )


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open an image that has the published bands and covers a square; what fails inside is an `InputError` naming the file."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ModuleNotFoundError:
        raise InputError(f"{file}: reading SPOT images needs rasterio. Try: pip install 'omnifuse[geo]', or leave `spot` out.") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the extent of the array is what counts
            image = rasterio.open(file)
        with image:
            height, width, kinds = image.height, image.width, sorted(set(image.dtypes))
            if image.count != 3 or kinds != ["uint8"] or abs(height - width) > 0.02 * max(height, width):
                raise InputError(
                    f"{file}: {image.count} bands of {'/'.join(kinds)}, {height}×{width} pixels, expected 3 bands of uint8 over a "
                    f"square. {_AGAIN}"
                )
            yield image
    except (RasterioError, OSError) as error:
        raise InputError(f"{file}: cannot be read ({error}). {_AGAIN}") from None


def _resampling(name: str) -> Any:
    from rasterio.enums import Resampling

    return Resampling[name]
