"""Rasters made small enough for a screen, strip by strip: the most frequent class, or the mean, of blocks of whole pixels."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from omnifuse.data.raster_file import Header, read_window

NO_DATA = 255  # class or percent that stands for none
_STRIP = 2**22  # pixels that are held at once


def factor_for(header: Header, most: int) -> int:
    """Return the whole factor by which a raster is reduced so that no side has more than `most` pixels."""
    return -(-max(header.height, header.width) // most)


def strips(header: Header, band: int, factor: int) -> Iterator[tuple[int, Num[np.ndarray, "h w"]]]:
    """Give a band from north to south in strips of a multiple of `factor` rows, each with the row that it starts at."""
    rows = max(1, _STRIP // header.width // factor) * factor
    for row in range(0, header.height, rows):
        height = min(rows, header.height - row)
        yield row, read_window(header, (band,), row, 0, height, header.width)[0]


def most_frequent(classes: UInt8[np.ndarray, "h w"], count: int, factor: int) -> UInt8[np.ndarray, "hr wr"]:
    """Return the most frequent class of each block of `factor` × `factor` pixels, blocks at the edges with what they have.

    The lower number wins a tie, and no data only wins where it is more frequent than every class.

    Args:
        classes: Class numbers below `count`, or `NO_DATA`.
        count: How many classes there are.
        factor: Pixels along a block.
    """
    if factor == 1:
        return classes
    winner = np.full([-(-side // factor) for side in classes.shape], NO_DATA, np.uint8)
    most = np.zeros(winner.shape)
    for number in [*range(count), NO_DATA]:
        found = block_sums(classes == number, factor)
        winner = np.where(found > most, np.uint8(number), winner)
        most = np.maximum(most, found)
    return winner


def block_means(values: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], factor: int) -> Float[np.ndarray, "hr wr"]:
    """Return the mean of the valid pixels of each block of `factor` × `factor`; NaN where there is none."""
    total, number = block_sums(np.where(valid, values, 0.0), factor), block_sums(valid, factor)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def block_sums(values: Num[np.ndarray, "h w"] | Bool[np.ndarray, "h w"], factor: int) -> Num[np.ndarray, "hr wr"]:
    """Return the sum of each block of `factor` × `factor` pixels, blocks at the edges with what they have."""
    height, width = values.shape
    summed = np.add.reduceat(values, np.arange(0, height, factor), axis=0, dtype=np.float64)
    return np.add.reduceat(summed, np.arange(0, width, factor), axis=1)
