"""FLAIR-HUB: land cover and crops of France from aerial, SPOT, Sentinel and elevation (arXiv:2506.07080).

Expects the unpacked archives (`data/<domain>-<year>_<product>/<roi>/*.tif`) and `GLOBAL_ALL_MTD` with the tables of dates and splits,
as GeoPackages or CSV. What is read, and by which rule:

* `aerial` (R, G, B, NIR, 0.2 m), `aerial_rlt` (panchromatic of the 1950s, 0.4 m), `dem` (surface and terrain in m, 0.2 m) and `spot`
  (R, G, B, NIR, 1.6 m): one image as stored. Where no table has its date, it is day 0. A patch without a raster lacks that sensor.
* `s2`: digital numbers as stored (reflectance × 10,000) on 10.24 m. Dates under snow or cloud by the masks, and dates without any
  data, are dropped; where none is left the sensor is missing.
* `s1_asc`, `s1_desc`: stored as linear backscatter, converted to dB; the third band is VV-VH. Zero, negative and not-a-number are
  gaps, filled with the median of their band on their date; a date on which a band has nothing else is dropped.
* Dates are the true ones; an unknown day (00) counts as the first of its month. A table has as many dates as the raster.
* Labels: CoSIA land cover (15 classes, or 19) or LPIS crops (23 classes: band 1 of three), 0.2 m.
* `split` is `split_1` of the table, or by department as published; `region` is domain and year, `tile` the region of interest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from omnifuse.data.ground import locations
from omnifuse.data.monthly import monthly as monthly_means
from omnifuse.data.place import Place, Series
from omnifuse.data.problems import Problem
from omnifuse.data.sources.flair_classes import HUB_PROTOCOLS, class_ids
from omnifuse.data.sources.flair_hub_layout import HubPatch, read_hub_layout, split_of
from omnifuse.data.sources.flair_products import PRODUCTS, Product, by_date
from omnifuse.data.sources.flair_rasters import read_header, read_raster
from omnifuse.data.sources.flair_series import HUB_PUBLISHED, HubCloudFilter, day_number, kept_hub_dates
from omnifuse.data.sources.flair_tables import find_table, parse_dates, read_corners, read_dates, read_splits
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import check_names

SIZE = 102.4  # metres
SIDE = 512  # pixels of the labels
MASK_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32")  # percent; the type is not documented
LABELS = {  # protocol, product, number of its bands
    "cosia": ("cosia15", "AERIAL_LABEL-COSIA", 1),
    "cosia19": ("cosia19", "AERIAL_LABEL-COSIA", 1),
    "lpis": ("lpis", "ALL_LABEL-LPIS", 3),
}


class FlairHub:
    """Patches of 102.4 m (a `PlaceSource`).

    Args:
        path: Folder of the download.
        sensors: Which to read, of `aerial`, `aerial_rlt`, `dem`, `spot`, `s2`, `s1_asc` and `s1_desc`. A patch needs one of them.
        labels: `cosia` for land cover in 15 classes, `cosia19` in all, `lpis` for crops.
        clouds: Which dates of `s2` are dropped for snow and cloud; None keeps all.
        monthly: Whether to average the dates of each calendar month.

    Raises:
        ConfigError: for an option that cannot be honoured.
        InputError: naming the file, where the folder is not such a download.
    """

    def __init__(
        self,
        path: Path,
        sensors: tuple[str, ...] = ("aerial", "dem", "spot", "s2", "s1_asc", "s1_desc"),
        labels: str = "cosia",
        clouds: HubCloudFilter | None = HUB_PUBLISHED,
        monthly: bool = False,
    ) -> None:
        check_names(sensors, list(PRODUCTS), "FLAIR-HUB: sensors")
        if not sensors or labels not in LABELS:
            raise ConfigError(f"FLAIR-HUB: sensors {sensors}, labels {labels!r}. Try: a sensor at least, and one of {', '.join(LABELS)}.")
        self.path = Path(path)
        self.clouds, self.monthly = clouds, monthly
        self.products = {name: PRODUCTS[name] for name in PRODUCTS if name in sensors}
        self.modalities = {name: product.modality for name, product in self.products.items()}
        protocol, self.label_product, self.label_bands = LABELS[labels]
        self.nomenclature = HUB_PROTOCOLS[protocol]
        self.classes = self.nomenclature.classes
        self.size = SIZE
        folders = [product.folder for product in self.products.values()]
        masks = [product.mask for product in self.products.values() if product.mask and clouds is not None]
        self.layout = read_hub_layout(self.path, folders, [self.label_product, *masks])
        folders_of_tables = (self.path, self.layout.folder, self.layout.folder.parent)
        self.tables = {name: find_table(folders_of_tables, f"GLOBAL_{product.dates}_MTD_DATES") for name, product in self.products.items()}
        self.dates = {name: read_dates(table) if table else {} for name, table in self.tables.items()}
        for name, product in self.products.items():
            if product.modality.series and not self.tables[name] and any(product.folder in present for present in self.layout.present):
                table = f"GLOBAL_{product.dates}_MTD_DATES.gpkg"
                raise InputError(f"{self.path}: no `GLOBAL_ALL_MTD/{table}`, so {name!r} has no dates. Try: download GLOBAL_ALL_MTD.")
        self.split_table = find_table(folders_of_tables, "GLOBAL_ALL_MTD_SPLIT")
        self.splits = read_splits(self.split_table) if self.split_table else {}
        self.corners = read_corners(self.split_table) if self.split_table else {}
        self.info = self._info()
        clear = "kept" if clouds is None else f"dropped under {clouds.clear:g} clear of at most {clouds.percent} %"
        self.provenance = {
            "source": f"FLAIR-HUB, {protocol}, s1 converted from linear backscatter to dB, clouds {clear}{', monthly' if monthly else ''}",
            "licence": "Licence Ouverte 2.0 (Etalab); contains modified Copernicus Sentinel data",
            "citation": "Garioud et al., arXiv:2506.07080",
        }

    def __len__(self) -> int:
        return len(self.layout.patches)

    def __getitem__(self, index: int) -> Place:
        return self.read(index, tuple(self.products))

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some of the sensors saw it (`omnifuse.data.place.Selective`)."""
        patch, present = self.layout.patches[index], self.layout.present[index]
        wanted = {name: self.products[name] for name in sensors if self.products[name].folder in present}
        series = {name: self._series(name, product, patch) for name, product in wanted.items()}
        target = None
        if self.label_product in present:
            file = self.layout.file(patch, self.label_product)
            target = class_ids(read_hub_labels(file, self.label_bands), self.nomenclature, str(file))
        return Place(series, self.size, target, dict(self.info[index]))

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the folder, from headers, tables and labels, and against the published counts."""
        from omnifuse.data.sources.flair_hub_problems import problems

        return problems(self)

    def days(self, name: str, patch: HubPatch) -> Int[np.ndarray, " t"]:
        """Return the dates of a sensor at a patch, in the order of its raster.

        Raises:
            InputError: naming the table and the patch where they are missing or cannot be read.
        """
        dates, year = self.dates[name], self.layout.year(patch, self.products[name].folder)
        key = next((key for key in (patch.id, patch.zone, replace(patch, year=year).id) if key in dates), None)
        where = f"{self.tables[name]}: {patch.id}"
        if self.modalities[name].series:
            if key is None:
                raise InputError(f"{where} has no row, so its {name!r} has no dates. Try: download GLOBAL_ALL_MTD again.")
            return parse_dates(dates[key], where)
        return np.array([day_number(dates[key], where) if key is not None and dates[key] else 0], np.int32)

    def _series(self, name: str, product: Product, patch: HubPatch) -> Series:
        file = self.layout.file(patch, product.folder)
        side, day = product.modality.pixels(SIZE), self.days(name, patch)
        reason = f"{len(day)} dates in {self.tables[name]}" if product.modality.series else ""
        pixels = by_date(read_raster(file, (len(day) * product.bands, side, side), (product.dtype,), reason=reason), product.bands)
        if product.mask and self.clouds is not None:
            mask = read_raster(self.layout.file(patch, product.mask), (len(day) * 2, side, side), MASK_DTYPES, reason=reason)
            kept = kept_hub_dates(by_date(mask, 2), self.clouds)
            pixels, day = pixels[kept], day[kept]
        order = np.argsort(day, kind="stable")
        series = product.prepare(Series(pixels[order], day[order]), str(file))
        return monthly_means(series, None) if self.monthly and product.modality.series else series

    def _info(self) -> list[dict[str, str | int | float]]:
        corners = [self._corner(patch, present) for patch, present in zip(self.layout.patches, self.layout.present, strict=True)]
        placed = iter(locations([corner for corner in corners if corner], SIZE))
        rows = []
        for patch, corner in zip(self.layout.patches, corners, strict=True):
            split = self.splits.get(patch.id, split_of(patch.domain))
            row: dict[str, str | int | float] = {
                "id": patch.id,
                "region": f"{patch.domain}-{patch.year}",
                "tile": patch.zone,
                "split": split,
            }
            rows.append(row | (next(placed) if corner else {}))
        return rows

    def _corner(self, patch: HubPatch, present: frozenset[str]) -> tuple[str, float, float] | None:
        """Return where a patch is: by its outline in the table of splits, else by its first raster."""
        if patch.id in self.corners:
            return self.corners[patch.id]
        first = next(product.folder for product in self.products.values() if product.folder in present)
        try:
            header = read_header(self.layout.file(patch, first))
        except InputError:  # said when the patch is read; one damaged file must not keep the others from being opened and checked
            return None
        return (f"EPSG:{header.epsg}", header.left, header.top) if header.epsg else None


def read_hub_labels(file: Path, bands: int) -> UInt8[np.ndarray, "512 512"]:
    """Return the label values as stored, in the first of `bands` bands."""
    return read_raster(file, (bands, SIDE, SIDE), ("uint8",), band=1)[0]
