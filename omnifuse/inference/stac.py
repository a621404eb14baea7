"""STAC items beside outputs: where a map or embeddings lie, of which dates, made by which model, what their values mean.

STAC 1.1 with the extensions projection 2.0, classification 2.0 and processing 1.2; names of embedding products are those of the
`emb` extension 0.0.1, a proposal that may still change. Nothing in an item depends on when or where it was written.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from omnifuse import __version__
from omnifuse.classes import ClassTable
from omnifuse.config import write_json
from omnifuse.inference.footprint import Outline, bbox, geojson, outlines
from omnifuse.inference.scene import Grid

Json = dict[str, Any]
_EXTENSION = "https://stac-extensions.github.io/{}/schema.json".format
_PROJECTION, _CLASSES = _EXTENSION("projection/v2.0.0"), _EXTENSION("classification/v2.0.0")
_PROCESSING, _EMBEDDING = _EXTENSION("processing/v1.2.0"), _EXTENSION("embeddings/v0.0.1")
_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".zarr": "application/vnd.zarr; version=3",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".json": "application/json",
}


@dataclass(frozen=True)
class Made:
    """How an output came about.

    Attributes:
        model: What it was asked for by: a folder, a name, or `org/name@commit` on a hub.
        sha256: Of the model's weights.
        sensors: Sensors that took part.
        first: Date of the first image.
        last: Date of the last image.
        sources: Addresses or paths of the images or of the store.
        options: What else the result depends on, as plain JSON types.
    """

    model: str
    sha256: str
    sensors: tuple[str, ...]
    first: date
    last: date
    sources: tuple[str, ...] = ()
    options: Json = field(default_factory=dict)


def stac_item_for_map(
    path: Path, grid: Grid, made: Made, classes: ClassTable, *, nodata: int | None = 255, others: Mapping[str, Path] | None = None
) -> Json:
    """Return the STAC item of a predicted map.

    Args:
        path: The map of classes; the item is meant to lie in the same folder (`write_item`).
        grid: Its cells.
        made: How it came about.
        classes: What its values mean.
        nodata: Its value where there is no data; None where it has none.
        others: Further files by the key of their asset, such as `confidence` and `probabilities`.
    """
    table = [
        {"value": value, "name": _name(name), "title": name, "color_hint": color.lstrip("#").upper()}
        for value, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    ]
    if nodata is not None:
        table.append({"value": nodata, "name": "no_data", "title": "no data", "nodata": True})
    band: Json = {"name": "classes", "data_type": "uint8"} | ({} if nodata is None else {"nodata": nodata})
    assets = {"classes": _asset(path, "Classes", ["data"]) | {"bands": [band], "classification:classes": table}}
    assets |= {key: _asset(one, key.replace("_", " ").capitalize(), ["data"]) for key, one in (others or {}).items()}
    return _item(path, _outline(grid), made, assets, _projection(grid), [_PROJECTION, _CLASSES, _PROCESSING], [])


@dataclass(frozen=True)
class Vectors:
    """What embeddings are.

    Attributes:
        dimensions: Numbers of a vector.
        dtype: Of the stored numbers: float32, float16 or int8.
        scale: Value of one step of each dimension, where numbers are int8; the value is stored × scale.
        gsd: Metres from one vector to the next, or the side of a place.
        chips: Whether a vector is of a place, in a table; else of a cell of a map.
        chip: Side of a place in cells of `chip_gsd`.
        stride: Cells from one place to the next; 0 where places lie anywhere.
    """

    dimensions: int
    dtype: str
    gsd: float
    chips: bool
    scale: tuple[float, ...] = ()
    chip: int = 0
    stride: int = 0

    def fields(self) -> Json:
        """Return them under the names of the `emb` extension."""
        found: Json = {"emb:type": "chip" if self.chips else "pixel", "emb:dimensions": self.dimensions, "data_type": self.dtype}
        found["gsd"] = self.gsd
        if self.chips:
            found["emb:chip_layout"] = {"layout_type": "regular_grid" if self.stride else "variable_grid"}
            found["emb:chip_layout"] |= {"chip_size": [self.chip, self.chip]} if self.chip else {}
            found["emb:chip_layout"] |= {"stride": [self.stride, self.stride]} if self.stride else {}
        if self.scale:
            found["emb:quantization"] = {
                "method": "linear",
                "original_dtype": "float32",
                "quantized_dtype": self.dtype,
                "scale": list(self.scale),
                "offset": [0.0] * len(self.scale),
            }
        return found


def stac_item_for_embeddings(
    path: Path,
    where: Grid | Outline,
    made: Made,
    vectors: Vectors,
    *,
    others: Mapping[str, Path] | None = None,
    picture: Path | None = None,
) -> Json:
    """Return the STAC item of embeddings.

    Args:
        path: The file or store; the item is meant to lie in the same folder (`write_item`).
        where: Cells of a map, or the outline of all places of a table.
        made: How they came about.
        vectors: What they are.
        others: The same in other formats, by the key of their asset.
        picture: An image for people, where there is one.
    """
    assets = {"embeddings": _asset(path, "Embeddings", ["data", "embeddings"])}
    assets |= {key: _asset(one, key.replace("_", " ").capitalize(), ["data"]) for key, one in (others or {}).items()}
    if picture is not None:
        assets["overview"] = _asset(picture, "Three main directions as red, green and blue", ["overview"])
    grid = where if isinstance(where, Grid) else None
    properties = vectors.fields() | {"emb:runtime_parameters": {"sensors": list(made.sensors), **made.options}}
    properties |= _projection(grid) if grid else {}
    extensions = [*([_PROJECTION] if grid else []), _PROCESSING, _EMBEDDING]
    outline = _outline(where) if isinstance(where, Grid) else where
    return _item(path, outline, made, assets, properties, extensions, ["emb:model", "emb:source-data"])


def write_item(path: Path, item: Json) -> Path:
    """Write an item beside the output it speaks of, as `<output>.stac.json`, and return its path."""
    beside = path.with_name(f"{path.name}.stac.json")
    made = beside.with_name(f".{beside.name}.part")
    write_json(made, item)
    made.replace(beside)
    return beside


def _item(
    path: Path, outline: Outline, made: Made, assets: Mapping[str, Json], properties: Json, extensions: Sequence[str], rels: Sequence[str]
) -> Json:
    model, source = rels or ("derived_from", "derived_from")
    links = [{"rel": model, "href": href, "title": "Model"} for href in _addresses([made.model], path)]
    links += [{"rel": source, "href": href} for href in _addresses(made.sources, path)]
    dates = {"datetime": None, "start_datetime": f"{made.first}T00:00:00Z", "end_datetime": f"{made.last}T23:59:59Z"}
    software = {"processing:software": {"omnifuse": __version__}}
    weights = {"omnifuse:model": Path(made.model).name, "omnifuse:weights_sha256": made.sha256, "omnifuse:sensors": list(made.sensors)}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(extensions),
        "id": path.name,
        "geometry": geojson(outline),
        "bbox": list(bbox(outline)),
        "properties": dates | properties | software | weights,
        "links": links,
        "assets": dict(assets),
    }


def _asset(path: Path, title: str, roles: list[str]) -> Json:
    """Return an asset; its address is relative to the item, which lies in the same folder."""
    return {"href": f"./{path.name}", "type": _TYPES.get(path.suffix, "application/octet-stream"), "title": title, "roles": roles}


def _addresses(given: Sequence[str], path: Path) -> list[str]:
    """Return what can be linked to: addresses, hub ids as addresses, and paths that exist, relative to the folder of `path`."""
    found = []
    for one in given:
        if "://" in one:
            found.append(one)
        elif hub := re.fullmatch(r"([\w.-]+/[\w.-]+)@([\w.-]+)", one):
            found.append(f"https://huggingface.co/{hub[1]}/tree/{hub[2]}")
        elif Path(one).exists():
            found.append(Path(os.path.relpath(one, path.parent)).as_posix())
    return found


def _projection(grid: Grid) -> Json:
    from rasterio.crs import CRS

    crs = CRS.from_user_input(grid.crs)
    code = crs.to_authority()
    known = {"proj:code": ":".join(code)} if code else {"proj:code": None, "proj:wkt2": crs.to_wkt(version="WKT2_2019")}
    return known | {
        "proj:bbox": list(grid.bounds),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [grid.gsd, 0.0, grid.left, 0.0, -grid.gsd, grid.top],
    }


def _outline(grid: Grid) -> Outline:
    return outlines(grid.crs, [grid.left], [grid.top], grid.width * grid.gsd, grid.height * grid.gsd, parts=8)[0]


def _name(name: str) -> str:
    """Return a class name as the extension wants it: letters, digits, `-` and `_`."""
    return re.sub(r"[^0-9A-Za-z_-]+", "_", name).strip("_") or "class"
