"""FLAIR#1 and FLAIR#2: land cover of France from aerial images and Sentinel-2 series (arXiv:2211.12979, arXiv:2310.13336).

Expects the folders of the challenges or of the data hub; files are found by name. What is read, and by which rule:

* `aerial`: uint8, 512×512 pixels of 0.2 m: red, green, blue, near infrared, height above ground (0.2 m steps, up to 51 m). Its date
  and place come from `flair_aerial_metadata.json`; without an entry the place is the image's own and the date unknown (day 0).
* `s2` (FLAIR#2): digital numbers as stored (reflectance × 10,000), a window of 40×40 pixels of 10 m around the place, cut from the
  zone's area at the row and column of the centroids file. The published position is a whole pixel, so the window may lie up to half a pixel
  off the place. Dates under snow or cloud and dates without any data are dropped; where none is left the sensor is missing. So it
  is where the zone has no Sentinel area.
* Labels: 1 to 19 as stored, by the protocol (`flair_classes`). Test patches without a mask have none.
* Splits by department: `split` in the metadata; `region` is the domain (department and year), `tile` the zone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Shaped, UInt8

from omnifuse.data.ground import locations
from omnifuse.data.monthly import monthly as monthly_means
from omnifuse.data.npy import npy_header
from omnifuse.data.place import Place, Series
from omnifuse.data.problems import Problem
from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS, class_ids
from omnifuse.data.sources.flair_layout import VALIDATION, Layout, Patch, read_layout, split_of
from omnifuse.data.sources.flair_rasters import read_header, read_raster
from omnifuse.data.sources.flair_series import PUBLISHED, CloudFilter, day_number, kept_dates, product_days, with_data
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import MODALITIES, Modality

SIZE = 102.4  # metres
SIDE = 512  # pixels
S2_DTYPES = ("uint16", "int16")  # the sources disagree on the sign
MASK_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64")  # percent; the type is not documented


class Flair:
    """Patches of 102.4 m (a `PlaceSource`): FLAIR#2, or FLAIR#1 without `series`. Train and validation patches are the same in both.

    Args:
        path: Folder of the download.
        series: Whether to read the Sentinel-2 series. Says, too, whose test patches are read: those of FLAIR#2 with, of FLAIR#1 without.
        protocol: Which label values are classes: `flair12`, `flair13`, `flair15`, `flair19`, `cosia15` or `cosia19` (`flair_classes`).
        window: Side of the Sentinel-2 window in pixels of 10 m, even, from 12 to 112.
        clouds: Which dates are dropped for snow and cloud; None keeps all.
        monthly: Whether to average the dates of each calendar month.
        validation: Validation departments of the `hub`, or of the CSV list of `flair1` (D070 in place of D077).

    Raises:
        ConfigError: for an option that cannot be honoured.
        InputError: naming the file, where the folder is not such a download.
    """

    def __init__(
        self,
        path: Path,
        series: bool = True,
        protocol: str = "flair13",
        window: int = 40,
        clouds: CloudFilter | None = PUBLISHED,
        monthly: bool = False,
        validation: Literal["hub", "flair1"] = "hub",
    ) -> None:
        if protocol not in FLAIR_PROTOCOLS:
            raise ConfigError(f"FLAIR: no protocol {protocol!r}. Try: one of {', '.join(FLAIR_PROTOCOLS)}.")
        if window % 2 or not 12 <= window <= 112:
            raise ConfigError(f"FLAIR: a window of {window} pixels is not even, or not in 12..112. Try: 40.")
        self.path = Path(path)
        self.window, self.clouds, self.monthly = window, clouds, monthly
        self.nomenclature = FLAIR_PROTOCOLS[protocol]
        self.classes = self.nomenclature.classes
        self.size = SIZE
        self.generation = 2 if series else 1
        self.layout = read_layout(self.path, self.generation)
        self.modalities: dict[str, Modality] = {"aerial": MODALITIES["aerial"]}
        if series:
            _check_areas(self.path, self.layout)
            self.modalities["s2"] = replace(MODALITIES["s2"], context=(window * MODALITIES["s2"].gsd - SIZE) / 2)
        exchanged = frozenset({"D070", "D077"}) if validation == "flair1" else frozenset()
        self.info = _info(self.layout, self.generation, VALIDATION ^ exchanged)
        rule = "kept" if clouds is None else f"dropped from {clouds.cover:g} cover of {clouds.probability} %, both counted {clouds.both}"
        self.provenance = {
            "source": f"FLAIR#{self.generation}, {protocol}"
            + (f", window {window}, clouds {rule}{', monthly' if monthly else ''}" if series else ""),
            "licence": "Licence Ouverte 2.0 (Etalab); contains modified Copernicus Sentinel data",
            "citation": "Garioud et al., arXiv:2310.13336" if series else "Garioud et al., arXiv:2211.12979",
        }

    def __len__(self) -> int:
        return len(self.layout.patches)

    def __getitem__(self, index: int) -> Place:
        return self.read(index, tuple(self.modalities))

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some of the sensors saw it (`omnifuse.data.place.Selective`)."""
        patch = self.layout.patches[index]
        readers: dict[str, Callable[[Patch], Series | None]] = {"aerial": self._image, "s2": self._series}
        found = {name: readers[name](patch) for name in self.modalities if name in sensors}
        series = {name: one for name, one in found.items() if one is not None}
        target = None
        if patch.mask is not None:
            target = class_ids(read_labels(patch.mask), self.nomenclature, str(patch.mask))
        return Place(series, self.size, target, dict(self.info[index]))

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the folder, from headers, tables and labels, and against the published counts."""
        from omnifuse.data.sources.flair_problems import problems

        return problems(self.layout, self.generation, self.nomenclature, self.window if "s2" in self.modalities else 0)

    def _image(self, patch: Patch) -> Series:
        return Series(read_raster(patch.image, (5, SIDE, SIDE), ("uint8",))[None], np.array([_day(self.layout, patch)], np.int32))

    def _series(self, patch: Patch) -> Series | None:
        """Return the dates that count; None where the zone has no Sentinel area."""
        if (patch.domain, patch.zone) not in self.layout.areas:
            return None
        files = area_files(self.layout, patch)
        shape, _ = npy_header(files["data"])
        rows, columns = window_slices(self.layout, patch, self.window, shape)
        day = product_days(read_products(files["products"]), str(files["products"]))
        pixels = _cut(files["data"], (len(day), 10, *shape[2:]), S2_DTYPES, rows, columns)
        if self.clouds is not None:
            kept = kept_dates(_cut(files["masks"], (len(day), 2, *shape[2:]), MASK_DTYPES, rows, columns), self.clouds)
            pixels, day = pixels[kept], day[kept]
        series = with_data(Series(pixels, day))
        return monthly_means(series, None) if self.monthly else series


def area_files(layout: Layout, patch: Patch) -> dict[str, Path]:
    """Return the three files of the Sentinel area of a patch.

    Raises:
        InputError: naming the one that is missing.
    """
    files = layout.areas[patch.domain, patch.zone]
    for kind, ending in (("data", "npy"), ("masks", "npy"), ("products", "txt")):
        if kind not in files:
            beside = next(iter(files.values()))
            missing = beside.with_name(f"SEN2_sp_{patch.domain}-{patch.zone}_{kind}.{ending}")
            raise InputError(f"{missing}: no such file, though {beside.name} is there. Try: download it again.")
    return files


def read_products(file: Path) -> list[str]:
    """Return the product names of an area, one for each date."""
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}). Try: download this file again.") from None


def window_slices(layout: Layout, patch: Patch, window: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of the window around a patch in its area of `shape` (dates, bands, rows, columns).

    Raises:
        InputError: where the position is not known or the window reaches beyond the area (slicing would cut it silently).
    """
    file, key = layout.centroids_file, patch.image.name
    position = layout.centroids.get(key)
    if not (isinstance(position, list) and len(position) == 2 and all(type(one) is int for one in position)):
        raise InputError(f"{file}: {key} has {position!r}, expected [row, column] in its area. Try: download this file again.")
    starts = [one - window // 2 for one in position]
    if len(shape) != 4 or any(start < 0 or start + window > side for start, side in zip(starts, shape[2:], strict=True)):
        raise InputError(
            f"{file}: {key} at row and column {position}: a window of {window} pixels does not fit into the area of "
            f"{'×'.join(map(str, shape[2:]))}. Try: a smaller `window`."
        )
    rows, columns = (slice(start, start + window) for start in starts)
    return rows, columns


def check_area(file: Path, expected: tuple[int, ...], dtypes: tuple[str, ...]) -> None:
    """Raise `InputError` unless the header of an area's file says the (dates, bands, rows, columns) and a type that are expected."""
    shape, dtype = npy_header(file)
    if shape != expected or dtype.name not in dtypes:
        raise InputError(
            f"{file}: {dtype} of {shape}, expected {' or '.join(dtypes)} of {expected}: one date per product, bands, rows, columns. "
            "Try: download the files of this zone again."
        )


def _cut(file: Path, shape: tuple[int, ...], dtypes: tuple[str, ...], rows: slice, columns: slice) -> Shaped[np.ndarray, "t c h w"]:
    """Read a window of an area, and no more than that from disk."""
    check_area(file, shape, dtypes)
    try:
        area = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}). Try: download this file again.") from None
    return np.array(area[:, :, rows, columns])


