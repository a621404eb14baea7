"""Which rasters of a FLAIR-HUB download belong to one patch, listed once and named by rule.

    <domain>-<year>_<product>/<roi>/<domain>-<year>_<product>_<roi>_<row>-<column>.tif

A year such as `195X` is a decade: historical images that belong to the patches of every survey year of their department.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnifuse.errors import InputError

VALIDATION = frozenset({"D004", "D014", "D029", "D031", "D058", "D066", "D067", "D077"})
TEST = frozenset(
    {"D012", "D015", "D022", "D026", "D036", "D061", "D064", "D068", "D069", "D071", "D073", "D075", "D076", "D083", "D084", "D085"}
)
_SINGLE = (
    5, 6, 7, 8, 9, 10, 11, 13, 16, 17, 18, 20, 21, 23, 30, 32, 33, 34, 35, 37, 38, 40, 41, 44, 45, 46, 49, 51, 52, 55, 56, 60, 63, 65, 70,
    72, 74, 78, 80, 81, 86, 91,
)  # fmt: skip
TRAIN = frozenset({"D024047", "D025039", "D054057", "D059062", *(f"D{number:03}" for number in _SINGLE)})
_FOLDER = re.compile(r"(D\d{3}(?:\d{3})?)-(\d{3}[\dX])_(.+)")


@dataclass(frozen=True)
class HubPatch:
    """One patch: `domain` and `year` of the survey, region of interest, and `<row>-<column>` in it."""

    domain: str
    year: str
    roi: str
    cell: str

    @property
    def zone(self) -> str:
        return f"{self.domain}-{self.year}_{self.roi}"

    @property
    def id(self) -> str:
        return f"{self.zone}_{self.cell}"


@dataclass(frozen=True)
class HubLayout:
    """What a folder holds.

    Attributes:
        folder: Where the folders of the products are.
        patches: In the order of domain, year, region and cell.
        present: Products of each patch.
        decades: Year in the names of images that no survey year names, by (product, domain, roi, cell).
    """

    folder: Path
    patches: tuple[HubPatch, ...]
    present: tuple[frozenset[str], ...]
    decades: dict[tuple[str, str, str, str], str]

    def year(self, patch: HubPatch, product: str) -> str:
        """Return the year or decade in the names of a product of a patch."""
        return self.decades.get((product, patch.domain, patch.roi, patch.cell), patch.year)

    def file(self, patch: HubPatch, product: str) -> Path:
        """Return where a product of a patch is, or would be."""
        stem = f"{patch.domain}-{self.year(patch, product)}_{product}"
        return self.folder / stem / patch.roi / f"{stem}_{patch.roi}_{patch.cell}.tif"


def read_hub_layout(folder: Path, sensors: Sequence[str], others: Sequence[str]) -> HubLayout:
    """List the patches below a folder (or its `data`) that have one of the products `sensors`.

    Args:
        folder: Folder of the download.
        sensors: Products that make a patch.
        others: Products that are noted where they are: labels, masks.

    Raises:
        InputError: where there is no such patch.
    """
    folder = Path(folder)
    data = folder / "data" if (folder / "data").is_dir() else folder
    if not data.is_dir():
        raise InputError(f"{folder}: no such folder. Try: the folder that holds `data` and `GLOBAL_ALL_MTD`.")
    products = {*sensors, *others}
    found: dict[HubPatch, set[str]] = {}
    decades: dict[tuple[str, str, str, str], str] = {}
    for entry in _names(data):
        name = _FOLDER.fullmatch(entry)
        if name and name[3] in products:
            for roi, cell in _cells(data / entry):
                if name[2].endswith("X"):
                    decades[name[3], name[1], roi, cell] = name[2]
                else:
                    found.setdefault(HubPatch(name[1], name[2], roi, cell), set()).add(name[3])
    for patch, present in found.items():
        present |= {product for product in products if (product, patch.domain, patch.roi, patch.cell) in decades}
    shared: dict[frozenset[str], frozenset[str]] = {}  # few combinations, hundreds of thousands of patches
    kept = {
        patch: shared.setdefault(frozenset(found[patch]), frozenset(found[patch]))
        for patch in sorted(found, key=lambda patch: (patch.domain, patch.year, patch.roi, _order(patch.cell)))
        if not found[patch].isdisjoint(sensors)
    }
    if not kept:
        raise InputError(
            f"{data}: no rasters of {', '.join(sensors)}, such as `D006-2020_{sensors[0]}/<roi>/*.tif`. Try: the folder that holds "
            "the unpacked `D…` folders, and other `sensors`."
        )
    return HubLayout(data, tuple(kept), tuple(kept.values()), decades)


def split_of(domain: str) -> str:
    """Return the part of `split_1` that a department is in; `unlisted` for one that it does not have."""
    parts = {"train": TRAIN, "val": VALIDATION, "test": TEST}
    return next((name for name, departments in parts.items() if domain in departments), "unlisted")


def _cells(folder: Path) -> list[tuple[str, str]]:
    """Return region and cell of every raster in the folder of a product."""
    return [
        (roi, name[:-4].rpartition("_")[2])
        for roi in _names(folder)
        if (folder / roi).is_dir()
        for name in _names(folder / roi)
        if name.endswith(".tif")
    ]


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:  # millions of files: no path object for each
        return sorted(entry.name for entry in entries)


def _order(cell: str) -> tuple[tuple[int, str], ...]:
    """Sort rows and columns as numbers."""
    return tuple((int(part) if part.isdigit() else -1, part) for part in cell.split("-"))
