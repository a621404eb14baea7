"""Made-up PASTIS-HD in the published layout, with its quirks: five patches, one per fold.

Every array is a function of the patch's number, so that a test can compare what was read with what was meant. The quirks:

* The number of dates differs from patch to patch and from sensor to sensor, and is above ten, so that "10" sorts before "2" as text.
* Sentinel-2 has negative values, -10000 in part of a frame (first patch) and a frame that is all -10000 (second patch).
* The dates columns are a mapping, JSON text or Python text, as libraries hand them on.
* Outlines are UTM squares in Lambert-93; patches stand in the file in no order.
* TARGET has a parcel index where the class is 0; NORM files differ from fold to fold.
* Of the SPOT images one is 64×64, one is missing, and their georeferences cannot be relied on.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from omnifuse.data.projections import from_utm, lambert93, utm

SPOT = "SPOT6_RVB_1M00_2019"
Encoding = Literal["dict", "json", "python", "mixed"]


@dataclass(frozen=True)
class FakePatch:
    """One patch: number, fold, tile, corner in the tile's UTM zone, and frames by native name of the sensor."""

    number: int
    fold: int
    tile: str
    left: float
    top: float
    frames: dict[str, int]

    @property
    def zone(self) -> int:
        return int(self.tile[1:3])


def _patch(number: int, fold: int, tile: str, degrees: tuple[float, float], dates: int) -> FakePatch:
    x, y = utm(*degrees, int(tile[1:3]))
    return FakePatch(number, fold, tile, round(x, -1), round(y, -1), {"S2": dates, "S1A": dates + 2, "S1D": dates + 1})


PATCHES = (
    _patch(10000, 1, "t30uxv", (-1.4, 48.4), 12),
    _patch(20000, 2, "t31tfj", (4.6, 43.9), 11),
    _patch(30000, 3, "t31tfm", (4.9, 46.3), 13),
    _patch(40000, 4, "t32ulu", (6.9, 48.2), 14),
    _patch(10001, 5, "t30uxv", (-1.38, 48.42), 11),
)
SORTED = sorted(PATCHES, key=lambda patch: patch.number)
RADAR = ("s2", "s1_asc", "s1_desc")
ALL_NODATA = (20000, 4)  # patch and frame
SMALL_SPOT, NO_SPOT = 30000, 40000
GOLDEN = (20180901, 20180924, 20190101, 20190228)  # the first patch starts with them and ends with 20191027


