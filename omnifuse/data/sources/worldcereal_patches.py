"""WorldCereal training patches: fields with every acquisition of Sentinel-1 and Sentinel-2, clouds included.

Expects one folder per site as in github.com/WorldCereal/worldcereal-classification (MIT), `<site>/<product>_<site>_*.nc`, and
`croptype_legend.csv` beside them. What is read, and by which rule:

* `s2`: digital numbers as stored (reflectance × 10,000, uint16; 0 is no data). The six 20 m bands are brought to 10 m by repeating
  pixels. It needs both products; a site that lacks one has no `s2`.
* `s1_asc`: VV and VH of the ascending orbit, int32 × 1e-4 dB on 20 m (0 is no data), brought to 10 m by repeating pixels; the third
  band is their difference.
* A date on which a band has no data at all is dropped. Elsewhere a pixel without data takes its band's median on that date.
* Dates are the true ones. Two passes on one day are two images.
* Labels: crop type or land cover of the farmers' declarations (LPIS Flanders); code 0 is unlabelled and ignored.

NetCDF needs the package `netCDF4`, or `h5netcdf` with `h5py`.
"""

import csv
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import xarray
from jaxtyping import Bool, Num

from omnifuse.classes import ClassTable
from omnifuse.data.arrays import days_since_1970
from omnifuse.data.place import Place, Series
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import MODALITIES

SIDE = 64  # pixels of 10 m
IGNORE = 255
_S2_10M = {"B2": "B02", "B3": "B03", "B4": "B04", "B8": "B08"}
_S2_20M = {"B5": "B05", "B6": "B06", "B7": "B07", "B8A": "B8A", "B11": "B11", "B12": "B12"}
_COLORS = (
    "#e6c229",
    "#f17105",
    "#d11149",
    "#6610f2",
    "#1a8fe3",
    "#2a9d3a",
    "#8d6e63",
    "#b0a990",
    "#e377c2",
    "#17becf",
    "#7f7f7f",
    "#bcbd22",
)


class WorldCerealPatches:
    """Sites of 640 m, or tiles of them (a `PlaceSource`). The last four sites read are kept in memory by each process.

    Args:
        folder: Folder of the sites.
        tile: Side of a place in pixels of 10 m; a divisor of 64. `site` in the metadata tells which tiles belong together.
        labels: What is labelled; the classes are those that occur, in the order of their codes.
    """

    def __init__(self, folder: Path, tile: int = SIDE, labels: Literal["crop_type", "land_cover"] = "crop_type") -> None:
        if tile < 1 or SIDE % tile:
            raise ConfigError(f"WorldCereal patches: tiles of {tile} pixels do not cut {SIDE} evenly. Try: 16 or 32.")
        self.folder = Path(folder)
        self.tile = tile
        self.labels = labels
        self.modalities = {name: MODALITIES[name] for name in ("s2", "s1_asc")}
        self.size = tile * 10.0
        self.provenance = {
            "source": f"WorldCereal training patches, github.com/WorldCereal/worldcereal-classification, tiles of {tile} pixels",
            "licence": "MIT; contains modified Copernicus Sentinel data",
        }
        self.info: list[dict[str, str | int | float]] = []
        codes: set[int] = set()
        for number, site in enumerate(_sites(self.folder), 1):
            codes.update(np.unique(_labels(self.folder / site, labels)).tolist())
            left, top, epsg = _corner(_product(self.folder / site, "OUTPUT_POLY-110_10m"))
            for row in range(0, SIDE, tile):
                for column in range(0, SIDE, tile):
                    name = site if tile == SIDE else f"{site}-{row // tile}-{column // tile}"
                    corner: dict[str, str | int | float] = {"crs": f"EPSG:{epsg}", "left": left + column * 10.0, "top": top - row * 10.0}
                    self.info.append({"id": name, "site": site, "fold": number, "row": row, "column": column, **corner})
        self._codes = sorted(codes - {0})
        self.classes = ClassTable(_names(self.folder / "croptype_legend.csv", self._codes), _COLORS[: len(self._codes)], IGNORE)

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        info = self.info[index]
        site = self.folder / str(info["site"])
        rows, columns = (slice(int(info[axis]), int(info[axis]) + self.tile) for axis in ("row", "column"))
        series = {name: Series(whole.pixels[..., rows, columns].copy(), whole.day) for name, whole in _read_site(site).items()}
        codes = _labels(site, self.labels)[rows, columns]
        target = np.full(codes.shape, IGNORE, np.uint8)
        for number, code in enumerate(self._codes):
            target[codes == code] = number
        return Place(series, self.size, target, dict(info))


