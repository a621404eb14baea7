"""Cloud-optimized GeoTIFFs, written block by block: memory does not grow with the map, and equal maps are equal files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Num

from omnifuse.data.durable import sync
from omnifuse.data.extras import check_installed
from omnifuse.inference.layers import Layer
from omnifuse.inference.plan import Unit, write_whole
from omnifuse.inference.qgis import qgis_style
from omnifuse.inference.scene import Grid

TILE = 512  # pixels; units that are multiples of it are written without touching a tile twice
_MANY = 16  # bands
_CACHE = 64  # MB, of GDAL: else it takes a share of the machine's memory, which a large map fills
_OVERVIEW = {
    "classes": "MODE",
    "confidence": "AVERAGE",
    "probabilities": "AVERAGE",
    "quantities": "AVERAGE",
    "embedding": "AVERAGE",
    "picture": "AVERAGE",
}
_HALF = {"float16": ("float32", {"nbits": 16})}  # GDAL computes with float32 and stores halves


def write_cog(
    out: Path,
    grid: Grid,
    layer: Layer,
    blocks: Iterable[tuple[Unit, Num[np.ndarray, "b h w"]]],
    tags: Mapping[str, str],
    scratch: Path,
) -> None:
    """Write one layer of a map with overviews, names, no-data and, for classes, colors; and category names beside it.

    GDAL keeps the names of categories of a GeoTIFF in a file of its own, which `gdalinfo` reads; tags of the band (`CLASS_0`, ...) hold
    them in the GeoTIFF itself; QGIS takes them from a style beside it (`<map>.qml`).

    Args:
        out: File to write, in place of what is there; whole or not at all.
        grid: Its cells.
        layer: What it is.
        blocks: Every unit's block, each once.
        tags: Of the file: how the map was made. No dates of writing, so that equal maps stay equal files.
        scratch: Folder on the disk of `out`, for the map before its tiles are put in order.
    """
    check_installed(out, "rasterio")
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.shutil import copy
    from rasterio.windows import Window

    scratch.mkdir(exist_ok=True)
    dtype, half = _HALF.get(layer.dtype, (layer.dtype, {}))
    side = TILE if len(layer.bands) <= _MANY else TILE // 2  # a reader takes all bands of a tile
    plain, made = scratch / f"{layer.what}.plain.tif", scratch / f"{layer.what}.tif"
    profile = {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": len(layer.bands),
        "dtype": dtype,
        "crs": grid.crs,
        "transform": rasterio.Affine(grid.gsd, 0, grid.left, 0, -grid.gsd, grid.top),
        "nodata": layer.nodata,
        "tiled": True,
        "blockxsize": side,
        "blockysize": side,
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
        "interleave": "band",
        **half,
        **({"photometric": "rgb"} if layer.what == "picture" else {}),
    }
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_PAM_ENABLED="NO"):
        with rasterio.open(plain, "w", **profile) as file:
            file.update_tags(**tags)
            file.descriptions = layer.bands
            file.units = layer.units
            file.scales = layer.scales or (layer.scale,) * len(layer.bands)
            if layer.classes is not None:
                file.colorinterp = [ColorInterp.palette]
                file.write_colormap(1, colors(layer))
                file.update_tags(1, **{f"CLASS_{value}": name for value, name in enumerate(layer.classes.names)})
            for unit, block in blocks:
                file.write(block, window=Window(unit.col, unit.row, unit.width, unit.height))
        copy(
            plain,
            made,
            driver="COG",
            compress="DEFLATE",
            predictor="FLOATING_POINT" if dtype == "float32" else "NO",
            blocksize=side,
            overview_resampling=_OVERVIEW[layer.what],
            bigtiff="IF_SAFER",
            **half,
        )
    plain.unlink()
    sync(made)
    if layer.classes is not None:
        write_whole(out.with_name(f"{out.name}.aux.xml"), categories(layer.classes.names).encode())
        write_whole(out.with_suffix(".qml"), qgis_style(layer.classes).encode())
    made.replace(out)


def colors(layer: Layer) -> dict[int, tuple[int, int, int, int]]:
    """Return the color table of a layer of classes: red, green, blue and opacity of every value; no data is transparent."""
    assert layer.classes is not None
    table = {int(layer.nodata): (0, 0, 0, 0)}
    for value, color in enumerate(layer.classes.colors):
        red, green, blue = bytes.fromhex(color.removeprefix("#"))
        table[value] = (red, green, blue, 255)
    return table


def categories(names: tuple[str, ...]) -> str:
    """Return the file that GDAL reads the names of categories from."""
    rows = "\n".join(f"      <Category>{escape(name)}</Category>" for name in names)
    return (
        f'<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n{rows}\n    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n'
    )