def write_fake_pastis(folder: Path, encoding: Encoding = "mixed", spot: bool = True, side: int = 128) -> Path:
    """Write the patches and return the folder."""
    for name in ("ANNOTATIONS", "INSTANCE_ANNOTATIONS", "DATA_S2", "DATA_S1A", "DATA_S1D", "documentation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    features = []
    for position, patch in enumerate(PATCHES):
        for name in patch.frames:
            np.save(folder / f"DATA_{name}" / f"{name}_{patch.number}.npy", pixels(patch, name, side))
        labels = target(patch, side)
        np.save(folder / "ANNOTATIONS" / f"TARGET_{patch.number}.npy", labels)
        np.save(folder / "ANNOTATIONS" / f"ParcelIDs_{patch.number}.npy", labels[1].astype(np.int32) * 1000 + 7)
        instances = np.where(labels[0] > 0, labels[1], 0).astype(np.int64)
        np.save(folder / "INSTANCE_ANNOTATIONS" / f"INSTANCES_{patch.number}.npy", instances)
        np.save(folder / "INSTANCE_ANNOTATIONS" / f"HEATMAP_{patch.number}.npy", (instances > 0).astype(np.float32))
        np.save(folder / "INSTANCE_ANNOTATIONS" / f"ZONES_{patch.number}.npy", labels[1].astype(np.int32))
        how = ("dict", "json", "python")[position % 3] if encoding == "mixed" else encoding
        features.append(feature(patch, how, side))
        if spot and patch.number != NO_SPOT:
            write_spot(folder, patch)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    write_metadata(folder, {"type": "FeatureCollection", "name": "metadata", "crs": crs, "features": features})
    for name, bands in (("S2", 10), ("S1A", 3), ("S1D", 3)):
        folds = {
            f"Fold_{k}": {"mean": [100.0 * k + b for b in range(bands)], "std": [10.0 * k + b for b in range(bands)]} for k in range(1, 6)
        }
        (folder / f"NORM_{name}_patch.json").write_text(json.dumps(folds), encoding="utf-8")
    return folder


def write_metadata(folder: Path, whole: object) -> None:
    (folder / "metadata.geojson").write_text(json.dumps(whole), encoding="utf-8")


def read_metadata(folder: Path) -> dict:
    return json.loads((folder / "metadata.geojson").read_text(encoding="utf-8"))


def change(folder: Path, number: int, **properties: object) -> None:
    """Change or remove (None) properties of a patch."""
    whole = read_metadata(folder)
    found = next(one["properties"] for one in whole["features"] if one["properties"]["ID_PATCH"] == number)
    for key, value in properties.items():
        name = key.replace("dates_", "dates-")
        if value is None:
            del found[name]
        else:
            found[name] = value
    write_metadata(folder, whole)


def dates(patch: FakePatch, name: str) -> list[int]:
    """Return dates YYYYMMDD, in order."""
    count = patch.frames[name]
    start = np.datetime64("2019-03-02") + patch.number % 7 + {"S2": 0, "S1A": 1, "S1D": 3}[name]
    days = [int(str(start + 6 * i).replace("-", "")) for i in range(count)]
    return [*GOLDEN, *days[4:-1], 20191027] if (patch.number, name) == (10000, "S2") else days


def days(patch: FakePatch, name: str) -> np.ndarray:
    """Return the dates as days since 1970-01-01."""
    texts = [f"{day // 10000}-{day // 100 % 100:02d}-{day % 100:02d}" for day in dates(patch, name)]
    return np.array(texts, "datetime64[D]").astype(np.int32)


def feature(patch: FakePatch, how: str, side: int = 128) -> dict:
    columns: dict[str, object] = {f"dates-{name}": {str(i): day for i, day in enumerate(dates(patch, name))} for name in patch.frames}
    if how != "dict":
        columns = {key: json.dumps(value) if how == "json" else repr(value) for key, value in columns.items()}
    properties = {"ID_PATCH": patch.number, "Fold": patch.fold, "TILE": patch.tile, "N_Parcel": 40, "Parcel_Cover": 0.6, **columns}
    metres = side * 10
    corners = [(0, 0), (metres, 0), (metres, -metres), (0, -metres), (0, 0)]
    ring = [list(lambert93(*from_utm(patch.left + dx, patch.top + dy, patch.zone))) for dx, dy in corners]
    return {
        "type": "Feature",
        "id": str(patch.number),
        "properties": properties,
        "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]},
    }


def pixels(patch: FakePatch, name: str, side: int = 128) -> np.ndarray:
    """Return a series: int16 reflectance × 10,000, or float16 dB."""
    rng = np.random.default_rng((patch.number, len(name), ord(name[-1])))
    frames, bands = patch.frames[name], 10 if name == "S2" else 3
    ground = rng.normal(size=(1, 1, side, side)).astype(np.float32)
    level = np.arange(frames, dtype=np.float32)[:, None, None, None] + 0.1 * np.arange(bands, dtype=np.float32)[:, None, None]
    if name == "S2":
        values = (100 * ground + 200 * level - 60).astype(np.int16)
        values[0, 3, 5, 7] = -450
        if patch.number == 10000:
            values[6, :, :10] = -10_000
        if patch.number == ALL_NODATA[0]:
            values[ALL_NODATA[1]] = -10_000
        return values
    values = (-18 + 0.3 * level + 2 * ground).astype(np.float16)
    values[:, 2] = values[:, 0] - values[:, 1]
    return values


def target(patch: FakePatch, side: int = 128) -> np.ndarray:
    """Return class, parcel index and crop code; classes 0, several crops and 19, and a parcel index where the class is 0."""
    block = side // 8
    parcel = (np.arange(side)[:, None] // block * 8 + np.arange(side)[None] // block + 1).astype(np.uint8)
    kinds = np.array([0, 1, 3, 19, 2, 18, 0, 9], np.uint8)
    label = kinds[(parcel + patch.number // 10_000) % 8]
    return np.stack([label, np.where(parcel % 5 > 0, parcel, 0).astype(np.uint8), np.where(label > 0, parcel + 90, 0).astype(np.uint8)])


def spot_pixels(patch: FakePatch) -> np.ndarray:
    side = 64 if patch.number == SMALL_SPOT else 1280
    ramp = np.arange(side) * 200 // side
    return np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], np.full((side, side), patch.number % 251)]).astype(np.uint8)


def write_spot(folder: Path, patch: FakePatch) -> None:
    import rasterio

    path = folder / "DATA_SPOT" / f"PASTIS_{SPOT}" / f"{SPOT}_{patch.number}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = spot_pixels(patch)
    reference = {} if patch.number == 10001 else {"crs": "EPSG:2154", "transform": rasterio.Affine(1.5, 0, 1e5, 0, -1.5, 2e5)}
    shape = {"count": 3, "height": len(values[0]), "width": len(values[0]), "dtype": "uint8", "compress": "deflate", "zlevel": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one has no georeference
        with rasterio.open(path, "w", driver="GTiff", **shape, **reference) as file:
            file.write(values)
