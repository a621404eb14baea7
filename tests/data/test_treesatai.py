import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.sources.treesatai import TreeSatAI
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import MODALITIES

pytest.importorskip("h5py", reason="the series are HDF5")
pytest.importorskip("rasterio", reason="the aerial images are GeoTIFF")

import fake_treesatai as fake
import h5py

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata" / "treesatai_ts"
real = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real tiles are not at {FOLDER}")


@pytest.fixture
def folder(tmp_path) -> Path:
    return fake.write_treesatai(tmp_path / "treesatai")


def series_file(folder: Path, number: int = 0) -> Path:
    return sorted((folder / "sentinel-ts").glob("*.h5"))[number]


def decibel(linear: np.ndarray) -> np.ndarray:
    vv, vh = 10 * np.log10(linear[:, 0]), 10 * np.log10(linear[:, 1])
    return np.stack([vv, vh, vv - vh], 1)


def test_a_place_is_what_the_files_hold(folder):
    source = TreeSatAI(folder)
    assert [info["id"] for info in source.info] == list(fake.TILES)
    for number in range(3):
        place = source[number]
        place.check(source.modalities, "test")
        nir, green, blue, red = fake.aerial(number)[:, 2:302, 2:302]
        assert np.array_equal(place.series["aerial"].pixels[0], np.stack([red, green, blue, nir]))
        assert np.array_equal(place.series["s2"].pixels, fake.optical(5))
        assert place.series["s2"].pixels.dtype == np.float32
        days = np.array([f"{2019 + number}-{d}" for d in ("01-02", "01-02", "03-15", "06-30", "11-05")], "datetime64[D]").astype(int)
        assert place.series["s2"].day.tolist() == days.tolist()


def test_linear_radar_becomes_decibel_in_order_of_time(folder):
    seen = TreeSatAI(folder)[0].series["s1_desc"]
    order = [1, 2, 0, 3, 4, 5]  # 3 January twice, in the order of the file, then the 9th
    assert seen.day.tolist() == [17899, 17899, 17905, 17928, 17952, 18258]
    np.testing.assert_allclose(seen.pixels, decibel(fake.radar(6, 1))[order], atol=1e-5)


def test_images_without_a_band_are_dropped_with_their_dates_and_gaps_take_the_mean_power(folder):
    seen = TreeSatAI(folder)[0].series["s1_asc"]
    assert seen.day.tolist() == [17899, 17899, 17905, 17952]  # neither the empty image nor the one without VH
    expected = fake.radar(6, 0)[[1, 2, 0, 4]].astype(np.float64)
    for band, gaps in ((0, [(0, 0), (5, 5)]), (1, [(2, 3)])):
        gap = np.zeros((6, 6), bool)
        gap[tuple(zip(*gaps, strict=True))] = True
        expected[3, band][gap] = expected[3, band][~gap].mean()
    np.testing.assert_allclose(seen.pixels, decibel(expected), atol=1e-5)


@pytest.mark.parametrize(("most", "kept"), [(1.0, [0, 1, 2, 3, 4]), (0.99, [0, 3, 4]), (0.17, [0, 3, 4]), (0.1, [0, 4])])
def test_images_under_snow_or_cloud_are_left_out_on_request(folder, most, kept):
    """Tile 0 has masks of ten channels, of which only the first two mean something."""
    for number in (0, 1):
        assert np.array_equal(TreeSatAI(folder, max_cover=most)[number].series["s2"].pixels, fake.optical(5)[kept])


def test_targets_are_area_shares_by_genus_that_are_not_rounded(folder):
    source = TreeSatAI(folder)
    assert len(source.classes.names) == len(source.classes.colors) == len(set(source.classes.colors)) == 15
    target = source[1].target
    assert target.dtype == np.float32
    assert {source.classes.names[i]: round(float(target[i]), 5) for i in np.flatnonzero(target)} == {
        "Betula": 0.72542,
        "Picea": 0.10447,
        "Quercus": 0.04406,  # below the threshold of 0.07, and kept
    }
    assert "above 0.07" in source.provenance["labels"]


