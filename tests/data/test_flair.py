"""FLAIR#1 and FLAIR#2. There are no real files of this family here: the made-up ones follow the published layout, traps included."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_flair import AREA, CENTRES, CENTROIDS, CLEAR_DAYS, CLEAR_FRAMES, DATES, area, image, mask, write_area, write_flair, write_image

from omnifuse.data.place import read_sensors
from omnifuse.data.projections import lambert93
from omnifuse.data.sources.flair import Flair
from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS, FLAIR_TO_COSIA, HUB_PROTOCOLS, class_ids
from omnifuse.data.sources.flair_layout import Layout, Patch
from omnifuse.data.sources.flair_problems import _counts
from omnifuse.data.sources.flair_series import CloudFilter, day_number, flair2_day, kept_dates, product_days
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, InputError

AREA_OF_TRAIN = Path("flair_sen_train/D006_2020/Z1_NN/sen")
STEM = "SEN2_sp_D006_2020-Z1_NN"
IMAGE = Path("flair_aerial_train/D006_2020/Z1_NN/img/IMG_000001.tif")
MASK = Path("flair_labels_train/D006_2020/Z1_NN/msk/MSK_000001.tif")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flair")
    write_flair(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy that a test may damage, file by file: remove one before it is written anew, for its bytes are shared."""
    return Path(shutil.copytree(whole, tmp_path / "copy", copy_function=os.link))


