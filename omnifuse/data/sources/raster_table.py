"""The table of a user's rasters: one row per file, read from CSV or Parquet and checked line by line."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omnifuse.data.extras import check_installed
from omnifuse.errors import InputError

LABELS = "labels"  # in the column `modality`
_REQUIRED = ("place", "modality", "path")
_PER_FILE = ("datetime", "dates", "band", "bands", "index", "unit", "scale", "offset", "nodata")
_TEXT, _NUMBERS = ("region", "split", "tile", "crs", "label"), ("left", "top", "size")
_PER_PLACE = (*_TEXT, *_NUMBERS, "fold")
_IGNORED = ("geometry",)  # of a GeoParquet file


@dataclass(frozen=True)
class RasterRow:
    """One file and what it holds.

    Attributes:
        where: Table and line, for messages.
        place: Id of the place.
        modality: Name of the sensor, or `labels`.
        path: Path or address of the raster.
        times: ISO date and time of each image in it, in UTC; one empty text where there is none.
        bands: Names of the bands of one image in the order of the file; empty where the file's own names hold.
        index: Bands to read, from 1; empty for all.
        unit: Unit of the values, scaled; empty where it is not stated.
        scale: Factor of the stored numbers; None where the file's own holds.
        offset: Summand after scaling; None where the file's own holds.
        nodata: Stored number that means no data; None where the file's own holds.
    """

    where: str
    place: str
    modality: str
    path: str
    times: tuple[str, ...]
    bands: tuple[str, ...]
    index: tuple[int, ...]
    unit: str
    scale: float | None
    offset: float | None
    nodata: float | None


@dataclass(frozen=True)
class RasterTable:
    """Rows; what the table says of each place, in the order of their first row; and the side of all places, 0 where it says none."""

    rows: tuple[RasterRow, ...]
    places: dict[str, dict[str, str | int | float]]
    size: float


def read_table(file: Path) -> RasterTable:
    """Read and check a table.

    Raises:
        InputError: naming the file, the line and the column.
    """
    places: dict[str, dict[str, str | int | float]] = {}
    rows: dict[tuple[object, ...], RasterRow] = {}
    for line, cells in _lines(file):
        where = f"{file}: row {line}"
        row = _row(file, where, cells)
        same = (row.place, row.modality, row.path, row.times, row.bands, row.index)
        if same in rows:
            raise InputError(f"{where}: the same as {rows[same].where.rpartition(': ')[2]}. Try: remove one of them.")
        rows[same] = row
        known = places.setdefault(row.place, {"id": row.place})
        for name, value in _place_columns(where, cells).items():
            if known.setdefault(name, value) != value:
                raise InputError(
                    f"{where}: `{name}` of place {row.place!r} is {value!r}, before it was {known[name]!r}. Try: one value per place."
                )
    if not rows:
        raise InputError(f"{file}: no rows. Try: a row per raster, with the columns {', '.join(_REQUIRED)} and datetime.")
    for place, known in places.items():
        corner = [name for name in ("left", "top", "crs") if name in known]
        if 0 < len(corner) < 3:
            raise InputError(f"{file}: place {place!r} has only {' and '.join(corner)}. Try: left, top and crs, or none of them.")
    sizes = {float(known.pop("size")) for known in places.values() if "size" in known}
    if len(sizes) > 1 or min(sizes, default=1.0) <= 0:
        raise InputError(f"{file}: `size` is {', '.join(f'{size:g}' for size in sorted(sizes))}. Try: one positive side for all places.")
    return RasterTable(tuple(rows.values()), places, sizes.pop() if sizes else 0.0)


def grouped(rows: Sequence[RasterRow]) -> dict[str, dict[str, list[RasterRow]]]:
    """Return the rows by place and sensor.

    Raises:
        InputError: where two rows give one image, and their bands are not named or are the same.
    """
    grouped: dict[str, dict[str, list[RasterRow]]] = {}
    images: dict[tuple[str, str, str], list[RasterRow]] = {}
    for row in rows:
        grouped.setdefault(row.place, {}).setdefault(row.modality, []).append(row)
        for time in row.times:
            earlier = images.setdefault((row.place, row.modality, time), [])
            for other in earlier:
                if not row.bands or not other.bands or {*row.bands} & {*other.bands}:
                    line = other.where.rpartition(": ")[2]
                    raise InputError(
                        f"{row.where}: {row.modality!r} of place {row.place!r} at {time or 'no date'} stands in {line} too. "
                        "Try: the time of each image in `datetime`, or the bands of each file in `bands`."
                    )
            earlier.append(row)
    return grouped


def _lines(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells that are not empty, as text."""
    try:
        table = _parquet(file) if file.suffix in (".parquet", ".geoparquet") else _csv(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error}). Try: the path of a .csv or .parquet file.") from None
    names, lines = table
    lacking = [name for name in _REQUIRED if name not in names]
    if lacking:
        raise InputError(
            f"{file}: no column `{lacking[0]}`, found {', '.join(map(str, names))}. Try: columns {', '.join(_REQUIRED)} and datetime."
        )
    known = (*_REQUIRED, *_PER_FILE, *_PER_PLACE, *_IGNORED)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise InputError(
                f"{file}: unknown column `{name}`. Try: {f'`{near[0]}`' if near else 'remove it; known are ' + ', '.join(known)}."
            )
    for line, cells in lines:
        yield line, {name: text for name, value in cells.items() if name not in _IGNORED and (text := _text(value))}


