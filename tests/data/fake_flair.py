"""A faithful small FLAIR download: both sets of tests, masks with a reference system of their own, an area that is not square."""

import json
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning

AREA = (120, 160)  # rows, columns: swapping them is seen
LOCAL = 'LOCAL_CS["RGF93 / Lambert-93",UNIT["metre",1]]'
# What each date shows. Dates are as in the products file, so the last two are out of order.
DATES = {
    "20200110": "clear",
    "20200229": "clear",
    "20200315": "snow",
    "20200401": "cloud",
    "20200515": "30 % both",
    "20200615": "no data",
    "20201231": "clear",
    "20200801": "clear",
}
CLEAR_DAYS = np.array(["2020-01-10", "2020-02-29", "2020-08-01", "2020-12-31"], "datetime64[D]").astype(int).tolist()
CLEAR_FRAMES = [0, 1, 7, 6]
CENTRES = {1: (652_000.0, 6_862_000.0), 2: (652_300.0, 6_862_500.0), 3: (900_000.0, 6_400_000.0), 4: (500_000.0, 6_700_000.0)}
CENTROIDS = {1: [30, 90], 2: [45, 110], 3: [60, 60], 4: [60, 60]}  # row, column


def image(number: int) -> np.ndarray:
    """Bands 0 to 3 tell row, column and patch; the last is a height."""
    row, column = np.mgrid[:512, :512]
    pixels = np.stack([row // 2, column // 2, row % 7 + 10 * number, column % 5 + 20 * number, np.full((512, 512), 255)])
    return pixels.astype(np.uint8)


def mask() -> np.ndarray:
    """Stored values 1, 12, 13 and 19 in four rectangles of different height and width."""
    stored = np.full((512, 512), 1, np.uint8)
    stored[:100, 300:], stored[100:, 300:], stored[400:, :300] = 12, 13, 19
    return stored


def area(dates: int) -> np.ndarray:
    """Every value tells its date, band, row and column."""
    t, b, row, column = np.ogrid[:dates, :10, : AREA[0], : AREA[1]]
    return (row * AREA[1] + column + 4000 * b + t + 1).astype(np.uint16)


def area_masks(shown: list[str]) -> np.ndarray:
    """Percent of snow (band 0) and of cloud (band 1)."""
    percent = np.zeros((len(shown), 2, *AREA), np.uint8)
    for frame, what in enumerate(shown):
        percent[frame, 0] = 100 if what == "snow" else 59  # just below the threshold
        percent[frame, 1] = 60 if what == "cloud" else 0
        if what == "30 % both":
            percent[frame, :, np.arange(AREA[0]) % 10 < 3] = 60  # of every window whose side is a multiple of 10
    return percent


def write_image(file: Path, pixels: np.ndarray, centre: tuple[float, float] | None, crs: str = "EPSG:2154", gsd: float = 0.2) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    half = pixels.shape[-1] * gsd / 2
    place = {} if centre is None else {"crs": crs, "transform": Affine(gsd, 0, centre[0] - half, 0, -gsd, centre[1] + half)}
    shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file, "w", driver="GTiff", **shape, **place) as raster:
            raster.write(pixels)


def write_area(folder: Path, domain: str, zone: str, dates: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = area(len(dates))
    data[[what == "no data" for what in dates.values()]] = 0
    stem = f"SEN2_sp_{domain}-{zone}"
    np.save(folder / f"{stem}_data.npy", data)
    np.save(folder / f"{stem}_masks.npy", area_masks(list(dates.values())))
    products = [f"S2{'AB'[i % 2]}_MSIL2A_{day}T105031_N0214_R051_T31TDL_{day}T133021" for i, day in enumerate(dates)]
    (folder / f"{stem}_products.txt").write_text("\n".join(products) + "\n", encoding="utf-8")


def write_flair(folder: Path, hub: bool = False) -> None:
    """Write four patches: 1 and 2 to train on, 3 to validate (its dates all under snow), 4 to test in each generation.

    The test of the second has no mask.

    Args:
        folder: Folder of the download.
        hub: In the folders of the data hub, not of the challenge.
    """
    names = {
        "train": "data/train-val/{kind}" if hub else "flair_{kind}_train",
        "test1": "data/flair#1-test/{kind}" if hub else "flair_1_{kind}_test",
        "test2": "data/flair#2-test/{kind}" if hub else "flair_2_{kind}_test",
    }
    places = {
        ("train", "D006_2020", "Z1_NN"): (1, 2),
        ("train", "D004_2021", "Z10_AU"): (3,),
        ("test1", "D012_2019", "Z2_FF"): (4,),
        ("test2", "D015_2020", "Z5_UU"): (4,),
    }
    for (part, domain, zone), numbers in places.items():
        for number in numbers:
            zones = {kind: folder / names[part].format(kind=kind) / domain / zone for kind in ("aerial", "labels", "sen")}
            write_image(zones["aerial"] / "img" / f"IMG_{number:06}.tif", image(number), CENTRES[number])
            if part != "test2":
                write_image(zones["labels"] / "msk" / f"MSK_{number:06}.tif", mask()[None], CENTRES[number], LOCAL)
        if part != "test1":
            snowed = dict.fromkeys(DATES, "snow")
            write_area(zones["sen"] / "sen", domain, zone, snowed if domain.startswith("D004") else DATES)
    tables = folder / "aux-data" if hub else folder
    tables.mkdir(exist_ok=True)
    centroids = {f"IMG_{number:06}.tif": position for number, position in CENTROIDS.items()}
    name = "flair_2_centroids_sp_to_patch.json" if hub else "flair-2_centroids_sp_to_patch.json"
    (tables / name).write_text(json.dumps(centroids), encoding="utf-8")
    metadata = {
        f"IMG_{number:06}": {
            "domain": "", "zone": "", "date": f"2020-07-{number:02}", "time": "10h47", "camera": "UCE-M3-f100-s06",
            "patch_centroid_x": x, "patch_centroid_y": y, "patch_centroid_z": 120.5,
        }
        for number, (x, y) in {**CENTRES, 99: (0.0, 0.0)}.items()
    }  # fmt: skip
    (tables / "flair_aerial_metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
