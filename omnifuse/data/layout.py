"""Zarr v3 metadata of a store's groups and arrays, and small arrays that are one chunk."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from omnifuse.data.chunks import chunk_file, finish_chunk, write_rows

Document = dict[str, Any]

CRC32C: Document = {"name": "crc32c"}


def raw_codec(dtype: np.dtype[Any]) -> Document:
    """Return the codec of values as they are: little endian."""
    return {"name": "bytes"} if dtype.itemsize == 1 else {"name": "bytes", "configuration": {"endian": "little"}}


def group_document(attributes: Mapping[str, Any]) -> Document:
    """Return the `zarr.json` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def array_document(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    chunk: Sequence[int],
    codecs: Sequence[Document],
    axes: Sequence[str],
    attributes: Mapping[str, Any],
) -> Document:
    """Return the `zarr.json` of an array; a value that is not there reads as `_FillValue` of its attributes, else as zero."""
    fill = attributes.get("_FillValue", False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": fill,
        "codecs": list(codecs),
        "dimension_names": list(axes),
        "storage_transformers": [],
        "attributes": dict(attributes),
    }


def write_document(folder: Path, document: Document) -> None:
    """Write the `zarr.json` of a group or array."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(document), encoding="utf-8")


def write_small(
    folder: Path, values: Shaped[np.ndarray, "..."], axes: Sequence[str], attributes: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write an array that is one uncompressed chunk with a CRC-32C to a new folder; return its files."""
    dtype, chunk = values.dtype.newbyteorder("="), [max(n, 1) for n in values.shape]
    write_document(folder, array_document(values.shape, dtype, chunk, (raw_codec(dtype), CRC32C), axes, attributes or {}))
    if not values.size:
        return [folder / "zarr.json"]
    file = chunk_file(folder, 0, values.ndim)
    finish_chunk(file, write_rows(file, values), math.prod(chunk) * dtype.itemsize)
    return [folder / "zarr.json", file]


def is_numeric(column: Sequence[Any]) -> bool:
    """Whether a metadata column is an array: all of one type of number; any other is a JSON list."""
    kinds = {type(value) for value in column}
    return kinds == {float} or (kinds == {int} and max(map(abs, column)) < 2**63)
