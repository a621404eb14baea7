import csv

import numpy as np
import pytest

from omnifuse.data.sources.rasters import Rasters
from omnifuse.errors import InputError

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake


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
        Rasters(fake.changed(tmp_path / "table.csv", 0, index=""))[0]


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
    assert Rasters(fake.plane(tmp_path))[0].series["plane"].pixels[0, 0, 0, 0] == 3.5
    seen = Rasters(fake.plane(tmp_path, {"scale": 2, "offset": -1}))[0].series["plane"].pixels
    assert (seen[0, 0, 0, 0], seen.dtype) == (13.0, np.float32)
    assert Rasters(fake.plane(tmp_path, {"unit": "mm", "scale": 1000}))[0].series["plane"].pixels[0, 0, 0, 0] == 7.0


def test_times_of_other_zones_are_days_in_utc(table):
    for time, day in (("2020-07-05T01:30:00+02:00", 18447), ("2020-07-04T23:30:00-02:00", 18448), ("20200704", 18447)):
        assert Rasters(fake.changed(table, 0, datetime=time))[0].series["s2"].day[1] == day


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
    fake.changed(table, row, **cells)
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
    fake.changed(table, 0, **{column: value})
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
