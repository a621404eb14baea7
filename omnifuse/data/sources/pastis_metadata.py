"""The two kinds of JSON that come with PASTIS: `metadata.geojson` (patches, dates, outlines) and `NORM_<sensor>_patch.json`."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from omnifuse.data.projections import from_lambert93, lambert93, utm
from omnifuse.errors import InputError

METADATA = "metadata.geojson"
FOLDS = (1, 2, 3, 4, 5)
_EPOCH = date(1970, 1, 1).toordinal()
_AGAIN = "Try: download metadata.geojson again."
_LAMBERT93 = (2154, None)  # None: the file does not say, and is taken to be as published


@dataclass(frozen=True)
class Patch:
    """One feature of `metadata.geojson`.

    Attributes:
        number: `ID_PATCH`.
        fold: 1 to 5; None where the file has none.
        tile: Sentinel-2 tile such as `t30uxv`; empty where the file has none.
        parcels: Number of parcels; None where the file has none.
        days: Days since 1970-01-01 by native name of the sensor (`S2`), in the file's order.
        longitude: Of the centre in degrees; None where there is no outline.
        latitude: Of the centre in degrees.
        corner: Left and top of the outline in the UTM zone of the tile, metres; None where it is not a square of the expected side.
    """

    number: int
    fold: int | None
    tile: str
    parcels: int | None
    days: dict[str, Int[np.ndarray, " t"]]
    longitude: float | None
    latitude: float | None
    corner: tuple[float, float] | None

    @property
    def zone(self) -> int:
        """UTM zone of the tile; 0 where the tile is not known."""
        found = re.fullmatch(r"[tT]?(\d\d)[a-zA-Z]{3}", self.tile)
        return int(found[1]) if found else 0


def find_metadata(folder: Path) -> Path:
    """Return `metadata.geojson` of the folder, or raise an `InputError` that says where one is."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Try: the folder that holds metadata.geojson and DATA_S2.")
    file = folder / METADATA
    if not file.is_file():
        nested = sorted(folder.glob(f"*/{METADATA}"))
        if nested:
            raise InputError(f"{folder}: no {METADATA} here, but there is one in {nested[0].parent}. Try: that folder.")
        raise InputError(f"{folder}: no {METADATA}; some early downloads lack it. Try: the folder that holds it, or download it again.")
    return file


def read_patches(file: Path, sensors: tuple[str, ...], size: float, optional: tuple[str, ...] = ()) -> list[Patch]:
    """Return the patches in order of their number.

    Args:
        file: `metadata.geojson`.
        sensors: Native names of the series whose dates must be there.
        size: Side of a patch in metres.
        optional: Native names of sensors whose dates are read where they are there.

    Raises:
        InputError: naming the file, the patch and the field.
    """
    whole = load(file)
    features = whole.get("features") if isinstance(whole, dict) else None
    if not isinstance(features, list) or not features:
        raise InputError(f"{file}: no features, expected one per patch. {_AGAIN}")
    degrees = _degrees(file, whole)
    patches: dict[int, Patch] = {}
    for position, feature in enumerate(features):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if not isinstance(properties, dict):
            raise InputError(f"{file}: feature {position} has no `properties`. {_AGAIN}")
        number = _integer(properties.get("ID_PATCH", feature.get("id")), f"{file}: feature {position}: `ID_PATCH`")
        where = f"{file}: patch {number}"
        if number in patches:
            raise InputError(f"{where} stands twice. {_AGAIN}")
        patches[number] = _patch(number, properties, feature.get("geometry"), (sensors, optional), size, degrees, where)
    return [patches[number] for number in sorted(patches)]


def _patch(
    number: int,
    properties: dict[str, Any],
    geometry: Any,
    sensors: tuple[tuple[str, ...], tuple[str, ...]],
    size: float,
    degrees: Callable[[float, float], tuple[float, float]],
    where: str,
) -> Patch:
    fold = properties.get("Fold")
    if fold is not None and (_integer(fold, f"{where}: `Fold`") not in FOLDS):
        raise InputError(f"{where}: `Fold` is {fold}, expected 1 to 5. {_AGAIN}")
    parcels = properties.get("N_Parcel")
    days = {}
    for name in sensors[0] + sensors[1]:
        column = f"dates-{name}"
        if properties.get(column) is not None:
            days[name] = parse_dates(properties[column], f"{where}: `{column}`")
        elif name in sensors[0]:
            raise InputError(f"{where}: no `{column}`. Try: the metadata.geojson of PASTIS-R or PASTIS-HD, or leave that sensor out.")
    patch = Patch(
        number=number,
        fold=None if fold is None else int(fold),
        tile=str(properties.get("TILE") or ""),
        parcels=None if parcels is None else _integer(parcels, f"{where}: `N_Parcel`"),
        days=days,
        longitude=None,
        latitude=None,
        corner=None,
    )
    return patch if geometry is None else _located(patch, geometry, size, degrees, where)


