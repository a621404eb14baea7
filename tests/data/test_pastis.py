import json
import pickle
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from fake_pastis import (
    ALL_NODATA,
    GOLDEN,
    NO_SPOT,
    PATCHES,
    SMALL_SPOT,
    SPOT,
    dates,
    pixels,
    read_metadata,
    spot_pixels,
    target,
    write_fake_pastis,
    write_metadata,
)

from omnifuse.config import to_dict
from omnifuse.data.loading import read_place
from omnifuse.data.monthly import monthly
from omnifuse.data.place import PlaceSource, Series
from omnifuse.data.sources import pastis_checks, pastis_layout
from omnifuse.data.sources.pastis import Pastis
from omnifuse.data.sources.pastis_layout import CLASSES
from omnifuse.data.sources.pastis_metadata import parse_dates
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, InputError, OmnifuseError
from omnifuse.modalities import MODALITIES

RADAR = ("s2", "s1_asc", "s1_desc")
NATIVE = {"s2": "S2", "s1_asc": "S1A", "s1_desc": "S1D"}
SORTED = sorted(PATCHES, key=lambda patch: patch.number)
DAY0 = 17775  # 2018-09-01
resampled = pytest.mark.filterwarnings("ignore:.*were resampled")


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """The published layout with all quirks; tests do not change it."""
    return write_fake_pastis(tmp_path_factory.mktemp("pastis"))


@pytest.fixture
def folder(tmp_path):
    """A small copy without images that a test may break."""
    return write_fake_pastis(tmp_path / "PASTIS", encoding="dict", spot=False, side=16)


@pytest.fixture(autouse=True)
def small_patches(request, monkeypatch):
    """Let the patches of `folder` be 160 m wide; the published side is a constant."""
    if "folder" in request.fixturenames:
        monkeypatch.setattr(pastis_layout, "PUBLISHED", replace(pastis_layout.PUBLISHED, size=160.0))


def days(patch, name: str) -> np.ndarray:
    texts = [f"{day // 10000}-{day // 100 % 100:02d}-{day % 100:02d}" for day in dates(patch, name)]
    return np.array(texts, "datetime64[D]").astype(np.int32)


def change(folder, number: int, **properties) -> None:
    """Change or remove (None) properties of a patch."""
    whole = read_metadata(folder)
    found = next(one["properties"] for one in whole["features"] if one["properties"]["ID_PATCH"] == number)
    for key, value in properties.items():
        name = key.replace("dates_", "dates-")
        if value is None:
            del found[name]
        else:
            found[name] = value
    write_metadata(folder, whole)


def read_all(folder, sensors=("s2",)) -> list:
    source = Pastis(folder, sensors)
    return [source[index] for index in range(len(source))]


# What is read


def test_every_sensor_is_what_its_file_holds_on_true_dates(shared):
    source = Pastis(shared, RADAR)
    assert isinstance(source, PlaceSource)
    assert source.size == 1280.0
    assert [info["id"] for info in source.info] == ["10000", "10001", "20000", "30000", "40000"]  # as numbers, not as in the file
    for index, patch in enumerate(SORTED):
        place = source[index]
        place.check(source.modalities, "test")
        for name, native in NATIVE.items():
            kept = np.arange(patch.frames[native]) != (ALL_NODATA[1] if (name, patch.number) == ("s2", ALL_NODATA[0]) else -1)
            seen = place.series[name]
            assert seen.pixels.dtype == (np.int16 if name == "s2" else np.float16)
            assert np.array_equal(seen.pixels, pixels(patch, native)[kept])
            assert np.array_equal(seen.day, days(patch, native)[kept])
            assert len(seen.day) != len(place.series["s2"].day) or name == "s2"  # sensors have their own dates


def test_golden_dates(shared):
    seen = Pastis(shared)[0].series["s2"].day - DAY0
    assert GOLDEN == (20180901, 20180924, 20190101, 20190228)
    assert seen[[0, 1, 2, 3, -1]].tolist() == [0, 23, 122, 180, 421]


