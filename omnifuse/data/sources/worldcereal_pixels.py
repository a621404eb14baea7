"""WorldCereal field points: two growing seasons of monthly Sentinel-1 and Sentinel-2 at one pixel, with weather and terrain.

Expects `*_long.parquet` (one row per point and month) and `croptype_legend.csv` as in
github.com/WorldCereal/worldcereal-classification; the points are the field survey of Agriculture and Agri-Food Canada. A point is a place
of one pixel of 10 m. What is read, and by which rule:

* `s2`: nine bands as stored (reflectance × 10,000); a month in which a band is 65535 (no data) is dropped.
* `s1`: VV, VH and their difference in dB, from digital numbers by dB = 20·log10(DN) − 83; a month with 65535 is dropped.
* `weather`: AgERA5 mean temperature and precipitation of the month, in 0.01 K and 0.01 mm as stored.
* `dem`: altitude in metres and slope in degrees.
* Dates: the first day of the month that a value stands for (stored as midnight of local time, so as the evening before in UTC).
* Folds 1 to 5 are groups of whole H3 cells of level 3 (about 12,000 km²), filled from the largest cell down, always the smallest fold
  first; a cell is `cell` in the metadata.
* Labels: crop types with enough points, in the order of their codes; code 0 (unknown) and rarer types are ignored.
"""

import csv
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Num

from omnifuse.classes import ClassTable
from omnifuse.data.place import Place, Series
from omnifuse.data.sources.ombria import balanced_folds
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

IGNORE = 255
NODATA = 65535
FOLDS = 5
_S2 = dict(
    zip(
        ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B11", "B12"),
        ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12"),
        strict=True,
    )
)
# Statistics: of all points of the Canadian survey. Runs measure those of their training places.
MODALITIES = {
    modality.name: modality
    for modality in (
        Modality(
            name="s2",
            title="Sentinel-2 L2A, monthly",
            bands=tuple(_S2),
            gsd=10.0,
            units=("reflectance*10000",) * 9,
            mean=(3501.31, 3549.13, 3622.75, 3971.96, 4475.16, 4614.33, 4825.1, 2522.32, 2001.2),
            std=(3207.43, 2981.44, 2982.08, 2876.28, 2438.67, 2237.11, 2311.23, 1138.69, 1006.5),
            wavelengths=(492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 1613.7, 2202.4),
            rgb=(2, 1, 0),
        ),
        Modality(
            name="s1",
            title="Sentinel-1 GRD, monthly",
            bands=("VV", "VH", "VV-VH"),
            gsd=10.0,
            units=("dB",) * 3,
            mean=(-10.46, -18.13, 7.67),
            std=(2.39, 2.73, 2.11),
            wavelengths=(5.55e7,) * 3,
            rgb=(0, 1, 2),
        ),
        Modality(
            name="weather",
            title="AgERA5, monthly",
            bands=("temperature", "rain"),
            gsd=9000.0,
            units=("0.01 K", "0.01 mm/month"),
            mean=(27950.64, 9549.69),
            std=(969.11, 4385.62),
            per_place=True,
        ),
        Modality(
            name="dem",
            title="Copernicus DEM",
            bands=("altitude", "slope"),
            gsd=20.0,
            units=("m", "degree"),
            mean=(177.53, 0.78),
            std=(129.17, 0.88),
            series=False,
            per_place=True,
        ),
    )
}
# fmt: off
_COLORS = (
    "#e6c229", "#f17105", "#d11149", "#6610f2", "#1a8fe3", "#2a9d3a", "#8d6e63", "#b0a990",
    "#e377c2", "#17becf", "#7f7f7f", "#bcbd22", "#3d5a80", "#98c1d9", "#5f0f40", "#81b29a",
)
# fmt: on


