"""Tables of vectors, ours and those of others: read in pieces, so that any number of rows takes bounded memory."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from omnifuse.data.extras import check_installed
from omnifuse.errors import InputError
from omnifuse.inference.embedding_table import KEY
from omnifuse.inference.quantize import from_int8

_NAMES = ("embedding", "embeddings", "vector")  # of the column in tables of others
_PIECE = 65_536  # rows in memory at a time
_BUFFER = 1 << 20  # bytes of a column that are read at a time


@dataclass(frozen=True)
class EmbeddingTable:
    """A Parquet table with a column of vectors.

    Attributes:
        path: The file.
        rows: How many there are.
        dimensions: Numbers of a vector.
        column: Name of the column of vectors.
        steps: Value of one step of each dimension, where numbers are int8; empty else.
        about: What our own tables say of themselves (`embedding_table`); empty for others.
    """

    path: Path
    rows: int
    dimensions: int
    column: str
    steps: tuple[float, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def pieces(self, rows: int = _PIECE, columns: Sequence[str] = ()) -> Iterator[tuple[int, Float[np.ndarray, "n d"], Any]]:
        """Yield the table in order: number of the first row, vectors in float32, and an Arrow table of the other columns asked for.

        Raises:
            InputError: for a vector that is missing, has another length, or holds values that are not finite.
        """
        start = 0
        with _opened(self.path) as file:
            there = set(file.schema_arrow.names)
            for batch in file.iter_batches(rows, columns=[self.column, *(name for name in columns if name in there)]):
                yield start, self._vectors(batch.column(self.column), start), batch
                start += len(batch)

    def take(self, rows: Sequence[int], columns: Sequence[str] = ()) -> tuple[Float[np.ndarray, "n d"], Any]:
        """Return some rows, in the given order: their vectors, and an Arrow table of the other columns; reads their groups alone."""
        import pyarrow as pa

        with _opened(self.path) as file:
            there = set(file.schema_arrow.names)
            names = [self.column, *(name for name in columns if name in there)]
            ends = np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)])
            order = np.argsort(rows, kind="stable")
            parts = []
            groups = np.searchsorted(ends, np.asarray(rows)[order], side="right")
            for group in np.unique(groups).tolist():
                first = int(ends[group - 1]) if group else 0
                wanted = np.asarray(rows)[order][groups == group] - first
                for batch in file.iter_batches(_PIECE, row_groups=[group], columns=names):  # a group of others may be the whole table
                    here, wanted = wanted[wanted < len(batch)], wanted[wanted >= len(batch)] - len(batch)
                    parts.append(batch.take(pa.array(here)))
                    if not len(wanted):
                        break
        table = pa.Table.from_batches(parts).take(pa.array(np.argsort(order)))
        return self._vectors(table.column(self.column).combine_chunks(), int(rows[0])), table

    def ids(self, piece: Any, start: int) -> list[str]:
        """Return the ids of the rows of a piece; their numbers where the table has no column `id`."""
        if "id" in piece.schema.names:
            return [str(one) for one in piece.column("id").to_pylist()]
        return [str(start + i) for i in range(piece.num_rows)]

    def _vectors(self, column: Any, start: int) -> Float[np.ndarray, "n d"]:
        import pyarrow as pa

        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        lengths = column.value_lengths().to_numpy(zero_copy_only=False) if len(column) else np.zeros(0)
        wrong = ~(lengths == self.dimensions)  # also where one is null
        if wrong.any():
            row = start + int(wrong.argmax())
            raise InputError(f"{self.path}: row {row} of `{self.column}` is no vector of {self.dimensions}. Try: write the table again.")
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.dimensions)
        found = from_int8(values, np.array(self.steps, np.float32)) if self.steps else values.astype(np.float32)
        if not np.isfinite(found).all():
            row = start + int((~np.isfinite(found)).any(1).argmax())
            raise InputError(f"{self.path}: row {row} of `{self.column}` has a value that is not finite. Try: leave that row out.")
        return found


def open_table(path: Path, column: str = "") -> EmbeddingTable:
    """Open a table of vectors.

    Args:
        path: A Parquet file.
        column: Name of the column of vectors; by default `embedding`, or what it is usually called elsewhere.

    Raises:
        InputError: where the file cannot be read or has no such column.
    """
    check_installed(path, "pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise InputError(f"{path}: no such file. Try: the table that `omnifuse embed` wrote.")
    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not a Parquet file ({str(error).splitlines()[0]}). Try: the table that `omnifuse embed` wrote."
        ) from None
    with file:
        schema, metadata = file.schema_arrow, file.metadata.metadata or {}
        lists = [one.name for one in schema if pa.types.is_list(one.type) or pa.types.is_fixed_size_list(one.type)]
        lists = [name for name in lists if _is_number(schema.field(name).type.value_type)]
        name = column or next((one for one in _NAMES if one in lists), "")
        if name not in lists:
            raise InputError(
                f"{path}: no column of vectors {f'{name!r} ' if name else ''}among {', '.join(schema.names)}. "
                f"Try: {f'--column {lists[0]}' if lists else 'the table that `omnifuse embed` wrote'}."
            )
        if not file.metadata.num_rows:
            raise InputError(f"{path}: has no rows. Try: the table that `omnifuse embed` wrote.")
        found = schema.field(name).type
        dim = found.list_size if pa.types.is_fixed_size_list(found) else len(next(file.iter_batches(1, columns=[name]))[0][0].as_py() or [])
        rows = file.metadata.num_rows
    about = json.loads(metadata[KEY]) if KEY in metadata else {}
    steps = tuple(about.get("emb:quantization", {}).get("scale", ()))
    if pa.types.is_integer(found.value_type) and len(steps) != dim:
        raise InputError(f"{path}: `{name}` holds whole numbers without their scale. Try: a table with `emb:quantization`.")
    return EmbeddingTable(path, rows, dim, name, steps if pa.types.is_integer(found.value_type) else (), about)


def _opened(path: Path) -> Any:
    """Open a Parquet file to be read bit by bit: by default pyarrow takes the bytes of all pieces to come into memory."""
    from pyarrow import parquet

    return parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)


def _is_number(dtype: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(dtype) or pa.types.is_integer(dtype))