def test_dates_are_read_in_all_three_encodings_in_order_of_their_numbers():
    mapping = {str(i): 20190101 + i for i in range(12)}
    backwards = dict(sorted(mapping.items()))  # "0", "1", "10", "11", "2", ...
    assert list(backwards)[2] == "10"
    for value in (backwards, json.dumps(backwards), repr(backwards)):
        assert parse_dates(value, "x").tolist() == [17897 + i for i in range(12)]


def test_the_made_up_files_have_all_three_encodings(shared):
    columns = [feature["properties"]["dates-S2"] for feature in read_metadata(shared)["features"]]
    assert [column if isinstance(column, dict) else column[1] for column in columns[:3]] == [columns[0], '"', "'"]


def test_labels_are_the_first_channel_and_only_void_is_ignored(shared):
    source = Pastis(shared)
    assert source.classes == CLASSES
    assert (len(CLASSES.names), CLASSES.ignore, CLASSES.names[0], CLASSES.names[19]) == (20, 19, "background", "void")
    # Matplotlib's tab20 as published, with 0 black and 19 white
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    assert CLASSES.colors == ("#000000", *(to_hex(colormaps["tab20"](i)) for i in range(1, 19)), "#ffffff")
    for index, patch in enumerate(SORTED):
        place = read_place(source, index)
        assert place.target.shape == (128, 128)
        assert place.target.dtype == np.uint8
        assert np.array_equal(place.target, target(patch)[0])
        assert {0, 19} < set(np.unique(place.target).tolist())


def test_a_frame_without_data_is_left_out_and_gaps_and_negative_values_stay(shared):
    source = Pastis(shared)
    emptied, gappy = source[2].series["s2"], source[0].series["s2"]
    assert len(emptied.day) == 10
    assert days(SORTED[2], "S2")[ALL_NODATA[1]] not in emptied.day
    assert (gappy.pixels[6, :, :10] == -10_000).all() and (gappy.pixels[6, :, 10:] > -10_000).all()
    assert gappy.pixels[0, 3, 5, 7] == -450
    assert "-10000 are left out" in source.provenance["no data"]


def test_a_place_knows_fold_tile_and_where_it_is_in_its_utm_zone(shared):
    source = Pastis(shared)
    assert [info["fold"] for info in source.info] == [1, 5, 2, 3, 4]
    for info, patch in zip(source.info, SORTED, strict=True):
        assert (info["tile"], info["crs"], info["left"], info["top"]) == (patch.tile, f"EPSG:326{patch.tile[1:3]}", patch.left, patch.top)
        assert json.loads(json.dumps(info)) == info
    warp = pytest.importorskip("rasterio.warp")
    for info in source.info:
        x, y = warp.transform(info["crs"], "EPSG:4326", [info["left"] + 640], [info["top"] - 640])
        assert (info["longitude"], info["latitude"]) == pytest.approx((x[0], y[0]), abs=2e-6)


def test_the_outline_is_taken_for_lambert93_also_in_a_file_of_degrees(folder):
    from omnifuse.data.projections import from_lambert93

    before = Pastis(folder).info
    whole = read_metadata(folder)
    del whole["crs"]
    write_metadata(folder, whole)
    assert Pastis(folder).info == before
    for feature in whole["features"]:
        ring = feature["geometry"]["coordinates"][0][0]
        feature["geometry"]["coordinates"][0][0] = [list(from_lambert93(*point)) for point in ring]
    write_metadata(folder, whole)
    with pytest.raises(InputError, match="not in France; Lambert-93"):
        Pastis(folder)
    write_metadata(folder, {**whole, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}})
    assert Pastis(folder).info == before
    write_metadata(folder, {**whole, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}})
    with pytest.raises(InputError, match=r"EPSG::3857.*expected EPSG:2154"):
        Pastis(folder)


def test_what_the_metadata_do_not_say_is_left_out(folder):
    whole = read_metadata(folder)
    for feature in whole["features"]:
        properties = feature["properties"]
        feature["properties"] = {key: properties[key] for key in ("ID_PATCH", "dates-S2")}
        feature["geometry"] = None
    write_metadata(folder, whole)
    source = Pastis(folder)
    assert source.info[0] == {"id": "10000"}
    assert {problem.what.split(":")[0] for problem in source.problems()} == {"no `Fold`", "no outline", "no `TILE` with a UTM zone"}


