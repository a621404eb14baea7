"""Embeddings of places as a GeoParquet 1.1 table: a row per place, written and read in groups of rows, in bounded memory.

    id            string                     of the place in its source
    geometry      well-known binary          outline in WGS 84; null where the source does not say where a place lies
    bbox          struct of 4 doubles        of the geometry, so that a reader can skip what is elsewhere
    first_date    date                       of the first and the last image; null where images have no dates
    last_date     date
    sensors       list of strings            that saw the place
    source        string                     where the images come from
    model         string                     name@sha256 of its weights
    embedding     fixed-size list            float32, float16, or int8 in steps (`emb:quantization` in the metadata)

The file's metadata hold `geo` (GeoParquet) and `omnifuse`: names of the `emb` extension of STAC, model, sensors and options.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, Num

from omnifuse import __version__
from omnifuse.data.extras import check_installed
from omnifuse.errors import InputError
from omnifuse.inference.embedding_rows import NO_DAY, Rows
from omnifuse.inference.footprint import Outline, bbox, geojson, place_outlines, wkb
from omnifuse.inference.quantize import steps_of, to_int8
from omnifuse.inference.stac import Vectors

ROWS: Final = 8192  # of a group, at least: what a reader holds at a time
KEY: Final = b"omnifuse"
Dtype = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class About:
    """What is the same for all rows of a table.

    Attributes:
        model: Name of the model.
        sha256: Of its weights.
        sensors: That were used, in the order of `Rows.count`.
        source: Where the images come from.
        size: Side of a place in metres.
        dtype: Of the stored numbers.
        chip: Side of a place in cells, where places lie on a grid.
        stride: Cells from one place to the next, where they do.
        options: What else the vectors depend on, as plain JSON types.
    """

    model: str
    sha256: str
    sensors: tuple[str, ...]
    source: str
    size: float
    dtype: Dtype = "float32"
    chip: int = 0
    stride: int = 0
    options: dict[str, Any] | None = None


@dataclass(frozen=True)
class Written:
    """What a table holds.

    Attributes:
        rows: Places in it.
        missing: Places that no image of the sensors was of; they have no row.
        nowhere: Rows without a geometry.
        first: First date; None where no image has one.
        last: Last date.
        outline: Box around all geometries; None without any.
        vectors: What the vectors are.
    """

    rows: int
    missing: int
    nowhere: int
    first: date | None
    last: date | None
    outline: Outline | None
    vectors: Vectors


def write_table(out: Path, info: Sequence[dict[str, str | int | float]], blocks: Callable[[], Iterator[Rows]], about: About) -> Written:
    """Write the table whole or not at all; the same rows give the same bytes.

    Args:
        out: The file.
        info: Metadata of all places, as `PlaceSource.info`.
        blocks: Called for an iterator over the rows of all places in order; twice where vectors become bytes.
        about: What is the same for all rows.

    Raises:
        InputError: where no place has an image, or a vector does not fit into float16.
    """
    check_installed(out, "pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    dim = next((rows.vectors.shape[1] for rows in blocks() if rows.vectors.shape[1]), 0)
    if not dim:
        raise InputError(f"{out}: no place has an image of {', '.join(about.sensors)}. Try: other sensors, or another source.")
    steps = np.ones(dim, np.float32)
    if about.dtype == "int8":
        steps = steps_of(np.max([abs(rows.vectors).max(0) for rows in blocks() if rows.vectors.shape[1]], 0))
    scale = tuple(map(float, steps)) if about.dtype == "int8" else ()
    vectors = Vectors(dim, about.dtype, about.size, chips=True, scale=scale, chip=about.chip, stride=about.stride)
    schema = _schema(dim, about.dtype)
    done = _Done()
    partial = out.with_name(f".{out.name}.partial")
    with parquet.ParquetWriter(partial, schema, compression="zstd", use_dictionary=["source", "model", "sensors.list.element"]) as writer:
        waiting: list[Any] = []
        for batch in _batches(info, blocks(), about, steps, schema, done):
            waiting.append(batch)
            if sum(len(one) for one in waiting) >= ROWS:
                writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=len(info) + 1)
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=len(info) + 1)
        facts: dict[str, Any] = {"format": "omnifuse-embeddings", "format_version": 1, "omnifuse": __version__, "model": about.model}
        facts |= {"weights_sha256": about.sha256, "sensors": list(about.sensors), "options": about.options or {}} | vectors.fields()
        writer.add_key_value_metadata({"geo": json.dumps(done.geo()), KEY.decode(): json.dumps(facts)})
    partial.replace(out)
    return Written(done.rows, len(info) - done.rows, done.nowhere, _date(done.first), _date(done.last), done.outline(), vectors)


class _Done:
    """What has been written so far."""

    def __init__(self) -> None:
        self.rows = self.nowhere = 0
        self.first, self.last = NO_DAY, NO_DAY
        self.box: tuple[float, float, float, float] | None = None
        self.kinds: set[str] = set()

    def add(self, outlines: Sequence[Outline | None], rows: Rows) -> None:
        self.rows += len(outlines)
        dated = rows.first != NO_DAY
        if dated.any():
            first = int(rows.first[dated].min())
            self.first = first if self.first == NO_DAY else min(self.first, first)
            self.last = max(self.last, int(rows.last[dated].max()))
        for outline in outlines:
            if outline is None:
                self.nowhere += 1
                continue
            self.kinds.add(geojson(outline)["type"])
            west, south, east, north = bbox(outline)
            west, east = (west, east) if west <= east else (-180.0, 180.0)  # a box around places on both sides goes around the globe
            box = self.box or (west, south, east, north)
            self.box = min(box[0], west), min(box[1], south), max(box[2], east), max(box[3], north)

    def outline(self) -> Outline | None:
        if self.box is None:
            return None
        west, south, east, north = self.box
        return [[(west, north), (west, south), (east, south), (east, north), (west, north)]]

    def geo(self) -> dict[str, Any]:
        """Return the metadata of GeoParquet 1.1; without `crs` coordinates are longitude and latitude in WGS 84 (OGC:CRS84)."""
        covering = {"bbox": {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}}
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(self.kinds), "orientation": "counterclockwise"}
        column |= ({"bbox": list(self.box)} if self.box else {}) | {"covering": covering}
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _schema(dim: int, dtype: Dtype) -> Any:
    import pyarrow as pa

    number = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8()}[dtype]
    box = pa.struct([(edge, pa.float64()) for edge in ("xmin", "ymin", "xmax", "ymax")])
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            ("geometry", pa.binary()),
            ("bbox", box),
            ("first_date", pa.date32()),
            ("last_date", pa.date32()),
            ("sensors", pa.list_(pa.string())),
            ("source", pa.string()),
            ("model", pa.string()),
            pa.field("embedding", pa.list_(pa.field("element", number, nullable=False), dim), nullable=False),
        ]
    )


def _batches(
    info: Sequence[dict[str, str | int | float]],
    blocks: Iterator[Rows],
    about: About,
    steps: Float[np.ndarray, " d"],
    schema: Any,
    done: _Done,
) -> Iterator[Any]:
    """Yield the rows of places that were seen, a batch per block."""
    import pyarrow as pa

    start = 0
    for block in blocks:
        there = np.asarray(block.count.any(1))
        places = [info[start + int(i)] for i in there.nonzero()[0]]
        start += len(there)
        if not places:
            continue
        rows = Rows(block.vectors[there], block.first[there], block.last[there], block.count[there])
        outlines = place_outlines(places, about.size)
        done.add(outlines, rows)
        boxes = [None if one is None else dict(zip(("xmin", "ymin", "xmax", "ymax"), bbox(one), strict=True)) for one in outlines]
        seen = [[name for name, many in zip(about.sensors, count, strict=True) if many] for count in rows.count.tolist()]
        stored = _stored(rows.vectors, about.dtype, steps)
        columns = [
            pa.array([str(place["id"]) for place in places], pa.string()),
            pa.array([None if one is None else wkb(one) for one in outlines], pa.binary()),
            pa.array(boxes, schema.field("bbox").type),
            *(pa.array([_date(day) for day in days.tolist()], pa.date32()) for days in (rows.first, rows.last)),
            pa.array(seen, pa.list_(pa.string())),
            pa.array([about.source] * len(places), pa.string()),
            pa.array([f"{about.model}@{about.sha256}"] * len(places), pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), type=schema.field("embedding").type),
        ]
        yield pa.record_batch(columns, schema=schema)


def _stored(vectors: Float[np.ndarray, "n d"], dtype: Dtype, steps: Float[np.ndarray, " d"]) -> Num[np.ndarray, "n d"]:
    if dtype == "int8":
        return to_int8(vectors, steps)
    with np.errstate(over="ignore"):
        stored = vectors.astype(dtype)
    if not np.isfinite(stored).all():
        raise InputError(f"embeddings: {abs(vectors).max():.3g} is too large for {dtype}. Try: --dtype float32, or --normalize.")
    return stored


def _date(day: int) -> date | None:
    return None if day == NO_DAY else date(1970, 1, 1) + timedelta(days=day)
