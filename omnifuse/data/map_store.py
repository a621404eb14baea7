"""Maps of areas as a Zarr v3 store that xarray, rioxarray and GDAL open: CF coordinates, `spatial_ref`, class names as flags."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from omnifuse.config import read_json
from omnifuse.data.durable import sync
from omnifuse.data.extras import check_installed

CHUNK = 256  # cells along a side of what is read at a time, where a block is a multiple of it


@dataclass(frozen=True)
class MapArray:
    """One array of a map.

    Attributes:
        name: Of the array.
        bands: Name of each band; an array of one band has no axis for them.
        dtype: Type of the stored numbers.
        nodata: Stored number that means no data.
        attributes: CF attributes, such as `units`, `scale_factor` or `flag_values`.
        block: Returns the values of the block that starts at a row and a column.
    """

    name: str
    bands: tuple[str, ...]
    dtype: str
    nodata: float
    block: Callable[[int, int], Num[np.ndarray, "b h w"]]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write_map_store(
    out: Path,
    arrays: Sequence[MapArray],
    *,
    crs: str,
    upper_left: tuple[float, float],
    gsd: float,
    shape: tuple[int, int],
    side: int,
    attributes: Mapping[str, Any],
    scratch: Path,
) -> None:
    """Write a map block by block; what is at `out` is replaced at the last moment.

    Args:
        out: The store.
        arrays: What it holds.
        crs: Reference system, as GDAL reads it.
        upper_left: x and y of the upper left corner.
        gsd: Side of a cell, in the unit of `crs`.
        shape: Rows and columns of cells.
        side: Rows and columns of a block: of a shard, which is written once and by nobody else.
        attributes: Of the store.
        scratch: Folder on the same disk that it is written to first; removed if it is there.
    """
    check_installed(out, "rasterio")
    import zarr
    from rasterio.crs import CRS

    shutil.rmtree(scratch, ignore_errors=True)
    system = CRS.from_user_input(crs)
    group = zarr.create_group(scratch, zarr_format=3, attributes={"Conventions": "CF-1.10", **attributes})
    edges = (upper_left[1], -gsd), (upper_left[0], gsd)
    for axis, (start, step), cells in zip("yx", edges, shape, strict=True):
        told = {"standard_name": f"projection_{axis}_coordinate", "units": "m", "axis": axis.upper()}
        group.create_array(axis, data=start + step * (np.arange(cells) + 0.5), dimension_names=(axis,), attributes=told)
    transform = f"{upper_left[0]!r} {gsd!r} 0.0 {upper_left[1]!r} 0.0 {-gsd!r}"
    reference = {"crs_wkt": system.to_wkt(), "spatial_ref": system.to_wkt(), "GeoTransform": transform}
    group.create_array("spatial_ref", data=np.array(0), dimension_names=(), attributes=reference)
    chunk = math.gcd(side, CHUNK)
    chunk = chunk if chunk >= 32 else side
    for array in arrays:
        several = (len(array.bands),) if len(array.bands) > 1 else ()
        made = group.create_array(
            array.name,
            shape=(*several, *shape),
            dtype=array.dtype,
            chunks=(*several, chunk, chunk),
            shards=(*several, side, side),
            fill_value=array.nodata,
            dimension_names=(*(("band",) if several else ()), "y", "x"),
            attributes={"grid_mapping": "spatial_ref", "band_names": list(array.bands), **_fill(array), **array.attributes},
        )
        for row in range(0, shape[0], side):
            for col in range(0, shape[1], side):
                block = array.block(row, col)
                window = slice(row, row + block.shape[1]), slice(col, col + block.shape[2])
                made[(..., *window)] = block if several else block[0]
    for path in _all(scratch):
        sync(path)
    if out.exists():
        gone = out.with_name(f".gone_{out.name}_{os.getpid()}")
        out.rename(gone)
        scratch.rename(out)
        shutil.rmtree(gone, ignore_errors=True)
    else:
        scratch.rename(out)
    sync(out.parent)


def _fill(array: MapArray) -> dict[str, int]:
    """Return the attribute by which xarray masks; a missing float is NaN and needs none."""
    return {"_FillValue": int(array.nodata)} if np.isfinite(array.nodata) else {}


def _all(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file())


def read_map_attributes(store: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of each array of a map's store by its name, and of the store itself under an empty one.

    Raises:
        ConfigError: for metadata that are no JSON.
    """
    found = {"": store / "zarr.json"} | {file.parent.name: file for file in sorted(store.glob("*/zarr.json"))}
    return {name: dict(read_json(file).get("attributes", {})) for name, file in found.items() if file.is_file()}
