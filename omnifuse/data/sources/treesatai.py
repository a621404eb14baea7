"""TreeSatAI-TS: tree genera of Lower Saxony seen by an aerial camera and by series of Sentinel-1 and Sentinel-2.

Expects the published layout: `aerial/<tile>.tif`, `sentinel-ts/<tile>_<year>.h5` (or `sentinel/<tile>.h5`), the label file and the
split lists (`<split>_filenames.lst`, or `<split>.csv`). What is read, and by which rule:

* `aerial`: 304×304 pixels of 0.2 m, stored NIR, G, B, R; the place is the inner 300×300 (60 m), in the order R, G, B, NIR.
* `s2`: ten bands, digital numbers (reflectance × 10,000). Clouds stay, unless `max_cover` says otherwise.
* `s1_asc`, `s1_desc`: linear backscatter on disk, read as VV and VH in dB, at least -60, and their difference in dB.
* Values that are not a number, zero or negative are no data. A date on which a band has no data at all is dropped; other gaps take
  the mean of their band on that date, in the unit on disk (as OmniSat does, arXiv:2404.08351).
* Dates are those of the product names. Two passes on one day are two images. An aerial image without a published date is day 0.
* Labels: share of the ground under each genus. A genus counts as present where its share is above 0.07; nothing is rounded here.
* Some published radar series mix both polarizations (VH as strong as VV). They are read as they are; `problems` names them.
* Folds: 1 train, 2 val, 3 test. A tile in several lists belongs to none; nor does one in no list: fold 0, split `none`.
* `mono` adds `s1_mono` and `s2_mono`, the undated images of the first TreeSatAI; those of 200 m bring 70 m around the place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Num, UInt8

from omnifuse.classes import ClassTable
from omnifuse.data.arrays import days_since_1970
from omnifuse.data.extras import check_installed
from omnifuse.data.gaps import without_gaps
from omnifuse.data.ground import locations
from omnifuse.data.place import Place, Series
from omnifuse.data.problems import Problem
from omnifuse.data.sources import treesatai_problems
from omnifuse.data.sources.treesatai_layout import GENERA, SPLITS, TileFiles, find_tiles, label_file, product_days, read_shares
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import MODALITIES, Modality

SIZE = 60.0  # metres
THRESHOLD = 0.07  # a genus is present above this share of the ground
_SIDE = 6  # pixels of 10 m
_MARGIN = 2  # pixels of 0.2 m by which the aerial image exceeds the place
_COVERED = 50.0  # percent: a pixel more probably snow or cloud than not
_NO_LISTING = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}  # GDAL else lists the folder, of 50,000 files, for every image
_MONO_S2 = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12", "B1", "B9")
_COLORS = (
    "#1b5e20",
    "#e53935",
    "#00897b",
    "#c0ca33",
    "#bdbdbd",
    "#8d6e63",
    "#5e35b1",
    "#ffb300",
    "#004d40",
    "#43a047",
    "#29b6f6",
    "#ec407a",
    "#3949ab",
    "#fb8c00",
    "#ab47bc",
)

# Mean and standard deviation over the four tiles that were at hand, to be replaced by those of the training places.
AERIAL = Modality(
    name="aerial",
    title="Aerial RGBI",
    bands=("R", "G", "B", "NIR"),
    gsd=0.2,
    units=("8-bit",) * 4,
    mean=(80.22, 92.53, 89.25, 168.41),
    std=(38.99, 36.32, 25.02, 42.8),
    wavelengths=(660.0, 560.0, 485.0, 830.0),
    series=False,
    rgb=(0, 1, 2),
)


@dataclass(frozen=True)
class _Stored:
    """How a series lies in a file: its key, its bands, and the field of a product name (from 0) that starts with the date.

    Attributes:
        radar: Linear backscatter, to become dB; else digital numbers under clouds, with masks of these.
    """

    key: str
    bands: int
    date_field: int
    radar: bool


_SERIES = {
    "s1_asc": _Stored("sen-1-asc", 2, 4, radar=True),
    "s1_desc": _Stored("sen-1-des", 2, 4, radar=True),
    "s2": _Stored("sen-2", 10, 2, radar=False),
}


class TreeSatAI:
    """Tiles of 60 m with the area share of 15 genera (a `PlaceSource`).

    Args:
        folder: Folder of the data set.
        max_cover: Largest share of a tile that snow or cloud may cover in an image of `s2`; 1 keeps every image.
        mono: Whether to read the undated Sentinel images of the first release too, and which.
    """

    def __init__(self, folder: Path, max_cover: float = 1.0, mono: Literal["none", "60m", "200m"] = "none") -> None:
        if not 0 <= max_cover <= 1:
            raise ConfigError(
                f"TreeSatAI: `max_cover` is {max_cover:g}, a share of the tile is in 0..1. Try: 0.5, or 1 to keep all images."
            )
        self.folder = Path(folder)
        check_installed(self.folder, "rasterio", "h5py")
        self.max_cover = max_cover
        self.mono = mono
        self.size = SIZE
        self.modalities = {name: MODALITIES[name] for name in _SERIES} | {"aerial": AERIAL} | _mono_modalities(mono)
        self.classes = ClassTable(GENERA, _COLORS, exclusive=False, present_above=THRESHOLD)
        self._tiles = find_tiles(self.folder)
        self._shares = read_shares(label_file(self.folder))
        self.info = [_info(tile, files) for tile, files in self._tiles.items()]
        for row, place in zip(self.info, _locations(list(self._tiles.values())), strict=True):
            row.update(place)
        self.provenance = {
            "source": "TreeSatAI-TS, huggingface.co/datasets/IGNF/TreeSatAI-Time-Series"
            + f"; undated images: {mono}"
            + ("" if max_cover == 1 else f"; images of s2 with at most {max_cover:g} of the tile under snow or cloud"),
            "licence": "CC BY 4.0; contains modified Copernicus Sentinel data",
            "citation": "Ahlswede et al., Earth Syst. Sci. Data 15, 2023, doi:10.5194/essd-15-681-2023; Astruc et al., arXiv:2404.08351",
            "labels": f"area share per genus; a genus is present where its share is above {THRESHOLD}",
        }

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        info = self.info[index]
        tile = str(info["id"])
        files = self._tiles[tile]
        series = {}
        if files.aerial is not None:
            day = days_since_1970([files.aerial_date or 0], f"{tile}: aerial date")
            series["aerial"] = Series(_read_aerial(files.aerial)[None], day)
        if len(files.series) > 1:
            raise InputError(
                f"{files.series[1]}: a second series of tile {tile!r}, beside {files.series[0].name}. Try: keep the year you mean."
            )
        if files.series:
            series.update(_read_series(files.series[0], self.max_cover))
        for name, modality in self.modalities.items():
            if name in _MONO:
                folder, read = _MONO[name]
                file = self.folder / folder / self.mono / f"{tile}.tif"
                if file.is_file():
                    series[name] = read(file, modality.pixels(SIZE))
        return Place(series, SIZE, self._shares.get(tile), dict(info))

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the files: names, lists, headers, dates, and radar with mixed polarizations."""
        return treesatai_problems.problems(self.folder, self._tiles, self._shares)


