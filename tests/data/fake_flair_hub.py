"""A faithful small FLAIR-HUB download: decades in names, three kinds of tables, a day 00, linear radar with gaps, missing rasters."""

import csv
import json
import sqlite3
import struct
from pathlib import Path

import numpy as np
from fake_flair import write_image

SIZE = 102.4
PATCHES = {  # id: upper left corner in Lambert-93; the first is of the toy data set
    "D006-2020_FF-S1-14_5-5": (1_010_000.0, 6_300_000.0),
    "D006-2020_FF-S1-14_5-10": (1_010_512.0, 6_300_000.0),
    "D004-2021_UU-S2-3_0-1": (950_000.0, 6_350_000.0),
    "D012-2019_AA-S1-1_2-2": (660_000.0, 6_360_000.0),
}
S2_DATES = {"1": "20210114", "2": "20210600", "3": "20210401"}  # day unknown; the last two are out of order
S2_DAYS = np.array(["2021-01-14", "2021-04-01", "2021-06-01"], "datetime64[D]").astype(int).tolist()
S1_DATES = {str(i): f"2021{i:02}05" for i in range(1, 12)}  # "10" sorts before "2" as text


def sentinel2(dates: int = 3) -> np.ndarray:
    """Every value tells its date and band: 10 t + b, and 1 for a corner."""
    stack = np.empty((dates * 10, 10, 10), np.uint16)
    stack[:] = np.arange(dates * 10)[:, None, None]
    stack[:, 0, 0] += 1
    return stack


def sentinel1(dates: int = len(S1_DATES)) -> np.ndarray:
    """Linear backscatter: VV 0.1, VH 0.01; date 1 has gaps, date 2 no VH at all, date 3 hardly any signal."""
    stack = np.full((dates, 2, 10, 10), 0.1, np.float32)
    stack[:, 1] = 0.01
    stack[0] *= 2  # so that the order of dates shows
    stack[1, 0, 0, :3] = np.nan, 0, -0.001
    stack[2, 1] = np.nan
    stack[3, 0, 4, 4] = 1e-9
    return stack.reshape(-1, 10, 10)


def geometry(left: float, top: float) -> bytes:
    """An outline as a GeoPackage stores it: header with an envelope, then the polygon."""
    right, bottom = left + SIZE, top - SIZE
    ring = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    polygon = struct.pack("<BIII", 1, 3, 1, len(ring)) + b"".join(struct.pack("<2d", *point) for point in ring)
    return b"GP" + struct.pack("<BBi4d", 0, 0b11, 2154, left, right, bottom, top) + polygon


def write_geopackage(file: Path, columns: dict[str, dict[str, str]], corners: dict[str, tuple[float, float]] | None = None) -> None:
    """Write a layer with a row for each key of the first column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    names = list(columns)
    keys = list(next(iter(columns.values())))
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT)")
        database.execute("INSERT INTO gpkg_contents VALUES ('layer', 'features')")
        database.execute(f"CREATE TABLE layer (fid INTEGER PRIMARY KEY, geom BLOB, {', '.join(f'{name} TEXT' for name in names)})")
        for key in keys:
            values = [geometry(*corners[key]) if corners else None, *(columns[name][key] for name in names)]
            database.execute(f"INSERT INTO layer (geom, {', '.join(names)}) VALUES ({', '.join('?' * len(values))})", values)
    database.close()


def write_csv(file: Path, rows: list[dict[str, str]], delimiter: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def raster_file(folder: Path, patch: str, product: str) -> Path:
    survey, roi, cell = patch.split("_")
    stem = f"{survey[:-4]}195X_{product}" if product == "AERIAL-RLT_PAN" else f"{survey}_{product}"
    return folder / "data" / stem / roi / f"{stem}_{roi}_{cell}.tif"


def write_flair_hub(folder: Path, tables: str = "gpkg") -> None:
    """Write four patches: the first has every raster, the second no historical image, the third only aerial images,
    the fourth no elevation and no `spot`.

    Args:
        folder: Folder of the download.
        tables: `gpkg`, or the delimiter of CSV tables.
    """
    row, column = np.mgrid[:512, :512]
    cosia = (row // 27).astype(np.uint8)[None]  # 0 to 18
    lpis = np.stack([row // 23, 30 + column // 64, column // 64]).astype(np.uint8)  # 0 to 22 in the first band
    everything = {
        "AERIAL_RGBI": (np.stack([row // 2, column // 2, row % 9, column % 9]).astype(np.uint8), 0.2),
        "AERIAL-RLT_PAN": (row[None, :256, :256].astype(np.uint8), 0.4),
        "DEM_ELEV": (np.stack([130 + row / 100, np.full((512, 512), 120.0)]).astype(np.float32), 0.2),
        "SPOT_RGBI": (np.stack([300 + 100 * b + row[:64, :64] for b in range(4)]).astype(np.uint16), 1.6),
        "SENTINEL2_TS": (sentinel2(), 10.24),
        "SENTINEL2_MSK-SC": (np.zeros((6, 10, 10), np.uint8), 10.24),
        "SENTINEL1-ASC_TS": (sentinel1(), 10.24),
        "SENTINEL1-DESC_TS": (sentinel1(), 10.24),
        "AERIAL_LABEL-COSIA": (cosia, 0.2),
        "ALL_LABEL-LPIS": (lpis, 0.2),
    }
    without = {1: {"AERIAL-RLT_PAN"}, 2: set(everything) - {"AERIAL_RGBI", "AERIAL_LABEL-COSIA"}, 3: {"DEM_ELEV", "SPOT_RGBI"}}
    for number, (patch, (left, top)) in enumerate(PATCHES.items()):
        for product in everything.keys() - without.get(number, set()):
            pixels, gsd = everything[product]
            write_image(raster_file(folder, patch, product), pixels, (left + SIZE / 2, top - SIZE / 2), gsd=gsd)
    parts = dict(zip(PATCHES, ("train", "train", "val", "test"), strict=True))
    single = dict.fromkeys(PATCHES, "2020-07-11")
    dates = {
        "SENTINEL2": {patch: json.dumps(S2_DATES) for patch in PATCHES},
        "SENTINEL1-ASC": {patch: json.dumps(dict(sorted(S1_DATES.items()))) for patch in PATCHES},  # in the order of the text
        "SENTINEL1-DESC": {patch: json.dumps(S1_DATES) for patch in PATCHES},
    }
    metadata = folder / "GLOBAL_ALL_MTD"
    if tables != "gpkg":
        for name, texts in dates.items():
            rows = [{"patch_id": patch, "acquisition_dates": text} for patch, text in texts.items()]
            write_csv(metadata / f"GLOBAL_{name}_MTD_DATES.csv", rows, tables)
        return
    ids = {patch: patch for patch in PATCHES}
    for name, texts in dates.items():
        write_geopackage(metadata / f"GLOBAL_{name}_MTD_DATES.gpkg", {"patch_id": ids, "acquisition_dates": texts})
    write_geopackage(metadata / "GLOBAL_AERIAL_MTD_DATES.gpkg", {"patch_id": ids, "date": single})
    write_geopackage(metadata / "GLOBAL_ALL_MTD_SPLIT.gpkg", {"patch_id": ids, "split_1": parts}, PATCHES)
