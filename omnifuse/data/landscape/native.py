"""Write the landscape in the native layout of PASTIS-R and PASTIS-HD, to try readers without the data."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from omnifuse.config import to_dict
from omnifuse.data.landscape.annotations import heatmap, instances, parcel_index, zones
from omnifuse.data.landscape.covers import CLASSES
from omnifuse.data.landscape.source import Landscape
from omnifuse.data.place import Place, Series
from omnifuse.data.projections import Point, from_utm, lambert93, utm
from omnifuse.data.sources.pastis_layout import ABOUT, IMAGES, PUBLISHED, SERIES, About
from omnifuse.data.sources.pastis_metadata import METADATA
from omnifuse.data.sources.pastis_spot import SPOT_FOLDERS, SPOT_NAME
from omnifuse.errors import InputError

# PASTIS class of each landscape class; PASTIS knows no rice, "mixed cereal" stands in. The last is void.
TO_PASTIS = np.array([0, 1, 2, 4, 5, 3, 7, 15, 9, 14, 17, 8, 16, 19], dtype=np.uint8)
# Tile and UTM zone of each region.
TILES = {
    "oceanic": ("t30uxv", 30),
    "northern plain": ("t31udr", 31),
    "continental": ("t31tfm", 31),
    "southwest": ("t31tcj", 31),
    "mediterranean": ("t31tfj", 31),
}


def write_pastis(source: Landscape, folder: Path, sensors: Sequence[str] = ("s2", "s1_asc", "spot")) -> list[int]:
    """Write all places of a landscape and return their ids. `metadata.geojson` comes last: without it a folder is not complete.

    Writes everything that the published sets have: `DATA_S2`, `DATA_S1A`, `DATA_S1D`, `DATA_SPOT` of the sensors asked for,
    `ANNOTATIONS`, `INSTANCE_ANNOTATIONS`, `NORM_<sensor>_patch.json`, `metadata.geojson`. Labels are those of PASTIS (`TO_PASTIS`), so
    that code of others runs on them. `about.json` says what is not as published, with the landscape's own classes: `Pastis` reads
    these back. Places are moved by up to 7 m to the grid of Sentinel-2. The high-resolution image needs rasterio.

    Raises:
        InputError: for a sensor that the layout or the landscape has not, and where the folder holds a data set already.
    """
    if "spot" in sensors and find_spec("rasterio") is None:
        raise InputError("write_pastis: SPOT images are GeoTIFFs. Try: pip install -e '.[geo]', or leave `spot` out.")
    for name in sensors:
        if name not in (*SERIES, *IMAGES) or name not in source.modalities:
            raise InputError(
                f"write_pastis: sensor {name!r} is not among {', '.join((*SERIES, *IMAGES))} of the source. Try: `sensors=('s2',)`."
            )
    if (folder / METADATA).exists():
        raise InputError(f"{folder}: holds a data set already. Try: another folder.")
    for name in ("ANNOTATIONS", "INSTANCE_ANNOTATIONS", *(f"DATA_{SERIES[name].name}" for name in sensors if name in SERIES)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    statistics: dict[str, dict[int, list[np.ndarray]]] = {SERIES[name].name: {} for name in sensors if name in SERIES}
    features: list[dict[str, Any]] = []
    for index in range(len(source)):
        place = source[index]
        number = max(10_000, len(source)) * (1 + list(TILES).index(str(place.info["region"]))) + index
        properties: dict[str, Any] = {
            "ID_PATCH": number,
            "Fold": place.info["fold"],
            "TILE": TILES[str(place.info["region"])][0],
            **write_annotations(source, index, place, folder, number),
        }
        for name in sensors:
            native = SERIES[name].name if name in SERIES else name.upper()
            properties[f"dates-{native}"] = dates(place.series[name])
            if name in SERIES:
                pixels = place.series[name].pixels.astype(SERIES[name].dtype)
                np.save(folder / f"DATA_{native}" / f"{native}_{number}.npy", pixels)
                values = pixels.astype(np.float64)
                of_fold = statistics[native].setdefault(int(place.info["fold"]), [])
                of_fold.append(np.stack([values.mean((0, 2, 3)), values.std((0, 2, 3), ddof=1)]))
            else:
                write_spot(place, folder / SPOT_FOLDERS[0] / f"{SPOT_NAME}_{number}.tif")
        features.append({"type": "Feature", "id": str(number), "properties": properties, "geometry": outline(place)})
    for native, folds in statistics.items():
        means = {fold: np.mean(parts, 0) for fold, parts in sorted(folds.items())}
        write(
            folder / f"NORM_{native}_patch.json",
            {f"Fold_{fold}": {"mean": m[0].tolist(), "std": m[1].tolist()} for fold, m in means.items()},
        )
    write(folder / ABOUT, to_dict(about(source, sensors)))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    write(folder / METADATA, {"type": "FeatureCollection", "crs": crs, "features": features})
    return [feature["properties"]["ID_PATCH"] for feature in features]


def about(source: Landscape, sensors: Sequence[str]) -> About:
    """Return what a native landscape says of itself: its own classes, side, modalities and provenance."""
    labels = [-1] * len(PUBLISHED.labels)
    for own, theirs in enumerate(TO_PASTIS.tolist()):
        labels[theirs] = own
    modalities = tuple(source.modalities[name] for name in sensors)
    return replace(
        PUBLISHED, **source.provenance, citation="", size=source.size, classes=CLASSES, labels=tuple(labels), modalities=modalities
    )


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def dates(series: Series) -> dict[str, int]:
    """Return dates as PASTIS writes them: "0", "1", ... to YYYYMMDD."""
    return {str(i): int(str(np.datetime64(int(day), "D")).replace("-", "")) for i, day in enumerate(series.day)}


def write_annotations(source: Landscape, index: int, place: Place, folder: Path, number: int) -> dict[str, float]:
    """Write labels and parcels of a place; return their number and share of the ground as the metadata have them."""
    assert place.target is not None
    parcel = parcel_index(source.parcels(index))
    instance = instances(parcel, place.target)
    for path, values in {
        "ANNOTATIONS/TARGET": annotation(place.target, parcel),
        "ANNOTATIONS/ParcelIDs": np.where(parcel > 0, 10_000 * number + parcel, 0).astype(np.int64),
        "INSTANCE_ANNOTATIONS/INSTANCES": instance,
        "INSTANCE_ANNOTATIONS/HEATMAP": heatmap(instance),
        "INSTANCE_ANNOTATIONS/ZONES": zones(instance).astype(np.int32),
    }.items():
        np.save(folder / f"{path}_{number}.npy", values)
    return {"N_Parcel": int(instance.max(initial=0)), "Parcel_Cover": float((instance > 0).mean())}


def annotation(target: UInt8[np.ndarray, "h w"], parcel: np.ndarray) -> UInt8[np.ndarray, "3 h w"]:
    """Return the class, the parcel (255 for all beyond), and the landscape's own class where PASTIS has a fine crop code."""
    assert target.max(initial=0) <= CLASSES.ignore
    return np.stack([TO_PASTIS[target], np.minimum(parcel, 255), target]).astype(np.uint8)


