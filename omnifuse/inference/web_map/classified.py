"""A classified raster as a screen can show it: reduced by the most frequent class, its areas counted at full resolution."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from omnifuse.data.map_store import read_map_attributes
from omnifuse.data.raster_file import Header, color_table, is_zarr, read_header
from omnifuse.data.sources.raster_labels import Legend, class_ids, read_legend
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.web_map.ground import pixel_areas
from omnifuse.inference.web_map.reducing import NO_DATA, factor_for, most_frequent, strips


@dataclass(frozen=True)
class Classified:
    """A map of classes.

    Attributes:
        header: Of the raster at full resolution.
        names: Name of class 0, 1, ...
        colors: `#rrggbb` of each.
        classes: Number of the class of each pixel of the reduced map; 255 where there is none.
        factor: Pixels of the raster along one of the reduced map.
        hectares: Area of each class on the ellipsoid, at full resolution; the last is what has no class.
    """

    header: Header
    names: tuple[str, ...]
    colors: tuple[str, ...]
    classes: UInt8[np.ndarray, "h w"]
    factor: int
    hectares: Float[np.ndarray, " k_and_none"]


def read_classified(path: str, most: int, classes: Path | None = None) -> Classified:
    """Read a raster of class numbers, whose names and colors are beside it or in it.

    Args:
        path: GeoTIFF or any other raster; the first band counts.
        most: Pixels along its longer side that are kept; more are reduced by a whole factor.
        classes: A `classes.json` in place of the raster's own category names and color table.

    Raises:
        InputError: where it holds no class numbers, or a number that is no class.
        ConfigError: for a `classes.json` that is not there or wrong.
    """
    header = read_header(path)
    if np.dtype(header.dtype).kind not in "ui":
        raise InputError(
            f"{path}: holds {header.dtype} numbers, expected whole numbers of classes. Try: a map of classes; quantities have no page yet."
        )
    legend = replace(_legend(path, classes), ignore=NO_DATA)
    count = len(legend.names)
    if count >= NO_DATA:
        raise InputError(f"{path}: {count} classes, at most {NO_DATA - 1} can be shown. Try: a `--classes` file that names fewer.")
    factor, areas = factor_for(header, most), pixel_areas(header)
    reduced, hectares = [], np.zeros(count + 1)
    for row, values in strips(header, 1, factor):
        missing = values == header.nodata if header.nodata is not None else np.zeros(values.shape, bool)
        found = class_ids(values, missing, legend, path).astype(np.uint8)
        reduced.append(most_frequent(found, count, factor))
        pixels = np.stack([(found == number).sum(1) for number in [*range(count), NO_DATA]])
        hectares += pixels @ areas[row : row + len(values)] / 1e4
    return Classified(header, legend.names, legend.table.colors, np.concatenate(reduced), factor, hectares)


def read_facts(path: str) -> dict[str, str]:
    """Return what `omnifuse predict` has written into a map: its sensors, and the model with the start of its weights' SHA-256."""
    if is_zarr(path):
        tags = read_map_attributes(Path(path.partition("#")[0])).get("", {})
    else:
        import rasterio

        with rasterio.open(path) as image:
            tags = image.tags()
    facts = {"Sensors": tags.get("sensors", "").replace(" ", ", "), "Model": tags.get("model", "")}
    if tags.get("weights_sha256"):
        facts["Model"] += f" ({tags['weights_sha256'][:12]})"
    return {name: value for name, value in facts.items() if value}


def _legend(path: str, classes: Path | None) -> Legend:
    """Return names and colors: as asked for, else from the file beside the raster, or from what the raster says of itself."""
    if classes is not None:
        if not classes.is_file():
            raise ConfigError(f"{classes}: no such file. Try: a JSON file with `names` and `colors`.")
        return read_legend(classes, path)
    if is_zarr(path):
        store, _, array = path.partition("#")
        told = read_map_attributes(Path(store)).get(array, {})
        names = tuple(told.get("class_names", ()))
        if names:
            return Legend(names, tuple(str(told.get("flag_colors", "")).split()))
    elif not Path(f"{path}.aux.xml").is_file():
        import rasterio

        with rasterio.open(path) as image:
            tags = image.tags(1)
        names = tuple(tags[f"CLASS_{number}"] for number in range(len(tags)) if f"CLASS_{number}" in tags)
        if names:
            table = color_table(path)
            colors = tuple("#{:02x}{:02x}{:02x}".format(*table[number][:3]) for number in range(len(names)) if number in table)
            return Legend(names, colors if len(colors) == len(names) else ())
    return read_legend(Path(f"{path}.classes.json"), path)