def test_folds_are_the_official_splits_and_a_tile_in_two_lists_is_in_none(folder):
    assert [(info["fold"], info["split"]) for info in TreeSatAI(folder).info] == [(1, "train"), (2, "val"), (3, "test")]
    lists = folder / "split"
    lists.mkdir()
    for name in ("train", "val", "test"):
        (folder / f"{name}_filenames.lst").rename(lists / f"{name}_filenames.lst")
    assert [info["fold"] for info in TreeSatAI(folder).info] == [1, 2, 3]
    (lists / "test_filenames.lst").write_text(f"{fake.TILES[0]}.tif\n", encoding="utf-8")
    source = TreeSatAI(folder)
    assert [info["fold"] for info in source.info] == [0, 2, 0]
    found = {problem.place: problem.what for problem in source.problems() if problem.what.endswith("no fold")}
    assert found == {
        fake.TILES[0]: "listed in train and test: it belongs to no fold",
        fake.TILES[2]: "in no split list: it belongs to no fold",
    }


def test_the_place_is_the_inner_60_m_of_the_aerial_image(folder):
    info = TreeSatAI(folder).info[1]
    assert (info["crs"], info["left"], info["top"]) == ("EPSG:25832", 565743.0, 5770980.0)
    assert abs(info["longitude"] - 9.9599) < 1e-3
    assert abs(info["latitude"] - 52.0852) < 1e-3


def test_other_homes_of_labels_lists_and_series_are_found(tmp_path):
    source = TreeSatAI(fake.write_treesatai(tmp_path, official=False))
    assert [info["fold"] for info in source.info] == [1, 2, 3]
    assert source.info[2]["aerial_date"] == "2019-07-03"
    place = source[2]
    assert place.series["aerial"].day.tolist() == [18080]
    assert len(place.series["s2"].day) == 5


def test_undated_images_of_200_m_bring_their_surroundings(folder):
    for mono, side in (("60m", 6), ("200m", 20)):
        source = TreeSatAI(folder, mono=mono)
        place = source[0]
        place.check(source.modalities, "test")
        s2, s1 = place.series["s2_mono"].pixels[0], place.series["s1_mono"].pixels[0]
        assert s2.shape == (10, side, side)
        stored = dict(zip(("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12"), range(1, 11), strict=True))
        assert [round(float(band[0, 0]) / 100) for band in s2] == [stored[band] for band in MODALITIES["s2"].bands]
        assert s1[0, 1, 2] == pytest.approx(np.delete(s1[0].ravel(), side + 2).mean())  # where -9999 stood
        np.testing.assert_allclose(s1[2], s1[0] - s1[1], atol=1e-5)
        assert "s2_mono" not in source[2].series


def test_a_sensor_without_its_file_is_missing(folder):
    series_file(folder, 0).unlink()
    (folder / "aerial" / f"{fake.TILES[1]}.tif").unlink()
    source = TreeSatAI(folder)
    assert list(source[0].series) == ["aerial"]
    assert list(source[1].series) == ["s1_asc", "s1_desc", "s2"]
    assert "crs" not in source.info[1]
    assert {(problem.place, problem.what) for problem in source.problems()} == {(fake.TILES[0], "missing"), (fake.TILES[1], "missing")}


def test_a_store_holds_the_same_places(folder, tmp_path):
    source = TreeSatAI(folder)
    write_store(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.info == source.info
    assert store.classes == source.classes
    assert store.modalities == source.modalities
    for index in range(3):
        before, after = source[index], store[index]
        assert np.array_equal(before.target, after.target)
        for name, series in before.series.items():
            assert np.array_equal(series.pixels, after.series[name].pixels)
            assert np.array_equal(series.day, after.series[name].day)


def rewrite(folder: Path, key: str, values: object) -> None:
    with h5py.File(series_file(folder), "a") as content:
        del content[key]
        if values is not None:
            content[key] = values


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("sen-2-data", None, r"no `sen-2-data`"),
        ("sen-2-data", np.ones((5, 9, 6, 6), np.float32), r"expected floats of \(dates, 10, 6, 6\)"),
        ("sen-2-data", np.ones((5, 10, 6, 6), np.int16), "int16"),
        ("sen-2-data", np.ones((4, 10, 6, 6), np.float32), "4 images in sen-2-data but 5 names"),
        ("sen-2-products", [b"S2A_MSIL2A_20191301T1"] * 5, "'2019-13-01' is not a date"),
        ("sen-2-products", [b"S2A_20190101"] * 5, "has no date in field 2"),
        ("sen-2-masks", np.zeros((5, 3, 6, 6), np.float32), "2 or 10"),
        ("sen-1-asc-data", np.full((6, 2, 6, 6), -12, np.float32), "expected linear values"),
    ],
)
def test_what_does_not_fit_in_a_series_is_named(folder, key, values, message):
    rewrite(folder, key, values)
    with pytest.raises(InputError, match=rf"{series_file(folder).name}.*{message}"):
        TreeSatAI(folder)[0]


