import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray

from omnifuse.data.sources.worldcereal_patches import WorldCerealPatches
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import MODALITIES

pytest.importorskip("netCDF4", reason="NetCDF files are read with netCDF4")

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata" / "worldcereal_patches"
real = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real patches are not at {FOLDER}")
TIMES = np.array(["2018-06-03T10:50", "2018-06-01T10:59", "2018-06-01T17:30", "2018-06-08T10:50"], "datetime64[ns]")


def write(site: Path, product: str, side: int, bands: dict[str, np.ndarray], times: np.ndarray | None = TIMES) -> None:
    gsd = 640 // side
    coords = {"y": 5000640 - gsd / 2 - gsd * np.arange(side), "x": 300000 + gsd / 2 + gsd * np.arange(side)}
    axes = ("y", "x") if times is None else ("timestamp", "y", "x")
    dataset = xarray.Dataset(
        {name: (axes, values, {"_FillValue": values.dtype.type(0), "scale_factor": 1e-4}) for name, values in bands.items()},
        coords if times is None else coords | {"timestamp": times},
        {"epsg": 32631},
    )
    site.mkdir(exist_ok=True, parents=True)
    for variable in dataset.variables.values():
        if "scale_factor" in variable.attrs:  # stored numbers stay as they are
            variable.encoding = {"_FillValue": variable.attrs.pop("_FillValue"), "dtype": variable.dtype}
    dataset.to_netcdf(site / f"{product}_{site.name}_32631_2018.nc", engine="netcdf4")


