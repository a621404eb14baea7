"""What is wrong with a TreeSatAI-TS folder, told from names, lists and headers without reading pixels."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from omnifuse.data.problems import Problem
from omnifuse.data.sources.treesatai_layout import SPLITS, TileFiles, label_file, read_lists

PUBLISHED = 50_381  # tiles
_AGAIN = "download it again"


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
        with rasterio.open(file) as image:
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