def _mono_modalities(mono: Literal["none", "60m", "200m"]) -> dict[str, Modality]:
    if mono == "none":
        return {}
    context = 70.0 if mono == "200m" else 0.0
    s1 = replace(MODALITIES["s1_asc"], name="s1_mono", title="Sentinel-1, undated", series=False, context=context)
    s2 = replace(MODALITIES["s2"], name="s2_mono", title="Sentinel-2, undated", series=False, context=context)
    return {"s1_mono": s1, "s2_mono": s2}


def _info(tile: str, files: TileFiles) -> dict[str, str | int | float]:
    split = files.splits[0] if len(files.splits) == 1 else "none"
    info: dict[str, str | int | float] = {"id": tile, "fold": SPLITS.index(split) + 1 if split in SPLITS else 0, "split": split}
    if files.aerial_date:
        info["aerial_date"] = files.aerial_date
    return info


def _locations(tiles: list[TileFiles]) -> list[dict[str, str | float]]:
    """Return where each tile lies, from its aerial image; nothing for a tile whose image is missing or damaged."""
    import rasterio

    found: list[dict[str, str | float]] = [{} for _ in tiles]
    corners: dict[int, tuple[str, float, float]] = {}
    systems: dict[str, str] = {}  # naming a system takes ten times as long as opening a file
    with rasterio.Env(**_NO_LISTING):
        for number, files in enumerate(tiles):
            if files.aerial is None:
                continue
            try:
                with rasterio.open(files.aerial) as image:
                    if image.crs is not None:
                        crs = systems.setdefault(image.crs.wkt, image.crs.to_string())
                        left, top = image.transform.c + _MARGIN * 0.2, image.transform.f - _MARGIN * 0.2
                        corners[number] = crs, round(left, 3), round(top, 3)
            except rasterio.errors.RasterioError:  # said when the place is read
                continue
    for number, place in zip(corners, locations(list(corners.values()), SIZE), strict=True):
        found[number] = place
    return found


def _read_aerial(file: Path) -> UInt8[np.ndarray, "4 300 300"]:
    nir, green, blue, red = _read_raster(file, (4, 304, 304), "uint8")
    inner = slice(_MARGIN, -_MARGIN)
    return np.stack([red, green, blue, nir])[:, inner, inner]