@resampled
def test_an_image_is_read_as_stored_whatever_its_georeference_and_may_be_missing(shared):
    pytest.importorskip("rasterio")
    source = Pastis(shared, ("s2", "spot"))
    for index, patch in enumerate(SORTED):
        place = source[index]
        if patch.number == NO_SPOT:
            assert "spot" not in place.series
        elif patch.number != SMALL_SPOT:
            assert np.array_equal(place.series["spot"].pixels[0], spot_pixels(patch))
            assert str(place.series["spot"].day[0].astype("datetime64[D]")) == "2019-07-01"


def test_an_image_of_another_size_is_resampled_over_the_same_ground_with_a_warning(shared):
    pytest.importorskip("rasterio")
    source = Pastis(shared, ("spot",))
    with pytest.warns(UserWarning, match=rf"{SMALL_SPOT}\.tif: 64×64 pixels were resampled to 1280×1280"):
        seen = source[3].series["spot"].pixels[0].astype(float)
    assert seen.shape == (3, 1280, 1280)
    whole = spot_pixels(SORTED[0]).astype(float)  # the same ramps on full size
    assert np.abs(seen[:2] - whole[:2]).max() <= 4


def test_images_are_found_where_people_unpack_them(shared, tmp_path):
    for place in ("DATA_SPOT", f"PASTIS_{SPOT}"):
        folder = tmp_path / place
        shutil.copytree(shared, folder, ignore=shutil.ignore_patterns("DATA_S*"))
        (folder / place).mkdir()
        shutil.copy(shared / "DATA_SPOT" / f"PASTIS_{SPOT}" / f"{SPOT}_10000.tif", folder / place)
        assert Pastis(folder, ("spot",)).spot_folder == folder / place
    shutil.rmtree(folder / place)
    with pytest.raises(InputError, match=r"no SPOT images.*DATA_SPOT"):
        Pastis(folder, ("spot",))


def test_reading_is_deterministic_and_survives_pickling(shared):
    one = Pastis(shared, RADAR)
    other = pickle.loads(pickle.dumps(one))  # noqa: S301 our own bytes
    assert len(pickle.dumps(one)) < 60_000  # no pixels
    for index in (4, 0, 2):
        a, b = one[index], other[index]
        assert a.info == b.info and np.array_equal(a.target, b.target)
        for name in RADAR:
            assert np.array_equal(a.series[name].pixels, b.series[name].pixels)
            assert np.array_equal(a.series[name].day, b.series[name].day)