def read_labels(file: Path) -> UInt8[np.ndarray, "512 512"]:
    """Return the label values of a mask as stored."""
    return read_raster(file, (1, SIDE, SIDE), ("uint8",))[0]


def _day(layout: Layout, patch: Patch) -> int:
    entry = layout.metadata.get(patch.id)
    return day_number(str(entry["date"]), f"{layout.metadata_file}: {patch.id}") if entry and "date" in entry else 0


def _info(layout: Layout, generation: int, validation: frozenset[str]) -> list[dict[str, str | int | float]]:
    """Return id, domain, zone, split and place of every patch."""
    corners = [corner_of(layout, patch) for patch in layout.patches]
    placed = iter(locations([corner for corner in corners if corner], SIZE))
    rows = []
    for patch, corner in zip(layout.patches, corners, strict=True):
        split = split_of(patch, generation, validation)
        row: dict[str, str | int | float] = {"id": patch.id, "region": patch.domain, "tile": f"{patch.domain}/{patch.zone}", "split": split}
        rows.append(row | (next(placed) if corner else {}))
    return rows


def corner_of(layout: Layout, patch: Patch) -> tuple[str, float, float] | None:
    """Return reference system, left and top edge of a patch: by the metadata, else by its image; None where neither knows.

    Masks are not asked: some have only a definition of their own.
    """
    entry = layout.metadata.get(patch.id)
    if entry is not None:
        try:
            x, y = float(entry["patch_centroid_x"]), float(entry["patch_centroid_y"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{layout.metadata_file}: {patch.id} has no position. Try: download this file again.") from None
        if not math.isfinite(x + y):
            raise InputError(f"{layout.metadata_file}: {patch.id} is at {x}, {y}. Try: download this file again.")
        return "EPSG:2154", x - SIZE / 2, y + SIZE / 2
    try:
        header = read_header(patch.image)
    except InputError:  # said when the patch is read; one damaged file must not keep the others from being opened and checked
        return None
    return (f"EPSG:{header.epsg}", header.left, header.top) if header.epsg else None


def _check_areas(folder: Path, layout: Layout) -> None:
    if not layout.areas:
        raise InputError(f"{folder}: no Sentinel areas `SEN2_sp_<domain>-<zone>_data.npy`. Try: `series=False` for FLAIR#1.")
    if layout.centroids_file is None:
        raise InputError(f"{folder}: no `flair-2_centroids_sp_to_patch.json`, so series cannot be placed. Try: download it, too.")
