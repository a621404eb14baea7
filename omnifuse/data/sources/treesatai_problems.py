"""What is wrong with a TreeSatAI-TS folder: told from names, lists, headers and dates, and from the radar series.

The radar is looked into because files were published in which both polarizations are mixed: VH then is as strong as VV, while over
land it is 3 to 12 dB weaker. Such a series is read as it is; whether to leave the tile out is for the user to say.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from omnifuse.data.problems import Problem
from omnifuse.data.sources.treesatai_layout import SPLITS, TileFiles, label_file, product_days, read_lists
from omnifuse.errors import InputError

PUBLISHED = 50_381  # tiles
_AGAIN = "download it again"
_SENSORS = {"sen-1-asc": (2, 4), "sen-1-des": (2, 4), "sen-2": (10, 2)}  # bands, field of the date in a product name
_LEAST_DIFFERENCE = 1.0  # dB between VV and VH


def problems(folder: Path, tiles: Mapping[str, TileFiles], shares: Mapping[str, Float[np.ndarray, "15"]]) -> Iterator[Problem]:
    """Yield missing, doubled and contradictory files, tile by tile, then what concerns the whole set."""
    labels = str(label_file(folder))
    listed, _ = read_lists(folder)
    for tile, files in tiles.items():
        if files.aerial is None:
            yield Problem(str(folder / "aerial" / f"{tile}.tif"), "missing", "unpack the aerial images of this species", tile)
        else:
            yield from _aerial(files.aerial, tile)
        if not files.series:
            yield Problem(str(folder / "sentinel-ts" / f"{tile}_<year>.h5"), "missing", "unpack the time series of this tile", tile)
        elif len(files.series) == 1:
            yield from _series(files.series[0], tile)
        for file in files.series[1:]:
            yield Problem(str(file), f"a second series beside {files.series[0].name}", "keep the year you mean", tile)
        if tile not in shares:
            yield Problem(labels, "no labels of this tile", _AGAIN, tile)
        elif shares[tile].sum() > 1.001:
            yield Problem(labels, f"shares add up to {shares[tile].sum():.4f}, more than the tile", _AGAIN, tile)
        if len(files.splits) != 1:
            what = f"listed in {' and '.join(files.splits)}" if files.splits else "in no split list"
            yield Problem(str(folder), f"{what}: it belongs to no fold", "list it in one split", tile)
    for split in SPLITS:
        if not any(split in splits for splits in listed.values()):
            yield Problem(str(folder / f"{split}_filenames.lst"), "missing or empty", "download the split lists")
    absent = [tile for tile in listed if tile not in tiles]
    if absent:
        yield Problem(str(folder), f"{len(absent)} listed tiles have no file, first {absent[0]}", "unpack all archives")
    if len(tiles) > PUBLISHED:
        yield Problem(str(folder), f"{len(tiles)} tiles, {PUBLISHED} are published", "remove files of other sets")


def _aerial(file: Path, tile: str) -> Iterator[Problem]:
    import rasterio

    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(file) as image:
            found = (image.count, *image.shape, image.dtypes[0])
            crs = image.crs
            north_up = image.transform.b == 0 == image.transform.d and image.transform.e < 0
            gsd = image.transform.a
    except rasterio.errors.RasterioError as error:
        yield Problem(str(file), f"cannot be read ({error})", _AGAIN, tile)
        return
    if found != (4, 304, 304, "uint8"):
        yield Problem(str(file), f"{found}, expected (4, 304, 304, 'uint8')", _AGAIN, tile)
    if crs is None:
        yield Problem(str(file), "no coordinate reference system, so the place has no location", _AGAIN, tile)
    elif not north_up or abs(gsd - 0.2) > 1e-4:
        yield Problem(str(file), f"pixels of {gsd:g} m, {'north up' if north_up else 'turned'}; expected 0.2 m, north up", _AGAIN, tile)


def _series(file: Path, tile: str) -> Iterator[Problem]:
    import h5py

    try:
        with h5py.File(file, "r") as content:
            for key, (bands, field) in _SENSORS.items():
                yield from _sensor(content, file, tile, key, bands, field)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:  # what damage makes h5py raise
        yield Problem(str(file), f"cannot be read ({error})", _AGAIN, tile)


def _sensor(content: Any, file: Path, tile: str, key: str, bands: int, field: int) -> Iterator[Problem]:
    lacking = [f"{key}-{what}" for what in ("data", "products") if f"{key}-{what}" not in content]
    if lacking:
        yield Problem(str(file), f"no {' and no '.join(lacking)}", _AGAIN, tile)
        return
    data, products = content[f"{key}-data"], content[f"{key}-products"][...]
    if data.shape[1:] != (bands, 6, 6) or data.dtype.kind != "f":
        yield Problem(str(file), f"{key}-data is {data.dtype} of {data.shape}, expected floats of (dates, {bands}, 6, 6)", _AGAIN, tile)
        return
    if len(products) != len(data):
        yield Problem(str(file), f"{len(data)} images but {len(products)} names in {key}", _AGAIN, tile)
        return
    try:
        day = product_days([*products], field, key)
    except InputError as error:
        yield Problem(str(file), str(error).partition(" Try: ")[0], "use full ESA product names", tile)
        return
    years = set(day.astype("datetime64[D]").astype("datetime64[Y]").astype(str).tolist())
    named = re.search(r"_((?:19|20)\d\d)$", file.stem)
    if named and years - {named[1]}:
        yield Problem(str(file), f"{key} has dates of {', '.join(sorted(years))}", "check that the file has not been renamed", tile)
    if bands == 2 and len(data):
        linear = np.where(data[...] > 0, data[...], np.nan)
        difference = np.diff(10 * np.log10(np.nanmean(linear, axis=(0, 2, 3))))[0] if np.isfinite(linear).any((0, 2, 3)).all() else -np.inf
        if -difference < _LEAST_DIFFERENCE:
            what = f"{key}: VH is {-difference:.1f} dB weaker than VV, over land it is 3 to 12: the polarizations are mixed"
            yield Problem(str(file), what, "leave the radar of this tile out", tile)
