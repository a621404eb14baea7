import csv
import json

import numpy as np
import pytest

from omnifuse.data.sources.rasters import Rasters
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake


@pytest.mark.parametrize("gsd", [4.0, 10.0, 25.0])
def test_another_grid_is_resampled_to_the_right_place(tmp_path, gsd):
    """A plane is the same plane on any pixels: bilinear interpolation is exact on it."""
    side = round(400 / gsd)
    fake.write_tif(tmp_path / "plane.tif", fake.ramp(500_003, 5_000_004, gsd, side, side), 500_003, 5_000_004, gsd)
    row = {"left": 500_100, "top": 4_999_900, "crs": "EPSG:32631"}
    place = Rasters(fake.plane(tmp_path, row), size=200.0)[0]
    np.testing.assert_allclose(place.series["plane"].pixels[0], fake.ramp(500_100, 4_999_900, 10, 20, 20), rtol=0, atol=1.0)
    worst = np.abs(place.series["plane"].pixels[0] - fake.ramp(500_100, 4_999_900, 10, 20, 20)).max()
    assert worst < 0.6  # float32 of 1e7; a shift of one metre would be 2 or 3


def test_another_reference_system_is_resampled_to_the_right_place(tmp_path):
    """The same ground in the neighbouring zone: the value of each pixel is a plane in the coordinates of the file."""
    from rasterio.warp import transform

    (x,), (y,) = transform("EPSG:32631", "EPSG:32632", [700_000.0], [5_000_000.0])
    left, top = round(x) - 300, round(y) + 300
    fake.write_tif(tmp_path / "plane.tif", fake.ramp(0, 0, 10, 60, 60), left, top, 10, crs="EPSG:32632")
    row = {"left": 699_950, "top": 5_000_050, "crs": "EPSG:32631"}
    seen = Rasters(fake.plane(tmp_path, row), size=100.0)[0].series["plane"].pixels[0, 0]
    east, north = np.meshgrid(699_955 + 10 * np.arange(10), 5_000_045 - 10 * np.arange(10))
    there_x, there_y = transform("EPSG:32631", "EPSG:32632", east.ravel().tolist(), north.ravel().tolist())
    expected = 3 * (np.array(there_x) - left) - 2 * (np.array(there_y) - top)
    np.testing.assert_allclose(seen.ravel(), expected, atol=0.5)


def test_labels_in_another_grid_take_the_nearest_number(tmp_path):
    numbers = fake.classes(fake.LEFT, fake.TOP, 3, 100)
    fake.write_tif(tmp_path / "labels.tif", numbers, fake.LEFT, fake.TOP, 3)
    fake.write_tif(tmp_path / "plane.tif", fake.ramp(0, 0, 10, 30, 30), fake.LEFT, fake.TOP, 10)
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["a", "b", "c"], "values": [10, 20, 30]}), encoding="utf-8")
    table = fake.plane(tmp_path, {}, {"modality": "labels", "path": "labels.tif"})
    target = Rasters(table, size=300.0, label_gsd=10.0)[0].target
    centres = ((np.arange(30) * 10 + 5) // 3).astype(int)
    assert np.array_equal(target, numbers[0][np.ix_(centres, centres)] // 10 - 1)


def test_degrees_are_brought_to_the_utm_zone(tmp_path):
    degrees = 10 / 111_320
    values = np.arange(400, dtype=np.float32).reshape(1, 20, 20)
    fake.write_tif(tmp_path / "x.tif", values, -70.5, -33.2, degrees, crs="EPSG:4326")
    source = Rasters(fake.write_table(tmp_path, [{"place": "a", "modality": "mine", "path": "x.tif", "datetime": "2020-01-01"}]))
    assert source.info[0]["crs"] == "EPSG:32719"
    assert source.modalities["mine"].gsd == 10.0
    assert source.size == 160.0  # degrees of longitude are 8.4 m here
    assert source.info[0]["left"] % 10 == 0
    place = source[0]
    place.check(source.modalities, "test")
    assert place.series["mine"].pixels.min() > 0
    assert abs(source.info[0]["longitude"] - (-70.5 + 10 * degrees)) < 1e-4


def test_a_sensor_with_surroundings_gets_them(tmp_path):
    with_context = Modality(**{**fake.PLANE.__dict__, "context": 30.0})
    values = np.arange(144, dtype=np.float32).reshape(1, 12, 12)
    fake.write_tif(tmp_path / "plane.tif", values, fake.LEFT, fake.TOP, 10)
    source = Rasters(fake.plane(tmp_path), modalities=[with_context])
    assert (source.size, source.info[0]["left"]) == (60.0, fake.LEFT + 30)
    assert np.array_equal(source[0].series["plane"].pixels[0], values)


def test_a_sensor_with_one_pixel_per_place_takes_the_place_as_a_whole(tmp_path):
    table = fake.write_rasters(tmp_path, 2)
    fake.write_tif(tmp_path / "t.tif", np.full((1, 2, 2), 283.15, np.float32), 490_000, 5_010_000, 12_000, units=("K",))
    (tmp_path / "modalities.json").write_text(
        json.dumps(
            [{"name": "air", "title": "Air", "bands": ["t"], "gsd": 9000, "units": ["degC"], "mean": [0], "std": [1], "per_place": True}]
        ),
        encoding="utf-8",
    )
    with table.open(encoding="utf-8", newline="") as stream:
        rows: list[dict[str, object]] = list(csv.DictReader(stream))
    rows += [{"place": "field.0", "modality": "air", "path": "t.tif", "datetime": f"2020-0{month}-01", "bands": "t"} for month in (2, 1)]
    source = Rasters(fake.write_table(tmp_path, rows))
    air = source[0].series["air"]
    assert source.size == 240.0
    np.testing.assert_allclose(air.pixels, np.full((2, 1, 1, 1), 10.0), atol=1e-4)
    assert air.day.tolist() == [18262, 18293]


def test_an_image_that_does_not_cover_its_place_is_an_error_or_left_out(table):
    short = fake.optical(fake.LEFT, fake.TOP, 24)[:, :, :12]
    fake.write_tif(table.parent / "field.0" / "s2_0.tif", short, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS)
    with pytest.raises(InputError, match=r"place 'field.0': its rasters have 120 m .*, those of 'field.1' 240 m. Try: size=120"):
        Rasters(table)  # one bad raster must not shrink every place
    assert Rasters(table, size=120.0).info[0]["left"] == fake.LEFT
    with pytest.raises(InputError, match=r"place 'field.0': its rasters have 120 m of ground in common, less than the size of 240 m"):
        Rasters(table, size=240.0)
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.update(left=fake.LEFT + fake.STEP * int(row["place"][-1]), top=fake.TOP, crs=fake.CRS)
    fake.write_table(table.parent, rows)
    with pytest.raises(InputError, match=r"s2_0\.tif: covers 500000.00…500120.00, .*not the whole place: 500000.00…500240.00"):
        Rasters(table, size=240.0)[0]
    source = Rasters(table, size=240.0, edge="drop")
    assert source[0].series["s2"].day.tolist() == [18383]
    assert len(source[1].series["s2"].day) == 2
