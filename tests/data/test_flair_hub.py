"""FLAIR-HUB. There are no real files of this family here: the made-up ones follow the published layout, traps included."""

import json
import os
import pickle
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from fake_flair import write_image
from fake_flair_hub import (
    PATCHES,
    S1_DATES,
    S2_DATES,
    S2_DAYS,
    raster_file,
    sentinel1,
    sentinel2,
    write_csv,
    write_flair_hub,
    write_geopackage,
)

from omnifuse.data.place import read_sensors
from omnifuse.data.projections import lambert93
from omnifuse.data.sources.flair_hub import FlairHub
from omnifuse.data.sources.flair_hub_layout import TEST, TRAIN, VALIDATION, split_of
from omnifuse.data.sources.flair_hub_problems import _counts
from omnifuse.data.sources.flair_products import PRODUCTS
from omnifuse.data.sources.flair_series import HubCloudFilter, flair_hub_day, kept_hub_dates
from omnifuse.data.sources.flair_tables import parse_dates, read_dates
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, InputError

ALL = tuple(PRODUCTS)
WHOLE = "D006-2020_FF-S1-14_5-5"  # the patch that has every raster
TOP = (PATCHES[WHOLE][0] + 51.2, PATCHES[WHOLE][1] - 51.2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flair_hub")
    write_flair_hub(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy that a test may damage, file by file: remove one before it is written anew, for its bytes are shared."""
    return Path(shutil.copytree(whole, tmp_path / "copy", copy_function=os.link))


def place(source: FlairHub, patch: str):
    return source[[row["id"] for row in source.info].index(patch)]


def days(*dates: str) -> list[int]:
    return np.array(dates, "datetime64[D]").astype(int).tolist()


def replace_raster(folder: Path, product: str, pixels: np.ndarray, gsd: float, crs: str = "EPSG:2154", shift: float = 0.0) -> None:
    file = raster_file(folder, WHOLE, product)
    file.unlink()
    write_image(file, pixels, (TOP[0] + shift, TOP[1]), crs, gsd)


def test_every_raster_becomes_its_sensor(whole):
    source = FlairHub(whole, ALL)
    found = place(source, WHOLE)
    found.check(source.modalities, "test")
    assert {name: (series.pixels.shape[1:], series.pixels.dtype.name) for name, series in found.series.items()} == {
        "aerial": ((4, 512, 512), "uint8"),
        "aerial_rlt": ((1, 256, 256), "uint8"),
        "dem": ((2, 512, 512), "float32"),
        "spot": ((4, 64, 64), "uint16"),
        "s2": ((10, 10, 10), "uint16"),
        "s1_asc": ((3, 10, 10), "float32"),
        "s1_desc": ((3, 10, 10), "float32"),
    }
    assert found.series["aerial"].day.tolist() == days("2020-07-11")
    assert found.series["aerial_rlt"].day.tolist() == [0]  # no table has its date
    dem = found.series["dem"].pixels[0]
    assert dem[0, -1, 0] > dem[1, -1, 0]  # surface above terrain
    assert found.series["spot"].pixels[0, :, 0, 0].tolist() == [300, 400, 500, 600]


def test_bands_run_through_a_date_before_the_next(whole):
    series = place(FlairHub(whole, ("s2",)), WHOLE).series["s2"]
    assert series.day.tolist() == S2_DAYS  # sorted; the unknown day 00 is the first of its month
    assert series.pixels[:, :, 5, 5].tolist() == [[10 * t + b for b in range(10)] for t in (0, 2, 1)]


def test_radar_is_converted_to_decibel_by_the_rule_for_gaps(whole):
    source = FlairHub(whole, ("s1_asc", "s1_desc"))
    for name in ("s1_asc", "s1_desc"):
        assert source.modalities[name].units == ("dB",) * 3
        series = place(source, WHOLE).series[name]
        assert series.day.tolist() == days(*(f"2021-{i:02}-05" for i in range(1, 12) if i != 3))  # March has no VH
        np.testing.assert_allclose(series.pixels[0, :, 9, 9], [10 * np.log10(0.2), 10 * np.log10(0.02), 10], rtol=1e-5)
        february, april = series.pixels[1], series.pixels[2]
        np.testing.assert_allclose(february[:, 0, :3], [[-10] * 3, [-20] * 3, [10] * 3], atol=1e-5)  # gaps take the median
        np.testing.assert_allclose(april[:, 4, 4], [-60, -20, -40], atol=1e-5)  # 1e-9 is at the floor
        np.testing.assert_allclose(april[:, 4, 5], [-10, -20, 10], atol=1e-5)


def test_radar_in_decibel_already_is_refused(folder):
    replace_raster(folder, "SENTINEL1-ASC_TS", np.full((2 * len(S1_DATES), 10, 10), -12.5, np.float32), 10.24)
    with pytest.raises(InputError, match=r"SENTINEL1-ASC_TS_FF-S1-14_5-5\.tif: most values are negative \(median -12\.5\), as in dB"):
        place(FlairHub(folder, ("s1_asc",)), WHOLE)


def test_numbered_dates_are_not_sorted_as_text():
    text = json.dumps(dict(sorted(S1_DATES.items())))
    assert list(json.loads(text))[:2] == ["1", "10"]
    assert parse_dates(text, "test").tolist() == days(*(f"2021-{i:02}-05" for i in range(1, 12)))
    assert parse_dates(json.dumps(S2_DATES), "test").tolist() == days("2021-01-14", "2021-06-01", "2021-04-01")
    for broken in ('{"1": "20210114", "3": "20210401"}', "{'1': 20210114}", "", "[1]", "7", '{"1": "2021-13-40"}', '{"1": null}'):
        with pytest.raises(InputError, match=r"table\.csv: patch: .*Try: "):
            parse_dates(broken, "table.csv: patch")


def test_published_day_numbers_are_positive_after_15_may():
    assert flair_hub_day(np.array(days("2021-05-15", "2020-05-16", "2021-03-01", "2020-12-31"))).tolist() == [0, 1, -75, 230]


def test_dates_under_cloud_are_dropped_then_those_under_snow():
    percent = np.zeros((4, 2, 10, 10), np.uint8)
    percent[0, 1, 0, :5] = 2  # 95 % clear: kept
    percent[1, 1, 0, :6] = 2  # 94 %
    percent[2, :, 1] = 1  # at most 1 % everywhere: clear
    percent[3, 0] = 100
    assert kept_hub_dates(percent, HubCloudFilter()).tolist() == [True, False, True, False]
    percent[:, 1] = 50  # clouds everywhere: only snow counts
    assert kept_hub_dates(percent, HubCloudFilter()).tolist() == [True, True, True, False]
    percent[:, 0] = 50
    assert not kept_hub_dates(percent, HubCloudFilter()).any()
    assert kept_hub_dates(percent, HubCloudFilter(percent=50)).all()


def test_masks_drop_dates_of_the_series_unless_told_not_to(folder):
    percent = np.zeros((6, 10, 10), np.uint8)
    percent[3], percent[4] = 100, 100  # cloud on date 1, snow on date 2
    replace_raster(folder, "SENTINEL2_MSK-SC", percent, 10.24)
    assert place(FlairHub(folder, ("s2",)), WHOLE).series["s2"].day.tolist() == days("2021-01-14")
    assert place(FlairHub(folder, ("s2",), clouds=None), WHOLE).series["s2"].day.tolist() == S2_DAYS
    percent[[0, 2, 4]] = 100
    replace_raster(folder, "SENTINEL2_MSK-SC", percent, 10.24)
    assert place(FlairHub(folder, ("s2",)), WHOLE).to_batch().frames["s2"].count.tolist() == [0]
    raster_file(folder, WHOLE, "SENTINEL2_MSK-SC").unlink()
    with pytest.raises(InputError, match=r"SENTINEL2_MSK-SC_FF-S1-14_5-5\.tif: no such file"):
        place(FlairHub(folder, ("s2",)), WHOLE)


def test_a_date_without_data_is_dropped(folder):
    stack = sentinel2()
    stack[10:20] = 0
    replace_raster(folder, "SENTINEL2_TS", stack, 10.24)
    assert place(FlairHub(folder, ("s2",)), WHOLE).series["s2"].day.tolist() == days("2021-01-14", "2021-04-01")


def test_months_are_averaged_on_request(whole):
    series = place(FlairHub(whole, ("s2", "aerial"), monthly=True), WHOLE).series
    assert series["s2"].day.tolist() == days("2021-01-15", "2021-04-15", "2021-06-15")
    assert series["aerial"].day.tolist() == days("2020-07-11")


def test_a_missing_raster_is_a_missing_sensor(whole):
    source = FlairHub(whole, ALL)
    present = {str(row["id"]): set(source[index].series) for index, row in enumerate(source.info)}
    assert set(ALL) - present["D006-2020_FF-S1-14_5-10"] == {"aerial_rlt"}
    assert present["D004-2021_UU-S2-3_0-1"] == {"aerial"}
    assert set(ALL) - present["D012-2019_AA-S1-1_2-2"] == {"dem", "spot"}
    assert "D004-2021_UU-S2-3_0-1" not in [row["id"] for row in FlairHub(whole, ("s2",)).info]


def test_only_the_sensors_asked_for_are_read(folder):
    source = FlairHub(folder, ALL)
    index = [row["id"] for row in source.info].index(WHOLE)
    expected = source[index].only(("spot", "s1_desc"))
    for product in ("AERIAL_RGBI", "SENTINEL2_TS", "SENTINEL1-ASC_TS"):
        raster_file(folder, WHOLE, product).unlink()
    found = read_sensors(source, index, ("spot", "s1_desc"))
    assert list(found.series) == ["spot", "s1_desc"]
    assert_same(found, expected)


@pytest.mark.parametrize("key", ["D006-195X_FF-S1-14_5-5", WHOLE])
def test_a_historical_image_has_its_date_by_either_name(folder, key):
    rows = [{"patch_id": key, "date": "1957-06-12"}, {"patch_id": "D012-2019_AA-S1-1_2-2", "date": ""}]
    write_csv(folder / "GLOBAL_ALL_MTD/GLOBAL_AERIAL-RLT_MTD_DATES.csv", rows, ",")
    source = FlairHub(folder, ("aerial_rlt",))
    assert place(source, WHOLE).series["aerial_rlt"].day.tolist() == days("1957-06-12")
    assert place(source, "D012-2019_AA-S1-1_2-2").series["aerial_rlt"].day.tolist() == [0]


def test_cells_are_in_the_order_of_their_numbers(whole):
    assert [row["id"] for row in FlairHub(whole).info] == [
        "D004-2021_UU-S2-3_0-1",
        "D006-2020_FF-S1-14_5-5",
        "D006-2020_FF-S1-14_5-10",
        "D012-2019_AA-S1-1_2-2",
    ]


@pytest.mark.parametrize("tables", [",", ";"])
def test_tables_may_be_geopackages_or_csv(whole, tmp_path, tables):
    write_flair_hub(tmp_path, tables)
    packages, texts = FlairHub(whole, ("s2", "s1_asc", "dem")), FlairHub(tmp_path, ("s2", "s1_asc", "dem"))
    assert packages.info == texts.info  # places from outlines or from rasters, splits from the table or by department
    for index in range(len(packages)):
        assert_same(texts[index], packages[index])


def test_dates_may_be_given_for_a_zone(folder):
    table = folder / "GLOBAL_ALL_MTD/GLOBAL_SENTINEL2_MTD_DATES.gpkg"
    table.unlink()
    zones = {patch.rpartition("_")[0]: json.dumps(S2_DATES) for patch in PATCHES}
    write_geopackage(table, {"zone_id": {zone: zone for zone in zones}, "acquisition_dates": zones})
    assert place(FlairHub(folder, ("s2",)), WHOLE).series["s2"].day.tolist() == S2_DAYS


@pytest.mark.parametrize(("labels", "num_classes", "ignore"), [("cosia", 15, 15), ("cosia19", 19, -1), ("lpis", 23, -1)])
def test_labels_are_zero_based_and_some_count_for_nothing(whole, labels, num_classes, ignore):
    source = FlairHub(whole, ("aerial",), labels)
    target, classes = place(source, WHOLE).target, source.classes
    assert (len(classes.names), len(classes.colors), classes.ignore) == (num_classes, num_classes, ignore)
    rows = np.arange(512) // (23 if labels == "lpis" else 27)
    expected = np.minimum(rows, 15) if labels == "cosia" else rows
    assert np.array_equal(target, np.repeat(expected[:, None], 512, 1))
    assert (classes.names[0], classes.names[10]) == (("grasses", "soy") if labels == "lpis" else ("building", "plowed land"))


def test_departments_give_the_splits(whole):
    assert [split_of(domain) for domain in ("D004", "D012", "D006", "D024047", "D059062", "D999")] == [
        "val",
        "test",
        "train",
        "train",
        "train",
        "unlisted",
    ]
    assert (len(TRAIN), len(VALIDATION), len(TEST)) == (46, 8, 16)  # four codes name two departments: 74
    assert not TRAIN & VALIDATION | TRAIN & TEST | VALIDATION & TEST
    source = FlairHub(whole)
    assert [row["split"] for row in source.info] == ["val", "train", "train", "test"]
    assert (source.info[1]["region"], source.info[1]["tile"]) == ("D006-2020", "D006-2020_FF-S1-14")


def test_the_table_of_splits_counts_more_than_the_department(folder):
    table = folder / "GLOBAL_ALL_MTD/GLOBAL_ALL_MTD_SPLIT.gpkg"
    table.unlink()
    write_csv(table.with_suffix(".csv"), [{"patch_id": WHOLE, "split_1": "TEST"}], ";")
    source = FlairHub(folder)
    assert [row["split"] for row in source.info] == ["val", "test", "train", "test"]
    assert [(problem.place, problem.what) for problem in source.problems()] == [(WHOLE, "split_1 is 'test', published is 'train' for D006")]


def test_splits_that_are_nearly_whole_have_the_published_size():
    assert not list(_counts({"train": 152_225, "val": 38_175, "test": 50_700}, "table"))
    assert not list(_counts({"train": 150}, "table"))
    (problem,) = _counts({"train": 152_225, "val": 38_174, "test": 50_700}, "table")
    assert problem.what == "38174 patches in val, published are 38175"


def test_a_place_knows_where_it_is(whole):
    for row in FlairHub(whole).info:
        left, top = PATCHES[str(row["id"])]
        assert (row["crs"], row["left"], row["top"]) == ("EPSG:2154", pytest.approx(left), pytest.approx(top))
        assert lambert93(row["longitude"], row["latitude"]) == pytest.approx((left + 51.2, top - 51.2), abs=0.02)


def assert_same(found, expected) -> None:
    assert found.info == expected.info
    assert (found.target is None) == (expected.target is None)
    assert found.target is None or np.array_equal(found.target, expected.target)
    for name, series in expected.series.items():
        assert np.array_equal(found.series[name].pixels, series.pixels)
        assert np.array_equal(found.series[name].day, series.day)


def test_a_source_survives_a_worker_and_a_store(whole, tmp_path):
    source = pickle.loads(pickle.dumps(FlairHub(whole, ALL)))  # noqa: S301 our own bytes
    write_store(source, tmp_path / "hub.zarr")
    store = Store(tmp_path / "hub.zarr")
    assert store.modalities == source.modalities
    assert "dB" in store.provenance["source"]
    for index in range(4):
        assert_same(store[index], source[index])


def zeros(bands: int, side: int, dtype: type) -> np.ndarray:
    return np.zeros((bands, side, side), dtype)


# Which raster of the whole patch, what it becomes (None: cut short), and what the error says.
DAMAGE = {
    "aerial without infrared": ("AERIAL_RGBI", (zeros(3, 512, np.uint8), 0.2), r"\(3, 512, 512\)"),
    "aerial cut short": ("AERIAL_RGBI", None, "cut short|cannot be read"),
    "historical of another size": ("AERIAL-RLT_PAN", (zeros(1, 512, np.uint8), 0.2), r"\(1, 512, 512\)"),
    "elevation of integers": ("DEM_ELEV", (zeros(2, 512, np.int16), 0.2), "int16"),
    "spot of bytes": ("SPOT_RGBI", (zeros(4, 64, np.uint8), 1.6), "uint8"),
    "two dates of three": ("SENTINEL2_TS", (sentinel2(2), 10.24), "3 dates in .*SENTINEL2_MTD_DATES|2 dates, but .* has 3"),
    "bands that are no date": ("SENTINEL2_TS", (sentinel2()[:29], 10.24), r"\(29, 10, 10\)"),
    "masks of two dates": ("SENTINEL2_MSK-SC", (zeros(4, 10, np.uint8), 10.24), r"\(4, 10, 10\)|4 bands of 10×10"),
    "radar of one band": ("SENTINEL1-DESC_TS", (sentinel1()[::2], 10.24), r"\(11, 10, 10\)|5 dates, but"),
    "label 19": ("AERIAL_LABEL-COSIA", (zeros(1, 512, np.uint8) + np.uint8(19), 0.2), r"label values \[19\], expected 0..18"),
    "labels of three bands": ("AERIAL_LABEL-COSIA", (zeros(3, 512, np.uint8), 0.2), r"\(3, 512, 512\)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_raster_is_named_when_the_place_is_read_and_when_the_folder_is_checked(folder, damage):
    product, content, said = DAMAGE[damage]
    file = raster_file(folder, WHOLE, product)
    if content is None:
        half = file.read_bytes()[: file.stat().st_size // 2]
        file.unlink()
        file.write_bytes(half)
    else:
        replace_raster(folder, product, *content)
    source = FlairHub(folder, ALL)
    with pytest.raises(InputError, match=rf"{product}_FF-S1-14_5-5\.tif: .*({said}).*Try: "):
        place(source, WHOLE)
    (problem,) = source.problems()
    assert problem.file == str(file)
    assert problem.place == WHOLE
    assert problem.remedy


DATES_TABLE = Path("GLOBAL_ALL_MTD/GLOBAL_SENTINEL2_MTD_DATES.gpkg")


def write_table(folder: Path, change) -> None:
    (folder / DATES_TABLE).unlink()
    write_flair_hub_dates = {patch: json.dumps(S2_DATES) for patch in PATCHES}
    change(write_flair_hub_dates)
    ids = {patch: patch for patch in write_flair_hub_dates}
    write_geopackage(folder / DATES_TABLE, {"patch_id": ids, "acquisition_dates": write_flair_hub_dates})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda dates: dates.pop(WHOLE), "has no row"),
        (lambda dates: dates.update({WHOLE: "{'1': '20210114'}"}), r"dates \"\{'1': '20210114'\}\""),
        (lambda dates: dates.update({WHOLE: '{"1": "20210114", "2": "2021AA00", "3": "20210401"}'}), "date 2: '2021AA00' is not a date"),
    ],
)
def test_a_row_of_dates_that_cannot_be_read_concerns_its_patch_alone(folder, change, said):
    write_table(folder, change)
    source = FlairHub(folder, ("s2",))
    with pytest.raises(InputError, match=rf"SENTINEL2_MTD_DATES\.gpkg: {WHOLE}.*{said}.*Try: "):
        place(source, WHOLE)
    assert place(source, "D006-2020_FF-S1-14_5-10").series["s2"].day.tolist() == S2_DAYS
    assert {(Path(problem.file).name, problem.place) for problem in source.problems()} == {(DATES_TABLE.name, WHOLE)}


def test_a_table_that_cannot_be_read_is_named(folder):
    table = folder / DATES_TABLE
    content = table.read_bytes()
    for broken in (b"", b"not a GeoPackage", content[: len(content) // 2 // 4096 * 4096 + 100]):
        table.unlink()
        table.write_bytes(broken)
        with pytest.raises(InputError, match=r"GLOBAL_SENTINEL2_MTD_DATES\.gpkg: .*Try: "):
            read_dates(table)
    table.unlink()
    with sqlite3.connect(table) as database:
        database.execute("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT)")
        database.execute("INSERT INTO gpkg_contents VALUES ('layer', 'features')")
        database.execute("CREATE TABLE layer (patch_id TEXT, dates TEXT)")
    database.close()
    with pytest.raises(InputError, match="no column acquisition_dates or date or acquisition_date, found patch_id, dates"):
        read_dates(table)
    text = table.with_suffix(".csv")
    text.write_bytes(b"\xff\xfe,\n")
    with pytest.raises(InputError, match=r"DATES\.csv: cannot be read"):
        read_dates(text)
    table.unlink()
    text.unlink()
    with pytest.raises(InputError, match=r"no `GLOBAL_ALL_MTD/GLOBAL_SENTINEL2_MTD_DATES\.gpkg`, so 's2' has no dates"):
        FlairHub(folder, ("s2",))


def test_a_raster_elsewhere_is_a_problem(folder):
    replace_raster(folder, "SPOT_RGBI", np.ones((4, 64, 64), np.uint16), 1.6, shift=5.0)
    replace_raster(folder, "DEM_ELEV", np.ones((2, 512, 512), np.float32), 0.2, "EPSG:32631")
    raster_file(folder, WHOLE, "AERIAL_LABEL-COSIA").unlink()
    found = {Path(problem.file).parts[-3]: problem.what for problem in FlairHub(folder, ALL).problems()}
    assert set(found) == {"D006-2020_SPOT_RGBI", "D006-2020_DEM_ELEV", "D006-2020_AERIAL_LABEL-COSIA"}
    assert "EPSG:2154 1010005.00, 6300000.00, that of the patch at EPSG:2154 1010000.00" in found["D006-2020_SPOT_RGBI"]
    assert "EPSG:32631" in found["D006-2020_DEM_ELEV"]
    assert place(FlairHub(folder, ALL), WHOLE).target is None


def test_a_raster_that_its_neighbors_have_is_missed(folder):
    for product in ("SPOT_RGBI", "AERIAL-RLT_PAN"):
        raster_file(folder, WHOLE, product).unlink()
    (problem,) = FlairHub(folder, ALL).problems()
    assert (problem.file, problem.place) == (str(raster_file(folder, WHOLE, "SPOT_RGBI")), WHOLE)
    assert "lacks 'spot'" in problem.what


def test_a_whole_folder_has_no_problems(whole):
    assert list(FlairHub(whole, ALL).problems()) == []


def test_what_does_not_fit_is_named(whole):
    with pytest.raises(InputError, match="unknown modality 's1'"):
        FlairHub(whole, ("s1",))
    with pytest.raises(ConfigError, match="Try: a sensor at least"):
        FlairHub(whole, ())
    with pytest.raises(ConfigError, match="labels 'flair12'"):
        FlairHub(whole, labels="flair12")
    with pytest.raises(InputError, match="no such folder"):
        FlairHub(whole / "nowhere")
    with pytest.raises(InputError, match="no rasters of AERIAL_RGBI"):
        FlairHub(whole / "GLOBAL_ALL_MTD")
