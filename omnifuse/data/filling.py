"""Pixels without data, filled from the nearest ones that have some."""

import numpy as np
from jaxtyping import Bool, Num


def filled(values: Num[np.ndarray, "h w"], missing: Bool[np.ndarray, "h w"]) -> Num[np.ndarray, "h w"]:
    """Return the band with every missing pixel as the nearest one of its row that is not, the western of two; a row without any as the
    nearest row that has some, the northern of two. (So the border of an image goes on beyond it.)

    At least one pixel must not be missing.
    """
    if not missing.any():
        return values
    rows = _nearest(~np.all(missing, axis=1, keepdims=True).T)[0]
    along = _nearest(~missing[rows])
    return np.take_along_axis(values[rows], along, 1)


def _nearest(present: Bool[np.ndarray, "h w"]) -> Num[np.ndarray, "h w"]:
    """Return for each place of a row the nearest one that is present; a row has at least one."""
    width = present.shape[1]
    at = np.arange(width)
    before = np.maximum.accumulate(np.where(present, at, -1), 1)
    after = np.minimum.accumulate(np.where(present, at, 2 * width)[:, ::-1], 1)[:, ::-1]
    western = (before >= 0) & ((after >= width) | (at - before <= after - at))
    return np.where(western, before, after)