def band(number: int, side: int, dtype: type) -> np.ndarray:
    """Every value tells its band, date, row and column; none is zero."""
    t, y, x = np.ogrid[:4, :side, :side]
    return (100 * number + 1000 * t + 10 * (y * 64 // side) + (x * 64 // side) + 1).astype(dtype)


@pytest.fixture
def folder(tmp_path) -> Path:
    fine = {name: band(i, 64, np.uint16) for i, name in enumerate(("B02", "B03", "B04", "B08"), 1)}
    coarse = {name: band(i, 32, np.uint16) for i, name in enumerate(("B05", "B06", "B07", "B8A", "B11", "B12"), 5)}
    fine["B03"][3] = 0  # the last date has no green
    coarse["B05"][0, 3, 4] = 0
    radar = {"VV": -band(1, 32, np.int32), "VH": -band(2, 32, np.int32)}
    codes = np.zeros((64, 64), np.uint16)
    codes[:10], codes[10:20] = 1200, 1110
    for name in ("siteA", "siteB"):
        write(tmp_path / name, "OUTPUT_POLY-110_10m", 64, {"CT": codes, "LC": codes + np.uint16(11)}, None)
        write(tmp_path / name, "S1_GRD-ASCENDING_20m", 32, radar)
        write(tmp_path / name, "S2_L2A_20m", 32, coarse)
    write(tmp_path / "siteA", "S2_L2A_10m", 64, fine)
    legend = "name,croptype,ewoc_code,landcover\nUnknown,0,,0\nWinter wheat,1110,,11\nMaize,1200,,11\nFlax,9000,,11\n"
    (tmp_path / "croptype_legend.csv").write_text(legend, encoding="utf-8")
    return tmp_path


def test_bands_dates_and_gaps_follow_the_rules(folder):
    source = WorldCerealPatches(folder)
    place = source[0]
    place.check(source.modalities, "test")
    s2 = place.series["s2"]
    assert s2.pixels.dtype == np.uint16
    assert s2.day.tolist() == [17683, 17683, 17685]  # sorted, two passes on one day, the date without green is gone
    numbers = {"B2": 1, "B3": 2, "B4": 3, "B8": 4, "B5": 5, "B6": 6, "B7": 7, "B8A": 8, "B11": 9, "B12": 10}
    for index, name in enumerate(MODALITIES["s2"].bands):
        side = 64 if numbers[name] <= 4 else 32
        expected = band(numbers[name], side, np.uint16)[[1, 2, 0]].repeat(64 // side, 1).repeat(64 // side, 2)
        if name == "B5":
            gap = np.zeros((3, 64, 64), bool)
            gap[2, 6:8, 8:10] = True
            expected[gap] = np.median(expected[2][~gap[2]])
        assert np.array_equal(s2.pixels[:, index], expected), name


def test_radar_is_in_decibel_with_the_difference_as_third_band(folder):
    s1 = WorldCerealPatches(folder)[0].series["s1_asc"]
    assert s1.day.tolist() == [17683, 17683, 17685, 17690]
    vv, vh = (-band(i, 32, np.int32)[[1, 2, 0, 3]].repeat(2, 1).repeat(2, 2) * 1e-4 for i in (1, 2))
    np.testing.assert_allclose(s1.pixels, np.stack([vv, vh, vv - vh], 1), atol=1e-6)


def test_unlabelled_ground_is_ignored_and_only_classes_that_occur_are_named(folder):
    source = WorldCerealPatches(folder)
    assert source.classes.names == ("Winter wheat", "Maize")
    target = source[0].target
    assert (target[:10] == 1).all()
    assert (target[10:20] == 0).all()
    assert (target[20:] == source.classes.ignore).all()


def test_tiles_put_together_are_the_site(folder):
    whole, tiles = WorldCerealPatches(folder), WorldCerealPatches(folder, tile=32)
    assert len(tiles) == 8
    assert tiles.size == 320.0
    for name in ("s2", "s1_asc"):
        a, b, c, d = (tiles[i].series[name].pixels for i in range(4))
        assert np.array_equal(np.concatenate([np.concatenate([a, b], -1), np.concatenate([c, d], -1)], -2), whole[0].series[name].pixels)
    assert [info["site"] for info in tiles.info] == ["siteA"] * 4 + ["siteB"] * 4
    assert (tiles.info[3]["left"], tiles.info[3]["top"]) == (300320.0, 5000320.0)


def test_a_site_without_the_10_m_bands_has_no_optical_sensor(folder):
    batch = WorldCerealPatches(folder)[1].to_batch()
    assert list(batch.frames) == ["s1_asc"]


def test_what_does_not_fit_is_named(folder):
    with pytest.raises(ConfigError, match="48 pixels"):
        WorldCerealPatches(folder, tile=48)
    with pytest.raises(InputError, match="no site"):
        WorldCerealPatches(folder / "siteA")
    with pytest.raises(InputError, match="no name for codes"):
        WorldCerealPatches(folder, labels="land_cover")
    write(folder / "siteA", "S2_L2A_20m", 32, {"B05": band(5, 32, np.uint16)})
    with pytest.raises(InputError, match=r"S2_L2A_20m.*no bands \['B06'"):
        WorldCerealPatches(folder)[0]
    write(
        folder / "siteA",
        "S2_L2A_20m",
        32,
        {f"B{i}": band(5, 32, np.uint16) for i in ("05", "06", "07", "8A", "11", "12")},
        TIMES[::-1] + 10**15,
    )
    with pytest.raises(InputError, match="the dates of S2_L2A_10m and S2_L2A_20m differ"):
        WorldCerealPatches(folder)[0]
    next((folder / "siteB").glob("S1*")).write_bytes(b"not a NetCDF file")
    with pytest.raises(InputError, match=r"siteB/S1_GRD-ASCENDING_20m_siteB_32631_2018\.nc: cannot be read"):
        WorldCerealPatches(folder)[1]


@real
def test_the_real_sites_are_read():
    source = pickle.loads(pickle.dumps(WorldCerealPatches(FOLDER)))  # noqa: S301 our own bytes
    places = [source[i] for i in range(3)]
    for place in places:
        place.check(source.modalities, str(place.info["id"]))
    assert [len(place.series["s1_asc"].day) for place in places] == [159, 80, 157]
    assert [len(place.series["s2"].day) if "s2" in place.series else 0 for place in places] == [118, 72, 0]
    assert source.classes.names == (
        "Winter wheat",
        "Maize",
        "Barley",
        "Winter barley",
        "Winter cereal",
        "Cabages",
        "Potatoes",
        "Other Leguminous crops",
        "Sugar beet",
        "Permanent grass crops",
    )
    assert [(place.target != 255).sum() for place in places] == [2236, 3725, 3304]


@real
def test_the_20_m_bands_lie_on_the_10_m_bands():
    """B8 and B8A see nearly the same light: a shift of the repeated band lowers their correlation."""
    pixels = WorldCerealPatches(FOLDER)[1].series["s2"].pixels.astype(float)
    mean = {name: pixels[:, MODALITIES["s2"].bands.index(name)].mean(0) for name in ("B8", "B8A")}
    inner = np.s_[8:-8, 8:-8]

    def correlation(rows: int, columns: int) -> float:
        return np.corrcoef(mean["B8"][inner].ravel(), np.roll(mean["B8A"], (rows, columns), (0, 1))[inner].ravel())[0, 1]

    here = correlation(0, 0)
    assert here > 0.9
    assert all(here > correlation(r, c) for r in (-2, 0, 2) for c in (-2, 0, 2) if r or c)
