"""The raster reader on real files of four kinds: single dates with labels, stacks of months, 1 m aerial images, a file per band."""

import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.sources.rasters import Rasters

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake
import rasterio

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real files are not at {FOLDER}")


def checked(source: Rasters) -> Rasters:
    for index in range(len(source)):
        source[index].check(source.modalities, str(source.info[index]["id"]))
    return source


def read(path: Path, *bands: int) -> np.ndarray:
    with rasterio.open(path) as image:
        return image.read(list(bands) or None)


def test_terramind_tiles_are_copied(tmp_path):
    """Twelve bands without names, radar in dB, elevation, a product of land cover; the corners differ by rounding."""
    folder = FOLDER / "terramind_examples"
    rows: list[fake.Row] = []
    for file in sorted((folder / "S2L2A").glob("*.tif")):
        same = {"place": file.stem}
        bands = "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12"
        rows.append(same | {"modality": "s2", "path": file, "datetime": "2021-07-23T13:22:41", "bands": bands})
        rows.append(same | {"modality": "s1_asc", "path": folder / "S1RTC" / file.name, "datetime": "2021-07-21", "bands": "VV VH"})
        rows.append(same | {"modality": "dem", "path": folder / "DEM" / file.name})
        rows.append(same | {"modality": "labels", "path": folder / "LULC" / file.name})
    names = ["none", "water", "trees", "grass", "flooded", "crops", "scrub", "built", "bare", "snow"]
    (tmp_path / "classes.json").write_text(json.dumps({"names": names}), encoding="utf-8")
    source = checked(Rasters(fake.write_table(tmp_path, rows)))
    assert (len(source), source.size, source.info[0]["crs"]) == (3, 2240.0, "EPSG:32722")
    for index, info in enumerate(source.info):
        place, name = source[index], f"{info['id']}.tif"
        assert np.array_equal(place.series["s2"].pixels[0], read(folder / "S2L2A" / name, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12))
        radar = read(folder / "S1RTC" / name).astype(np.float32)
        assert np.array_equal(place.series["s1_asc"].pixels[0], [*radar, radar[0] - radar[1]])
        assert np.array_equal(place.series["dem"].pixels[0], read(folder / "DEM" / name))
        assert np.array_equal(place.target, read(folder / "LULC" / name)[0])
    assert not list(source.problems())


@pytest.mark.parametrize(
    ("file", "crs", "size", "year", "months"),
    [
        ("togo_98_2019-02_2020-02_12months", "EPSG:32631", 150.0, 2019, 12),
        pytest.param("honduras_2017-01_2018-12_24months", "EPSG:32616", 160.0, 2017, 24, marks=pytest.mark.slow),  # one tile of 215 MB
    ],
)
def test_cropharvest_stacks_become_series(tmp_path, file, crs, size, year, months):
    """Months × 17 bands and two of elevation in one file in degrees, with gaps in the slope."""
    path = FOLDER / "cropharvest_tifs" / f"{file}.tif"
    dates = " ".join(f"{year + month // 12}-{month % 12 + 1:02d}-01" for month in range(months))
    same: fake.Row = {"place": "a", "path": path}
    names = "VV VH B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12 temperature_2m total_precipitation"
    stack = same | {"dates": dates, "index": f"1-{17 * months}", "bands": names}
    rows = [stack | {"modality": "s2"}, stack | {"modality": "s1_asc"}, stack | {"modality": "weather", "unit": "K"}]
    rows.append(same | {"modality": "dem", "index": str(17 * months + 1), "bands": "elevation"})
    rows.append(same | {"modality": "slope", "index": str(17 * months + 2)})
    weather = {"name": "weather", "title": "ERA5", "bands": ["temperature_2m"], "gsd": 10, "units": ["degC"], "mean": [15], "std": [10]}
    (tmp_path / "modalities.json").write_text(json.dumps([weather]), encoding="utf-8")
    source = Rasters(fake.write_table(tmp_path, rows))
    assert (source.size, source.info[0]["crs"]) == (size, crs)  # of 17 pixels in degrees
    place = source[0]
    place.check(source.modalities, file)
    assert [len(place.series[name].day) for name in ("s2", "s1_asc", "weather", "dem", "slope")] == [months] * 3 + [1, 1]
    for name, number, band, offset in (("s2", 0, 4, 0), ("s1_asc", 0, 1, 0), ("weather", 0, 16, -273.15)):
        for month in (0, months - 1):
            expected = interpolated(path, 17 * month + band, source.info[0], source.size) + offset
            np.testing.assert_allclose(place.series[name].pixels[month, number], expected, rtol=2e-3, atol=0.05)


def interpolated(path: Path, band: int, info: dict[str, str | int | float], size: float) -> np.ndarray:
    """Interpolate a band by hand at the centres of 10 m pixels of a square."""
    from rasterio.warp import transform

    along = 5 + 10 * np.arange(round(size / 10))
    x, y = np.meshgrid(float(info["left"]) + along, float(info["top"]) - along)
    with rasterio.open(path) as image:
        values, grid = image.read(band), image.transform
        east, north = transform(info["crs"], image.crs, x.ravel().tolist(), y.ravel().tolist())
    column, row = (np.array(east) - grid.c) / grid.a - 0.5, (np.array(north) - grid.f) / grid.e - 0.5
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    right, down = column - left, row - top
    corners = [[values[np.clip(top + i, 0, 16), np.clip(left + j, 0, 16)] for j in (0, 1)] for i in (0, 1)]
    upper, lower = (pair[0] * (1 - right) + pair[1] * right for pair in corners)
    return (upper * (1 - down) + lower * down).reshape(x.shape)


