"""A raster on disk or at an address: what its header says, and windows of its pixels.

GDAL reads paths, `https://`, `s3://`, `gs://`, `az://` and its own `/vsi…`; fsspec reads whatever else it has a file system for; a path
that ends in `.zarr`, or goes on behind that with `#` and the name of an array, is read by xarray; `@` and `axis=number` behind that
choose one image of a series, as in `store.zarr#s2@time=3`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from omnifuse.data.extras import check_installed
from omnifuse.errors import InputError

_BY_GDAL = ("", "file", "http", "https", "s3", "gs", "az", "oss", "zip", "tar", "gzip")
_BLOCK = 2**30  # bytes: GDAL reads blocks whole, and a small file may hold a vast one
_LOCAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}  # else the folder is listed for every file; those beside it are still looked for
_REMOTE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_TIMEOUT": "60", "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "1"}


@dataclass(frozen=True)
class Header:
    """What a raster says of itself.

    Attributes:
        path: Path or address.
        crs: Reference system, such as `EPSG:32631`.
        left: West edge, in the unit of `crs`.
        top: North edge.
        width: Pixels from west to east.
        height: Pixels from north to south.
        pixel_width: Side of a pixel from west to east, in the unit of `crs`.
        pixel_height: Side of a pixel from north to south.
        dtype: Type of the stored numbers.
        names: Description of each band; empty where it has none.
        units: Unit of each band; empty where it has none.
        scales: Factor of each band: value = stored × scale + offset.
        offsets: Summand of each band.
        nodata: Stored number that means no data; None where there is none.
        metric: Metres in a unit of `crs`; 0 where that is an angle.
    """

    path: str
    crs: str
    left: float
    top: float
    width: int
    height: int
    pixel_width: float
    pixel_height: float
    dtype: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodata: float | None
    metric: float

    @property
    def gsd(self) -> float:
        """Metres per pixel; for a raster in degrees from north to south, to three digits."""
        if self.metric:
            return self.pixel_width * self.metric
        return float(f"{self.pixel_height * 111_320:.3g}")  # metres per degree of latitude

    def extent(self) -> str:
        """Return the ground it covers, for a message."""
        right, bottom = self.left + self.width * self.pixel_width, self.top - self.height * self.pixel_height
        digits = ".2f" if self.metric else ".5f"
        return f"{self.left:{digits}}…{right:{digits}}, {bottom:{digits}}…{self.top:{digits}} ({self.crs})"


def read_header(path: str) -> Header:
    """Return what the header of a raster says.

    Raises:
        InputError: where it cannot be read, has no reference system, or its pixels are turned.
    """
    if is_zarr(path):
        with _zarr(path) as array:
            return _zarr_header(path, array)
    with _opened(path) as image:
        crs, transform = image.crs, image.transform
        if crs is None:
            raise InputError(f"{path}: has no coordinate reference system. Try: `gdal_edit.py -a_srs EPSG:… {path}`.")
        if not np.isfinite(transform[:6]).all():
            raise InputError(f"{path}: its pixels lie at coordinates that are not finite. Try: `gdal_edit.py -a_ullr … {path}`.")
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise InputError(f"{path}: its pixels are turned, expected north up. Try: `gdalwarp {path} north_up.tif`, and name that.")
        _check_blocks(path, image)
        return Header(
            path=path,
            crs=crs.to_string(),
            left=transform.c,
            top=transform.f,
            width=image.width,
            height=image.height,
            pixel_width=transform.a,
            pixel_height=-transform.e,
            dtype=image.dtypes[0],
            names=tuple(name or "" for name in image.descriptions),
            units=tuple(unit or "" for unit in image.units),
            scales=tuple(image.scales),
            offsets=tuple(image.offsets),
            nodata=image.nodata,
            metric=metres_per_unit(crs),
        )


def _check_blocks(path: str, image: Any) -> None:
    height, width = image.block_shapes[0]
    together = image.count if image.interleaving is not None and image.interleaving.name == "pixel" else 1
    stored = height * width * together * np.dtype(image.dtypes[0]).itemsize
    if stored > _BLOCK:
        raise InputError(
            f"{path}: stored in blocks of {width} × {height} pixels, {stored / 2**30:.3g} GB each, which are read whole. "
            f"Try: `gdal_translate -of COG {path} tiled.tif`, and name that."
        )


def read_window(header: Header, index: tuple[int, ...], row: int, column: int, height: int, width: int) -> Num[np.ndarray, "c h w"]:
    """Return stored numbers of the bands `index` (from 1); the window lies within the raster.

    Raises:
        InputError: where they cannot be read.
    """
    if is_zarr(header.path):
        with _zarr(header.path) as array:
            window = array.isel(y=slice(row, row + height), x=slice(column, column + width), band=[i - 1 for i in index])
            return np.asarray(window.values)
    from rasterio.windows import Window

    with _opened(header.path) as image:
        return image.read(list(index), window=Window(column, row, width, height))


def read_tags(path: str) -> dict[str, str]:
    """Return the texts that a raster carries beside its header, such as `datetime`; none for Zarr."""
    if is_zarr(path):
        return {}
    with _opened(path) as image:
        domains = [None, *(name for name in image.tag_namespaces() if name in ("IMAGERY", ""))]
        return {key: str(value) for domain in domains for key, value in image.tags(ns=domain).items()}


def color_table(path: str) -> dict[int, tuple[int, ...]]:
    """Return red, green, blue and alpha by stored number; empty where the raster has no colour table."""
    if is_zarr(path):
        return {}
    with _opened(path) as image:
        try:
            return dict(image.colormap(1))
        except ValueError:
            return {}


def metres_per_unit(crs: Any) -> float:
    """Return the metres in a unit of a reference system of rasterio; 0 where that is an angle."""
    return float(crs.linear_units_factor[1]) if crs.is_projected else 0.0


def is_zarr(path: str) -> bool:
    return path.partition("#")[0].rstrip("/").endswith(".zarr")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    import rasterio

    scheme = path.partition("://")[0] if "://" in path else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # an error of ours
        if not scheme and Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
            raise InputError(f"{path}: is no file but a pipe or a device, which may never end. Try: a file.")
        try:
            if scheme in _BY_GDAL:
                with rasterio.Env(**(_LOCAL if scheme in ("", "file") else _REMOTE)), rasterio.open(path) as image:
                    yield image
            else:
                check_installed(path, "fsspec")
                import fsspec

                with fsspec.open(path) as stream, rasterio.open(stream) as image:
                    yield image
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{path}: no such file. Try: a path relative to the table, or an address.") from None
        except (rasterio.errors.RasterioError, rasterio.errors.RasterioIOError, OSError, ValueError, ImportError) as error:
            missing = "No such file" in str(error)
            what = "no such file" if missing else f"cannot be read ({error.__cause__ or error})"  # rasterio points to GDAL's word
            remedy = "a path relative to the table, or an address" if missing else "open it with `gdalinfo`, or copy it again"
            raise InputError(f"{path}: {what}. Try: {remedy}.") from None


@contextmanager
def _zarr(path: str) -> Iterator[Any]:
    """Open an array of a Zarr store with axes (band, y, x)."""
    check_installed(path, "rioxarray")
    import rioxarray  # noqa: F401 (adds `.rio`)

    store, _, name = path.partition("#")
    name, _, image = name.partition("@")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of metadata that are not consolidated
            dataset = _opened_store(store, _changed(store)) if image else _open_store(store)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{store}: cannot be read ({type(error).__name__}: {error}). Try: a Zarr store that xarray opens.") from None
    with nullcontext(dataset) if image else dataset:
        names = [str(key) for key, value in dataset.data_vars.items() if value.ndim >= 2]
        if (not name and len(names) != 1) or (name and name not in names):
            raise InputError(f"{store}: arrays {', '.join(names) or 'none'}. Try: name one of them behind the path, as in `{store}#name`.")
        array = dataset[name or names[0]]
        if image:
            axis, _, number = image.rpartition("=")
            array = array.isel({axis: int(number)})
        rest = [axis for axis in array.dims if axis not in ("y", "x")]
        if not {"y", "x"} <= set(array.dims) or len(rest) > 1:
            raise InputError(f"{path}: axes {', '.join(map(str, array.dims))}, expected (band, y, x). Try: select along the others.")
        array = array.rename({rest[0]: "band"}) if rest else array.expand_dims("band")
        yield array.transpose("band", "y", "x")


def _open_store(store: str) -> Any:
    import xarray

    return xarray.open_zarr(store, mask_and_scale=False, decode_coords="all", chunks=None)


@lru_cache(maxsize=8)
def _opened_store(store: str, changed: int) -> Any:
    """Return a store that stays open: opening takes as long as many windows, and an image of a series is read window by window."""
    return _open_store(store)


def _changed(store: str) -> int:
    """Return when the metadata of a local store changed, so that one that was written anew is opened anew."""
    file = Path(store) / "zarr.json"
    return file.stat().st_mtime_ns if file.is_file() else 0


def _zarr_header(path: str, array: Any) -> Header:
    crs = array.rio.crs
    if crs is None:
        raise InputError(f"{path}: has no coordinate reference system. Try: `array.rio.write_crs(…)` before it is written.")
    steps = [np.diff(array.coords[axis].values.astype(np.float64)) if axis in array.coords else np.zeros(0) for axis in ("x", "y")]
    if not all(len(step) and np.allclose(step, step[0], rtol=1e-4) for step in steps) or steps[0][0] <= 0 or steps[1][0] >= 0:
        raise InputError(
            f"{path}: needs evenly spaced coordinates, `x` ascending and `y` descending. Try: `array.sortby('y', ascending=False)`."
        )
    width, height = float(steps[0].mean()), float(-steps[1].mean())
    names = array.coords["band"].values if "band" in array.coords else [""] * array.sizes["band"]
    texts = tuple(str(name) if isinstance(name, str) else "" for name in names)
    nodata, unit = array.attrs.get("_FillValue", array.rio.nodata), str(array.attrs.get("units", ""))
    return Header(
        path=path,
        crs=crs.to_string(),
        left=float(array.coords["x"][0]) - width / 2,
        top=float(array.coords["y"][0]) + height / 2,
        width=array.sizes["x"],
        height=array.sizes["y"],
        pixel_width=width,
        pixel_height=height,
        dtype=str(array.dtype),
        names=texts,
        units=(unit,) * len(texts),
        scales=(float(array.attrs.get("scale_factor", 1.0)),) * len(texts),
        offsets=(float(array.attrs.get("add_offset", 0.0)),) * len(texts),
        nodata=None if nodata is None else float(nodata),
        metric=metres_per_unit(crs),
    )
