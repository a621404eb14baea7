"""A scene's own imagery under its map: three bands, or one, on the map's ground, stretched for the eye."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from omnifuse.data.raster_file import Header, is_zarr, read_header, read_window
from omnifuse.data.sources.raster_bands import band_key
from omnifuse.errors import InputError
from omnifuse.modalities import MODALITIES

_CUT = 2.0  # percent of the darkest and of the brightest pixels that the stretch gives up
_QUALITY = 90  # of 100; the picture is for looking, the classes beside it are exact


@dataclass(frozen=True)
class Picture:
    """Imagery on the ground of a map.

    Attributes:
        name: File it comes from, without folder.
        note: Its bands, stretch and pixel size, in words.
        pixels: Red, green, blue and opacity.
    """

    name: str
    note: str
    pixels: UInt8[np.ndarray, "h w 4"]

    def webp(self) -> bytes:
        """Return the picture as a file for browsers."""
        stream = io.BytesIO()
        Image.fromarray(self.pixels, "RGBA").save(stream, "WEBP", quality=_QUALITY, method=4)
        return stream.getvalue()


def read_picture(path: str, ground: Header, most: int, bands: Sequence[str] = ()) -> Picture:
    """Read imagery onto the ground of a map, at its own pixel size, or at most `most` pixels along the longer side.

    Args:
        path: GeoTIFF or any other raster, in any reference system.
        ground: Of the map.
        most: Pixels along the longer side of the picture.
        bands: Names or numbers (from 1) of three bands, or of one that is shown grey. Without them: red, green and blue by color
            interpretation or name, those that a known sensor shows, or what there is in a file of up to three bands.

    Raises:
        InputError: where it cannot be read, has no such band, or none of it lies on the map.
    """
    header = read_header(path)
    chosen = _chosen(header, _color_bands(path), bands)
    fine = min(1.0, header.gsd / ground.gsd)
    scale = min(1 / fine, most / max(ground.width, ground.height))
    width, height = (max(1, round(side * scale)) for side in (ground.width, ground.height))
    values = _on_ground(header, chosen, ground, height, width)
    valid = np.isfinite(values).all(0)
    if not valid.any():
        raise InputError(f"{path}: covers {header.extent()}, nothing of the map: {ground.extent()}. Try: imagery of the same area.")
    stretched = np.stack([_stretched(band, band[valid]) for band in values], -1)
    colors = np.broadcast_to(stretched, (height, width, 3))
    names = [header.names[i - 1] or f"band {i}" for i in chosen]
    if len(set(names)) < len(names):
        names = [f"band {i}" for i in chosen]
    note = f"{', '.join(names)}; {100 - 2 * _CUT:.0f} % stretch; pixels of {header.gsd:g} m"
    shown = ground.gsd / scale
    if shown > 1.01 * header.gsd:
        note += f", shown at {shown:.3g} m"
    return Picture(Path(path.partition("#")[0]).name, note, np.concatenate([colors, np.uint8(255) * valid[..., None]], -1))


def _chosen(header: Header, color_bands: tuple[int, ...], asked: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers (from 1) of the bands that make the picture."""
    keys = [band_key(name) for name in header.names]
    if asked:
        if len(asked) not in (1, 3):
            raise InputError(f"{header.path}: a picture of {len(asked)} bands. Try: three for red, green and blue, or one.")
        return tuple(_number(header, keys, name) for name in asked)
    if len(color_bands) == 3:
        return color_bands
    known = [("red", "green", "blue"), *(tuple(band_key(m.bands[i]) for i in m.rgb) for m in MODALITIES.values())]
    for names in known:
        if all(keys.count(name) == 1 for name in names):
            return tuple(keys.index(name) + 1 for name in names)
    if len(keys) <= 3:
        return (1, 2, 3) if len(keys) == 3 else (1,)
    described = ", ".join(header.names) if any(header.names) else "without names"
    raise InputError(f"{header.path}: {len(keys)} bands, {described}: none are known to make a picture. Try: `--bands 4 3 2`, or names.")


