import csv
import json
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.place import PlaceSource
from omnifuse.data.sources.rasters import Rasters
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, InputError, OmnifuseError
from omnifuse.modalities import MODALITIES, Modality

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake
import rasterio

OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
PLANE = Modality(name="plane", title="Plane", bands=("height",), gsd=10.0, units=("m",), mean=(0.0,), std=(1.0,), series=False)


@pytest.fixture
def table(tmp_path) -> Path:
    return fake.write_rasters(tmp_path)


def changed(table: Path, row: int, **cells: object) -> Path:
    """Change cells of a row (from 0); a cell of None removes the row."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[row].update(cells)
    return fake.write_table(table.parent, [r for r in rows if None not in r.values()])


def plane(folder: Path, *rows: dict[str, object], **files: object) -> Path:
    """Write a table of one place whose rows all are of a sensor described in `modalities.json`."""
    (folder / "modalities.json").write_text(json.dumps([{**PLANE.__dict__}]), encoding="utf-8")
    return fake.write_table(folder, [{"place": "a", "modality": "plane", "path": "plane.tif", **row} for row in rows or ({},)])


def ramp(left: float, top: float, gsd: float, height: int, width: int) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return (3 * (left + (columns + 0.5) * gsd) - 2 * (top - (rows + 0.5) * gsd))[None].astype(np.float64)


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
        index = [fake.S2_BANDS.index(band) for band in OPTICAL]
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


def test_labels_are_classes_on_their_own_pixels(table):
    source = Rasters(table)
    numbers = fake.classes(fake.LEFT, fake.TOP, 5, 48)[0]
    assert source.classes.names == ("wheat", "corn", "grass")
    target = source[0].target
    assert target.dtype == np.uint8
    assert np.array_equal(target, numbers // 10 - 1)
    coarse = Rasters(table, label_gsd=40.0)[0].target
    assert np.array_equal(coarse, target[4::8, 4::8])


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


@pytest.mark.parametrize("gsd", [4.0, 10.0, 25.0])
def test_another_grid_is_resampled_to_the_right_place(tmp_path, gsd):
    """A plane is the same plane on any pixels: bilinear interpolation is exact on it."""
    side = round(400 / gsd)
    fake.write_tif(tmp_path / "plane.tif", ramp(500_003, 5_000_004, gsd, side, side), 500_003, 5_000_004, gsd)
    row = {"left": 500_100, "top": 4_999_900, "crs": "EPSG:32631"}
    place = Rasters(plane(tmp_path, row), size=200.0)[0]
    np.testing.assert_allclose(place.series["plane"].pixels[0], ramp(500_100, 4_999_900, 10, 20, 20), rtol=0, atol=1.0)
    worst = np.abs(place.series["plane"].pixels[0] - ramp(500_100, 4_999_900, 10, 20, 20)).max()
    assert worst < 0.6  # float32 of 1e7; a shift of one metre would be 2 or 3


def test_another_reference_system_is_resampled_to_the_right_place(tmp_path):
    """The same ground in the neighbouring zone: the value of each pixel is a plane in the coordinates of the file."""
    from rasterio.warp import transform

    (x,), (y,) = transform("EPSG:32631", "EPSG:32632", [700_000.0], [5_000_000.0])
    left, top = round(x) - 300, round(y) + 300
    fake.write_tif(tmp_path / "plane.tif", ramp(0, 0, 10, 60, 60), left, top, 10, crs="EPSG:32632")
    row = {"left": 699_950, "top": 5_000_050, "crs": "EPSG:32631"}
    seen = Rasters(plane(tmp_path, row), size=100.0)[0].series["plane"].pixels[0, 0]
    east, north = np.meshgrid(699_955 + 10 * np.arange(10), 5_000_045 - 10 * np.arange(10))
    there_x, there_y = transform("EPSG:32631", "EPSG:32632", east.ravel().tolist(), north.ravel().tolist())
    expected = 3 * (np.array(there_x) - left) - 2 * (np.array(there_y) - top)
    np.testing.assert_allclose(seen.ravel(), expected, atol=0.5)


def test_labels_in_another_grid_take_the_nearest_number(tmp_path):
    numbers = fake.classes(fake.LEFT, fake.TOP, 3, 100)
    fake.write_tif(tmp_path / "labels.tif", numbers, fake.LEFT, fake.TOP, 3)
    fake.write_tif(tmp_path / "plane.tif", ramp(0, 0, 10, 30, 30), fake.LEFT, fake.TOP, 10)
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["a", "b", "c"], "values": [10, 20, 30]}), encoding="utf-8")
    table = plane(tmp_path, {}, {"modality": "labels", "path": "labels.tif"})
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
    with_context = Modality(**{**PLANE.__dict__, "context": 30.0})
    values = np.arange(144, dtype=np.float32).reshape(1, 12, 12)
    fake.write_tif(tmp_path / "plane.tif", values, fake.LEFT, fake.TOP, 10)
    source = Rasters(plane(tmp_path), modalities=[with_context])
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


def test_a_stack_of_dates_is_a_series(tmp_path):
    names = ["VV", "VH", "B2"]
    values = np.arange(3 * 4 + 2, dtype=np.float32)[:, None, None] - 40 + np.zeros((14, 6, 6), np.float32)
    described = [name + (f"_{date}" if date else "") for date in range(4) for name in names] + ["elevation", "slope"]
    fake.write_tif(tmp_path / "stack.tif", values, fake.LEFT, fake.TOP, 10, names=described)
    dates = "2020-03-01 2020-01-01 2020-02-01 2020-04-01"
    source = Rasters(
        fake.write_table(
            tmp_path,
            [
                {"place": "a", "modality": "s1_asc", "path": "stack.tif", "dates": dates, "index": "1-12"},
                {"place": "a", "modality": "dem", "path": "stack.tif", "index": "13", "bands": "elevation"},
            ],
        )
    )
    seen = source[0].series["s1_asc"]
    assert seen.day.tolist() == [18262, 18293, 18322, 18353]
    assert seen.pixels[:, 0, 0, 0].tolist() == [-37, -34, -40, -31]
    assert seen.pixels[:, 2, 0, 0].tolist() == [-1, -1, -1, -1]
    assert source[0].series["dem"].pixels[0, 0, 0, 0] == -28
    with pytest.raises(InputError, match=r"14 bands of .* are not a whole number for each of 4 dates"):
        Rasters(changed(tmp_path / "table.csv", 0, index=""))[0]


@pytest.mark.parametrize("names", [("b02", "B3", "B04", "b5", "B06", "B07", "B8", "b8a", "B11", "B12"), ()])
def test_bands_are_found_by_name_in_any_spelling_or_by_their_number(tmp_path, names):
    values = np.arange(10, dtype=np.uint16)[:, None, None] + np.full((10, 6, 6), 100, np.uint16)
    if names:
        values = values[::-1]
    fake.write_tif(tmp_path / "x.tif", values, fake.LEFT, fake.TOP, 10, names=names[::-1])
    source = Rasters(fake.write_table(tmp_path, [{"place": "a", "modality": "s2", "path": "x.tif", "datetime": "2020-01-01"}]))
    assert source[0].series["s2"].pixels[0, :, 0, 0].tolist() == list(range(100, 110))


def test_scale_and_offset_of_the_table_go_before_those_of_the_file(tmp_path):
    fake.write_tif(tmp_path / "plane.tif", np.full((1, 6, 6), 7, np.int16), fake.LEFT, fake.TOP, 10, scales=(0.5,), nodata=-1)
    assert Rasters(plane(tmp_path))[0].series["plane"].pixels[0, 0, 0, 0] == 3.5
    seen = Rasters(plane(tmp_path, {"scale": 2, "offset": -1}))[0].series["plane"].pixels
    assert (seen[0, 0, 0, 0], seen.dtype) == (13.0, np.float32)
    assert Rasters(plane(tmp_path, {"unit": "mm", "scale": 1000}))[0].series["plane"].pixels[0, 0, 0, 0] == 7.0


def test_times_of_other_zones_are_days_in_utc(table):
    for time, day in (("2020-07-05T01:30:00+02:00", 18447), ("2020-07-04T23:30:00-02:00", 18448), ("20200704", 18447)):
        assert Rasters(changed(table, 0, datetime=time))[0].series["s2"].day[1] == day


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


@pytest.mark.parametrize("suffix", ["parquet", "geoparquet"])
def test_a_parquet_table_is_the_same_table(table, suffix):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read with pyarrow")
    from datetime import UTC, datetime

    from pyarrow import parquet

    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = {name: [row[name] or None for row in rows] for name in rows[0]}
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC) if time else None for time in columns.pop("datetime")]
    folds = pyarrow.array([float(fold) for fold in columns.pop("fold")])
    file = table.with_suffix(f".{suffix}")
    arrays = {**columns, "datetime": pyarrow.array(times), "fold": folds, "geometry": pyarrow.array([b""] * len(rows))}
    parquet.write_table(pyarrow.table(arrays), file)
    one, other = Rasters(table), Rasters(file)
    assert one.info == other.info
    for name, series in one[0].series.items():
        assert np.array_equal(series.pixels, other[0].series[name].pixels)
        assert np.array_equal(series.day, other[0].series[name].day)


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


class _Ranges(SimpleHTTPRequestHandler):
    """Serves a folder, parts of files included, and keeps quiet."""

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        asked = self.headers.get("Range")
        start, stop = (
            (int(x) if x else len(content) - 1 for x in asked.removeprefix("bytes=").split("-")) if asked else (0, len(content) - 1)
        )
        part = content[start : stop + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)


def test_rasters_are_read_over_the_network(table):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(table.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        local = Rasters(table)[0].series["s2"].pixels
        with rasterio.open(table.parent / "field.0" / "s2_1.tif") as image:
            values, profile = image.read(), image.profile
        fake.write_tif(
            table.parent / "cog.tif", values, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS, driver="COG", nodata=profile["nodata"]
        )
        remote = Rasters(changed(table, 1, path=f"{address}/cog.tif"))
        assert np.array_equal(remote[0].series["s2"].pixels, local)
        with pytest.raises(InputError, match=rf"row 3: {address}/none\.tif: "):
            Rasters(changed(table, 1, path=f"{address}/none.tif"))
    finally:
        server.shutdown()
        server.server_close()


def test_rasters_are_read_through_fsspec(table):
    fsspec = pytest.importorskip("fsspec", reason="other addresses are read with fsspec")
    local = Rasters(table)[0].series["s2"].pixels
    fsspec.filesystem("memory").pipe("/s2.tif", (table.parent / "field.0" / "s2_0.tif").read_bytes())
    assert np.array_equal(Rasters(changed(table, 0, path="memory://s2.tif"))[0].series["s2"].pixels, local)


def test_a_zarr_array_is_a_raster(table):
    pytest.importorskip("rioxarray", reason="the reference system of a Zarr array is read with rioxarray")
    import rioxarray  # noqa: F401 (adds `.rio`)
    import xarray

    values = fake.drone(fake.LEFT - 10, fake.TOP + 10, 104)
    centres = 2.5 * np.arange(104) + 1.25 - 10
    array = xarray.DataArray(values, dims=("band", "y", "x"), coords={"y": fake.TOP - centres, "x": fake.LEFT + centres}, name="colors")
    array.rio.write_crs(fake.CRS).to_dataset().to_zarr(table.parent / "drone.zarr", zarr_format=3, consolidated=False)
    expected = Rasters(table)[0].series["drone"].pixels
    for path in ("drone.zarr", "drone.zarr#colors"):
        source = Rasters(changed(table, 4, path=path, bands="red green nir", band=""))
        assert np.array_equal(source[0].series["drone"].pixels, expected)
    with pytest.raises(InputError, match="arrays colors"):
        Rasters(changed(table, 4, path="drone.zarr#depth"))


@pytest.mark.parametrize(
    ("row", "cells", "message"),
    [
        (0, {"path": "none.tif"}, r"table\.csv: row 2: .*none\.tif: no such file"),
        (1, {"place": ""}, r"row 3: `place` is empty"),
        (1, {"datetime": "4 July"}, r"row 3: '4 July' is not a date"),
        (1, {"datetime": ""}, r"row 3: `datetime` is empty, 's2' is a series"),
        (1, {"datetime": "2020-07-04T10:50:31"}, r"row 3: 's2' of place 'field.0' at 2020-07-04T10:50:31 stands in row 2 too"),
        (3, {"band": "VV"}, r"row 5: 's1_asc' of place 'field.0' .* stands in row 4 too"),
        (2, {"unit": "furlongs"}, r"row 4: band VV: unit 'furlongs' does not become 'dB'"),
        (2, {"unit": "dB"}, r"s1_VV\.tif.*positive throughout, not plausible in dB.*`linear`"),
        (2, {"band": "HH"}, r"row 4: .*s1_VV\.tif has 1 bands an image, hh; 's1_asc' has VV, VH, VV-VH"),
        (0, {"region": "south"}, r"row 3: `region` of place 'field.0' is 'north', before it was 'south'"),
        (4, {"datetime": "2020-06-20T10:00", "modality": "dem"}, r"row 6: .*drone\.tif has 3 bands an image"),
        (5, {"path": "field.0/drone.tif"}, r"row 7: .*drone\.tif has 3 bands.*`index`"),
        (5, {"path": "field.0/s1_VV.tif"}, r"s1_VV\.tif: labels of type float32"),
    ],
)
def test_a_row_that_does_not_fit_is_named(table, row, cells, message):
    changed(table, row, **cells)
    with pytest.raises(InputError, match=message):
        Rasters(table)[0]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("scale", "two", r"row 2: `scale` is 'two', not a number"),
        ("offset", "nan", r"row 2: `offset` is 'nan'"),
        ("nodta", "0", r"unknown column `nodta`. Try: `nodata`"),
        ("index", "0-3", r"row 2: `index` is '0-3'"),
        ("index", "13", r"row 2: `index` goes to 13, .* has 12 bands"),
        ("dates", "2020-01-01", r"row 2: has `datetime` and `dates`"),
        ("bands", "B2 B3", r"row 2: names 2 bands, .* has 12 an image"),
        ("left", "500000", r"place 'field.0' has only left. Try: left, top and crs"),
        ("size", "-5", r"`size` is -5"),
    ],
)
def test_a_column_that_does_not_fit_is_named(table, column, value, message):
    changed(table, 0, **{column: value})
    with pytest.raises(InputError, match=message):
        Rasters(table)[0]


def test_tables_that_are_none_are_named(tmp_path):
    file = tmp_path / "table.csv"
    for content, message in (
        ("", "no column `place`"),
        ("place,modality,path\n", "no rows"),
        ("place,path\na,b\n", "no column `modality`, found place, path"),
        ("place,modality,path\na,b\n", "row 2 has not 3 cells"),
        ("place,modality,path\na,labels,b.tif\n", "no such file"),
        ("place,place,path\n", "two columns of one name"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            Rasters(file)
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            Rasters(tmp_path / name)
    (tmp_path / "bad.parquet").write_bytes(b"not Parquet")
    with pytest.raises(InputError, match="not a Parquet table"):
        Rasters(tmp_path / "bad.parquet")


def test_rasters_that_cannot_be_placed_are_named(table):
    folder, values = table.parent / "field.0", fake.optical(fake.LEFT, fake.TOP, 24)
    file = folder / "s2_0.tif"
    turned = rasterio.Affine(10, 1, fake.LEFT, 1, -10, fake.TOP)
    for options, message in (({"crs": None}, "no coordinate reference system"), ({"transform": turned}, "pixels are turned")):
        fake.write_tif(file, values, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS, **options)
        with pytest.raises(InputError, match=rf"{file}: .*{message}"):
            Rasters(table)
    fake.write_tif(file, values, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS)
    cut = file.read_bytes()
    file.write_bytes(cut[: len(cut) // 2])
    with pytest.raises(InputError, match=rf"{file}: cannot be read"):
        Rasters(table)[0]
    (folder / "s2_1.tif").unlink()
    file.write_bytes(b"")
    with pytest.raises(InputError, match=r"row 2: .*s2_0\.tif: .* Nor can 1 more: row 3\."):
        Rasters(table)
    fake.write_tif(file, values.astype(np.float32) / 10_000, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS)
    with pytest.raises(InputError, match=r"values reach 0\.\d+, not plausible in the unit 'reflectance\*10000'. Try: unit `reflectance`"):
        Rasters(changed(table, 1, path=None))[0]
    scaled = Rasters(changed(table, 0, unit="reflectance"))
    np.testing.assert_allclose(scaled[0].series["s2"].pixels[0], values[[fake.S2_BANDS.index(band) for band in OPTICAL]], rtol=1e-5)


def test_types_that_differ_between_places_are_named(table):
    values = fake.optical(fake.LEFT + fake.STEP, fake.TOP, 24).astype(np.int32)
    fake.write_tif(table.parent / "field.1" / "s2_0.tif", values, fake.LEFT + fake.STEP, fake.TOP, 10, names=fake.S2_BANDS)
    with pytest.raises(InputError, match=r"field.1/s2_0\.tif: int32, the first raster of 's2' has int16. Try: `scale` 1"):
        Rasters(table)[1]
    fake.write_tif(table.parent / "field.1" / "s2_0.tif", values.astype(np.uint8), fake.LEFT + fake.STEP, fake.TOP, 10, names=fake.S2_BANDS)
    assert Rasters(table)[1].series["s2"].pixels.dtype == np.int16


def test_numbers_that_are_no_class_are_named_and_unlabelled_ground_is_ignored(table):
    legend = json.loads((table.parent / "classes.json").read_text(encoding="utf-8"))

    def write(**fields: object) -> None:
        (table.parent / "classes.json").write_text(json.dumps(legend | fields), encoding="utf-8")

    write(names=["wheat", "corn"], colors=[], values=[10, 20])
    with pytest.raises(InputError, match=r"labels\.tif: numbers \[30\] are no class"):
        Rasters(table)[0]
    write(names=["wheat", "corn"], colors=[], values=[10, 20], unlabelled=[30])
    source = Rasters(table)
    assert np.array_equal(source[0].target == 255, fake.classes(fake.LEFT, fake.TOP, 5, 48)[0] == 30)
    assert len(set(source.classes.colors)) == 2
    changed(table, 5, nodata=20)
    write(unlabelled=[30])
    assert set(np.unique(Rasters(table)[0].target)) == {0, 255}
    write(ignore=-1)
    with pytest.raises(InputError, match="unlabelled ground, but `ignore` is -1"):
        Rasters(table)[0]
    for fields, message in (
        ({"colors": ["#000000"]}, "1 `colors` for 3 names"),
        ({"ignore": 1}, "`ignore` 1"),
        ({"colors": ["red"] * 3}, "'red'"),
        ({"values": [1, 1, 2]}, "stands twice"),
        ({"color": []}, "color"),
    ):
        write(**fields)
        with pytest.raises(ConfigError, match=message):
            Rasters(table)


def test_a_colour_table_names_the_classes_where_no_file_does(table):
    (table.parent / "classes.json").unlink()
    with pytest.raises(InputError, match=r"labels\.tif: labels without a colour table, category names or classes\.json"):
        Rasters(table)
    numbers = fake.classes(fake.LEFT, fake.TOP, 5, 48) // 10 - 1
    colors = {0: (255, 0, 0, 255), 1: (0, 128, 0, 255), 2: (0, 0, 255, 255)}
    file = fake.write_tif(table.parent / "field.0" / "labels.tif", numbers, fake.LEFT, fake.TOP, 5, colors=colors)
    source = Rasters(table)
    assert source.classes.colors == ("#ff0000", "#008000", "#0000ff")
    assert np.array_equal(source[0].target, numbers[0])
    categories = "<CategoryNames><Category>wheat</Category><Category>corn &amp; peas</Category><Category>grass</Category></CategoryNames>"
    file.with_name("labels.tif.aux.xml").write_text(
        f"<PAMDataset><PAMRasterBand band='1'>{categories}</PAMRasterBand></PAMDataset>", "utf-8"
    )
    assert Rasters(table).classes.names == ("wheat", "corn & peas", "grass")


def test_labels_of_whole_places_are_shares_of_classes(table):
    with table.open(encoding="utf-8", newline="") as stream:
        rows: list[fake.Row] = [row for row in csv.DictReader(stream) if row["modality"] != "labels"]
    labels = {"field.0": "wheat", "field.1": "grass:0.25; corn:0.75"}
    for row in rows:
        row["label"] = labels.get(str(row["place"]), "")
    source = Rasters(fake.write_table(table.parent, rows))
    assert source.classes.names == ("wheat", "corn", "grass")
    assert [source[0].target.tolist(), source[1].target.tolist(), source[2].target] == [[1, 0, 0], [0, 0.75, 0.25], None]
    assert source[0].target.dtype == np.float32
    (table.parent / "classes.json").unlink()
    assert Rasters(table).classes.names == ("corn", "grass", "wheat")
    for wrong, message in (("wheat:2", "share '2' of 'wheat'"), ("wheat;wheat", "'wheat' stands twice"), ("corn:x", "'x'")):
        for row in rows:
            row["label"] = wrong
        fake.write_table(table.parent, rows)
        with pytest.raises(InputError, match=message):
            Rasters(table)
    fake.write_table(table.parent, [*rows, {**rows[0], "modality": "labels"}])
    with pytest.raises(InputError, match="column `label` and rows of 'labels'"):
        Rasters(table)


def test_what_describes_sensors_wrongly_is_named(table):
    file = table.parent / "modalities.json"
    for content, message in (
        ("{}", "not a list"),
        ('[{"name": "drone"}]', "entry 1.*title"),
        (json.dumps([PLANE.__dict__] * 2), "two sensors of one name"),
        (json.dumps([{**PLANE.__dict__, "gsd": "fine"}]), "gsd"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            Rasters(table)
    file.unlink()
    with pytest.raises(InputError, match=r"place of 52 m is 5\.2 pixels of 's2'"):
        Rasters(table, size=52.0)
    with pytest.raises(ConfigError, match="size -1"):
        Rasters(table, size=-1.0)


@pytest.mark.parametrize(("package", "file"), [("rasterio", "table.csv"), ("pyarrow", "table.parquet")])
def test_a_package_that_is_not_installed_is_named_with_the_extra_that_brings_it(table, monkeypatch, package, file):
    from omnifuse.data import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else object())
    table.rename(table.with_name(file))
    with pytest.raises(InputError, match=rf"{file}: reading it needs the package {package}. Try: pip install 'omnifuse\[geo\]'"):
        Rasters(table.with_name(file))


def test_every_place_is_checked_for_problems(table):
    assert not list(Rasters(table).problems())
    (table.parent / "field.1" / "s1_VH.tif").write_bytes((table.parent / "field.1" / "s1_VH.tif").read_bytes()[:600])
    source = Rasters(table)
    (table.parent / "field.2" / "labels.tif").unlink()
    found = [(problem.place, Path(problem.file).name) for problem in source.problems()]
    assert found == [("field.1", "s1_VV.tif"), ("field.2", "labels.tif")]
    for index in (1, 2):
        with pytest.raises(OmnifuseError):
            source[index]
