"""The most similar vectors of a table from an index of faiss that lies beside it: for millions of vectors and many questions."""

import json
import math
from collections.abc import Collection
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omnifuse.errors import ConfigError
from omnifuse.inference.embedding_reader import EmbeddingTable
from omnifuse.inference.search import Hit, by_score, checked, cosine, unit_of

MANY: Final = 4_000_000  # vectors from which on an index is worth its making
_MORE = 8  # candidates per hit; they are scored again, exactly
_FLAT = 50_000  # up to so many vectors all of them are compared


def most_similar_by_index(
    table: EmbeddingTable, query: Float[Tensor, " d"], k: int, exclude: Collection[str] = (), probes: int = 0, flat: int = _FLAT
) -> list[Hit]:
    """Return what `most_similar` returns, or nearly, from an index of faiss beside the table, which is made where it is missing.

    Up to `flat` vectors the index compares all of them; above, those of the nearest of 4√n groups, so that a few of the true
    neighbours may be missing. Candidates are scored again from the table, exactly.

    Args:
        table: Where to look.
        query: What to look for.
        k: How many.
        exclude: Ids that are left out.
        probes: Groups that are looked at; 0 for an eighth of them.
        flat: Vectors up to which there are no groups.

    Raises:
        ConfigError: where faiss is not installed.
    """
    faiss, unit = _faiss(), unit_of(checked(query, table, k))
    groups = round(4 * math.sqrt(table.rows)) if table.rows > flat else 0
    index = _index(faiss, table, groups)
    if groups:
        index.nprobe = probes or max(1, groups // 8)
    _, found = index.search(unit.float().numpy()[None], min(table.rows, _MORE * k + len(exclude)))
    rows = sorted(int(row) for row in found[0] if row >= 0)
    vectors, piece = table.take(rows, ["id"])
    names = table.ids(piece, 0) if "id" in piece.schema.names else [str(row) for row in rows]
    score = cosine(torch.from_numpy(vectors), unit).tolist()
    hits = [Hit(row, name, one) for row, name, one in zip(rows, names, score, strict=True) if name not in set(exclude)]
    return sorted(hits, key=by_score)[:k]


def installed() -> bool:
    """Whether faiss can be imported."""
    return find_spec("faiss") is not None


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ConfigError("search: faiss is not installed. Try: pip install 'omnifuse[search]', or --method exact.") from None
    return faiss


def _index(faiss: Any, table: EmbeddingTable, groups: int) -> Any:
    """Return the index of a table as it is now; one that lies beside is used if it is of the same table."""
    file, note = (table.path.with_name(table.path.name + end) for end in (".faiss", ".faiss.json"))
    same = {"table": _fingerprint(table.path), "column": table.column, "groups": groups}
    if file.is_file() and note.is_file() and json.loads(note.read_text(encoding="utf-8")) == same:
        return faiss.read_index(str(file))
    kind = f"IVF{groups},SQfp16" if groups else "Flat"
    index = faiss.index_factory(table.dimensions, kind, faiss.METRIC_INNER_PRODUCT)
    if groups:
        index.train(_sample(table, 64 * groups))
    for _, vectors, _ in table.pieces():
        index.add(_units(vectors))
    partial = file.with_name(f".{file.name}.partial")
    faiss.write_index(index, str(partial))
    partial.replace(file)
    note.write_text(json.dumps(same), encoding="utf-8")
    return index


def _sample(table: EmbeddingTable, most: int) -> Float[np.ndarray, "n d"]:
    """Return at most so many vectors, evenly over the table."""
    step = max(1, table.rows // most)
    return np.concatenate([_units(vectors[-start % step :: step]) for start, vectors, _ in table.pieces()])


def _units(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(length, np.finfo(np.float32).tiny))


def _fingerprint(path: Path) -> str:
    """Name a Parquet file by its size and its footer, which has statistics and places of all its columns."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(-8, 2)
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(max(0, size - 8 - length))
        return sha256(str(size).encode() + stream.read()).hexdigest()
