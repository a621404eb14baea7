"""Pixels without data: a date that a band has none of is dropped, other gaps are filled from the same image."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int, Num

from omnifuse.data.place import Series

Fill = Callable[[Num[np.ndarray, " n"]], np.generic]


def without_gaps(
    pixels: Num[np.ndarray, "t c h w"], missing: Bool[np.ndarray, "t c h w"], day: Int[np.ndarray, " t"], fill: Fill = np.median
) -> Series:
    """Drop images in which a band has no data at all; fill the other gaps of a band from its own pixels on that date.

    Args:
        pixels: In the order of their dates; not changed.
        missing: Where there is no data.
        day: Days since 1970-01-01.
        fill: Makes one value of the band's pixels with data; integers take it rounded.
    """
    kept = ~np.any(np.all(missing, axis=(2, 3)), axis=1)
    pixels, missing, day = pixels[kept], missing[kept], day[kept]
    for frame, band in np.argwhere(np.any(missing, axis=(2, 3))):
        gap = missing[frame, band]
        value = fill(pixels[frame, band][~gap])
        pixels[frame, band][gap] = value if pixels.dtype.kind == "f" else np.rint(value)
    return Series(pixels, day)