@resampled
def test_a_store_holds_the_same_places(shared, tmp_path):
    pytest.importorskip("rasterio")
    source = Pastis(shared, (*RADAR, "spot"))
    write_store(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.classes == source.classes and store.size == source.size and store.modalities == source.modalities
    assert store.info == source.info
    assert store.provenance.items() >= source.provenance.items()
    for index in range(len(source)):
        a, b = source[index], store[index]
        assert np.array_equal(a.target, b.target)
        for name in source.modalities:
            there = a.series.get(name, Series(np.zeros((0, 1, 1, 1)), np.zeros(0, np.int32)))
            found = b.series.get(name, there)
            assert np.array_equal(there.day, found.day)
            if len(there.day):
                assert np.array_equal(there.pixels, found.pixels) and there.pixels.dtype == found.pixels.dtype


def test_monthly_composites_are_those_of_the_series(shared):
    plain, composed = Pastis(shared, RADAR), Pastis(shared, RADAR, monthly=True)
    for name, nodata in (("s2", -10_000), ("s1_asc", None)):
        expected, seen = monthly(plain[0].series[name], nodata), composed[0].series[name]
        assert np.array_equal(expected.pixels, seen.pixels) and np.array_equal(expected.day, seen.day)
        assert len(seen.day) < len(plain[0].series[name].day)
        assert {str(day)[-2:] for day in seen.day.astype("datetime64[D]")} == {"15"}
    april = composed[0].series["s2"].day.astype("datetime64[D]").astype("datetime64[M]") == np.datetime64("2019-04")
    assert (composed[0].series["s2"].pixels[april] > 0).all()  # one of its images has a gap, the others fill it
    assert composed.provenance["dates"].startswith("monthly means")


def test_published_statistics_are_those_of_the_folds_that_were_asked_for(shared):
    source = Pastis(shared, ("s2", "s1_asc"))
    mean, std = source.published_statistics()["s2"]
    assert mean == pytest.approx([200.0 + b for b in range(10)])  # folds 1, 2, 3: training, whatever is evaluated
    assert std == pytest.approx([20.0 + b for b in range(10)])
    assert source.published_statistics((5,))["s1_asc"][0] == pytest.approx((500.0, 501.0, 502.0))
    assert source.modalities["s2"].mean[0] == 1165.94  # the catalogue's stay
    with pytest.raises(ConfigError, match="folds"):
        source.published_statistics((0,))


# Dates that are not as they should be


def test_frames_are_sorted_with_their_dates_and_two_on_a_day_stay_two(folder):
    held = dates(PATCHES[0], "S2")
    mixed = [held[1], held[0], held[3], held[3], *held[4:]]
    change(folder, 10000, dates_S2={str(i): day for i, day in enumerate(mixed)})
    seen = Pastis(folder)[0].series["s2"]
    stored = pixels(PATCHES[0], "S2", 16)
    assert np.array_equal(seen.pixels, stored[[1, 0, *range(2, len(stored))]])
    assert (np.diff(seen.day) >= 0).all() and len(seen.day) == len(mixed)
    what = {problem.what for problem in Pastis(folder).problems()}
    assert any("not in order" in one for one in what) and any("a date twice" in one for one in what)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"0": 20180924}, "12 frames, but `dates-S2` in metadata.geojson has 1 dates"),
        ({"0": 20180924, "2": 20180926}, "keys are not 0 to 1"),
        ({"0": 20180931}, "date 0: 20180931 is not a date YYYYMMDD"),
        ({"a": 20180924}, "key 'a'"),
        ("{'0': 20180924,", "neither JSON nor a Python literal"),
        ("__import__('os').getcwd()", "neither JSON nor a Python literal"),
        ([20180924], "found list, expected a mapping"),
        (None, "no `dates-S2`"),
    ],
)
def test_wrong_dates_are_an_error_that_names_the_patch(folder, value, message):
    change(folder, 10000, dates_S2=value)
    with pytest.raises(InputError, match="10000") as caught:
        read_all(folder)
    assert message in str(caught.value) and "Try: " in str(caught.value)


# Files that are not as they should be


def test_a_missing_file_is_named(folder):
    file = folder / "DATA_S2" / "S2_10001.npy"
    file.unlink()
    with pytest.raises(InputError, match=rf"{file}: no such file"):
        Pastis(folder)[1]
    file = folder / "DATA_S1D" / "S1D_30000.npy"
    file.unlink()
    with pytest.raises(InputError, match=rf"{file}: no such file"):
        Pastis(folder, RADAR)[3]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("S2", pixels(PATCHES[0], "S2", 16).astype(np.float32), "values are float32, expected int16"),
        ("S2", pixels(PATCHES[0], "S2", 16)[:, :9], r"shape \(12, 9, 16, 16\), expected \(any, 10, 16, 16\)"),
        ("S2", pixels(PATCHES[0], "S2", 16)[:-1], "11 frames, but `dates-S2` in metadata.geojson has 12 dates"),
        ("S2", pixels(PATCHES[0], "S2", 16)[..., :8], "shape"),
        ("S1A", pixels(PATCHES[0], "S1A", 16).astype(np.float32), "values are float32, expected float16"),
        ("S1A", np.where(np.arange(14)[:, None, None, None] == 3, np.float16("nan"), pixels(PATCHES[0], "S1A", 16)), "first in frame 3"),
    ],
)
def test_a_series_that_is_not_as_published_is_named_when_read_and_when_checked(folder, name, values, message):
    file = folder / f"DATA_{name}" / f"{name}_10000.npy"
    np.save(file, values)
    source = Pastis(folder, ("s2", "s1_asc"))
    with pytest.raises(InputError, match=rf"{file}: .*{message}"):
        source[0]
    found = [problem for problem in source.problems() if problem.place == "10000"]
    assert len(found) == 1 and found[0].file == str(file) and found[0].remedy


