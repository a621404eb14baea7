"""Writes a user's folder: rasters of several sensors with a table, every value a function of the ground it lies on."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine

from omnifuse.modalities import Modality

LEFT, TOP, CRS = 500_000.0, 5_000_000.0, "EPSG:32631"
S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
OPTICAL = tuple(band for band in S2_BANDS if band not in ("B01", "B09"))  # what `s2` takes of them
PLANE = Modality(name="plane", title="Plane", bands=("height",), gsd=10.0, units=("m",), mean=(0.0,), std=(1.0,), series=False)
STEP = 1000.0  # metres between places
SIDE = 240.0  # metres of ground that the coarsest rasters cover
Row = dict[str, object]


def ground(left: float, top: float, gsd: float, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return metres east of LEFT and south of TOP of the pixel centres."""
    rows, columns = np.ogrid[:height, :width]
    return left - LEFT + (columns + 0.5) * gsd + 0 * rows, TOP - top + (rows + 0.5) * gsd + 0 * columns


def write_tif(
    file: Path, values: np.ndarray, left: float, top: float, gsd: float, crs: str | None = CRS, names: Sequence[str] = (), **profile: object
) -> Path:
    """Write a GeoTIFF of (band, y, x)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    transform = profile.pop("transform", Affine(gsd, 0, left, 0, -gsd, top))
    colors, units, scales = profile.pop("colors", None), profile.pop("units", None), profile.pop("scales", None)
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with rasterio.open(file, "w", **{"driver": "GTiff", "crs": crs, "transform": transform, **shape, **profile}) as image:
        image.write(values)
        for number, name in enumerate(names, 1):
            image.set_band_description(number, name)
        if colors:
            image.write_colormap(1, colors)
        if units:
            image.units = units
        if scales:
            image.scales = scales
    return file


def optical(left: float, top: float, side: int, image: int = 0) -> np.ndarray:
    """Digital numbers that tell band, image, row and column of the ground, as int16."""
    east, south = ground(left, top, 10, side, side)
    return np.stack([1000 * image + 200 + 100 * band + east // 10 % 25 + south // 10 % 25 * 2 for band in range(len(S2_BANDS))]).astype(
        np.int16
    )


def drone(left: float, top: float, side: int) -> np.ndarray:
    """Red, green and near infrared of a drone, 2.5 m."""
    east, south = ground(left, top, 2.5, side, side)
    return np.stack([east % 200, south % 200, (east + south) % 250]).astype(np.uint8)


def classes(left: float, top: float, gsd: float, side: int) -> np.ndarray:
    """Numbers 10, 20 and 30 in blocks of 40 m."""
    east, south = ground(left, top, gsd, side, side)
    return (10 * (1 + (east // 40 + south // 40) % 3)).astype(np.uint8)[None]


def write_table(folder: Path, rows: Sequence[Row], name: str = "table.csv") -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / name).open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        table.writerows(rows)
    return folder / name


def write_rasters(folder: Path, places: int = 3) -> Path:
    """Write two dates of `s2`, linear radar with a file per band, a drone and labels; the last place lacks `s2`. Return the table."""
    rows: list[Row] = []
    for number in range(places):
        left, top, place = LEFT + STEP * number, TOP, f"field.{number}"
        common: Row = {"place": place, "fold": 1 + number % 2, "region": "north"}
        if number < places - 1:
            for image, day in enumerate(("2020-07-04T10:50:31Z", "2020-05-01")):
                file = f"{place}/s2_{image}.tif"
                write_tif(folder / file, optical(left, top, 24, image), left, top, 10, names=S2_BANDS, nodata=-10000)
                rows.append(common | {"modality": "s2", "path": file, "datetime": day})
        for band, power in (("VV", 0.1), ("VH", 0.02)):
            file = f"{place}/s1_{band}.tif"
            east, south = ground(left, top, 10, 24, 24)
            values = (power * (1 + east % 1000 / 1000 + south / 500)).astype(np.float32)[None]
            write_tif(folder / file, values, left, top, 10)
            rows.append(common | {"modality": "s1_asc", "path": file, "datetime": "2020-06-15", "band": band, "unit": "linear"})
        file = f"{place}/drone.tif"
        write_tif(folder / file, drone(left - 10, top + 10, 104), left - 10, top + 10, 2.5, names=("red", "green", "nir"))
        rows.append(common | {"modality": "drone", "path": file, "datetime": "2020-06-20"})
        file = f"{place}/labels.tif"
        write_tif(folder / file, classes(left, top, 5, 48), left, top, 5)
        rows.append(common | {"modality": "labels", "path": file})
    legend = {"names": ["wheat", "corn", "grass"], "colors": ["#f2c14e", "#e07a1f", "#2a9d3a"], "ignore": 255, "values": [10, 20, 30]}
    (folder / "classes.json").write_text(json.dumps(legend), encoding="utf-8")
    (folder / "about.json").write_text(json.dumps({"source": "made up", "licence": "CC0-1.0"}), encoding="utf-8")
    return write_table(folder, rows)


def changed(table: Path, row: int, **cells: object) -> Path:
    """Change cells of a row (from 0); a cell of None removes the row."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[row].update(cells)
    return write_table(table.parent, [r for r in rows if None not in r.values()])


def plane(folder: Path, *rows: Row) -> Path:
    """Write a table of one place whose rows all are of a sensor described in `modalities.json`."""
    (folder / "modalities.json").write_text(json.dumps([{**PLANE.__dict__}]), encoding="utf-8")
    return write_table(folder, [{"place": "a", "modality": "plane", "path": "plane.tif", **row} for row in rows or ({},)])


def ramp(left: float, top: float, gsd: float, height: int, width: int) -> np.ndarray:
    """Return a plane over easting and northing, (1, y, x): interpolation must not change it."""
    rows, columns = np.ogrid[:height, :width]
    return (3 * (left + (columns + 0.5) * gsd) - 2 * (top - (rows + 0.5) * gsd))[None].astype(np.float64)
