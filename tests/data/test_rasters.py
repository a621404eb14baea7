import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.place import PlaceSource
from omnifuse.data.sources.rasters import Rasters
from omnifuse.data.store import Store, write_store
from omnifuse.modalities import MODALITIES

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake
import rasterio


def test_pixels_that_coincide_are_copied_to_the_bit(table):
    source = Rasters(table)
    assert isinstance(source, PlaceSource)
    assert (len(source), source.size) == (3, 240.0)
    for number in range(2):
        place = source[number]
        place.check(source.modalities, "test")
        left = fake.LEFT + number * fake.STEP
        s2 = place.series["s2"]
        assert s2.pixels.dtype == np.int16
        assert s2.day.tolist() == [18383, 18447]  # 1 May, 4 July: sorted
        index = [fake.S2_BANDS.index(band) for band in fake.OPTICAL]
        for frame, image in enumerate((1, 0)):
            assert np.array_equal(s2.pixels[frame], fake.optical(left, fake.TOP, 24, image)[index])
        wider = fake.drone(left - 10, fake.TOP + 10, 104)
        assert np.array_equal(place.series["drone"].pixels[0], wider[:, 4:-4, 4:-4])


def test_linear_power_of_two_files_becomes_decibel_and_their_difference(table):
    seen = Rasters(table)[0].series["s1_asc"]
    assert seen.pixels.shape == (1, 3, 24, 24)
    power = []
    for band in ("VV", "VH"):
        with rasterio.open(table.parent / "field.0" / f"s1_{band}.tif") as image:
            power.append(10 * np.log10(image.read(1).astype(np.float64)))
    np.testing.assert_allclose(seen.pixels[0], [*power, power[0] - power[1]], atol=1e-5)


def test_a_place_without_a_sensor_has_no_images_of_it(table):
    source = Rasters(table)
    assert "s2" not in source[2].series
    assert set(source.modalities) == {"s2", "s1_asc", "drone"}


def test_metadata_are_those_of_the_table_and_the_ground(table):
    source = Rasters(table)
    first = source.info[0]
    assert {key: first[key] for key in ("id", "fold", "region", "crs", "left", "top")} == {
        "id": "field.0",
        "fold": 1,
        "region": "north",
        "crs": "EPSG:32631",
        "left": 500_000.0,
        "top": 5_000_000.0,
    }
    assert abs(first["longitude"] - 3.0015) < 1e-3
    assert source.provenance["licence"] == "CC0-1.0"
    assert source.modalities["s2"] == MODALITIES["s2"]
    described = source.modalities["drone"]
    assert (described.bands, described.gsd, described.units) == (("red", "green", "nir"), 2.5, ("unknown",) * 3)
    assert not described.series


def test_a_smaller_size_is_the_middle_and_a_corner_of_the_table_is_kept(table):
    whole, middle = Rasters(table), Rasters(table, size=80.0)
    assert (middle.info[0]["left"], middle.info[0]["top"]) == (500_080.0, 4_999_920.0)
    assert np.array_equal(middle[0].series["s2"].pixels, whole[0].series["s2"].pixels[..., 8:16, 8:16])
    assert np.array_equal(middle[0].target, whole[0].target[16:32, 16:32])
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.update(left=500_030 + 1000 * int(row["place"][-1]), top=4_999_990, crs="EPSG:32631", size=60)
    given = Rasters(fake.write_table(table.parent, rows))
    assert given.size == 60.0
    assert np.array_equal(given[1].series["s2"].pixels, whole[1].series["s2"].pixels[..., 1:7, 3:9])
    assert np.array_equal(given[1].series["drone"].pixels, whole[1].series["drone"].pixels[..., 4:28, 12:36])


def test_images_without_data_are_dropped_and_gaps_take_the_median_and_both_are_reported(table):
    folder = table.parent / "field.0"
    east = fake.optical(fake.LEFT, fake.TOP, 24, 1)
    east[fake.S2_BANDS.index("B02"), :5] = -10000
    fake.write_tif(folder / "s2_1.tif", east, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS, nodata=-10000)
    late = fake.optical(fake.LEFT, fake.TOP, 24, 0)
    late[fake.S2_BANDS.index("B12")] = -10000
    fake.write_tif(folder / "s2_0.tif", late, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS, nodata=-10000)
    source = Rasters(table)
    s2 = source[0].series["s2"]
    assert s2.day.tolist() == [18383]
    assert (s2.pixels[0, 0, :5] == round(float(np.median(east[1, 5:])))).all()
    assert np.array_equal(s2.pixels[0, 0, 5:], east[1, 5:])
    found = {Path(problem.file).name: problem.what for problem in source.problems()}
    assert found == {
        "s2_1.tif": "20.8% of band B2 has no data and takes the median of the rest",
        "s2_0.tif": "band B12 has no data here; the image is dropped",
    }


def test_a_store_holds_the_same_places(table, tmp_path):
    source = pickle.loads(pickle.dumps(Rasters(table)))  # noqa: S301 our own bytes
    write_store(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.info == source.info
    assert store.modalities == source.modalities
    assert store.classes == source.classes
    for index in range(3):
        before, after = source[index], store[index]
        assert np.array_equal(before.target, after.target)
        for name, series in before.series.items():
            assert np.array_equal(series.pixels, after.series[name].pixels)
            assert np.array_equal(series.day, after.series[name].day)