def _located(patch: Patch, geometry: Any, size: float, degrees: Callable[[float, float], tuple[float, float]], where: str) -> Patch:
    """Add where the patch is. Outlines are in Lambert-93 but pixels run along the UTM grid of the tile: hence slightly turned squares."""
    points = list(_points(geometry.get("coordinates") if isinstance(geometry, dict) else None))
    if not points:
        raise InputError(f"{where}: an outline without coordinates. {_AGAIN}")
    try:
        ring = [degrees(x, y) for x, y in points]
    except (ValueError, OverflowError):  # outside the domain of the projection
        ring = []
    if not ring or not all(-10 < longitude < 15 and 35 < latitude < 60 for longitude, latitude in ring):
        raise InputError(f"{where}: the outline at {points[0]} is not in France; Lambert-93 metres were expected. {_AGAIN}")
    projected = np.array([lambert93(*point) for point in ring])
    middle = (projected.min(0) + projected.max(0)) / 2
    longitude, latitude = from_lambert93(float(middle[0]), float(middle[1]))
    corner = None
    if patch.zone:
        grid = np.array([utm(*point, patch.zone) for point in ring])
        low, high = grid.min(0), grid.max(0)
        if np.abs(high - low - size).max() < 10:
            corner = (round(float(low[0]), -1), round(float(high[1]), -1))  # patches lie on the 10 m grid of Sentinel-2
    return replace(patch, longitude=round(longitude, 6), latitude=round(latitude, 6), corner=corner)


def parse_dates(value: Any, where: str) -> Int[np.ndarray, " t"]:
    """Return days since 1970-01-01 of dates as PASTIS has them: {"0": 20180924, "1": ...}.

    GeoPandas, Fiona and pyogrio hand the mapping on as a mapping, as JSON text or as Python text; all three are read. Keys are
    numbers: "10" comes after "9".
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                raise InputError(f"{where}: neither JSON nor a Python literal: {value[:60]!r}. {_AGAIN}") from None
    if not isinstance(value, dict):
        raise InputError(f'{where}: found {type(value).__name__}, expected a mapping {{"0": 20180924, ...}}. {_AGAIN}')
    numbered = {_integer(key, f"{where}: key {key!r}"): day for key, day in value.items()}
    if sorted(numbered) != list(range(len(value))):
        raise InputError(f"{where}: keys are not 0 to {len(value) - 1}. {_AGAIN}")
    return np.array([_day(numbered[i], f"{where}: date {i}") for i in range(len(numbered))], np.int32)


def read_norm(file: Path) -> dict[int, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return (mean, std) per band by fold of a `NORM_<sensor>_patch.json`; as many values in each.

    These are means over patches of each patch's own mean and standard deviation, so the latter is smaller than that of all pixels.
    """
    whole, result = load(file), {}
    again = "Try: download this file again."
    for fold in FOLDS:
        if not isinstance(whole, dict) or f"Fold_{fold}" not in whole:
            continue
        try:
            mean, std = (tuple(float(value) for value in whole[f"Fold_{fold}"][key]) for key in ("mean", "std"))
        except (TypeError, KeyError, ValueError):
            raise InputError(f"{file}: no numbers `mean` and `std` in `Fold_{fold}`. {again}") from None
        if len(mean) != len(std) or not np.isfinite([mean, std]).all() or min(std, default=0) <= 0:
            raise InputError(f"{file}: `Fold_{fold}`: expected as many finite means as positive stds. {again}")
        result[fold] = (mean, std)
    if len({len(mean) for mean, _ in result.values()}) != 1:
        raise InputError(f"{file}: no folds `Fold_1` to `Fold_5`, or not equally many bands in all. {again}")
    return result


def load(file: Path) -> Any:
    """Return the JSON of a file, refusing a field that stands twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        whole = dict(pairs)
        if len(whole) != len(pairs):
            raise InputError(f"{file}: a field stands twice among {sorted(whole)[:12]}. Try: download this file again.")
        return whole

    try:
        return json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file. Try: download it again.") from None
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: no readable JSON ({error}). Try: download this file again.") from None


def _degrees(file: Path, whole: dict[str, Any]) -> Callable[[float, float], tuple[float, float]]:
    """Return what makes longitude and latitude of the file's coordinates."""
    crs = whole.get("crs")
    name = str(crs.get("properties", {}).get("name", "")) if isinstance(crs, dict) and isinstance(crs.get("properties"), dict) else ""
    found = re.search(r"(\d+)$", name)
    if name.upper().endswith(("CRS84", "EPSG::4326", "EPSG:4326")):
        return lambda x, y: (x, y)
    if (int(found[1]) if found else None) not in _LAMBERT93 or (name and not found):
        raise InputError(f"{file}: coordinates in {name!r}, expected EPSG:2154 (Lambert-93) or degrees. {_AGAIN}")
    return from_lambert93


def _points(nested: Any) -> Iterator[tuple[float, float]]:
    if not isinstance(nested, list):
        return
    if len(nested) >= 2 and all(isinstance(value, int | float) for value in nested[:2]):
        yield float(nested[0]), float(nested[1])
    else:
        for part in nested:
            yield from _points(part)


def _integer(value: Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or value not in (number, str(number)) or not 0 <= number < 2**31:
        raise InputError(f"{where}: {value!r} is not a whole number from 0 on. {_AGAIN}")
    return number


def _day(value: Any, where: str) -> int:
    number = _integer(value, where)
    try:
        return date(number // 10_000, number // 100 % 100, number % 100).toordinal() - _EPOCH
    except (ValueError, OverflowError):
        raise InputError(f"{where}: {value!r} is not a date YYYYMMDD. {_AGAIN}") from None
