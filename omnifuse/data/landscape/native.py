"""Write places in the native layout of PASTIS-R and PASTIS-HD, to try readers without the data."""

import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from omnifuse.data.landscape.covers import CLASSES
from omnifuse.data.place import Place, PlaceSource, Series
from omnifuse.errors import InputError

# PASTIS class of each landscape class; PASTIS knows no rice, "mixed cereal" stands in. The last is void.
TO_PASTIS = np.array([0, 1, 2, 4, 5, 3, 7, 15, 9, 14, 17, 8, 16, 19], dtype=np.uint8)
NAMES = {"s2": "S2", "s1_asc": "S1A"}
TILES = {
    "oceanic": "t30uxv",
    "northern plain": "t31udr",
    "continental": "t31tfm",
    "southwest": "t31tcj",
    "mediterranean": "t31tfj",
}
SPOT = "SPOT6_RVB_1M00_2019"


def write_pastis(source: PlaceSource, folder: Path, sensors: Sequence[str] = ("s2", "s1_asc", "spot")) -> list[int]:
    """Write all places of a landscape and return their ids.

    Writes `DATA_S2`, `DATA_S1A`, `DATA_SPOT`, `ANNOTATIONS`, `metadata.geojson` and `NORM_<sensor>_patch.json` as the data sets
    have them; classes become those of PASTIS (`TO_PASTIS`). The high-resolution image needs rasterio.
    """
    if "spot" in sensors and find_spec("rasterio") is None:
        raise InputError("write_pastis: SPOT images are GeoTIFFs. Try: pip install -e '.[geo]', or leave `spot` out.")
    for name in sensors:
        if name not in (*NAMES, "spot") or name not in source.modalities:
            raise InputError(f"write_pastis: sensor {name!r} is not among s2, s1_asc, spot of the source. Try: `sensors=('s2',)`.")
    ids, features = [], []
    statistics: dict[str, dict[int, list[np.ndarray]]] = {name: {} for name in NAMES if name in sensors}
    (folder / "ANNOTATIONS").mkdir(parents=True, exist_ok=True)
    regions = list(TILES)
    for index in range(len(source)):
        place = source[index]
        number = 10_000 * (1 + regions.index(str(place.info["region"]))) + index
        ids.append(number)
        np.save(folder / "ANNOTATIONS" / f"TARGET_{number}.npy", annotation(place))
        properties: dict[str, Any] = {
            "ID_PATCH": number,
            "Fold": place.info["fold"],
            "TILE": TILES[str(place.info["region"])],
            "N_Parcel": 0 if place.target is None else len(np.unique(place.target[place.target > 0])),
            "Parcel_Cover": 0.0 if place.target is None else float((place.target > 0).mean()),
        }
        for name in statistics:
            (folder / f"DATA_{NAMES[name]}").mkdir(exist_ok=True)
            np.save(folder / f"DATA_{NAMES[name]}" / f"{NAMES[name]}_{number}.npy", place.series[name].pixels)
            properties[f"dates-{NAMES[name]}"] = dates(place.series[name])
            values = place.series[name].pixels.astype(np.float64)
            statistics[name].setdefault(int(place.info["fold"]), []).append(
                np.stack([values.mean((0, 2, 3)), values.std((0, 2, 3), ddof=1)])
            )
        if "spot" in sensors:
            write_spot(place, folder / "DATA_SPOT" / f"PASTIS_{SPOT}" / f"{SPOT}_{number}.tif")
        features.append({"type": "Feature", "id": str(number), "properties": properties, "geometry": outline(place)})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    write(folder / "metadata.geojson", {"type": "FeatureCollection", "crs": crs, "features": features})
    for name, folds in statistics.items():
        means = {fold: np.mean(parts, 0) for fold, parts in sorted(folds.items())}
        norm = {f"Fold_{fold}": {"mean": m[0].tolist(), "std": m[1].tolist()} for fold, m in means.items()}
        write(folder / f"NORM_{NAMES[name]}_patch.json", norm)
    return ids


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def dates(series: Series) -> dict[str, int]:
    """Return dates as PASTIS writes them: "0", "1", ... to YYYYMMDD."""
    return {str(i): int(str(np.datetime64(int(day), "D")).replace("-", "")) for i, day in enumerate(series.day)}


def annotation(place: Place) -> UInt8[np.ndarray, "3 h w"]:
    """Return the class, and twice the landscape's own code where PASTIS has a parcel index and a fine crop code."""
    assert place.target is not None and place.target.max(initial=0) <= CLASSES.ignore
    return np.stack([TO_PASTIS[place.target], place.target, place.target]).astype(np.uint8)


def write_spot(place: Place, path: Path) -> None:
    """Write the high-resolution image as a GeoTIFF."""
    import rasterio

    pixels = place.series["spot"].pixels[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = lambert93(float(place.info["longitude"]), float(place.info["latitude"]))
    gsd = place.size / pixels.shape[-1]
    transform = rasterio.Affine(gsd, 0, x - place.size / 2, 0, -gsd, y + place.size / 2)
    shape = {"height": pixels.shape[1], "width": pixels.shape[2], "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:2154", transform=transform, **shape) as file:
        file.write(pixels)


def outline(place: Place) -> dict[str, Any]:
    """Return the square of a place as GeoJSON geometry in Lambert-93."""
    x, y = lambert93(float(place.info["longitude"]), float(place.info["latitude"]))
    half = place.size / 2
    ring = [[x + dx * half, y + dy * half] for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    return {"type": "MultiPolygon", "coordinates": [[ring]]}


def lambert93(longitude: float, latitude: float) -> tuple[float, float]:
    """Project degrees to metres in EPSG:2154 (IGN, note technique NTG 71, with the constants of Lambert-93)."""
    n, c, e, north = 0.7256077650532670, 11_754_255.4261, 0.08181919104281579, 12_655_612.0499
    phi = math.radians(latitude)
    isometric = math.atanh(math.sin(phi)) - e * math.atanh(e * math.sin(phi))
    radius, angle = c * math.exp(-n * isometric), n * math.radians(longitude - 3)
    return 700_000 + radius * math.sin(angle), north - radius * math.cos(angle)