@pytest.mark.parametrize("part", ["DATA_S2/S2", "ANNOTATIONS/TARGET"])
def test_a_truncated_file_is_named_when_read_and_by_its_header_when_checked(folder, part):
    file = folder / f"{part}_20000.npy"
    file.write_bytes(file.read_bytes()[:-1])
    source = Pastis(folder)
    with pytest.raises(InputError, match=rf"{file}: cut short"):
        source[2]
    assert [(problem.file, problem.place) for problem in source.problems(values=False)] == [(str(file), "20000")]


def test_labels_beyond_void_are_an_error(folder):
    file = folder / "ANNOTATIONS" / "TARGET_10000.npy"
    values = np.load(file)
    values[0, 3, 4] = 20
    np.save(file, values)
    with pytest.raises(InputError, match=rf"{file}: labels \[20\], expected 0 to 19"):
        Pastis(folder)[0]
    values[0, 3, 4], values[1:] = 0, 200  # the other channels are not labels
    np.save(file, values)
    assert Pastis(folder)[0].target.max() <= 19
    np.save(file, values[0])
    with pytest.raises(InputError, match=r"shape \(16, 16\), expected \(3, 16, 16\): class, parcel"):
        Pastis(folder)[0]


def test_a_damaged_image_is_named(shared, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    folder = shutil.copytree(shared, tmp_path / "PASTIS", ignore=shutil.ignore_patterns("DATA_S1*"))
    file = folder / "DATA_SPOT" / f"PASTIS_{SPOT}" / f"{SPOT}_10000.tif"
    held = file.read_bytes()
    for content in (held[: len(held) // 2], held[:100], b"", b"\0" * 500):
        file.write_bytes(content)
        with pytest.raises(InputError, match=rf"{file}: cannot be read"):
            Pastis(folder, ("spot",))[0]
    with rasterio.open(
        file, "w", driver="GTiff", count=1, height=8, width=8, dtype="uint16", crs="EPSG:2154", transform=rasterio.Affine(1, 0, 5, 0, -1, 5)
    ) as tif:
        tif.write(np.zeros((1, 8, 8), np.uint16))
    with pytest.raises(InputError, match="1 bands of uint16, 8×8 pixels, expected 3 bands of uint8"):
        Pastis(folder, ("spot",))[0]


# Folders that are not as they should be


def test_the_folder_that_is_meant_is_named(folder, tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}: no metadata.geojson here, but there is one in {folder}"):
        Pastis(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        Pastis(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no metadata.geojson; some early downloads lack it"):
        Pastis(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no readable JSON"),
        (b'{"type": "FeatureCollection", "features": [', "no readable JSON"),
        (b"\xff\xfe", "no readable JSON"),
        (b"[]", "no features"),
        (b'{"features": []}', "no features"),
        (b'{"features": [3]}', "feature 0 has no `properties`"),
        (b'{"features": [{"properties": {"ID_PATCH": "x"}}]}', "`ID_PATCH`: 'x' is not a whole number"),
        (b'{"features": [{"properties": {"ID_PATCH": 1.5}}]}', "not a whole number"),
        (b'{"features": [{"properties": {"ID_PATCH": 1e308}}]}', "not a whole number"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "dates-S2": {"0": 99999999999}}}]}', "date 0: 99999999999 is not"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "Fold": 0, "dates-S2": {}}}]}', "`Fold` is 0, expected 1 to 5"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "ID_PATCH": 2}}]}', "a field stands twice"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "dates-S2": {}}, "geometry": {"coordinates": []}}]}', "without coordinates"),
    ],
)
def test_a_broken_metadata_file_is_named(folder, content, message):
    (folder / "metadata.geojson").write_bytes(content)
    with pytest.raises(InputError, match=r"metadata\.geojson") as caught:
        Pastis(folder)
    assert message in str(caught.value) and "Try: " in str(caught.value)


def test_a_patch_that_stands_twice_is_an_error(folder):
    whole = read_metadata(folder)
    whole["features"].append(whole["features"][0])
    write_metadata(folder, whole)
    with pytest.raises(InputError, match="patch 10000 stands twice"):
        Pastis(folder)