def _read_mono_radar(file: Path, side: int) -> Series:
    """Return an undated image of VV, VH and their ratio, in dB already; without frames where a band has no data at all."""
    pixels = _read_raster(file, (3, side, side), "float32")[None, :2]
    missing = ~np.isfinite(pixels) | (pixels == -9999)
    return _with_difference(without_gaps(pixels, missing, np.zeros(1, np.int32), np.mean))


def _read_mono_optical(file: Path, side: int) -> Series:
    """Return an undated image of twelve bands, of which two are not in the series; without frames where a band has no data at all."""
    stored = _read_raster(file, (12, side, side), None).astype(np.float32)
    pixels = stored[None, [_MONO_S2.index(band) for band in MODALITIES["s2"].bands]]
    return without_gaps(pixels, ~(pixels > 0), np.zeros(1, np.int32), np.mean)


_MONO = {"s1_mono": ("s1", _read_mono_radar), "s2_mono": ("s2", _read_mono_optical)}  # folder of the first release, and its reader


def _read_raster(file: Path, shape: tuple[int, int, int], dtype: str | None) -> Num[np.ndarray, "c h w"]:
    import rasterio

    try:
        with rasterio.Env(**_NO_LISTING), rasterio.open(file) as image:
            found, kind = (image.count, *image.shape), image.dtypes[0]
            if found != shape or dtype not in (None, kind):
                raise InputError(
                    f"{file}: {found} of {kind}, expected {shape} of {dtype or 'any type'} (bands, height, width). Try: download it again."
                )
            return image.read()
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{file}: cannot be read ({error}). Try: download it again.") from None


def _read_series(file: Path, max_cover: float) -> dict[str, Series]:
    """Return the series of all Sentinel sensors."""
    import h5py

    try:
        with h5py.File(file, "r") as content:
            series = {name: _read_sensor(content, file, stored, max_cover) for name, stored in _SERIES.items()}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:  # what damage makes h5py raise
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: cannot be read ({error}). Try: download it again.") from None
    return series


def _read_sensor(content: Any, file: Path, stored: _Stored, max_cover: float) -> Series:
    key = stored.key
    pixels = _dataset(content, file, f"{key}-data", (stored.bands, _SIDE, _SIDE))
    products = _dataset(content, file, f"{key}-products", ())
    if len(products) != len(pixels):
        raise InputError(f"{file}: {len(pixels)} images in {key}-data but {len(products)} names in {key}-products. Try: download it again.")
    day = product_days([*products], stored.date_field, f"{file}: {key}-products")
    if f"{key}-masks" in content:
        masks = _dataset(content, file, f"{key}-masks", (None, _SIDE, _SIDE))
        if len(masks) != len(pixels) or masks.shape[1] not in (2, 10):
            raise InputError(f"{file}: {key}-masks is {masks.shape}, expected ({len(pixels)}, 2 or 10, 6, 6). Try: download it again.")
        cover = (masks[:, :2] > _COVERED).any(1).mean((1, 2))  # snow, cloud; what follows these two means nothing
        pixels, day = pixels[cover <= max_cover], day[cover <= max_cover]
    elif max_cover < 1 and not stored.radar:
        raise InputError(f"{file}: no {key}-masks, so snow and clouds are not known. Try: max_cover=1.")
    order = np.argsort(day, kind="stable")
    pixels, day = pixels[order].astype(np.float32), day[order]
    with np.errstate(invalid="ignore"):
        if (pixels < 0).mean() > 0.5 if pixels.size else False:
            raise InputError(f"{file}: {key}-data is mostly negative, expected linear values. Try: the published file, not one in dB.")
        seen = without_gaps(pixels, ~(pixels > 0) | np.isinf(pixels), day, np.mean)
    if not stored.radar:
        return seen
    return _with_difference(Series(10 * np.log10(np.maximum(seen.pixels, 1e-6)), seen.day))


def _with_difference(seen: Series) -> Series:
    """Append VV-VH, both in dB."""
    return Series(np.concatenate([seen.pixels, seen.pixels[:, :1] - seen.pixels[:, 1:]], 1), seen.day)


def _dataset(content: Any, file: Path, key: str, shape: tuple[int | None, ...]) -> Any:
    """Return a whole array of the file, after checking its axes but the first, and that pixels are floats."""
    if key not in content:
        raise InputError(f"{file}: no `{key}`, found {', '.join(content) or 'nothing'}. Try: download it again.")
    found = content[key]
    fits = len(found.shape) == 1 + len(shape) and all(n in (None, m) for n, m in zip(shape, found.shape[1:], strict=True))
    if not fits or (shape and found.dtype.kind != "f"):
        expected = ", ".join(["dates", *("any" if n is None else str(n) for n in shape)])
        raise InputError(f"{file}: {key} is {found.dtype} of {found.shape}, expected floats of ({expected}). Try: download it again.")
    return found[...]
