"""The products of FLAIR-HUB: what each raster holds, and how it becomes a series."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Num

from omnifuse.data.gaps import without_gaps
from omnifuse.data.place import Series
from omnifuse.data.sources.flair_series import with_data
from omnifuse.errors import InputError
from omnifuse.modalities import MODALITIES, Modality

FLOOR = 1e-6  # linear backscatter below which nothing is distinguished: -60 dB


@dataclass(frozen=True)
class Product:
    """One kind of raster.

    Attributes:
        folder: Sensor and type in the names of folders and files.
        modality: What becomes of it.
        bands: Bands of the raster for each date.
        dtype: Type of its numbers.
        prepare: Makes a series of frames as stored (dates, bands, rows, columns) and days; `where` is for errors.
        dates: Middle of the name of its table of dates, `GLOBAL_<dates>_MTD_DATES`.
        mask: Folder of its snow and cloud masks; empty without any.
        sparse: Whether it was never made for some patches of a region.
    """

    folder: str
    modality: Modality
    bands: int
    dtype: str
    prepare: Callable[[Series, str], Series]
    dates: str = ""
    mask: str = ""
    sparse: bool = False


def as_stored(series: Series, where: str) -> Series:
    """Return the series as it is."""
    return series


def reflectance(series: Series, where: str) -> Series:
    """Drop dates that are zero everywhere (no data)."""
    return with_data(series)


def decibel(series: Series, where: str) -> Series:
    """Return VV, VH and VV-VH in dB of linear backscatter.

    Zero, negative and not-a-number have no logarithm: they are gaps. A date on which a band has nothing else is dropped, other gaps
    take the median of their band on their date. Below 1e-6 everything is -60 dB.

    Raises:
        InputError: where most values are negative, as dB are.
    """
    linear = series.pixels
    finite = linear[np.isfinite(linear)]
    if finite.size and float((finite < 0).mean()) > 0.5:
        raise InputError(
            f"{where}: most values are negative (median {float(np.median(finite)):g}), as in dB, but FLAIR-HUB is linear backscatter. "
            "Try: the published file, unconverted."
        )
    missing = ~(linear > 0) | np.isinf(linear)
    filled = np.where(missing, 1.0, linear)
    db = (10 * np.log10(np.maximum(filled, FLOOR, dtype=np.float64))).astype(np.float32)
    seen = without_gaps(db, missing, series.day)
    return Series(np.concatenate([seen.pixels, seen.pixels[:, :1] - seen.pixels[:, 1:]], 1), seen.day)


def by_date(stack: Num[np.ndarray, "tc h w"], bands: int) -> Num[np.ndarray, "t c h w"]:
    """Return a raster whose bands run through each date's own before the next date's, as (dates, bands, rows, columns)."""
    return stack.reshape(-1, bands, *stack.shape[1:])


def _sentinel1(name: str) -> Modality:
    return replace(MODALITIES[name], gsd=10.24)


# Statistics: FLAIR-HUB's training configuration; blue of `aerial` from FLAIR#1, Sentinel from PASTIS (the catalogue's).
_PRODUCTS = (
    Product(
        "AERIAL_RGBI",
        replace(
            MODALITIES["aerial"],
            title="Aerial RGBI",
            bands=("R", "G", "B", "NIR"),
            units=("8-bit",) * 4,
            mean=(105.66, 111.35, 101.82, 106.59),
            std=(52.23, 45.62, 44.0, 39.78),
            wavelengths=(660.0, 560.0, 485.0, 830.0),
        ),
        4,
        "uint8",
        as_stored,
        "AERIAL",
    ),
    Product(
        "AERIAL-RLT_PAN",
        Modality(
            name="aerial_rlt",
            title="Aerial of the 1950s, panchromatic",
            bands=("panchromatic",),
            gsd=0.4,
            units=("8-bit",),
            mean=(125.92,),
            std=(38.45,),
            series=False,
        ),
        1,
        "uint8",
        as_stored,
        "AERIAL-RLT",
        sparse=True,
    ),
    Product(
        "DEM_ELEV",
        replace(
            MODALITIES["dem"],
            title="Elevation of surface and terrain",
            bands=("surface", "terrain"),
            gsd=0.2,
            units=("m", "m"),
            mean=(311.06, 311.06),
            std=(537.55, 537.55),
            wavelengths=(),
        ),
        2,
        "float32",
        as_stored,
    ),
    Product(
        "SPOT_RGBI",
        replace(
            MODALITIES["spot"],
            bands=("R", "G", "B", "NIR"),
            gsd=1.6,
            units=("reflectance, 16-bit",) * 4,
            mean=(433.26, 508.75, 467.77, 1137.03),
            std=(312.76, 284.61, 226.02, 543.11),
            wavelengths=(660.0, 560.0, 485.0, 825.0),
        ),
        4,
        "uint16",
        as_stored,
        "SPOT",
    ),
    Product(
        "SENTINEL2_TS",
        replace(MODALITIES["s2"], gsd=10.24),
        10,
        "uint16",
        reflectance,
        "SENTINEL2",
        "SENTINEL2_MSK-SC",
    ),
    Product("SENTINEL1-ASC_TS", _sentinel1("s1_asc"), 2, "float32", decibel, "SENTINEL1-ASC"),
    Product("SENTINEL1-DESC_TS", _sentinel1("s1_desc"), 2, "float32", decibel, "SENTINEL1-DESC"),
)

PRODUCTS = {product.modality.name: product for product in _PRODUCTS}