@pytest.mark.parametrize("sensors", [(), ("s2", "s2"), ("S2",), ("s2", "aerial")])
def test_sensors_that_are_not_there_are_refused(folder, sensors):
    with pytest.raises(ConfigError, match="PASTIS: sensors"):
        Pastis(folder, sensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 165.0}, "`size` is 165.0"),
        ({"size": float("inf")}, "`size` is inf"),
        ({"labels": [0, 1, 25]}, "`labels`"),
        ({"modalities": [{**to_dict(MODALITIES["spot"]), "gsd": 0.0}]}, "`gsd` of spot is 0.0"),
        ({"modalities": [{**to_dict(MODALITIES["spot"]), "name": "aerial"}]}, "modalities"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_a_folder_says_of_itself_is_checked(folder, change, message):
    (folder / "about.json").write_text(json.dumps({"source": "made up", "licence": "CC0", "size": 160.0}), encoding="utf-8")
    assert Pastis(folder).provenance["source"] == "made up"
    (folder / "about.json").write_text(json.dumps({"source": "made up", "licence": "CC0", **change}), encoding="utf-8")
    with pytest.raises(OmnifuseError, match=r"about\.json") as caught:
        Pastis(folder)
    assert message in str(caught.value)


# The check


def test_a_sound_folder_has_no_problems(folder, shared):
    assert list(Pastis(folder, RADAR).problems()) == []


def test_images_that_are_missing_or_of_another_size_are_listed(shared):
    pytest.importorskip("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(Pastis(shared, ("spot",)).problems())
    assert [(problem.place, problem.what.split(",")[0]) for problem in found] == [
        (str(SMALL_SPOT), "64×64 pixels"),
        (str(NO_SPOT), "no image: the sensor counts as missing at this place"),
    ]


def test_radar_that_is_not_dB_or_whose_third_band_is_a_quotient_is_found(folder):  # noqa: N802 the unit
    file = folder / "DATA_S1A" / "S1A_10000.npy"
    values = np.load(file)
    held = values.copy()
    values[:, 2] = held[:, 0] / held[:, 1]
    np.save(file, values)
    (found,) = Pastis(folder, RADAR).problems()
    assert "differs from VV-VH" in found.what and found.file == str(file)
    values = (10 ** (held.astype(np.float32) / 10) * 1000).astype(np.float16)
    values[:, 2] = values[:, 0] - values[:, 1]
    np.save(file, values)
    assert any("is this dB?" in problem.what for problem in Pastis(folder, RADAR).problems())
    assert list(Pastis(folder, RADAR).problems(values=False)) == []


def test_statistics_that_are_the_same_in_all_folds_are_found(folder):
    file = folder / "NORM_S2_patch.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(dict.fromkeys(whole, whole["Fold_1"])), encoding="utf-8")
    (found,) = Pastis(folder).problems()
    assert found.file == str(file) and "the same" in found.what
    file.write_text(json.dumps({"Fold_1": whole["Fold_1"]}), encoding="utf-8")
    (found,) = Pastis(folder).problems()
    assert "no statistics of folds [2, 3, 4, 5]" in found.what
    with pytest.raises(InputError, match=rf"{file}: no fold 2"):
        Pastis(folder).published_statistics()
    file.unlink()
    (found,) = Pastis(folder).problems()
    assert found.file == str(file) and "no such file" in found.what


def test_published_counts_are_held_against_a_set_of_full_size(folder, monkeypatch):
    monkeypatch.setattr(pastis_checks, "PUBLISHED", pastis_layout.PUBLISHED)
    monkeypatch.setattr(pastis_checks, "PLACES", 5)
    monkeypatch.setattr(pastis_checks, "FOLDS", {4: 1, 5: 2})
    monkeypatch.setattr(pastis_checks, "TILES", {"t30uxv": 2, "t31tfj": 1, "t32ulu": 3})
    what = [problem.what for problem in Pastis(folder).problems()]
    assert what == ["fold 5 has 1 patches, published are 2", "tile t32ulu has 1 patches, published are 3"]