class WorldCerealPixels:
    """Field points as places of one pixel (a `PlaceSource`); each process holds the table in memory.

    Args:
        folder: Folder of the one `*_long.parquet`.
        min_points: A crop type is a class from this many points on; at most 16 classes.
    """

    def __init__(self, folder: Path, min_points: int = 30) -> None:
        self.folder = Path(folder)
        self.modalities = dict(MODALITIES)
        self.size = 10.0
        self.provenance = {
            "source": "WorldCereal extractions at points, github.com/WorldCereal/worldcereal-classification",
            "licence": "Open Government Licence – Canada (field survey); contains modified Copernicus Sentinel data",
            "min_points": str(min_points),
        }
        self._file = _file(self.folder)
        table = _read(self._file)
        first = np.flatnonzero(np.r_[True, table["sample_id"][1:] != table["sample_id"][:-1]])
        codes = table["CROPTYPE_LABEL"][first].tolist()
        frequent = sorted((n, code) for code, n in Counter(codes).items() if code and n >= min_points)[-len(_COLORS) :]
        known = {code: number for number, code in enumerate(sorted(code for _, code in frequent))}
        self._labels = [known.get(code, IGNORE) for code in codes]
        self.classes = ClassTable(_names(self.folder / "croptype_legend.csv", list(known)), _COLORS[: len(known)], IGNORE)
        self._rows = [slice(start, end) for start, end in zip(first, [*first[1:], len(table["sample_id"])], strict=True)]
        _, number = np.unique(table["h3_l3_cell"][first].astype(str), return_inverse=True)
        folds = balanced_folds(number.tolist(), FOLDS)
        self.info: list[dict[str, str | int | float]] = [
            {"id": str(point), "fold": folds[group], "cell": str(cell), "longitude": float(lon), "latitude": float(lat)}
            for group, point, cell, lon, lat in zip(
                number.tolist(), *(table[key][first] for key in ("sample_id", "h3_l3_cell", "lon", "lat")), strict=True
            )
        ]

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        rows, table = self._rows[index], _read(self._file)
        day = table["day"][rows]
        stored = table["s2"][rows]
        numbers = table["s1"][rows]
        clear, measured = (stored != NODATA).all(1), (numbers != NODATA).all(1)
        decibel = (20 * np.log10(numbers[measured]) - 83).astype(np.float32)
        radar = np.concatenate([decibel, decibel[:, :1] - decibel[:, 1:]], 1)
        series = {
            "s2": Series(_pixels(stored[clear].astype(np.uint16)), day[clear]),
            "s1": Series(_pixels(radar), day[measured]),
            "weather": Series(_pixels(table["weather"][rows].astype(np.float32)), day),
            "dem": Series(_pixels(table["dem"][rows][:1].astype(np.float32)), day[:1]),
        }
        return Place(series, self.size, np.array([[self._labels[index]]], np.uint8), dict(self.info[index]))


def _pixels(values: Num[np.ndarray, "t c"]) -> Num[np.ndarray, "t c 1 1"]:
    return values[:, :, None, None].copy()


_BANDS = {
    "s2": [f"S2-L2A-{name}" for name in _S2.values()],
    "s1": ["S1-SIGMA0-VV", "S1-SIGMA0-VH"],
    "weather": ["AGERA5-temperature-mean", "AGERA5-precipitation-flux"],
    "dem": ["DEM-alt-20m", "DEM-slo-20m"],
}
_FACTS = ["sample_id", "h3_l3_cell", "CROPTYPE_LABEL", "lon", "lat", "timestamp"]


@lru_cache(maxsize=2)
def _read(file: Path) -> dict[str, np.ndarray]:
    """Return the columns that are used, by point and then by date."""
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise InputError(f"{file}: Parquet needs pyarrow. Try: pip install 'omnifuse[geo]'.") from None
    names = [*_FACTS, *(name for bands in _BANDS.values() for name in bands)]
    try:
        missing = [name for name in names if name not in parquet.read_schema(file).names]
        if missing:
            raise InputError(f"{file}: no columns {missing}. Try: the file in the long format, one row per point and month.")
        table = parquet.read_table(file, columns=names)
    except (OSError, ArrowInvalid) as error:
        raise InputError(f"{file}: cannot be read ({error}). Try: download this file again.") from None
    column = {name: table[name].to_numpy(zero_copy_only=False) for name in names}
    time = column["timestamp"].astype("datetime64[h]")
    month = (time + np.timedelta64(12, "h")).astype("datetime64[M]")  # 22:00 or 23:00 in UTC on the eve
    day = month.astype("datetime64[D]").astype(np.int32)
    order = np.lexsort((day, column["sample_id"].astype(str)))
    stacked = {name: np.stack([column[band] for band in bands], 1)[order] for name, bands in _BANDS.items()}
    return {name: column[name][order] for name in _FACTS} | stacked | {"day": day[order]}


def _file(folder: Path) -> Path:
    found = sorted(folder.glob("*_long.parquet"))
    if len(found) != 1:
        raise InputError(f"{folder}: {len(found)} files `*_long.parquet`, expected one. Try: the folder of one survey.")
    return found[0]


def _names(file: Path, codes: list[int]) -> tuple[str, ...]:
    if not file.is_file():
        raise InputError(f"{file}: no such file. Try: put the legend beside the points.")
    with file.open(encoding="utf-8", newline="") as lines:
        legend = {int(row["croptype"]): row["name"] for row in csv.DictReader(lines)}
    unknown = [code for code in codes if code not in legend]
    if unknown:
        raise InputError(f"{file}: no name for codes {unknown}. Try: the legend that belongs to these points.")
    return tuple(legend[code] for code in codes)
