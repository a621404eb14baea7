"""The images in a Zarr store of labelled arrays, each as a path that `raster_file` reads."""

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from omnifuse.data.extras import check_installed
from omnifuse.errors import InputError

_TIME = ("time", "t", "date", "timestamp")


@dataclass(frozen=True)
class ZarrImage:
    """One moment of one array.

    Attributes:
        path: Such as `store.zarr#B02@time=3`.
        name: Of the array; a band's where a store has an array per band.
        time: In UTC; None where the array has no axis of time.
    """

    path: str
    name: str
    time: datetime | None


def images_in_zarr(path: str) -> list[ZarrImage]:
    """Return the images of a store, or of one of its arrays (`store.zarr#name`), in the order of arrays and times.

    Arrays have axes `y` and `x`, and may have `time` and one more, the bands; others (a classification without `y`, `x`) are left out.

    Raises:
        InputError: where it cannot be read, or has no such array.
    """
    check_installed(path, "rioxarray")
    import xarray

    store, _, wanted = path.partition("#")
    store = store.rstrip("/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of metadata that are not consolidated
            dataset = xarray.open_zarr(store, mask_and_scale=False, chunks=None)
    except Exception as error:  # whatever the store's codecs and metadata raise
        raise InputError(f"{store}: cannot be read ({type(error).__name__}: {error}). Try: a Zarr store that xarray opens.") from None
    found: list[ZarrImage] = []
    with dataset:
        for name, array in dataset.data_vars.items():
            if not {"y", "x"} <= set(array.dims) or (wanted and name != wanted):
                continue
            axis = next((axis for axis in array.dims if str(axis).lower() in _TIME), None)
            if axis is None:
                found.append(ZarrImage(f"{store}#{name}", str(name), None))
                continue
            times = array[axis].values if axis in array.coords else np.zeros(0)
            if times.dtype.kind != "M" or np.isnat(times).any():
                raise InputError(f"{store}: `{axis}` of {name} holds no dates. Try: dates as CF has them, such as xarray writes.")
            found += [ZarrImage(f"{store}#{name}@{axis}={number}", str(name), _utc(time)) for number, time in enumerate(times)]
        if not found:
            names = ", ".join(map(str, dataset.data_vars)) or "none"
            raise InputError(
                f"{path}: no array with axes y and x; arrays are {names}. Try: the store of a data cube, as odc-stac loads it."
            )
    return found


def _utc(time: np.datetime64) -> datetime:
    return datetime.fromtimestamp(int(time.astype("datetime64[s]").astype(np.int64)), UTC)
