"""Parcels as PASTIS annotates them: an index, instances, centres and zones (for panoptic segmentation, arXiv:2107.07933)."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from omnifuse.data.landscape.covers import LABEL
from omnifuse.data.landscape.parcels import Parcels

SPREAD = 0.05  # standard deviations of a centre's peak, as a share of the parcel's height and width


def parcel_index(parcels: Parcels) -> Int[np.ndarray, "h w"]:
    """Return the farmed parcel of each pixel, numbered from 1 in no order of space; 0 where nothing is farmed."""
    largest = parcels.count.argmax(0).reshape(parcels.size, parcels.size)  # as the labels have it
    return np.where(LABEL[parcels.cover][largest] > 0, largest + 1, 0)


def instances(parcel: Int[np.ndarray, "h w"], target: UInt8[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Return parcels numbered 1, 2, ... without gaps, 0 where the class is background; void parcels have a number, too."""
    seen, number = np.unique(np.where(target > 0, parcel, 0), return_inverse=True)
    return number.reshape(parcel.shape).astype(np.int64) + (1 if seen[0] > 0 else 0)


def heatmap(instance: Int[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return how near each pixel is to a parcel's centre: 1 there, falling as a Gaussian as wide as the parcel is, `SPREAD` of it."""
    result = np.zeros(instance.shape, np.float32)
    rows, columns = (np.arange(n)[(slice(None), None) if axis == 0 else slice(None)] for axis, n in enumerate(instance.shape))
    for number in range(1, int(instance.max(initial=0)) + 1):
        y, x = np.nonzero(instance == number)
        low, high = np.array([y.min(), x.min()]), np.array([y.max(), x.max()])
        middle, spread = (low + high) // 2, np.maximum(SPREAD * (high - low + 1), 0.3)
        distance = ((rows - middle[0]) / spread[0]) ** 2 + ((columns - middle[1]) / spread[1]) ** 2
        result = np.maximum(result, np.exp(-distance / 2).astype(np.float32))
    return result


def zones(instance: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Return the nearest parcel of each pixel, its own within a parcel; 0 everywhere where there is none. Exact, by columns then rows."""
    if not instance.any():
        return np.zeros_like(instance)
    height, width = instance.shape
    far = 4 * (height + width)
    rows = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(instance > 0, rows, -far), 0)
    below = np.minimum.accumulate(np.where(instance > 0, rows, far)[::-1], 0)[::-1]
    source = np.where(rows - above <= below - rows, above, below)  # row of the nearest parcel pixel of this column
    distance = (rows - source) ** 2
    steps = (np.arange(width)[:, None] - np.arange(width)) ** 2
    result = np.empty_like(instance)
    for row in range(height):
        column = (distance[row] + steps).argmin(1)
        result[row] = instance[source[row, column], column]
    return result
