"""Monthly composites: one image per calendar month, for models and benchmarks that want few dates of even spacing."""

import numpy as np

from omnifuse.data.place import Series

MIDDLE = 14  # days from the first of a month to its date


def monthly(series: Series, nodata: float | None) -> Series:
    """Return the mean of each calendar month in which there is an image, dated the 15th.

    The mean is taken per band and pixel over the values that are not `nodata` (None: all count), in float64, and rounded to the
    nearest (half to even) where the stored type is of integers. A pixel that has no value in a month is `nodata` again. Values are averaged
    as they are stored: dB are averaged as dB, so that VV-VH stays the difference of the other two. Clouds are values: they stay.
    """
    month = series.day.astype("datetime64[D]").astype("datetime64[M]")
    months, first = np.unique(month, return_index=True)  # days are in order, so a month is a run of frames
    pixels = np.empty((len(months), *series.pixels.shape[1:]), series.pixels.dtype)
    for i, part in enumerate(np.split(series.pixels, first[1:])[: len(months)]):
        if nodata is None:
            mean = part.mean(0, dtype=np.float64)
        else:
            valid = ~np.isnan(part) if np.isnan(nodata) else part != nodata
            count = valid.sum(0)
            total = np.where(valid, part, 0).sum(0, dtype=np.float64)
            mean = np.where(count > 0, total / np.maximum(count, 1), nodata)
        pixels[i] = np.rint(mean) if pixels.dtype.kind in "iu" else mean
    return Series(pixels, (months.astype("datetime64[D]").astype(np.int32) + MIDDLE).astype(np.int32))
