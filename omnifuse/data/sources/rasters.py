"""A user's own sensors and labels: a table of rasters becomes places.

The table (CSV or Parquet) has a row per file with `place`, `modality`, `path` and `datetime`, and more columns where they are
needed; `docs/rasters.md` describes them. What is read, and by which rule:

* A place is a square of ground, given in the table (`left`, `top`, `crs`, and `size=`) or found: the middle of what all its rasters
  cover, on the grid of the coarsest one. Each raster is brought onto its sensor's own resolution over exactly that square: copied
  where the pixels coincide, else resampled, bilinearly (labels: to the nearest).
* A sensor is described by `modalities.json` beside the table, or it is one of the catalogue, or its first file describes it.
* A band that is named as the difference of two others (`VV-VH`) is computed where the files lack it.
* An image in which a band has no data over the whole place is dropped. Elsewhere a pixel without data takes its band's median on
  that date; `problems` says how many do.
* Labels: classes from `classes.json` beside the table, or from the colour table of the first label raster; or, in the column
  `label`, classes of the place as a whole, which become the share of each.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Num

from omnifuse.classes import ClassTable
from omnifuse.config import read_json
from omnifuse.data.extras import check_installed
from omnifuse.data.grid import Square, read_square
from omnifuse.data.ground import locations
from omnifuse.data.place import Place
from omnifuse.data.problems import Problem
from omnifuse.data.raster_file import Header, read_header
from omnifuse.data.sources.raster_bands import read_modalities
from omnifuse.data.sources.raster_images import find_sensors, read_stack
from omnifuse.data.sources.raster_labels import Legend, class_ids, read_legend, scene_shares
from omnifuse.data.sources.raster_squares import Footprint, common_squares, squares_of_table
from omnifuse.data.sources.raster_table import LABELS, RasterRow, RasterTable, grouped, read_table
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import Modality


class Rasters:
    """Places of a table of rasters (a `PlaceSource`). Headers are read at once where squares must be found, pixels when asked for.

    Args:
        table: The table; paths in it are relative to its folder.
        size: Side of a place in metres; 0 for the largest square that the rasters of a place cover, the same for every place.
        modalities: Descriptions of sensors that go before those beside the table.
        label_gsd: Metres per pixel of the label maps; 0 for those of the first label raster.
        edge: What to do with an image that does not cover its place: an error, or leave it out. With `drop`, squares that are
            found are those of the coarsest raster alone.
    """

    def __init__(
        self,
        table: Path,
        size: float = 0.0,
        modalities: Sequence[Modality] = (),
        label_gsd: float = 0.0,
        edge: Literal["error", "drop"] = "error",
    ) -> None:
        if size < 0 or label_gsd < 0 or edge not in ("error", "drop"):
            raise ConfigError(
                f"rasters: size {size:g}, label_gsd {label_gsd:g}, edge {edge!r}. Try: metres of 0 or more, 'error' or 'drop'."
            )
        self.table = Path(table)
        check_installed(self.table, "rasterio")
        self.edge = edge
        content = read_table(self.table)
        self._rows = grouped(content.rows)
        first = {name: [row for row in content.rows if row.modality == name] for name in dict.fromkeys(r.modality for r in content.rows)}
        unplaced = [row for row in content.rows if "crs" not in content.places[row.place]]
        headers = _headers([*(rows[0] for rows in first.values()), *unplaced])
        described = read_modalities(self.table.parent / "modalities.json") | {modality.name: modality for modality in modalities}
        self._sensors = find_sensors({name: rows for name, rows in first.items() if name != LABELS}, headers, described)
        if not self._sensors:
            raise InputError(f"{self.table}: names labels alone. Try: rows of at least one sensor.")
        self.modalities = {name: sensor.modality for name, sensor in self._sensors.items()}
        self._legend: Legend | None = None
        self.classes: ClassTable | None = None
        self._shares: dict[str, Float[np.ndarray, " c"]] = {}
        scenes = {place: str(known["label"]) for place, known in content.places.items() if "label" in known}
        if scenes and LABELS in first:
            raise InputError(f"{self.table}: has a column `label` and rows of {LABELS!r}. Try: one of them.")
        if LABELS in first:
            path = first[LABELS][0].path
            label_gsd = label_gsd or headers[path].gsd
            self._legend = read_legend(self.table.parent / "classes.json", path)
            self.classes = self._legend.table
        elif scenes:
            legend, self._shares = scene_shares(self.table.parent / "classes.json", scenes)
            self.classes = legend.table
        self._label_gsd = label_gsd
        self._squares = self._find_squares(content, size or content.size, headers)
        self.size = next(iter(self._squares.values())).size
        self._label_side = self._find_label_side() if self._legend is not None else 0
        self.info = list(content.places.values())
        corners = [(square.crs, round(square.left, 4), round(square.top, 4)) for square in (self._squares[p] for p in content.places)]
        for row, place in zip(self.info, locations(corners, self.size), strict=True):
            row.update(place)
        self.provenance = _provenance(self.table, edge)

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        info = self.info[index]
        place = str(info["id"])
        series = {}
        for name, rows in self._rows[place].items():
            if name != LABELS:
                sensor = self._sensors[name]
                series[name] = read_stack(rows, sensor, self._squares[place], self.edge).series(sensor.modality)
        labels = self._rows[place].get(LABELS)
        target = self._labels(labels, self._squares[place]) if labels else self._shares.get(place)
        return Place(series, self.size, target, dict(info))

    def problems(self) -> Iterator[Problem]:
        """Read every place and yield what keeps a sensor or the labels of it from being read, and what was dropped or filled."""
        for place, sensors in self._rows.items():
            for name, rows in sensors.items():
                try:
                    if name == LABELS:
                        self._labels(rows, self._squares[place])
                    else:
                        sensor = self._sensors[name]
                        stack = read_stack(rows, sensor, self._squares[place], self.edge)
                        yield from stack.gaps(place, sensor.modality)
                        stack.series(sensor.modality)
                except InputError as error:
                    what, _, remedy = str(error).partition(". Try: ")
                    yield Problem(rows[0].path, what, remedy or "correct the file or the table", place)

    def _find_squares(self, content: RasterTable, size: float, headers: dict[str, Header]) -> dict[str, Square]:
        squares = squares_of_table(content, size, str(self.table))
        gsd = {name: sensor.modality.gsd for name, sensor in self._sensors.items() if not sensor.modality.per_place}
        if LABELS in {name for rows in self._rows.values() for name in rows}:
            gsd[LABELS] = self._label_gsd
        wanted = {place: [row for name in rows if name in gsd for row in rows[name]] for place, rows in self._rows.items()}
        missing = {place: rows for place, rows in wanted.items() if place not in squares}
        for place, rows in missing.items():
            if not rows:
                raise InputError(f"{self.table}: place {place!r} has no raster that tells its ground. Try: columns left, top and crs.")
            if self.edge == "drop":
                missing[place] = [max(rows, key=lambda row: gsd[row.modality])]
        footprints = {
            place: [Footprint(headers[row.path], gsd[row.modality], self._context(row.modality)) for row in rows]
            for place, rows in missing.items()
        }
        if footprints:
            squares |= common_squares(footprints, size, list(gsd.values()), str(self.table))
        for name, sensor in self._sensors.items():
            _check_whole(next(iter(squares.values())).size, sensor.modality.gsd, name, sensor.modality.per_place)
        return squares

    def _context(self, name: str) -> float:
        return self._sensors[name].modality.context if name in self._sensors else 0.0

    def _find_label_side(self) -> int:
        _check_whole(self.size, self._label_gsd, LABELS, False)
        return round(self.size / self._label_gsd)

    def _labels(self, rows: Sequence[RasterRow], square: Square) -> Num[np.ndarray, "h w"]:
        if self._legend is None or len(rows) != 1 or len(rows[0].index or (1,)) != 1:
            raise InputError(f"{rows[-1].where}: {len(rows)} label rasters of one place. Try: one, and `index` for one of its bands.")
        row = rows[0]
        header = read_header(row.path)
        if max(row.index or (1,)) > len(header.names) or (not row.index and len(header.names) != 1):
            raise InputError(f"{row.where}: {row.path} has {len(header.names)} bands. Try: `index` for the one that holds the labels.")
        if np.dtype(header.dtype).kind not in "iu":
            raise InputError(f"{row.path}: labels of type {header.dtype}. Try: whole numbers, as with `gdal_translate -ot Byte`.")
        nodata = header.nodata if row.nodata is None else row.nodata
        values, missing = read_square(header, row.index or (1,), square, self._label_side, nodata, categories=True)
        return class_ids(values[0], missing[0], self._legend, row.path)


def _headers(rows: Sequence[RasterRow]) -> dict[str, Header]:
    """Return the headers of all rasters; where some cannot be read, the error names their rows."""
    headers: dict[str, Header] = {}
    errors: dict[str, str] = {}
    for row in {row.path: row for row in reversed(rows)}.values():
        try:
            headers[row.path] = read_header(row.path)
        except InputError as error:
            errors[row.where] = f"{row.where}: {error}"
    if errors:
        first, *others = sorted(errors, key=lambda where: int(where.rpartition(" ")[2]))
        named = ", ".join(where.rpartition(": ")[2] for where in others[:20])
        raise InputError(errors[first] + (f" Nor can {len(others)} more: {named}{', …' if len(others) > 20 else ''}." if others else ""))
    return headers


def _check_whole(size: float, gsd: float, name: str, per_place: bool) -> None:
    if not per_place and abs(size / gsd - round(size / gsd)) > 1e-3:
        raise InputError(
            f"rasters: a place of {size:g} m is {size / gsd:g} pixels of {name!r} ({gsd:g} m), not a whole number. "
            f"Try: size= a multiple of {gsd:g}, or another gsd."
        )


def _provenance(table: Path, edge: str) -> dict[str, str]:
    """Return `about.json` beside the table (source, licence, citation) and the rules that were applied."""
    file = table.parent / "about.json"
    about = read_json(file) if file.is_file() else {}
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ConfigError(f"{file}: not an object of texts. Try: source, licence and citation, each a text.")
    return {
        "source": f"rasters of {table.name}",
        "licence": "not stated",
        **about,
        "grid": f"copied where pixels coincide, else bilinear, labels nearest; images that do not cover the place: {edge}",
        "gaps": "images in which a band has no data are dropped, other gaps take the median of their band on their date",
    }
