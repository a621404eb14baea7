"""`omnifuse search`: the places most similar to one that is named, to a point on the map, or to a vector."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from omnifuse.config import Config, write_json
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.embedding_reader import EmbeddingTable, open_table
from omnifuse.inference.footprint import geojson, read_wkb
from omnifuse.inference.search import Hit, most_similar, row_at, vectors_of
from omnifuse.inference.search_index import MANY, installed, most_similar_by_index
from omnifuse.runs.stages import console, progress_bar
from omnifuse.runs.surveying import print_tables, titled

_SHOWN = ("first_date", "last_date", "sensors", "source")


@dataclass(frozen=True, kw_only=True)
class SearchCommand(Config):
    """Find the places whose vectors point most nearly the same way (cosine). Name what to look for by one of like, at and vector.

    Attributes:
        like: Ids of places; of several the mean direction is looked for.
        at: Longitude and latitude in degrees of a point within a place of the table.
        vector: File with a vector, .npy or .json.
        k: How many places.
        own: Whether the places that are looked for may be among those found.
        out: File for what is found, .geojson or .csv; none without a name.
        column: Name of the column of vectors; found where it has a usual name.
        method: exact reads the whole table; faiss asks an index that it makes beside the table the first time, and may miss some;
            auto takes the index for tables of millions of rows where faiss is installed.
    """

    like: tuple[str, ...] = ()
    at: tuple[float, ...] = ()
    vector: str = ""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    own: bool = False
    out: str = ""
    column: str = ""
    method: Literal["auto", "exact", "faiss"] = "auto"


def search(path: str, command: SearchCommand) -> list[Hit]:
    """Print the most similar places, and write them where that was asked for."""
    if (bool(command.like) + bool(command.at) + bool(command.vector)) != 1 or len(command.at) not in (0, 2):
        raise ConfigError("search: one of `--like ID`, `--at LON LAT` and `--vector FILE` says what to look for. Try: --like and an id.")
    if command.out and Path(command.out).suffix not in _WRITERS:
        raise ConfigError(f"{command.out}: neither GeoJSON nor CSV by its name. Try: hits.geojson.")
    table = open_table(Path(path), command.column)
    query, own = query_of(table, command)
    left_out = () if command.own else own
    if command.method == "faiss" or (command.method == "auto" and table.rows > MANY and installed()):
        hits = most_similar_by_index(table, query, command.k, left_out)
    else:
        with progress_bar("search") as progress:
            hits = most_similar(table, query, command.k, left_out, progress=progress)
    facts = _facts(table, hits)
    shown = titled("Most similar", "place", "cosine", "from", "to", "sensors", "longitude", "latitude")
    for hit, fact in zip(hits, facts, strict=True):
        where = [f"{value:.5f}" for value in fact["centre"]] if fact["centre"] else ["", ""]
        words = [str(fact.get(name) or "") for name in ("first_date", "last_date", "sensors")]
        shown.add_row(hit.id, f"{hit.score:.4f}", *words, *where)
    print_tables(shown)
    if command.out:
        _WRITERS[Path(command.out).suffix](Path(command.out), hits, facts)
        console.print(f"{command.out}: {len(hits)} places", markup=False)
    return hits


def query_of(table: EmbeddingTable, command: SearchCommand) -> tuple[Float[Tensor, " d"], tuple[str, ...]]:
    """Return what to look for, and the ids of the places that it is made of."""
    if command.vector:
        return _read_vector(Path(command.vector)), ()
    ids = command.like
    if command.at:
        row, name = row_at(table, *command.at)
        console.print(f"at {command.at[0]:g} {command.at[1]:g}: {name}", markup=False)
        return torch.from_numpy(table.take([row])[0])[0], (name,)
    _, vectors = vectors_of(table, ids)
    return normalize(vectors.double(), dim=1).mean(0), ids


def _read_vector(file: Path) -> Float[Tensor, " d"]:
    try:
        if file.suffix == ".npy":
            found = np.load(file, allow_pickle=False)
        else:
            found = np.array(json.loads(file.read_text(encoding="utf-8")))
        values = np.asarray(found, np.float64).ravel()
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: no vector ({error}). Try: numpy.save, or a JSON list of numbers.") from None
    return torch.from_numpy(values)


def _facts(table: EmbeddingTable, hits: list[Hit]) -> list[dict[str, Any]]:
    """Return what a table says of the rows that were found: dates, sensors, source, outline and its middle."""
    if not hits:
        return []
    _, piece = table.take([hit.row for hit in hits], [*_SHOWN, "geometry", "bbox"])
    found = []
    for row in piece.drop_columns([table.column]).to_pylist():
        box = row.get("bbox")
        west, east = (box["xmin"], box["xmax"]) if box else (0.0, 0.0)
        middle = ((west + east + 360 * (west > east)) / 2 + 180) % 360 - 180
        row["centre"] = (middle, (box["ymin"] + box["ymax"]) / 2) if box else None
        found.append(row | {"sensors": " ".join(row.get("sensors") or ())})
    return found


def _write_geojson(out: Path, hits: list[Hit], facts: list[dict[str, Any]]) -> None:
    features = []
    for rank, (hit, fact) in enumerate(zip(hits, facts, strict=True), 1):
        outline = read_wkb(fact["geometry"]) if fact.get("geometry") else None
        told = {name: str(fact[name]) for name in _SHOWN if fact.get(name)}
        properties = {"rank": rank, "id": hit.id, "cosine": round(hit.score, 6), **told}
        features.append({"type": "Feature", "id": hit.id, "geometry": outline and geojson(outline), "properties": properties})
    write_json(out, {"type": "FeatureCollection", "features": features})


def _write_csv(out: Path, hits: list[Hit], facts: list[dict[str, Any]]) -> None:
    with out.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["rank", "id", "cosine", "longitude", "latitude", *_SHOWN])
        for rank, (hit, fact) in enumerate(zip(hits, facts, strict=True), 1):
            where = [f"{value:.7f}" for value in fact["centre"]] if fact["centre"] else ["", ""]
            rows.writerow([rank, hit.id, f"{hit.score:.6f}", *where, *(fact.get(name) or "" for name in _SHOWN)])


_WRITERS = {".geojson": _write_geojson, ".json": _write_geojson, ".csv": _write_csv}