def rewrite(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


def days(*dates: str) -> list[int]:
    return np.array(dates, "datetime64[D]").astype(int).tolist()


def test_the_window_lies_around_the_centroid_by_row_and_column(whole):
    source = Flair(whole)
    for index, number in enumerate((1, 2)):
        place = source[index]
        place.check(source.modalities, "test")
        row, column = CENTROIDS[number]
        expected = area(len(DATES))[CLEAR_FRAMES][:, :, row - 20 : row + 20, column - 20 : column + 20]
        assert place.series["s2"].pixels.dtype == np.uint16
        assert np.array_equal(place.series["s2"].pixels, expected)


def test_another_window_has_the_same_centre(whole):
    source = Flair(whole, window=12)
    assert source.modalities["s2"].pixels(source.size) == 12
    assert np.array_equal(source[1].series["s2"].pixels, Flair(whole)[1].series["s2"].pixels[..., 14:26, 14:26])
    for window in (11, 10, 120):
        with pytest.raises(ConfigError, match=f"window of {window}"):
            Flair(whole, window=window)


def test_the_context_around_the_place_is_known(whole):
    s2 = Flair(whole).modalities["s2"]
    assert s2.context == pytest.approx(148.8)
    assert s2.pixels(102.4) == 40


def test_dates_are_sorted_and_those_under_snow_or_cloud_or_without_data_are_dropped(whole):
    assert Flair(whole)[0].series["s2"].day.tolist() == CLEAR_DAYS == days("2020-01-10", "2020-02-29", "2020-08-01", "2020-12-31")
    once = Flair(whole, clouds=CloudFilter(both="once"))[0].series["s2"].day.tolist()
    assert once == sorted([*CLEAR_DAYS, *days("2020-05-15")])  # 30 % under both: 0.6 counted twice, 0.3 counted once
    every = Flair(whole, clouds=None)[0].series["s2"].day.tolist()
    assert every == sorted(days(*(f"{d[:4]}-{d[4:6]}-{d[6:]}" for d, what in DATES.items() if what != "no data")))


def test_a_place_whose_dates_are_all_dropped_lacks_the_sensor(whole):
    place = Flair(whole)[2]
    assert place.series["s2"].pixels.shape == (0, 10, 40, 40)
    assert place.to_batch().frames["s2"].count.tolist() == [0]


def test_a_date_is_kept_below_half_cover_counted_from_sixty_percent():
    percent = np.zeros((5, 2, 10, 10), np.uint8)
    percent[0, 1, :5] = 60  # cloud on half of the pixels: dropped
    percent[1, 1, :5] = 59
    percent[2, 0, :4], percent[2, 0, 4, :9] = 100, 100  # snow on 49 %
    percent[3, :, :3] = 60  # both on 30 %: 0.6
    percent[4, 0, :3], percent[4, 1, 3:5] = 60, 60  # 30 % and 20 % side by side: 0.5
    assert kept_dates(percent, CloudFilter()).tolist() == [False, True, True, False, False]
    assert kept_dates(percent, CloudFilter(both="once")).tolist() == [False, True, True, True, False]
    assert kept_dates(percent, CloudFilter(cover=0.7, probability=50)).tolist() == [True] * 5


def test_months_are_averaged_on_request(whole):
    series = Flair(whole, monthly=True)[0].series["s2"]
    assert series.day.tolist() == days("2020-01-15", "2020-02-15", "2020-08-15", "2020-12-15")
    assert series.pixels.dtype == np.uint16
    clear = Flair(whole, monthly=True, clouds=None)[0]
    assert len(clear.series["s2"].day) == 7


def test_dates_stand_in_characters_11_to_18_of_a_product():
    names = ["S2A_MSIL2A_20200229T105031_N0214_R051_T31TDL_20200301T000000", "S2B_MSIL2A_20181231T105031_N0211"]
    assert product_days(names, "test").tolist() == days("2020-02-29", "2018-12-31")
    with pytest.raises(InputError, match=r"products\.txt: line 2, 'S2A_L2A_20200229'"):
        product_days([names[0], "S2A_L2A_20200229"], "products.txt")
    for text in ("20200230", "2020022", "abcdefgh", "20201301"):
        with pytest.raises(InputError, match=f"'{text}' is not a date"):
            day_number(text, "test")


def test_published_day_numbers_are_positive_before_15_may():
    assert flair2_day(np.array(days("2021-03-01", "2020-05-15", "2019-06-15", "2018-12-31"))).tolist() == [75, 0, -31, -230]
    assert flair2_day(np.array(days("2020-02-28", "2020-02-29"))).tolist() == [76, 76]  # the baseline fails on the second


def test_aerial_images_have_the_date_of_the_metadata(whole, folder):
    source = Flair(whole, series=False)
    assert list(source.modalities) == ["aerial"]
    for index, number in enumerate((1, 2, 3, 4)):
        series = source[index].series["aerial"]
        assert np.array_equal(series.pixels, image(number)[None])
        assert series.day.tolist() == days(f"2020-07-{number:02}")
    (folder / "flair_aerial_metadata.json").unlink()
    assert Flair(folder)[0].series["aerial"].day.tolist() == [0]


@pytest.mark.parametrize(
    ("protocol", "expected", "num_classes"),
    [
        ("flair12", {1: 0, 12: 11, 13: 12, 19: 12}, 12),
        ("flair13", {1: 0, 12: 11, 13: 12, 19: 12}, 13),
        ("flair15", {1: 0, 12: 11, 13: 12, 14: 13, 15: 15, 16: 15, 17: 15, 18: 14, 19: 15}, 15),
        ("flair19", {1: 0, 12: 11, 13: 12, 19: 18}, 19),
        ("cosia15", {1: 0, 6: 13, 12: 10, 13: 2, 18: 1, 15: 15, 19: 15}, 15),
        ("cosia19", {1: 0, 6: 13, 12: 10, 13: 2, 16: 17, 19: 18}, 19),
    ],
)
def test_labels_are_zero_based_by_protocol(whole, protocol, expected, num_classes):
    source = Flair(whole, protocol=protocol)
    assert len(source.classes.names) == len(source.classes.colors) == num_classes
    assert source.classes.ignore == {12: 12, 15: 15}.get(num_classes, -1)
    target, stored = source[0].target, mask()
    for value in (1, 12, 13, 19):
        assert set(target[stored == value].tolist()) == {expected[value]}
    values = np.array([list(expected)], np.uint8)
    assert class_ids(values, FLAIR_PROTOCOLS[protocol], "test").tolist() == [list(expected.values())]


def test_protocols_agree_on_names_and_colors():
    names = FLAIR_PROTOCOLS["flair19"].classes.names
    assert (names[0], names[11], names[12], names[18]) == ("building", "plowed land", "swimming pool", "other")
    assert FLAIR_PROTOCOLS["flair19"].classes.colors[::6] == ("#db0e9a", "#46e483", "#3de6eb", "#000000")
    assert FLAIR_PROTOCOLS["flair12"].classes.names == names[:12]
    assert FLAIR_PROTOCOLS["flair13"].classes.names == (*names[:12], "other")
    assert FLAIR_PROTOCOLS["flair15"].classes.names == (*names[:14], "greenhouse")
    cosia = HUB_PROTOCOLS["cosia19"].classes.names
    assert [cosia[FLAIR_TO_COSIA[value]] for value in range(1, 19)] == list(names[:18])  # "other" became "undefined"
    twelve = {cosia[i] for i in range(19) if i not in (1, 2, 7, 15, 16, 17, 18)}
    assert twelve == set(names[:12])


def test_departments_give_the_splits(whole):
    assert [row["split"] for row in Flair(whole).info] == ["train", "train", "val", "test"]
    assert [row["region"] for row in Flair(whole).info] == ["D006_2020", "D006_2020", "D004_2021", "D015_2020"]
    assert Flair(whole).info[2]["tile"] == "D004_2021/Z10_AU"


def test_the_validation_list_of_flair1_exchanges_one_department(tmp_path):
    for domain, number in (("D070_2020", 1), ("D077_2021", 2), ("D004_2021", 3), ("D099_2021", 4)):
        write_image(tmp_path / domain / "Z1_NN" / "img" / f"IMG_{number:06}.tif", image(number), CENTRES[number])
    assert [row["split"] for row in Flair(tmp_path, series=False).info] == ["train", "val", "val", "unlisted"]
    flair1 = Flair(tmp_path, series=False, validation="flair1")
    assert [row["split"] for row in flair1.info] == ["val", "train", "val", "unlisted"]


def test_the_two_tests_never_mix(whole):
    first, second = Flair(whole, series=False)[3], Flair(whole)[3]
    assert (first.info["region"], second.info["region"]) == ("D012_2019", "D015_2020")
    assert first.target is not None
    assert second.target is None  # not released with the images


def test_both_generations_of_folders_are_read_alike(whole, tmp_path):
    write_flair(tmp_path / "a test", hub=True)  # a word in a folder above says nothing
    for series in (True, False):
        challenge, hub = Flair(whole, series), Flair(tmp_path, series)
        assert challenge.info == hub.info
        for index in range(4):
            assert_same(challenge[index], hub[index])


def assert_same(found, expected) -> None:
    assert found.info == expected.info
    assert (found.target is None) == (expected.target is None)
    assert found.target is None or np.array_equal(found.target, expected.target)
    for name in expected.series:
        assert np.array_equal(found.series[name].pixels, expected.series[name].pixels)
        assert np.array_equal(found.series[name].day, expected.series[name].day)


def test_a_place_knows_where_it_is_with_or_without_metadata(whole, folder):
    (folder / "flair_aerial_metadata.json").unlink()
    for source in (Flair(whole), Flair(folder)):
        for row, number in zip(source.info, (1, 2, 3, 4), strict=True):
            x, y = CENTRES[number]
            assert row["crs"] == "EPSG:2154"
            assert (row["left"], row["top"]) == pytest.approx((x - 51.2, y + 51.2), abs=1e-3)
            assert lambert93(row["longitude"], row["latitude"]) == pytest.approx((x, y), abs=0.02)


def test_an_image_without_georeference_has_no_place(folder):
    (folder / "flair_aerial_metadata.json").unlink()
    (folder / IMAGE).unlink()
    write_image(folder / IMAGE, image(1), None)
    assert "crs" not in Flair(folder).info[0]
    assert "crs" in Flair(folder).info[1]


def test_signed_numbers_are_kept(folder):
    file = folder / AREA_OF_TRAIN / f"{STEM}_data.npy"
    signed = (area(len(DATES)) // 2).astype(np.int16)
    signed[5] = 0  # no data
    file.unlink()
    np.save(file, signed)
    row, column = CENTROIDS[1]
    pixels = Flair(folder)[0].series["s2"].pixels
    assert pixels.dtype == np.int16
    assert np.array_equal(pixels, signed[CLEAR_FRAMES][:, :, row - 20 : row + 20, column - 20 : column + 20])


def test_a_zone_without_a_sentinel_area_lacks_the_sensor(folder):
    shutil.rmtree(folder / AREA_OF_TRAIN)
    source = Flair(folder)
    assert "s2" not in source[0].series
    assert "s2" in source[3].series
    assert [problem.place for problem in source.problems()] == ["IMG_000001", "IMG_000002"]


def test_only_the_sensors_asked_for_are_read(folder):
    (folder / IMAGE).unlink()
    (folder / IMAGE).touch()
    place = read_sensors(Flair(folder), 0, ("s2",))
    assert list(place.series) == ["s2"]
    assert place.target is not None


def test_two_areas_in_one_folder_are_told_apart_by_name(folder):
    write_area(folder / AREA_OF_TRAIN, "D006_2020", "Z7_UU", dict.fromkeys(DATES, "snow"))
    assert Flair(folder)[0].series["s2"].day.tolist() == CLEAR_DAYS


def test_a_source_survives_a_worker_and_a_store(whole, tmp_path):
    source = pickle.loads(pickle.dumps(Flair(whole)))  # noqa: S301 our own bytes
    write_store(source, tmp_path / "flair.zarr")
    store = Store(tmp_path / "flair.zarr")
    assert store.modalities == source.modalities
    assert store.classes == source.classes
    assert store.provenance["licence"].startswith("Licence Ouverte")
    for index in range(4):
        assert_same(store[index], source[index])


def npy(array: np.ndarray, file: Path) -> None:
    file.unlink()
    np.save(file, array)


def tif(pixels: np.ndarray, file: Path) -> None:
    file.unlink()
    write_image(file, pixels, CENTRES[1])


DATA, MASKS, PRODUCTS = (AREA_OF_TRAIN / f"{STEM}_{name}" for name in ("data.npy", "masks.npy", "products.txt"))
CENTROIDS_FILE = Path("flair-2_centroids_sp_to_patch.json")
# Which file, what is done to it, what the error of the first place says, and which file it names if that is another.
DAMAGE = {
    "area cut short": (DATA, lambda file: rewrite(file, file.read_bytes()[:-1000]), "cut short"),
    "area of floats": (DATA, lambda file: npy(np.zeros((8, 10, *AREA), np.float32), file), "float32"),
    "area without a band": (DATA, lambda file: npy(np.zeros((8, 9, *AREA), np.uint16), file), r"\(8, 9, 120, 160\)"),
    "area too small": (DATA, lambda file: npy(np.zeros((8, 10, 100, 100), np.uint16), file), "does not fit", CENTROIDS_FILE),
    "masks turned": (MASKS, lambda file: npy(np.zeros((8, 2, *AREA[::-1]), np.uint8), file), r"\(8, 2, 160, 120\)"),
    "masks of another length": (MASKS, lambda file: npy(np.zeros((7, 2, *AREA), np.uint8), file), r"\(7, 2, 120, 160\)"),
    "no masks": (MASKS, lambda file: file.unlink(), "no such file"),
    "a product missing": (PRODUCTS, lambda file: rewrite(file, b"".join(file.read_bytes().splitlines(True)[:-1])), "per product", DATA),
    "a product without date": (PRODUCTS, lambda file: rewrite(file, file.read_bytes().replace(b"20200229T1", b"2020AA29T1")), "line 2"),
    "products not text": (PRODUCTS, lambda file: rewrite(file, b"\xff\xfe\x00"), "cannot be read"),
    "no products": (PRODUCTS, lambda file: file.unlink(), "no such file"),
    "no centroid": (CENTROIDS_FILE, lambda file: rewrite(file, b'{"IMG_000002.tif": [45, 110]}'), "has None"),
    "centroid of text": (CENTROIDS_FILE, lambda file: rewrite(file, b'{"IMG_000001.tif": ["30", 90]}'), "expected .row, column."),
    "window over the edge": (CENTROIDS_FILE, lambda file: rewrite(file, b'{"IMG_000001.tif": [110, 30]}'), "does not fit"),
    "window before the start": (CENTROIDS_FILE, lambda file: rewrite(file, b'{"IMG_000001.tif": [19, 60]}'), "does not fit"),
    "image cut short": (IMAGE, lambda file: rewrite(file, file.read_bytes()[:500_000]), "cannot be read"),
    "image not a raster": (IMAGE, lambda file: rewrite(file, b"not a raster"), "cannot be read"),
    "image without height": (IMAGE, lambda file: tif(image(1)[:4], file), r"\(4, 512, 512\)"),
    "image of floats": (IMAGE, lambda file: tif(image(1).astype(np.float32), file), "float32"),
    "image too small": (IMAGE, lambda file: tif(image(1)[:, :500, :500], file), r"\(5, 500, 500\)"),
    "label 0": (MASK, lambda file: tif(mask()[None] - 1, file), r"label values \[0\], expected 1..19"),
    "label 20": (MASK, lambda file: tif(mask()[None] + 1, file), r"label values \[20\], expected 1..19"),
    "labels of three bands": (MASK, lambda file: tif(np.stack([mask()] * 3), file), r"\(3, 512, 512\)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_when_the_place_is_read_and_when_the_folder_is_checked(folder, damage):
    file, spoil, said, *other = DAMAGE[damage]
    named = next(iter(other), file).name
    spoil(folder / file)
    source = Flair(folder)
    with pytest.raises(InputError, match=rf"{named}.*{said}.*Try: "):
        source[0]
    found = list(source.problems())
    assert any(problem.file.endswith(named) for problem in found)
    assert all(problem.file.endswith((named, file.name, "masks.npy")) and problem.what and problem.remedy for problem in found)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (CENTROIDS_FILE, b'{"IMG_000001.tif": [30, ', "not JSON"),
        (CENTROIDS_FILE, b"[]", "holds a list"),
        (CENTROIDS_FILE, None, "no `flair-2_centroids_sp_to_patch.json`"),
        (Path("flair_aerial_metadata.json"), b'{"IMG_000001": {"date": "2020-07-01"}}', "IMG_000001 has no position"),
        (Path("flair_aerial_metadata.json"), b'{"IMG_000001": {"patch_centroid_x": NaN, "patch_centroid_y": 1}}', "is at nan"),
        (Path("flair_aerial_metadata.json"), b"\xff\xff", "not JSON"),
    ],
)
def test_a_damaged_table_is_named_when_the_folder_is_opened(folder, file, content, said):
    if content is None:
        (folder / file).unlink()
    else:
        rewrite(folder / file, content)
    with pytest.raises(InputError, match=f"{said}.*Try: "):
        Flair(folder)


def test_a_folder_that_is_something_else_is_named(whole, folder, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Flair(whole / "nowhere")
    with pytest.raises(InputError, match=r"no images `IMG_<number>\.tif`"):
        Flair(whole / "flair_labels_train")
    with pytest.raises(InputError, match="Try: `series=False`"):
        Flair(whole / "flair_aerial_train")
    with pytest.raises(ConfigError, match=r"no protocol 'flair14'\. Try: one of flair12, "):
        Flair(whole, protocol="flair14")
    with pytest.raises(InputError, match="not below a domain and a zone"):
        Flair(whole / IMAGE.parent, series=False)
    twice = folder / "copy" / "flair_aerial_train" / "D006_2020" / "Z1_NN" / "img"
    twice.mkdir(parents=True)
    shutil.copy(folder / IMAGE, twice)
    with pytest.raises(InputError, match=r"IMG_000001\.tif: there is .*IMG_000001\.tif of the same name"):
        Flair(folder)


def test_a_whole_folder_has_no_problems(whole):
    assert list(Flair(whole).problems()) == []
    assert list(Flair(whole, series=False).problems()) == []


def test_parts_that_are_nearly_whole_have_the_published_number_of_patches():
    def patches(number: int, domain: str, test: bool) -> list[Patch]:
        return [Patch(index, Path(), None, domain, "Z1_NN", test) for index in range(number)]

    part = [*patches(61_712, "D006_2020", False), *patches(499, "D022_2021", True), *patches(1_000, "D083_2020", True)]
    assert [problem.what for problem in _counts(Layout(tuple(part)), 1)] == ["499 patches of D022_2021, published are 500"]
    train, test = patches(61_711, "D006_2020", False), patches(16_050, "D015_2020", True)
    assert [problem.what for problem in _counts(Layout((*train, *test)), 2)] == [
        "61711 patches of train and validation, published are 61712"
    ]


def test_what_only_a_check_can_see_is_a_problem(folder):
    (folder / MASK).unlink()
    metadata = folder / "flair_aerial_metadata.json"
    entries = json.loads(metadata.read_text(encoding="utf-8"))
    entries["IMG_000002"]["patch_centroid_x"] += 1
    del entries["IMG_000003"]
    rewrite(metadata, json.dumps(entries).encode())
    utm = folder / "flair_2_aerial_test/D015_2020/Z5_UU/img/IMG_000004.tif"
    utm.unlink()
    write_image(utm, image(4), CENTRES[4], "EPSG:32631")
    found = {problem.place: problem.what for problem in Flair(folder).problems()}
    assert found["IMG_000001"] == "no mask MSK_000001.tif"
    assert "-1.0 m east" in found["IMG_000002"]
    assert "no entry" in found["IMG_000003"]
    assert "EPSG:32631" in found["IMG_000004"]
    assert len(found) == 4
