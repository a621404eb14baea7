"""Writes small native folders in the layout of TreeSatAI-TS, with the quirks of the real one. Every value tells where it is from."""

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import rasterio
from rasterio import Affine

TILES = ("Abies_alba_1_1005_WEFL_NLF", "Betula_spec._1_15679_WEFL_NLF", "Quercus_robur_3_86918_WEFL_NLF")
SHARES = {
    TILES[0]: [["Abies", 0.71896], ["Fagus", 0.28104]],
    TILES[1]: [["Betula", 0.72542], ["Picea", 0.10447], ["Quercus", 0.04406]],
    TILES[2]: [["Quercus", 1.0]],
}
S1_DATES = ("20190109", "20190103", "20190103", "20190201", "20190225", "20191228")  # out of order, two passes on one day
S2_DATES = ("20190102", "20190102", "20190315", "20190630", "20191105")


def radar(dates: int, orbit: int) -> np.ndarray:
    """Linear power: (date, VV and VH, row, column)."""
    t, c, y, x = np.ogrid[:dates, :2, :6, :6]
    return (0.2 / (1 + 3 * c) * (1 + 0.1 * t + 0.01 * y + 0.001 * x + 0.05 * orbit)).astype(np.float32)


def optical(dates: int) -> np.ndarray:
    """Digital numbers: (date, band, row, column)."""
    t, c, y, x = np.ogrid[:dates, :10, :6, :6]
    return (1000 * t + 100 * c + 6 * y + x + 1).astype(np.float32)


def aerial(tile: int) -> np.ndarray:
    """NIR, G, B, R with rows and columns told apart."""
    c, y, x = np.ogrid[:4, :304, :304]
    return ((50 * c + 3 * tile + (y // 8) + (x // 16) * 2) % 256).astype(np.uint8)


def s1_name(date: str, orbit: int = 30639) -> bytes:
    return f"S1A_IW_GRDH_1SDV_{date}T170841_{date}T170906_{orbit:06d}_0382D5_360A".encode()


def s2_name(date: str) -> bytes:
    return f"S2A_MSIL2A_{date}T102421_N0213_R065_T32UNC_20200102T115419".encode()


def write_series(file: Path, masks: int = 2, year: str = "2019", s1: np.ndarray | None = None) -> None:
    """Write one `.h5`: S1 has an all-NaN image, a partly missing one (NaN and 0) and one without VH."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as content:
        for orbit, key in enumerate(("sen-1-asc", "sen-1-des")):
            data = radar(len(S1_DATES), orbit) if s1 is None else s1
            if s1 is None and orbit == 0:
                data[3] = np.nan
                data[4, 0, 0, 0], data[4, 0, 5, 5], data[4, 1, 2, 3] = np.nan, 0.0, np.nan
                data[5, 1] = 0.0
            content[f"{key}-data"] = data
            content[f"{key}-products"] = [s1_name(date.replace("2019", year)) for date in S1_DATES]
        content["sen-2-data"] = optical(len(S2_DATES))
        cover = np.zeros((len(S2_DATES), masks, 6, 6), np.float32)
        cover[1, 1] = 100.0  # cloud everywhere
        cover[2, 0, :3], cover[2, 1, 3:] = 90.0, 80.0  # half snow, half cloud
        cover[3, 1, 0] = 60.0  # one row
        cover[4, 0] = 40.0  # perhaps snow
        cover[:, 2:] = 77.0  # means nothing
        content["sen-2-masks"] = cover
        content["sen-2-products"] = [s2_name(date.replace("2019", year)) for date in S2_DATES]


def write_aerial(file: Path, values: np.ndarray, left: float = 565642.6, top: float = 5770980.4) -> None:
    write_tif(file, values, Affine(0.2, 0, left, 0, -0.2, top), "EPSG:25832")


def write_tif(file: Path, values: np.ndarray, transform: Affine, crs: str | None, **options: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    profile = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype} | options
    with rasterio.open(file, "w", driver="GTiff", crs=crs, transform=transform, **profile) as image:
        image.write(values)


def write_treesatai(folder: Path, tiles: Sequence[str] = TILES, official: bool = True, mono: bool = True) -> Path:
    """Write a folder in the published layout, or with labels, lists and series where OmniSat and others keep them."""
    for number, tile in enumerate(tiles):
        write_aerial(folder / "aerial" / f"{tile}.tif", aerial(number), 565642.6 + 100 * number)
        year = 2019 + number
        series = folder / "sentinel-ts" / f"{tile}_{year}.h5" if official else folder / "sentinel" / f"{tile}.h5"
        write_series(series, masks=10 if number == 0 else 2, year=str(year))
    labels = folder / ("labels/TreeSatBA_v9_60m_multi_labels.json" if official else "labels.json")
    labels.parent.mkdir(exist_ok=True)
    labels.write_text(json.dumps({f"{tile}.tif": SHARES[tile] for tile in tiles}), encoding="utf-8")
    for number, split in enumerate(("train", "val", "test")):
        listed = tiles[number : number + 1]
        if official:
            (folder / f"{split}_filenames.lst").write_text("".join(f"{tile}.tif\n" for tile in listed), encoding="utf-8")
        else:
            rows = "".join(f"{tile}.tif,{tile}_2019.h5,2019070{number + 1}\n" for tile in listed)
            (folder / f"{split}.csv").write_text("aerial_name,sen_name,aerial_date\n" + rows, encoding="utf-8")
    if mono:
        for name, side in (("60m", 6), ("200m", 20)):
            grid = Affine(10, 0, 565643 - (side - 6) * 5, 0, -10, 5770980 + (side - 6) * 5)
            c, y, x = np.ogrid[:12, :side, :side]
            s2 = (100 * (c + 1) + side * y + x).astype(np.uint16)
            s1 = (-8.0 - c[:3] * 6 - 0.01 * y - 0.1 * x).astype(np.float32)
            s1[0, 1, 2] = -9999
            for tile in tiles[:2]:
                write_tif(folder / "s2" / name / f"{tile}.tif", s2, grid, "EPSG:32632")
                write_tif(folder / "s1" / name / f"{tile}.tif", s1, grid, "EPSG:32632", nodata=-9999)
    return folder
