"""The tables of FLAIR-HUB: GeoPackages (which are SQLite files) or CSV, read without a geospatial library."""

import csv
import json
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from omnifuse.data.sources.flair_series import day_number
from omnifuse.errors import InputError

Pairs = Iterator[tuple[str, Any]]  # key and value of a row, each as stored
_AGAIN = "Try: download this file again."
_SPLITS = {"training": "train", "valid": "val", "validation": "val"}
_KEYS = ("patch_id", "zone_id")
_DATES = ("acquisition_dates", "date", "acquisition_date")


def find_table(folders: Sequence[Path], name: str) -> Path | None:
    """Return the table `name` in one of the folders or the folders of metadata in them; None where there is none."""
    places = [place for folder in folders for place in (folder, folder / "GLOBAL_ALL_MTD")]
    return next((file for place in places for ending in ("gpkg", "csv") if (file := place / f"{name}.{ending}").is_file()), None)


def read_dates(file: Path) -> dict[str, str]:
    """Return the stored dates of each patch or zone as text, not yet looked into; `parse_dates` does that.

    Raises:
        InputError: where the file has no readable table with a column of keys and one of dates.
    """
    return {key: sys.intern("" if value is None else str(value)) for key, value in _pairs(file, _KEYS, _DATES)}


def read_splits(file: Path) -> dict[str, str]:
    """Return `train`, `val` or `test` of each patch, as column `split_1` has it."""
    return {key: _split(str(value).strip().lower()) for key, value in _pairs(file, _KEYS, ("split_1",))}


def _split(stored: str) -> str:
    return _SPLITS.get(stored, stored)


def read_corners(file: Path) -> dict[str, tuple[str, float, float]]:
    """Return reference system, left and top edge of each patch's outline; empty where the table has no outlines."""
    if file.suffix != ".gpkg":
        return {}
    corners = {}
    for key, outline in _pairs(file, _KEYS, ("geom", "geometry"), optional=True):
        corner = _corner(outline) if isinstance(outline, bytes) else None
        if corner is not None:
            corners[key] = corner
    return corners


def parse_dates(text: str, where: str) -> Int[np.ndarray, " t"]:
    """Return days since 1970-01-01 of dates as stored: a JSON object keyed from "1", in the order of the numbers.

    Raises:
        InputError: naming `where` and what was found.
    """
    try:
        stored = json.loads(text)
        values = [stored[str(number)] for number in range(1, len(stored) + 1)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f'{where}: dates {text[:80]!r}, expected {{"1": "20210114", "2": ...}}. {_AGAIN}') from None
    return np.array([day_number(str(value), f"{where}: date {number}") for number, value in enumerate(values, 1)], np.int32)


def _pairs(file: Path, keys: Sequence[str], columns: Sequence[str], optional: bool = False) -> Pairs:
    """Yield key and value of every row, from the first column of each list that the table has."""
    rows = _sqlite_rows if file.suffix == ".gpkg" else _csv_rows
    names, pairs = rows(file)
    key, column = (next((name for name in wanted if name in names), None) for wanted in (keys, columns))
    if key is None or column is None:
        if optional:
            return
        missing = " or ".join(keys if key is None else columns)
        raise InputError(f"{file}: no column {missing}, found {', '.join(names)}. {_AGAIN}")
    yield from pairs(key, column)


def _csv_rows(file: Path) -> tuple[list[str], partial[Pairs]]:
    """Return the column names of a CSV with commas or semicolons, and a function that yields two of the columns."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}). {_AGAIN}") from None
    delimiter = ";" if first.count(";") > first.count(",") else ","
    return next(csv.reader([first], delimiter=delimiter), []), partial(_csv_pairs, file, delimiter)


def _csv_pairs(file: Path, delimiter: str, key: str, column: str) -> Pairs:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines, delimiter=delimiter):
                yield row[key] or "", row[column]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read ({error}). {_AGAIN}") from None


def _sqlite_rows(file: Path) -> tuple[list[str], partial[Pairs]]:
    """Return the column names of the one layer of a GeoPackage, and a function that yields two of the columns."""
    layers = [name for (name,) in _query(file, "SELECT table_name FROM gpkg_contents WHERE data_type IN ('features', 'attributes')")]
    if len(layers) != 1:
        raise InputError(f"{file}: {len(layers)} layers, expected one. {_AGAIN}")
    layer = layers[0].replace('"', '""')
    names = [row[1] for row in _query(file, f'PRAGMA table_info("{layer}")')]
    return names, partial(_sqlite_pairs, file, layer)


def _sqlite_pairs(file: Path, layer: str, key: str, column: str) -> Pairs:
    yield from ((str(one), value) for one, value in _query(file, f'SELECT "{key}", "{column}" FROM "{layer}"'))


def _query(file: Path, statement: str) -> list[tuple[Any, ...]]:
    try:
        # Immutable: no lock and no journal beside a file that may be on a read-only disk.
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a GeoPackage ({error}). {_AGAIN}") from None


def _corner(outline: bytes) -> tuple[str, float, float] | None:
    """Return reference system, least x and greatest y from the header of a GeoPackage geometry; None without an envelope."""
    if len(outline) < 40 or outline[:2] != b"GP" or not outline[3] >> 1 & 7:
        return None
    order = "<" if outline[3] & 1 else ">"
    (system,) = struct.unpack_from(order + "i", outline, 4)
    left, _, _, top = struct.unpack_from(order + "4d", outline, 8)  # least x, greatest x, least y, greatest y
    return f"EPSG:{system}", left, top