def test_names_of_products_may_be_text_with_the_prefix_of_bytes(folder):
    expected = TreeSatAI(folder)[0].series["s2"].day
    rewrite(folder, "sen-2-products", [str(fake.s2_name(date)) for date in fake.S2_DATES])
    assert np.array_equal(TreeSatAI(folder)[0].series["s2"].day, expected)


def test_what_is_missing_or_damaged_is_named(folder):
    with pytest.raises(ConfigError, match="`max_cover` is 2"):
        TreeSatAI(folder, max_cover=2)
    with pytest.raises(InputError, match="neither"):
        TreeSatAI(folder / "aerial")
    image = folder / "aerial" / f"{fake.TILES[0]}.tif"
    image.write_bytes(image.read_bytes()[:9000])
    file = series_file(folder, 1)
    file.write_bytes(file.read_bytes()[:3000])
    series_file(folder, 2).with_name(f"{fake.TILES[2]}_2018.h5").write_bytes(b"")
    source = TreeSatAI(folder)
    for index, message in enumerate((rf"{image}.*cannot be read", rf"{file}.*cannot be read", "a second series")):
        with pytest.raises(InputError, match=message):
            source[index]
    assert {problem.place for problem in source.problems()} == set(fake.TILES[1:])
    fake.write_aerial(image, fake.aerial(0)[:, :300, :300])
    with pytest.raises(InputError, match=rf"{image}.*\(4, 300, 300\).*expected \(4, 304, 304\)"):
        source[0]
    labels = folder / "labels" / "TreeSatBA_v9_60m_multi_labels.json"
    for wrong in ({"a.tif": [["Acacia", 0.5]]}, {"a.tif": [["Abies", 1.5]]}, {"a.tif": [["Abies", 0.2], ["Abies", 0.2]]}, {"a": 3}, []):
        labels.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(InputError, match=str(labels)):
            TreeSatAI(folder)
    labels.unlink()
    with pytest.raises(InputError, match="no labels"):
        TreeSatAI(folder)


def test_mixed_polarizations_and_dates_of_another_year_are_problems(folder):
    assert not list(TreeSatAI(folder).problems())
    mixed = fake.radar(6, 0)
    mixed[:, :, ::2] = mixed[:, ::-1, ::2]  # every second row of the other polarization
    fake.write_series(series_file(folder), s1=mixed)
    series_file(folder, 1).rename(series_file(folder, 1).with_name(f"{fake.TILES[1]}_2017.h5"))
    found = [(problem.place, problem.what) for problem in TreeSatAI(folder).problems()]
    assert [place for place, _ in found] == [fake.TILES[0]] * 2 + [fake.TILES[1]] * 3
    assert "polarizations are mixed" in found[0][1]
    assert found[4][1] == "sen-2 has dates of 2020"


def test_importing_the_readers_loads_no_file_format():
    """`pyarrow` itself may come with pandas, which xarray imports."""
    code = (
        "import sys, omnifuse.data.sources.treesatai, omnifuse.data.sources.rasters;"
        "print({'h5py', 'rasterio', 'rioxarray', 'pyarrow.parquet', 'fsspec'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


@real
def test_the_real_tiles_are_read():
    source = pickle.loads(pickle.dumps(TreeSatAI(FOLDER)))  # noqa: S301 our own bytes
    places = [source[index] for index in range(len(source))]
    for place in places:
        place.check(source.modalities, str(place.info["id"]))
        assert 0 < place.target.sum() <= 1
    assert [[len(place.series[name].day) for name in ("s2", "s1_asc", "s1_desc")] for place in places] == [
        [146, 60, 86],
        [146, 115, 235],
        [146, 115, 115],
        [91, 120, 119],
    ]
    mixed = {problem.place for problem in source.problems() if "mixed" in problem.what}
    assert mixed == {"Quercus_robur_7_85750_WEFL_NLF"}
    for place in places:
        if place.info["id"] not in mixed:
            assert all(3 < place.series[name].pixels[:, 2].mean() < 12 for name in ("s1_asc", "s1_desc"))
    assert places[1].info["aerial_date"] == "2019-07-01"
    assert places[1].series["s1_asc"].day[0] == 17897


@real
def test_near_infrared_is_where_the_reader_says():
    """Over a forest in summer the first band of the file is the brightest, in every tile."""
    for index in range(4):
        pixels = TreeSatAI(FOLDER)[index].series["aerial"].pixels[0].astype(float)
        assert pixels[3].mean() > 1.4 * pixels[:3].mean((1, 2)).max()