def write_spot(place: Place, path: Path) -> None:
    """Write the high-resolution image as a GeoTIFF in the UTM zone of its tile."""
    import rasterio

    pixels = place.series["spot"].pixels[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    (left, top), zone = corner(place), TILES[str(place.info["region"])][1]
    gsd = place.size / pixels.shape[-1]
    shape = {"height": pixels.shape[1], "width": pixels.shape[2], "count": 3, "dtype": "uint8"}
    with rasterio.open(
        path, "w", driver="GTiff", crs=f"EPSG:326{zone}", transform=rasterio.Affine(gsd, 0, left, 0, -gsd, top), **shape
    ) as file:
        file.write(pixels)


def corner(place: Place) -> Point:
    """Return the upper left corner in the UTM zone of the tile, on the 10 m grid of Sentinel-2."""
    x, y = utm(float(place.info["longitude"]), float(place.info["latitude"]), TILES[str(place.info["region"])][1])
    return round(x - place.size / 2, -1), round(y + place.size / 2, -1)


def outline(place: Place) -> dict[str, Any]:
    """Return the square of a place as GeoJSON geometry in Lambert-93, slightly turned as in the published file."""
    (left, top), zone = corner(place), TILES[str(place.info["region"])][1]
    steps = [(0.0, 0.0), (place.size, 0.0), (place.size, -place.size), (0.0, -place.size), (0.0, 0.0)]
    ring = [list(lambert93(*from_utm(left + dx, top + dy, zone))) for dx, dy in steps]
    return {"type": "MultiPolygon", "coordinates": [[ring]]}
