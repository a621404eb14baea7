"""PASTIS, PASTIS-R and PASTIS-HD: crops in France, every Sentinel-2 and Sentinel-1 image of a year, and one SPOT image.

Expects the published layout (arXiv:2107.07933, arXiv:2112.07558, arXiv:2404.08351): `metadata.geojson`, `DATA_S2/S2_<id>.npy`,
`DATA_S1A`, `DATA_S1D`, `DATA_SPOT/PASTIS_SPOT6_RVB_1M00_2019/*.tif`, `ANNOTATIONS/TARGET_<id>.npy`. What is read, by which rule:

* `s2`: int16, reflectance × 10,000 as stored, negative values included. A frame of which every value is -10000 is left out; where only
  part of a frame is -10000 it stays so, as it does for all published figures. Clouds stay: there is no cloud mask.
* `s1_asc`, `s1_desc`: float16, VV, VH and VV-VH in dB as stored.
* `spot`: 8-bit red, green, blue. The image covers exactly the patch whatever its own georeference says; another size than 1280×1280 is
  resampled: `notes` names the places. A file that is not there means the sensor is missing at that place. Its day is not published:
  1 July 2019, as in MAESTRO, unless the metadata have `dates-SPOT`.
* Dates are true ones, one per frame. Frames are put in order of time; two on one day stay two.
* Labels: channel 0 of `TARGET`; 19 (void) is ignored, 0 (background) is a class.
* Pixels run along the UTM grid of the patch's tile: `crs`, `left` and `top` are in that zone, from the outline in Lambert-93.
* `about.json`, where there is one, says what is not as published: classes, side, source, and which sensors there are (others that are
  asked for are left out; `provenance` names those that are read). `landscape.native` writes it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from omnifuse.data.monthly import monthly
from omnifuse.data.npy import read_npy
from omnifuse.data.place import Place, Series, some_of
from omnifuse.data.problems import Problem
from omnifuse.data.sources.pastis_checks import check_dates, check_finite, problems
from omnifuse.data.sources.pastis_layout import ABOUT, IMAGES, SERIES, read_about
from omnifuse.data.sources.pastis_metadata import FOLDS, Patch, find_metadata, read_norm, read_patches
from omnifuse.data.sources.pastis_spot import SPOT_DAY, SPOT_NAME, image_shape, read_image, spot_folder
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import MODALITIES

if TYPE_CHECKING:
    from omnifuse.data.statistics import Statistics


class Pastis:
    """Patches of 1280 m with crop labels (a `PlaceSource`).

    Args:
        path: Folder that holds `metadata.geojson`.
        sensors: Among `s2`, `s1_asc` (`S1A`), `s1_desc` (`S1D`) and `spot`.
        monthly: Whether series become one image per calendar month (`omnifuse.data.monthly`).

    Raises:
        InputError: naming file, patch and field of what is not as published.
    """

    def __init__(self, path: Path | str, sensors: tuple[str, ...] = ("s2",), monthly: bool = False) -> None:
        known = (*SERIES, *IMAGES)
        if not sensors or len(set(sensors)) != len(sensors) or not set(sensors) <= set(known):
            raise ConfigError(f"PASTIS: sensors {sensors}, expected some of {known}, each once. Try: sensors=('s2', 's1_asc').")
        self.folder = Path(path)
        self.monthly = monthly
        metadata = find_metadata(self.folder)
        self.about = read_about(self.folder)
        self.size = self.about.size
        self.classes = self.about.classes
        stated = {modality.name: modality for modality in self.about.modalities} or MODALITIES
        self.modalities = {name: stated[name] for name in sensors if name in stated}
        self.sensors = sensors = tuple(self.modalities)
        if not sensors:
            raise InputError(f"{self.folder / ABOUT}: the folder has {', '.join(stated)} only. Try: sensors=('{next(iter(stated))}',).")
        natives = tuple(SERIES[name].name for name in sensors if name in SERIES)
        self.patches = read_patches(metadata, natives, self.size, tuple(name.upper() for name in sensors if name in IMAGES))
        self.spot_folder = spot_folder(self.folder) if set(sensors) & set(IMAGES) else None
        self.info = [_info(patch) for patch in self.patches]
        self.provenance = {
            "source": self.about.source,
            "licence": self.about.licence,
            **({"citation": self.about.citation} if self.about.citation else {}),
            "sensors": ", ".join(sensors),
            "no data": "frames of which every value is -10000 are left out; -10000 in part of a frame stays",
            "dates": "monthly means of the values that are not -10000, dated the 15th" if monthly else "all",
        }

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, index: int) -> Place:
        patch = self.patches[index]
        read = {name: self._series(name, patch) if name in SERIES else self._image(name, patch) for name in self.sensors}
        series = {name: one for name, one in read.items() if one is not None}
        return Place(series, self.size, self.labels(patch), dict(self.info[index]))

    def published_statistics(self, folds: tuple[int, ...] = (1, 2, 3)) -> "Statistics":
        """Return (mean, std) per band of every series from `NORM_<sensor>_patch.json`, averaged over folds as the reference does.

        The default is the training set of the first split, whatever is evaluated. The published code takes the folds it loads, so
        validation and test are normalised with their own: for parity give those. There are no published figures for `spot`.
        """
        if not folds or not set(folds) <= set(FOLDS):
            raise ConfigError(f"PASTIS: folds {folds}, expected some of {FOLDS}. Try: folds=(1, 2, 3).")
        result = {}
        for name in self.sensors:
            if name in SERIES:
                file = self.folder / f"NORM_{SERIES[name].name}_patch.json"
                norm, bands = read_norm(file), len(self.modalities[name].bands)
                absent = [fold for fold in folds if fold not in norm]
                if absent or len(norm[folds[0]][0]) != bands:
                    raise InputError(
                        f"{file}: no fold {absent[0]}. Try: other folds, or the published file."
                        if absent
                        else f"{file}: {len(norm[folds[0]][0])} values per fold, expected {bands}. Try: download this file again."
                    )
                mean, std = (np.mean([norm[fold][part] for fold in folds], 0).tolist() for part in (0, 1))
                result[name] = (tuple(mean), tuple(std))
        return result

    def problems(self, values: bool = True) -> Iterator[Problem]:
        """Yield everything that is not as published (`omnifuse data check`); `values=False` reads file headers and labels only."""
        return problems(self, values)

    def notes(self) -> list[str]:
        """Return a line per sensor whose images are resampled, with their places."""
        lines = []
        for name in self.sensors:
            if name in IMAGES:
                side = self.modalities[name].pixels(self.size)
                files = [(str(patch.number), self.image_file(patch)) for patch in self.patches]
                odd = [number for number, file in files if file.is_file() and image_shape(file) != (side, side)]
                if odd:
                    lines.append(f"{name}: not {side}×{side} pixels, so resampled, at {some_of(odd)}")
        return lines

    def series_file(self, name: str, patch: Patch) -> Path:
        """Return the file of a sensor's series."""
        native = SERIES[name].name
        return self.folder / f"DATA_{native}" / f"{native}_{patch.number}.npy"

    def image_file(self, patch: Patch) -> Path:
        """Return the file of the SPOT image, which may be missing."""
        assert self.spot_folder is not None
        return self.spot_folder / f"{SPOT_NAME}_{patch.number}.tif"

    def series_shape(self, name: str) -> tuple[int | None, ...]:
        """Return (dates, bands, height, width) of a sensor's file, dates None."""
        modality = self.modalities[name]
        side = modality.pixels(self.size)
        return None, len(modality.bands), side, side

    def labels(self, patch: Patch) -> UInt8[np.ndarray, "h w"]:
        """Return the classes of a patch: channel 0 of three."""
        file, side = self.folder / "ANNOTATIONS" / f"TARGET_{patch.number}.npy", round(self.size / 10)
        stored = read_npy(file, np.dtype(np.uint8), (3, side, side), "class, parcel and crop code of every pixel")[0]
        table = np.array(self.about.labels)
        unknown = np.setdiff1d(stored, np.flatnonzero(table >= 0))
        if len(unknown):
            raise InputError(f"{file}: labels {unknown.tolist()}, expected 0 to {len(table) - 1}. Try: download this file again.")
        return table[stored].astype(np.uint8)

    def _series(self, name: str, patch: Patch) -> Series:
        native, file, day = SERIES[name], self.series_file(name, patch), patch.days[SERIES[name].name]
        pixels = read_npy(file, native.dtype, self.series_shape(name), f"dates, bands {'/'.join(self.modalities[name].bands)}, y, x")
        check_dates(file, len(pixels), len(day), native.name)
        if np.any(np.diff(day) < 0):
            order = np.argsort(day, kind="stable")
            pixels, day = pixels[order], day[order]
        if native.nodata is None:
            check_finite(file, pixels)
        else:
            seen = [frame.flat[0] != native.nodata or bool((frame != native.nodata).any()) for frame in pixels]
            if not all(seen):
                pixels, day = pixels[seen], day[seen]
        series = Series(pixels, day)
        return monthly(series, native.nodata) if self.monthly else series

    def _image(self, name: str, patch: Patch) -> Series | None:
        file = self.image_file(patch)
        if not file.is_file():
            return None
        pixels = read_image(file, self.modalities[name].pixels(self.size))
        return Series(pixels[None], patch.days.get(name.upper(), SPOT_DAY)[:1])


def _info(patch: Patch) -> dict[str, str | int | float]:
    """Return the metadata of a place; what the file does not say is left out."""
    info: dict[str, str | int | float] = {"id": str(patch.number)}
    if patch.fold is not None:
        info["fold"] = patch.fold
    if patch.tile:
        info["tile"] = patch.tile
    if patch.parcels is not None:
        info["parcels"] = patch.parcels
    if patch.longitude is not None and patch.latitude is not None:
        info |= {"longitude": patch.longitude, "latitude": patch.latitude}
    if patch.corner is not None:
        info |= {"crs": f"EPSG:326{patch.zone:02d}", "left": patch.corner[0], "top": patch.corner[1]}
    return info