@lru_cache(maxsize=4)
def _read_site(site: Path) -> dict[str, Series]:
    """Return what was seen of a whole site; a sensor without its files is missing."""
    series = {}
    if _has(site, "S2_L2A_10m") and _has(site, "S2_L2A_20m"):
        fine, day = _read(site, "S2_L2A_10m", tuple(_S2_10M.values()), 1)
        coarse, day_20m = _read(site, "S2_L2A_20m", tuple(_S2_20M.values()), 2)
        if not np.array_equal(day, day_20m):
            raise InputError(f"{site}: the dates of S2_L2A_10m and S2_L2A_20m differ. Try: files of one download.")
        names = [*_S2_10M, *_S2_20M]
        pixels = np.concatenate([fine, coarse], 1)[:, [names.index(band) for band in MODALITIES["s2"].bands]]
        series["s2"] = _without_gaps(pixels, pixels == 0, day)
    if _has(site, "S1_GRD-ASCENDING_20m"):
        raw, day = _read(site, "S1_GRD-ASCENDING_20m", ("VV", "VH"), 2)
        seen = _without_gaps((raw * 1e-4).astype(np.float32), raw == 0, day)
        series["s1_asc"] = Series(np.concatenate([seen.pixels, seen.pixels[:, :1] - seen.pixels[:, 1:]], 1), seen.day)
    return series


def _without_gaps(pixels: Num[np.ndarray, "t c h w"], missing: Bool[np.ndarray, "t c h w"], day: Num[np.ndarray, " t"]) -> Series:
    """Drop dates on which a band has no data at all; fill other gaps with the median of their band on their date."""
    kept = ~np.any(missing.all((2, 3)), axis=1)
    pixels, missing, day = pixels[kept], missing[kept], day[kept]
    for frame, band in np.argwhere(missing.any((2, 3))):
        gap = missing[frame, band]
        pixels[frame, band][gap] = np.median(pixels[frame, band][~gap])
    return Series(pixels, day)


def _read(site: Path, product: str, bands: tuple[str, ...], repeat: int) -> tuple[Num[np.ndarray, "t c h w"], Num[np.ndarray, " t"]]:
    """Return the stored numbers on 10 m pixels, north up, in order of time."""
    file = _product(site, product)
    with _open(file) as dataset:
        missing = [band for band in bands if band not in dataset]
        if missing:
            raise InputError(f"{file}: no bands {missing}, found {list(dataset.data_vars)}. Try: download this file again.")
        stack = np.stack([dataset[band].transpose("timestamp", "y", "x").values for band in bands], 1)
        times, north_up = dataset["timestamp"].values, bool(dataset["y"][0] > dataset["y"][-1])
    if stack.shape[2:] != (SIDE // repeat, SIDE // repeat) or not north_up:
        raise InputError(f"{file}: {stack.shape[2:]} pixels, expected {SIDE // repeat}×{SIDE // repeat}, north up. Try: download it again.")
    order = np.argsort(times, kind="stable")
    stack = stack[order].repeat(repeat, axis=2).repeat(repeat, axis=3)
    return stack, days_since_1970(times[order], str(file))


def _labels(site: Path, labels: str) -> Num[np.ndarray, "64 64"]:
    file = _product(site, "OUTPUT_POLY-110_10m")
    with _open(file) as dataset:  # codes, not numbers: the default decoding would make 0 a gap and the rest floats
        return dataset["CT" if labels == "crop_type" else "LC"].transpose("y", "x").values


def _corner(file: Path) -> tuple[float, float, int]:
    """Return left and top edge in metres, and the EPSG code of the coordinate reference system."""
    with _open(file) as dataset:
        return float(dataset["x"].min()) - 5.0, float(dataset["y"].max()) + 5.0, int(dataset.attrs["epsg"])


def _open(file: Path) -> xarray.Dataset:
    try:
        return xarray.open_dataset(file, mask_and_scale=False)
    except (OSError, ValueError) as error:  # ValueError: nothing recognizes the file
        raise InputError(f"{file}: cannot be read ({error}). Try: download this file again.") from None


def _has(site: Path, product: str) -> bool:
    return any(site.glob(f"{product}_{site.name}_*.nc"))


def _product(site: Path, product: str) -> Path:
    found = sorted(site.glob(f"{product}_{site.name}_*.nc"))
    if len(found) != 1:
        raise InputError(f"{site}: {len(found)} files {product}_{site.name}_*.nc, expected one. Try: one period per site.")
    return found[0]


def _sites(folder: Path) -> list[str]:
    found = sorted(site.name for site in folder.glob("*") if _has(site, "OUTPUT_POLY-110_10m"))
    if not found:
        raise InputError(f"{folder}: no site with labels, `<site>/OUTPUT_POLY-110_10m_<site>_*.nc`. Try: the folder that holds the sites.")
    return found


def _names(file: Path, codes: list[int]) -> tuple[str, ...]:
    if not file.is_file():
        raise InputError(f"{file}: no such file. Try: put the legend beside the sites.")
    with file.open(encoding="utf-8", newline="") as lines:
        legend = {int(row["croptype"]): row["name"] for row in csv.DictReader(lines)}
    unknown = [code for code in codes if code not in legend]
    if unknown:
        raise InputError(f"{file}: no name for codes {unknown}. Try: the legend that belongs to these sites.")
    return tuple(legend[code] for code in codes)
