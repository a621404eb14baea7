"""The most similar vectors of a table by cosine: exact, in pieces; where there are millions, see `search_index`.

Scores are computed in float64 and compared in float32, in which equal vectors have equal scores wherever they stand in the table;
equal scores are told apart by id. So the answer depends on neither the size of the pieces nor the order of the rows.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.embedding_reader import EmbeddingTable


@dataclass(frozen=True)
class Hit:
    """A row that was found.

    Attributes:
        row: Its number in the table.
        id: Its id.
        score: Cosine, -1 to 1; 0 for a vector of zeros.
    """

    row: int
    id: str
    score: float


def most_similar(
    table: EmbeddingTable,
    query: Float[Tensor, " d"],
    k: int,
    exclude: Collection[str] = (),
    rows: int = 65_536,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Hit]:
    """Return the `k` most similar rows, best first: exact, reading the whole table once.

    Args:
        table: Where to look.
        query: What to look for; its length does not matter.
        k: How many; fewer where the table has fewer.
        exclude: Ids that are not looked at, such as that of the query itself.
        rows: That are held in memory at a time.
        progress: Called as `progress(done, total)`.

    Raises:
        InputError: where the query does not fit to the table.
    """
    wanted, left_out = unit_of(checked(query, table, k)), set(exclude)
    best: list[Hit] = []
    for start, vectors, piece in table.pieces(rows, ["id"]):
        score = cosine(torch.from_numpy(vectors), wanted)
        best = _merged(best, score, table.ids(piece, start) if left_out else None, table, piece, start, k, left_out)
        progress(start + len(vectors), table.rows)
    return best


def _merged(
    best: list[Hit],
    score: Float32[Tensor, " n"],
    ids: list[str] | None,
    table: EmbeddingTable,
    piece: Any,
    start: int,
    k: int,
    left_out: Collection[str],
) -> list[Hit]:
    """Return the best of what was found so far and of a piece; only rows that may be among them become Python objects."""
    if ids is not None:
        score = score.masked_fill(torch.tensor([one in left_out for one in ids], dtype=torch.bool), -math.inf)
    bound = best[-1].score if len(best) == k else -math.inf
    if len(score) > k:
        bound = max(bound, float(score.topk(k).values[-1]))
    rows = ((score >= bound) & (score > -math.inf)).nonzero()[:, 0]  # all that are equal to the last: their ids decide
    names = table.ids(piece, start) if ids is None else ids
    found = [Hit(start + row, names[row], float(score[row])) for row in rows.tolist()]
    return sorted([*best, *found], key=by_score)[:k]


def by_score(hit: Hit) -> tuple[float, str, int]:
    """Return what hits are sorted by: the best first, equal ones by id."""
    return -hit.score, hit.id, hit.row


def unit_of(vector: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Return the vector with length 1, in float64."""
    return vector.double() / vector.double().norm().clamp(min=torch.finfo(torch.float64).tiny)


def cosine(vectors: Float[Tensor, "n d"], unit: Float[Tensor, " d"]) -> Float32[Tensor, " n"]:
    """Return the cosine of each row with a vector of length 1."""
    rows = vectors.double()
    return (rows @ unit / rows.norm(dim=1).clamp(min=torch.finfo(torch.float64).tiny)).float()


def checked(query: Float[Tensor, " d"], table: EmbeddingTable, k: int) -> Float[Tensor, " d"]:
    """Return the query if it can be looked for; raises as `most_similar`."""
    if k < 1:
        raise ConfigError(f"search: {k} places asked for. Try: -k 10.")
    if len(query) != table.dimensions:
        raise InputError(
            f"search: the query has {len(query)} numbers, vectors of {table.path} have {table.dimensions}. Try: the same model."
        )
    if not query.isfinite().all() or not query.any():
        raise InputError("search: the query is zero or not finite, it is similar to nothing. Try: another query.")
    return query


def vectors_of(table: EmbeddingTable, ids: Sequence[str]) -> tuple[list[int], Float[Tensor, "n d"]]:
    """Return rows and vectors of ids, in the order given.

    Raises:
        InputError: for an id that is not in the table.
    """
    rows: dict[str, int] = {}
    for start, _, piece in table.pieces(columns=["id"]):
        names = table.ids(piece, start)
        rows |= {name: start + i for i, name in enumerate(names) if name in set(ids) and name not in rows}
        if len(rows) == len(set(ids)):
            break
    lacking = [name for name in ids if name not in rows]
    if lacking:
        raise InputError(f"search: no row of {table.path} has the id {lacking[0]!r}. Try: `--at LON LAT`, or an id of the table.")
    found = [rows[name] for name in ids]
    return found, torch.from_numpy(table.take(found)[0])


def row_at(table: EmbeddingTable, longitude: float, latitude: float) -> tuple[int, str]:
    """Return number and id of the row whose box holds a point; of several the one whose middle is nearest.

    Raises:
        InputError: where none does; says how far off the nearest is.
    """
    nearest = (math.inf, math.inf, "", -1)  # distance, whether outside, id, row
    for start, _, piece in table.pieces(columns=["id", "bbox"]):
        if "bbox" not in piece.schema.names:
            raise InputError(f"{table.path}: has no column `bbox`. Try: `--like ID`.")
        boxes = piece.column("bbox")
        edges = {edge: boxes.field(edge).to_numpy(zero_copy_only=False) for edge in ("xmin", "ymin", "xmax", "ymax")}
        width = (edges["xmax"] - edges["xmin"]) % 360
        east = (longitude - edges["xmin"] - width / 2 + 180) % 360 - 180  # of the middle, the short way round
        north = latitude - (edges["ymin"] + edges["ymax"]) / 2
        outside = (abs(east) > width / 2) | (abs(north) > (edges["ymax"] - edges["ymin"]) / 2)
        distance = np.hypot(east * math.cos(math.radians(latitude)), north) * 111.2  # kilometres per degree
        known = boxes.is_valid().to_numpy(zero_copy_only=False)
        outside, distance = outside | ~known, np.where(known, distance, math.inf)
        row = int(np.lexsort((distance, outside))[0])
        found = (float(outside[row]), float(distance[row]), table.ids(piece, start)[row], start + row)
        nearest = min(nearest, found)
    if not math.isfinite(nearest[1]):
        raise InputError(f"{table.path}: no row says where it lies. Try: `--like ID`.")
    if nearest[0]:
        raise InputError(
            f"search: no place of {table.path} lies at {longitude:g} {latitude:g}; the nearest is {nearest[1]:.3g} km off. "
            f"Try: --like {nearest[2]}."
        )
    return nearest[3], nearest[2]