def _csv(file: Path) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            lines: list[tuple[int, dict[str, Any]]] = []
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{file}: row {reader.line_num} has not {len(names)} cells. Try: quote cells that have commas.")
                lines.append((reader.line_num, dict(row)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a CSV table in UTF-8 ({error}). Try: save it again as CSV with commas.") from None
    if len(set(names)) != len(names):
        raise InputError(f"{file}: two columns of one name among {', '.join(names)}. Try: remove one of them.")
    return names, lines


def _parquet(file: Path) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    check_installed(file, "pyarrow")
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
        table = table.drop_columns([name for name in table.column_names if name in _IGNORED])
        rows = table.to_pylist()
    except pyarrow.ArrowException as error:
        raise InputError(f"{file}: not a Parquet table ({error}). Try: write it again, or give a .csv file.") from None
    return table.column_names, list(enumerate(rows, 1))


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if hasattr(value, "isoformat"):  # date and time of a Parquet column
        return str(value.isoformat())
    return str(value).strip()


def _row(file: Path, where: str, cells: dict[str, str]) -> RasterRow:
    for name in _REQUIRED:
        if name not in cells:
            raise InputError(f"{where}: `{name}` is empty. Try: fill it, or remove the row.")
    if "dates" in cells and "datetime" in cells:
        raise InputError(f"{where}: has `datetime` and `dates`. Try: `dates` for a stack of images, `datetime` for a single one.")
    if "band" in cells and "bands" in cells:
        raise InputError(f"{where}: has `band` and `bands`. Try: one of them.")
    times = (
        tuple(_time(text, where) for text in re.split(r"[\s;]+", cells["dates"]))
        if "dates" in cells
        else (_time(cells.get("datetime", ""), where),)
    )
    if len(set(times)) != len(times):
        raise InputError(f"{where}: a date stands twice in `dates`. Try: one date per image.")
    path = cells["path"]
    if "://" not in path and not path.startswith("/vsi"):
        path = str(file.parent / path)
    return RasterRow(
        where=where,
        place=cells["place"],
        modality=cells["modality"],
        path=path,
        times=times,
        bands=(cells["band"],) if "band" in cells else tuple(re.split(r"[\s;]+", cells["bands"])) if "bands" in cells else (),
        index=_index(cells.get("index", ""), where),
        unit=cells.get("unit", ""),
        scale=_number(cells, "scale", where),
        offset=_number(cells, "offset", where),
        nodata=_number(cells, "nodata", where),
    )


def _place_columns(where: str, cells: dict[str, str]) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {name: cells[name] for name in _TEXT if name in cells}
    for name in _NUMBERS:
        value = _number(cells, name, where)
        if value is not None:
            found[name] = value
    if "fold" in cells:
        fold = re.fullmatch(r"(-?\d+)(\.0)?", cells["fold"])  # a Parquet column with gaps holds 1.0
        found["fold"] = int(fold[1]) if fold else cells["fold"]
    return found


def _number(cells: dict[str, str], name: str, where: str) -> float | None:
    if name not in cells:
        return None
    try:
        value = float(cells[name])
    except ValueError:
        raise InputError(f"{where}: `{name}` is {cells[name]!r}, not a number. Try: a number, or leave it empty.") from None
    if name != "nodata" and not math.isfinite(value):
        raise InputError(f"{where}: `{name}` is {cells[name]!r}. Try: a finite number, or leave it empty.")
    return value


def _index(text: str, where: str) -> tuple[int, ...]:
    """Return the numbers of `1 2 5-7`."""
    found: list[int] = []
    for part in text.split():
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None or not 1 <= int(match[1]) <= int(match[2] or match[1]) <= 65_535:
            raise InputError(f"{where}: `index` is {text!r}. Try: numbers of bands from 1, such as `1 2 5-7`.")
        found.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(found)


def _time(text: str, where: str) -> str:
    """Return a date and time in UTC, so that two spellings of one moment are the same."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where}: {text!r} is not a date. Try: ISO text such as 2018-06-30 or 2018-06-30T10:50:31Z.") from None
    return (moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)).isoformat()
