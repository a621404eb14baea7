"""Algal blooms of lakes in the United States: severity from a year of monthly Sentinel-1 and Sentinel-2 at one point (a negative control).

Expects the arrays of Presto's evaluation (arXiv:2304.14065), `npy/s1_s2_era5_srtm.npy` and its neighbours; the severities are those of
the competition Tick Tick Bloom. A sample is a place of one pixel of 10 m. What is read, and by which rule:

* `s2`: eleven bands of level 1C (reflectance × 10,000; B1 and B10 are not delivered, B9 is). Clouds stay.
* `s1`: VV, VH and their difference in dB.
* `weather`: ERA5 temperature at 2 m in K and precipitation, by its size in metres a day, means of the month.
* `dem`: SRTM altitude in metres and slope in degrees.
* The last column, called NDVI upstream, is left out: it is (B7 − B3) / (B7 + B3), so it says nothing that `s2` does not.
* Dates: the first day of the month. The year is not published: every series starts in 2020. With `dated` false images are numbered
  instead, so that no season is seen. That matters here: severity follows the month, so that a sensor looks useful which only tells the
  time.
* Label: severity, 1 (least) to 5. It is ordered, and regressed.
* Folds 1 to 5 are groups of whole sites (equal coordinates), filled from the largest site down, always the smallest fold first. The
  split of the publishers is `split`; no site is in both of its halves.

Radar carries nearly nothing of this label: what seems to gain from it should be doubted. R² of a random forest over the five folds is
0.11 for Sentinel-1, 0.23 for Sentinel-2, 0.24 for both, and 0.37 with weather and terrain; once images are dated Sentinel-1 has 0.17
(`python benchmarks/forest.py algae_blooms FOLDER`).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num

from omnifuse.classes import ClassTable, Quantities
from omnifuse.data.npy import npy_header
from omnifuse.data.place import Place, Series
from omnifuse.data.sources.ombria import balanced_folds
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

FOLDS = 5
MONTHS = 12
_COLUMNS = 18  # VV VH, eleven of Sentinel-2, temperature, rain, altitude, slope, "NDVI"
_FILES = ("s1_s2_era5_srtm", "month", "latlon", "target", "uid", "is_test")
SEVERITY = Quantities(("severity",), ("1 to 5",), (2.444,), (0.961,))
# Statistics: of all 1,122 samples. Runs measure those of their training places.
MODALITIES = {
    modality.name: modality
    for modality in (
        Modality(
            name="s2",
            title="Sentinel-2 L1C, monthly",
            bands=("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"),
            gsd=10.0,
            units=("reflectance*10000",) * 11,
            mean=(1804.91, 1657.55, 1631.35, 1694.86, 1807.61, 1929.49, 1831.54, 1973.81, 797.82, 1490.46, 1157.84),
            std=(1543.05, 1466.14, 1628.79, 1641.28, 1727.71, 1791.36, 1725.37, 1835.61, 953.74, 1244.2, 1025.77),
            wavelengths=(492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1613.7, 2202.4),
            rgb=(2, 1, 0),
        ),
        Modality(
            name="s1",
            title="Sentinel-1 GRD, monthly",
            bands=("VV", "VH", "VV-VH"),
            gsd=10.0,
            units=("dB",) * 3,
            mean=(-17.31, -26.07, 8.76),
            std=(4.16, 5.39, 4.56),
            wavelengths=(5.55e7,) * 3,
            rgb=(0, 1, 2),
        ),
        Modality(
            name="weather",
            title="ERA5, monthly",
            bands=("temperature", "rain"),
            gsd=28000.0,
            units=("K", "m/day"),
            mean=(285.3975, 0.0028),
            std=(9.761, 0.0017),
            per_place=True,
        ),
        Modality(
            name="dem",
            title="SRTM",
            bands=("altitude", "slope"),
            gsd=30.0,
            units=("m", "degree"),
            mean=(347.58, 2.91),
            std=(188.68, 3.37),
            series=False,
            per_place=True,
        ),
    )
}


class AlgaeBlooms:
    """Points of lakes as places of one pixel, with the severity of a bloom (a `PlaceSource`).

    Args:
        folder: Folder that holds `npy`.
        dated: Whether images carry the month they are of; else they are numbered by days of 1970, which are no dates.
    """

    classes: ClassTable | None = None

    def __init__(self, folder: Path, dated: bool = True) -> None:
        self.folder = Path(folder)
        self.dated = dated
        self.modalities = dict(MODALITIES)
        self.size = 10.0
        self.quantities: Quantities | None = SEVERITY
        self.provenance = {
            "source": "evaluation data of Presto, github.com/nasaharvest/presto; labels of drivendata.org's Tick Tick Bloom",
            "licence": "MIT (arrays); labels: competition data; contains modified Copernicus Sentinel data",
            "citation": "Tseng et al., arXiv:2304.14065",
            "dates": "months of a nominal year" if dated else "none: images are numbered",
        }
        table = _read(self.folder)
        _, site = np.unique(table["latlon"], axis=0, return_inverse=True)
        folds = balanced_folds(site.ravel().tolist(), FOLDS)
        self.info: list[dict[str, str | int | float]] = [
            {
                "id": str(name),
                "fold": folds[number],
                "site": number,
                "split": "test" if test else "train",
                "longitude": float(longitude),
                "latitude": float(latitude),
            }
            for name, number, test, (latitude, longitude) in zip(
                table["uid"], site.ravel().tolist(), table["is_test"], table["latlon"], strict=True
            )
        ]

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        table = _read(self.folder)
        values = table["s1_s2_era5_srtm"][index]
        month = int(table["month"][index, 0]) + np.arange(MONTHS)  # from 0, so counted on from January 2020
        dates = np.datetime64("2020-01").astype("datetime64[M]") + month
        day = (dates.astype("datetime64[D]").astype(np.int32) if self.dated else 30 * np.arange(MONTHS)).astype(np.int32)
        series = {
            "s2": Series(_pixels(values[:, 2:13]), day),
            "s1": Series(_pixels(np.c_[values[:, :2], values[:, 0] - values[:, 1]]), day),
            "weather": Series(_pixels(values[:, 13:15]), day),
            "dem": Series(_pixels(values[:1, 15:17]), day[:1]),
        }
        return Place(series, self.size, table["target"][index : index + 1].astype(np.float32), dict(self.info[index]))


def _pixels(values: Float[np.ndarray, "t c"]) -> Float[np.ndarray, "t c 1 1"]:
    return values[:, :, None, None].astype(np.float32)


@lru_cache(maxsize=2)
def _read(folder: Path) -> dict[str, Num[np.ndarray, "n ..."]]:
    """Return the arrays by name, which must agree in the number of samples."""
    found = {}
    for name in _FILES:
        file = folder / "npy" / f"{name}.npy"
        shape, _ = npy_header(file)
        expected = {"s1_s2_era5_srtm": (MONTHS, _COLUMNS), "month": (MONTHS,), "latlon": (2,)}.get(name, ())
        if shape[1:] != expected:
            raise InputError(f"{file}: shape {shape}, expected (samples, {', '.join(map(str, expected))}). Try: download this file again.")
        found[name] = np.load(file, allow_pickle=False)
        if len(found[name]) != len(found[_FILES[0]]):
            raise InputError(
                f"{file}: {len(found[name])} samples, {_FILES[0]}.npy has {len(found[_FILES[0]])}. Try: the files of one download."
            )
    return found