def _number(header: Header, keys: list[str], name: str) -> int:
    if keys.count(band_key(name)) == 1:
        return keys.index(band_key(name)) + 1
    if name.isdecimal() and 1 <= int(name) <= len(keys):
        return int(name)
    raise InputError(f"{header.path}: no band {name!r} among {', '.join(n for n in header.names if n) or len(keys)}. Try: a number from 1.")


def _color_bands(path: str) -> tuple[int, ...]:
    """Return the bands that the file itself calls red, green and blue."""
    import rasterio
    from rasterio.enums import ColorInterp

    if is_zarr(path):
        return ()
    with rasterio.open(path) as image:
        meant = list(image.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return tuple(meant.index(color) + 1 for color in wanted if color in meant)


def _on_ground(header: Header, index: tuple[int, ...], ground: Header, height: int, width: int) -> Float[np.ndarray, "c h w"]:
    """Return bands on the map's ground, the mean of what a pixel covers; NaN where there is nothing."""
    import rasterio
    from rasterio import Affine
    from rasterio.warp import Resampling, reproject, transform_bounds

    across, down = ground.width * ground.pixel_width, ground.height * ground.pixel_height
    bounds = (ground.left, ground.top - down, ground.left + across, ground.top)
    target = np.full((len(index), height, width), np.nan, np.float32)
    try:
        west, south, east, north = transform_bounds(ground.crs, header.crs, *bounds)
        first, last = (int((edge - header.left) // header.pixel_width) for edge in (west, east))
        upper, lower = (int((header.top - edge) // header.pixel_height) for edge in (north, south))
        first, upper = max(first - 1, 0), max(upper - 1, 0)
        columns, rows = min(last + 2, header.width) - first, min(lower + 2, header.height) - upper
        if columns <= 0 or rows <= 0:
            return target
        source, step = _read(header, index, (upper, first, rows, columns), 2 * max(height, width))
        reproject(
            source,
            target,
            src_transform=Affine(
                step[1] * header.pixel_width,
                0,
                header.left + first * header.pixel_width,
                0,
                -step[0] * header.pixel_height,
                header.top - upper * header.pixel_height,
            ),
            src_crs=header.crs,
            src_nodata=np.nan,
            dst_transform=Affine(across / width, 0, ground.left, 0, -down / height, ground.top),
            dst_crs=ground.crs,
            dst_nodata=np.nan,
            resampling=Resampling.average,
        )
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError, OSError) as error:
        raise InputError(f"{header.path}: cannot be read ({error}). Try: open it with `gdalinfo`, or copy it again.") from None
    return target


def _read(
    header: Header, index: tuple[int, ...], window: tuple[int, int, int, int], most: int
) -> tuple[Float[np.ndarray, "c h w"], tuple[float, float]]:
    """Return bands of a window (row, column, height, width) with at most `most` pixels a side, and the stored pixels in each of them."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    row, column, height, width = window
    shape = (min(height, most), min(width, most))
    if is_zarr(header.path):
        values: Any = np.ma.masked_invalid(read_window(header, index, row, column, height, width).astype(np.float32))
        if header.nodata is not None:
            values = np.ma.masked_equal(values, header.nodata)
        shape = (height, width)
    else:
        with rasterio.open(header.path) as image:
            place = Window(column, row, width, height)
            values = image.read(list(index), window=place, out_shape=(len(index), *shape), masked=True, resampling=Resampling.average)
    return values.astype(np.float32).filled(np.nan), (height / shape[0], width / shape[1])


def _stretched(band: Float[np.ndarray, "h w"], valid: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "h w"]:
    low, high = np.percentile(valid, [_CUT, 100 - _CUT])
    share = (band - low) / (high - low if high > low else 1.0)
    return np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
