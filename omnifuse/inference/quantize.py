"""Vectors as bytes: one symmetric step per dimension, and no value further off than half of it."""

from typing import Final

import numpy as np
from jaxtyping import Float, Int8

LEVELS: Final = 127  # steps to either side of zero
NO_DATA: Final = -128  # the one byte that is no value


def steps_of(largest: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Return the value of one step of each dimension, in float32; 1 for a dimension that is zero throughout.

    Args:
        largest: Largest absolute value of each dimension over all vectors.
    """
    step = largest.astype(np.float32) / np.float32(LEVELS)
    return np.where(step > 0, step, 1).astype(np.float32)


def to_int8(values: Float[np.ndarray, "... d"], steps: Float[np.ndarray, " d"]) -> Int8[np.ndarray, "... d"]:
    """Return the nearest whole number of steps. Times the step it is at most half a step from the value (and its rounding)."""
    return np.clip(np.rint(values / steps), -LEVELS, LEVELS).astype(np.int8)


def from_int8(stored: Int8[np.ndarray, "... d"], steps: Float[np.ndarray, " d"]) -> Float[np.ndarray, "... d"]:
    """Return the values in float32; NaN where there is no data."""
    values = stored.astype(np.float32) * steps.astype(np.float32)
    values[stored == NO_DATA] = np.nan
    return values
