"""A scene shows the same ground whatever files, systems and resolutions it lies in, and nothing where there is none."""

import os
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from input_files import CRS, LEFT, TOP, write_tif

from omnifuse.errors import InputError
from omnifuse.inference.scene import Scene
from omnifuse.inference.scene_rasters import RasterScene, open_scene
from omnifuse.modalities import MODALITIES

MODELS = MODALITIES | {"spot": replace(MODALITIES["spot"], gsd=2.5)}
S2, S1 = MODELS["s2"], MODELS["s1_asc"]
DATES = ("2018-10-01", "2018-11-05", "2018-12-10")


def ground(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth function of the ground."""
    return 2000 + 800 * np.sin((x - LEFT) / 90) + 500 * np.cos((TOP - y) / 70)


def optical(height: int, width: int, date: int = 0, gsd: float = 10.0, left: float = LEFT, top: float = TOP) -> np.ndarray:
    y, x = np.ogrid[:height, :width]
    shown = ground(left + (x + 0.5) * gsd, top - (y + 0.5) * gsd)
    return np.stack([shown + 40 * band + 30 * date for band in range(10)]).round().astype(np.uint16)


def series(folder: Path, height: int = 40, width: int = 56) -> list[Path]:
    return [write_tif(folder / f"s2_{day}.tif", optical(height, width, i), names=S2.bands, nodata=0) for i, day in enumerate(DATES)]


def scene_of(paths, **said) -> RasterScene:
    return open_scene(MODELS, paths, gsd=10.0, **said)


def test_a_scene_covers_its_files_and_copies_their_pixels(tmp_path):
    scene = scene_of({"s2": series(tmp_path)})
    assert isinstance(scene, Scene)
    assert (scene.grid.crs, scene.grid.left, scene.grid.top) == (CRS, LEFT, TOP)
    assert (scene.grid.height, scene.grid.width) == (40, 56)
    assert scene.grid.bounds == (LEFT, TOP - 400, LEFT + 560, TOP)
    place = scene.read(8, 16, 16)
    place.check(scene.modalities, "x")
    assert place.series["s2"].pixels.dtype == np.uint16
    for number in range(3):
        np.testing.assert_array_equal(place.series["s2"].pixels[number], optical(40, 56, number)[:, 8:24, 16:32])
    assert place.series["s2"].day.tolist() == [17_805, 17_840, 17_875]
    assert (place.info["left"], place.info["top"], place.info["crs"]) == (LEFT + 160, TOP - 80, CRS)
    assert scene.valid(0, 0, 40, 56).all()
    again = pickle.loads(pickle.dumps(scene))  # noqa: S301 (our own bytes)
    np.testing.assert_array_equal(again.read(8, 16, 16).series["s2"].pixels, place.series["s2"].pixels)


def test_beyond_the_border_there_is_the_nearest_pixel_and_no_cell_is_valid(tmp_path):
    scene = scene_of({"s2": series(tmp_path)})
    image = optical(40, 56)
    rows, cols = np.clip(np.arange(-6, 10), 0, 39), np.clip(np.arange(45, 61), 0, 55)
    np.testing.assert_array_equal(scene.read(-6, 45, 16).series["s2"].pixels[0], image[:, rows][:, :, cols])
    valid = scene.valid(-6, 45, 16, 20)
    assert valid[6:, :11].all()
    assert valid.sum() == 10 * 11
    assert scene.read(40, 0, 16) is None
    assert scene.read(0, -16, 16) is None
    assert scene.read(0, -15, 16) is not None


def test_what_has_no_data_is_filled_left_out_or_none(tmp_path):
    paths = series(tmp_path)
    holed = optical(40, 56, 1)
    holed[:, :20, :20] = 0
    write_tif(paths[1], holed, names=S2.bands, nodata=0)
    scene = scene_of({"s2": paths})
    assert len(scene.read(0, 0, 16).series["s2"].day) == 2  # wholly without data on that date
    found = scene.read(0, 8, 16).series["s2"].pixels[1]
    np.testing.assert_array_equal(found[:, 0, :12], np.repeat(holed[:, 0, 20:21], 12, 1))
    np.testing.assert_array_equal(found[:, :, 12:], holed[:, :16, 20:24])
    assert scene.valid(0, 0, 16, 16).all()  # other dates have data
    alone = scene_of({"s2": paths[1]})
    assert alone.read(0, 0, 16) is None
    np.testing.assert_array_equal(alone.valid(0, 0, 40, 56), holed[0] > 0)


def test_zeros_that_nobody_declares_are_said(tmp_path):
    holed = optical(40, 56)
    holed[:, :20, :20] = 0
    path = write_tif(tmp_path / "s2_2018-10-01.tif", holed, names=S2.bands)
    with pytest.warns(UserWarning, match=r"18% of the pixels .* are 0 in all bands of 's2'.*nodata=\{'s2': 0\}"):
        scene_of({"s2": path})
    assert scene_of({"s2": path}, nodata={"s2": 0}).read(0, 0, 16) is None


def test_files_of_one_overpass_are_one_image(tmp_path):
    """Bands in files of their own and of other resolutions, and tiles side by side."""
    whole = optical(40, 56)
    for band, name in enumerate(S2.bands):
        for tile, cols in (("T31UDS", slice(0, 32)), ("T31UES", slice(32, 56))):
            name_of_file = f"{tile}_20181001T1050{band:02d}_B{name[1:]:0>2}.tif"
            write_tif(tmp_path / name_of_file, whole[band : band + 1, :, cols], left=LEFT + 10 * cols.start)
    coarse = np.stack([whole[9].reshape(20, 2, 28, 2).mean((1, 3))]).astype(np.uint16)
    for old in tmp_path.glob("*_B12.tif"):
        old.unlink()
    write_tif(tmp_path / "20181001T105000_B12.tif", coarse, 20.0)
    scene = scene_of({"s2": str(tmp_path / "*.tif")})
    place = scene.read(0, 24, 16)
    assert place.series["s2"].day.tolist() == [17_805]
    np.testing.assert_array_equal(place.series["s2"].pixels[0, :9], whole[:9, :16, 24:40])
    assert np.abs(place.series["s2"].pixels[0, 9].astype(int) - whole[9, :16, 24:40]).max() < 60  # 20 m, bilinear
    assert (scene.grid.height, scene.grid.width) == (40, 56)


def test_dates_that_are_stated_belong_to_the_files_in_their_order(tmp_path):
    paths = [write_tif(tmp_path / f"{number}.tif", optical(16, 16, number), names=S2.bands) for number in range(3)]
    found = scene_of({"s2": paths}, days={"s2": ["2018-12-10", "2018-10-01", "2018-11-05"]}).read(0, 0, 16).series["s2"]
    assert found.day.tolist() == [17_805, 17_840, 17_875]
    for image, number in zip(found.pixels, (1, 2, 0), strict=True):
        np.testing.assert_array_equal(image, optical(16, 16, number))


def test_two_orbits_of_a_day_are_two_images(tmp_path):
    db = np.full((2, 16, 16), -12, np.float32)
    for time in ("055012", "173012"):
        write_tif(tmp_path / f"S1A_20181001T{time}.tif", db, names=["VV", "VH"])
    assert scene_of({"s1_asc": str(tmp_path / "*.tif")}).read(0, 0, 16).series["s1_asc"].day.tolist() == [17_805, 17_805]


def test_sensors_of_other_systems_resolutions_and_extents_are_brought_onto_the_grid(tmp_path):
    from rasterio.warp import transform_bounds

    paths = series(tmp_path)
    west, south, east, north = transform_bounds(CRS, "EPSG:32632", LEFT - 300, TOP - 700, LEFT + 900, TOP + 300)
    height, width = int((north - south) / 10), int((east - west) / 10)
    from rasterio.warp import transform

    cols, rows = np.meshgrid(west + (np.arange(width) + 0.5) * 10, north - (np.arange(height) + 0.5) * 10)
    x, y = (np.array(one).reshape(height, width) for one in transform("EPSG:32632", CRS, cols.ravel().tolist(), rows.ravel().tolist()))
    radar = (ground(x, y) / 200 - 25).astype(np.float32)
    s1 = write_tif(tmp_path / "s1_2018-10-02.tif", np.stack([radar, radar - 6]), left=west, top=north, crs="EPSG:32632", names=["VV", "VH"])
    spot = np.full((3, 64, 64), 100, np.uint8)
    chip = write_tif(tmp_path / "spot.tif", spot, 2.5, left=LEFT + 100, top=TOP - 100, names="RGB")
    scene = scene_of({"s2": paths, "s1_asc": s1, "spot": chip})
    assert scene.grid.crs == CRS
    assert (scene.grid.left - LEFT) % 10 == 0
    assert scene.grid.width > 100
    row, col = round((scene.grid.top - TOP) / 10), round((LEFT - scene.grid.left) / 10)
    place = scene.read(row, col, 16)
    place.check(scene.modalities, "x")
    inner_y, inner_x = np.ogrid[:16, :16]
    expected = ground(LEFT + (inner_x + 0.5) * 10, TOP - (inner_y + 0.5) * 10) / 200 - 25
    np.testing.assert_allclose(place.series["s1_asc"].pixels[0, 0], expected, atol=0.05)
    np.testing.assert_allclose(place.series["s1_asc"].pixels[0, 2], 6, atol=1e-4)  # VV - VH
    np.testing.assert_array_equal(place.series["s2"].pixels[0], optical(40, 56)[:, :16, :16])
    assert place.series["spot"].pixels.shape == (1, 3, 64, 64)
    assert len(scene.read(row + 24, col + 40, 16).series["spot"].day) == 0  # beyond the chip


def test_files_in_degrees_take_the_zone_of_their_middle(tmp_path):
    step = 1e-4
    path = write_tif(tmp_path / "s2_2018-10-01.tif", optical(60, 60), step, left=4.2, top=45.1, crs="EPSG:4326", names=S2.bands)
    scene = scene_of({"s2": path})
    assert scene.grid.crs == "EPSG:32631"
    assert scene.grid.left % 10 == 0
    assert 45 <= scene.grid.width <= 50  # 0.006° at 45° north are 473 m
    assert scene.read(20, 20, 16).series["s2"].pixels.shape == (1, 10, 16, 16)


def test_bounds_choose_an_area_and_are_checked(tmp_path):
    paths = series(tmp_path)
    scene = scene_of({"s2": paths}, bounds=(LEFT + 101, TOP - 299, LEFT + 299, TOP - 101))
    assert (scene.grid.left, scene.grid.top, scene.grid.height, scene.grid.width) == (LEFT + 100, TOP - 100, 20, 20)
    np.testing.assert_array_equal(scene.read(0, 0, 8).series["s2"].pixels[0], optical(40, 56)[:, 10:18, 10:18])
    assert not scene.valid(-5, -5, 5, 40).any()
    for bounds, message in [
        ((LEFT + 5000, TOP - 100, LEFT + 6000, TOP), "outside of the files"),
        ((LEFT + 10, TOP, LEFT, TOP - 10), "west < east"),
        ((2.0, 45.0, 3.0, 46.0), "outside of the files"),
        ((0.0, 0.0, float("nan"), 1.0), "west < east"),
    ]:
        with pytest.raises(InputError, match=message):
            scene_of({"s2": paths}, bounds=bounds)


def test_the_system_can_be_chosen_and_is_checked(tmp_path):
    paths = series(tmp_path)
    assert scene_of({"s2": paths}, crs="EPSG:2154").grid.crs == "EPSG:2154"
    for crs, message in [("EPSG:4326", "is not in metres. Try: EPSG:32631"), ("Lambert", "is not a reference system")]:
        with pytest.raises(InputError, match=message):
            scene_of({"s2": paths}, crs=crs)


def test_files_that_lie_far_apart_are_refused(tmp_path):
    paths = series(tmp_path)
    other = write_tif(tmp_path / "s1_2018-10-01.tif", np.full((2, 16, 16), -9, np.float32), left=LEFT + 90_000, names=["VV", "VH"])
    with pytest.raises(InputError, match=r"files lie far apart.*Try: check their reference systems, or bounds="):
        scene_of({"s2": paths, "s1_asc": other})


def test_units_are_judged_when_a_scene_is_opened(tmp_path):
    path = write_tif(tmp_path / "s2_2018-10-01.tif", (optical(40, 56) / 10_000).astype(np.float32), names=S2.bands)
    with pytest.raises(InputError, match=r"s2_2018-10-01.tif: band 'B2' of 's2' reaches .*units=\{'s2': 'reflectance'\}"):
        scene_of({"s2": path})
    pixels = scene_of({"s2": path}, units={"s2": "reflectance"}).read(0, 0, 16).series["s2"].pixels[0]
    np.testing.assert_allclose(pixels, optical(40, 56)[:, :16, :16], rtol=1e-5)


def test_the_fingerprint_changes_with_files_and_options(tmp_path):
    paths = series(tmp_path)
    first = scene_of({"s2": paths}).fingerprint
    assert scene_of({"s2": paths}).fingerprint == first
    assert scene_of({"s2": paths}, offset={"s2": -100}).fingerprint != first
    assert scene_of({"s2": paths[:2]}).fingerprint != first
    assert scene_of({"s2": paths}, bounds=(LEFT, TOP - 200, LEFT + 200, TOP)).fingerprint != first
    stat = paths[0].stat()
    os.utime(paths[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert scene_of({"s2": paths}).fingerprint != first


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")  # of names of bands as texts
@pytest.mark.parametrize("layout", ["one array", "an array per band"])
def test_zarr_is_read_as_files_are(tmp_path, layout):
    pytest.importorskip("rioxarray", reason="Zarr stores are placed by rioxarray")
    import rioxarray  # noqa: F401

    values = np.stack([optical(40, 56, i) for i in range(3)])
    cube = xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(DATES, "datetime64[ns]"),
            "band": list(S2.bands),
            "y": TOP - 5 - 10 * np.arange(40.0),
            "x": LEFT + 5 + 10 * np.arange(56.0),
        },
    ).rio.write_crs(CRS)
    store = tmp_path / "cube.zarr"
    (cube.to_dataset(name="s2") if layout == "one array" else cube.to_dataset("band")).to_zarr(store, consolidated=False)
    scene = scene_of({"s2": store})
    expected = scene_of({"s2": series(tmp_path)})
    assert scene.grid == expected.grid
    found = scene.read(30, -5, 16).series["s2"]
    np.testing.assert_array_equal(found.pixels, expected.read(30, -5, 16).series["s2"].pixels)
    assert found.day.tolist() == expected.read(30, -5, 16).series["s2"].day.tolist()
    with pytest.raises(InputError, match="no array with axes y and x"):
        scene_of({"s2": f"{store}#nothing"})


def test_memory_grows_with_the_window_alone(tmp_path):
    peaks = []
    for side in (256, 1024):
        path = write_tif(
            tmp_path / f"s2_{side}_2018-10-01.tif", optical(side, side), names=S2.bands, tiled=True, blockxsize=64, blockysize=64
        )
        tracemalloc.start()
        scene = scene_of({"s2": path})
        for row in range(0, side, 128):
            scene.read(row, row, 32)
            scene.valid(row, row, 64, 64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_square_that_is_no_whole_number_of_pixels_is_named(tmp_path):
    scene = open_scene(MODELS, {"s2": series(tmp_path)}, gsd=2.5)
    assert scene.grid.width == 224
    assert scene.read(0, 0, 8).series["s2"].pixels.shape[2:] == (2, 2)
    with pytest.raises(InputError, match="not a whole number"):
        scene.read(0, 0, 6)