def test_chesapeake_patches_keep_their_own_resolutions(tmp_path):
    """NAIP of two years at 1 m, Landsat brought to 32 m, and 1 m labels that are 2, 3 and 5."""
    rows: list[fake.Row] = []
    stacks = sorted((FOLDER / "chesapeake_patches").rglob("*.npz"))[::5]
    for number, file in enumerate(stacks):
        with np.load(file) as content:
            values = content["arr_0"][0]
        left, top, place = 500_000 + 256 * number, 4_100_000, f"p{number}"
        for name, part in (("naip", values[:8].astype(np.uint8)), ("landsat", values[10:19]), ("labels", values[8:9].astype(np.uint8))):
            fake.write_tif(tmp_path / place / f"{name}.tif", part, left, top, 1, crs="EPSG:32617")
        same = {"place": place, "split": file.parent.name}
        bands = "R G B NIR"
        rows.append(same | {"modality": "naip", "path": f"{place}/naip.tif", "dates": "2012-07-01 2014-07-01", "bands": bands})
        rows.append(same | {"modality": "landsat", "path": f"{place}/landsat.tif", "datetime": "2014-06-01"})
        rows.append(same | {"modality": "labels", "path": f"{place}/labels.tif"})
    landsat = {"name": "landsat", "title": "Landsat 8", "bands": [f"b{i}" for i in range(9)], "gsd": 32, "units": ["DN"] * 9}
    (tmp_path / "modalities.json").write_text(json.dumps([landsat | {"mean": [0] * 9, "std": [1] * 9}]), encoding="utf-8")
    legend = {"names": ["water", "forest", "field", "impervious"], "values": [1, 2, 3, 4], "unlabelled": [0, 5, 6, 15]}
    (tmp_path / "classes.json").write_text(json.dumps(legend), encoding="utf-8")
    source = checked(Rasters(fake.write_table(tmp_path, rows)))
    assert (source.size, source.modalities["naip"].gsd, source.modalities["naip"].series) == (256.0, 1.0, True)
    assert {info["split"] for info in source.info} == {"test-train_patches", "test-val_patches"}
    for number, file in enumerate(stacks):
        place = source[number]
        with np.load(file) as content:
            values = content["arr_0"][0]
        assert np.array_equal(place.series["naip"].pixels.reshape(8, 256, 256), values[:8].astype(np.uint8))
        assert np.array_equal(place.target == 1, values[8] == 2)
        assert np.array_equal(place.target == 255, np.isin(values[8], [0, 5, 6, 15]))
        blocks = values[10:19].reshape(9, 8, 32, 8, 32).mean((2, 4))
        seen = place.series["landsat"].pixels[0]
        assert seen.shape == (9, 8, 8)
        assert np.corrcoef(seen[4].ravel(), blocks[4].ravel())[0, 1] > 0.9


def test_bigearthnet_is_a_file_per_band(tmp_path):
    """Ten bands of 10 and 20 m put together, and radar of another zone or pass beside them."""
    for name in ("S1", "S2"):
        with tarfile.open(FOLDER / "bigearthnet_s1s2" / f"BigEarthNet-{name}-Example.tar.bz2") as archive:
            archive.extractall(tmp_path, filter="data")
    s1 = {json.loads(file.read_text())["corresponding_s2_patch"]: file for file in tmp_path.glob("BigEarthNet-S1-Example/*/*.json")}
    rows: list[fake.Row] = []
    for folder in sorted((tmp_path / "BigEarthNet-S2-Example").iterdir()):
        day = re.search(r"_(\d{8})T", folder.name)[1]
        for file in sorted(folder.glob("*.tif")):
            band = file.stem.rpartition("_")[2]
            if band not in ("B01", "B09"):
                rows.append({"place": folder.name, "modality": "s2", "path": file, "datetime": day, "band": band})
        radar = s1[folder.name].parent
        day = re.search(r"_(\d{8})T", radar.name)[1]
        for band in ("VV", "VH"):
            path = radar / f"{radar.name}_{band}.tif"
            rows.append({"place": folder.name, "modality": "s1_asc", "path": path, "datetime": day, "band": band})
    source = checked(Rasters(fake.write_table(tmp_path, rows)))
    assert source.size == 1200.0
    for index, info in enumerate(source.info):
        place = source[index]
        folder = tmp_path / "BigEarthNet-S2-Example" / str(info["id"])
        for number, band in ((0, "B02"), (6, "B08")):
            assert np.array_equal(place.series["s2"].pixels[0, number], read(folder / f"{folder.name}_{band}.tif")[0])
        coarse = read(folder / f"{folder.name}_B11.tif")[0].astype(float)
        fine = place.series["s2"].pixels[0, 8].astype(float)
        np.testing.assert_allclose(fine.reshape(60, 2, 60, 2).mean((1, 3))[1:-1, 1:-1].mean(), coarse[1:-1, 1:-1].mean(), rtol=0.01)
        assert np.corrcoef(fine.reshape(60, 2, 60, 2).mean((1, 3)).ravel(), coarse.ravel())[0, 1] > 0.98
