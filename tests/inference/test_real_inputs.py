"""Maps of genuine Sentinel data as they are distributed; what is odd in them is said."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from small_models import FACTS, SENSORS, fusion_model

from omnifuse.errors import InputError
from omnifuse.inference.predictor import Predictor
from omnifuse.inference.scene_rasters import open_scene
from omnifuse.zoo import load, save_model

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata"
TERRAMIND, WORLDCEREAL = FOLDER / "terramind_examples", FOLDER / "worldcereal_patches"
pytestmark = pytest.mark.skipif(not TERRAMIND.is_dir(), reason=f"the real files are not at {FOLDER}")

L2A = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"]  # as TerraMesh has them; the files do not say it
DAY = np.datetime64("2018-10-01")  # a day of the model's season
TILES = ("282D_485L_3_3.tif", "609U_541L_3_0.tif", "38D_378R_2_3.tif")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    path = tmp_path_factory.mktemp("models") / "small"
    save_model(path, fusion_model(), FACTS)
    return load(path)


def cropped(file: Path, folder: Path) -> Path:
    """Write the middle of a file, 64 pixels wide, as it is else."""
    made = folder / file.parent.name / file.name
    made.parent.mkdir()
    with rasterio.open(file) as image:
        window = rasterio.windows.Window(80, 80, 64, 64)
        left, top = image.bounds.left + 80 * 10, image.bounds.top - 80 * 10
        transform = rasterio.Affine(10, 0, left, 0, -10, top)
        profile = image.profile | {"width": 64, "height": 64, "transform": transform}
        with rasterio.open(made, "w", **profile) as copy:
            copy.write(image.read(window=window))
            copy.descriptions = image.descriptions
            copy.update_tags(**image.tags())
    return made


@pytest.mark.parametrize("tile", TILES)
def test_terramind_tiles_give_a_map_from_s2_and_s1_and_either_alone(predictor, tile, tmp_path):
    s2, s1 = (cropped(TERRAMIND / product / tile, tmp_path) for product in ("S2L2A", "S1RTC"))
    found = {}
    for inputs in ({"s2": s2, "s1_asc": s1}, {"s1_asc": s1}, {"s2": s2}):
        dates = {name: [DAY] for name in inputs}
        found = predictor.predict(inputs, dates, bands={"s2": L2A} if "s2" in inputs else None)
        assert found.labels.shape == (64, 64)
        with rasterio.open(s2) as image:
            np.testing.assert_allclose(found.ground.x, (image.bounds.left, image.bounds.right), atol=1e-6)
    with rasterio.open(s2) as image:  # the same from an array with the bands of the model
        kept = image.read([L2A.index(band) + 1 for band in SENSORS.modalities["s2"].bands])
    np.testing.assert_array_equal(found.probability, predictor.predict({"s2": kept}, {"s2": [DAY]}).probability)


def test_their_dates_come_from_tags_or_are_asked_for(predictor, tmp_path):
    radar = TERRAMIND / "S1RTC" / TILES[0]
    scene = open_scene(SENSORS.modalities, {"s1_asc": radar}, gsd=10.0)
    place = scene.read(0, 0, 16)
    assert np.datetime64(int(place.series["s1_asc"].day[0]), "D") == np.datetime64("2021-07-21")  # of the tag `datetime`
    np.testing.assert_allclose(
        place.series["s1_asc"].pixels[0, 2], place.series["s1_asc"].pixels[0, 0] - place.series["s1_asc"].pixels[0, 1]
    )
    later = cropped(TERRAMIND / "S1RTC" / TILES[2], tmp_path)
    with pytest.raises(InputError, match=r"dates of 's1_asc' run from 2023-06-10.*season_start="):
        predictor.predict({"s1_asc": later})
    predictor.predict({"s1_asc": later}, season_start="2022-09-01")
    with pytest.warns(UserWarning, match=r"1 image\(s\) of 's2' without dates"):  # optical tiles carry no tag
        predictor.predict({"s2": cropped(TERRAMIND / "S2L2A" / TILES[0], tmp_path)}, bands={"s2": L2A})


def test_the_offset_is_suspected_where_it_is_and_not_elsewhere():
    """Two of the level-1 tiles have it, none of the level-2 tiles."""
    level1 = [f"B{name}" for name in (1, 2, 3, 4, 5, 6, 7, 8, "8A", 9, 10, 11, 12)]
    suspected = {}
    for product, bands in (("S2L1C", level1), ("S2L2A", L2A)):
        for tile in TILES:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                open_scene(SENSORS.modalities, {"s2": TERRAMIND / product / tile}, gsd=10.0, bands={"s2": bands}, days={"s2": [DAY]})
            suspected[product, tile] = any("offset of 1000" in str(one.message) for one in caught)
    assert suspected == {("S2L1C", TILES[0]): True, ("S2L1C", TILES[1]): True} | {
        key: False for key in suspected if key not in {("S2L1C", TILES[0]), ("S2L1C", TILES[1])}
    }


def test_what_is_no_sensor_of_the_model_is_refused(predictor):
    for given, message in [
        ({"s1_asc": TERRAMIND / "DEM" / TILES[1]}, "1 bands"),
        ({"spot": TERRAMIND / "S2L2A" / TILES[0]}, "12 bands"),
        ({"s2": TERRAMIND / "LICENSE"}, "LICENSE: cannot be read"),
        ({"s2": sorted((TERRAMIND / "S2L2A").glob("*.tif"))}, "."),
    ]:
        with pytest.raises(InputError, match=message):
            predictor.predict(given, {name: [DAY] * (3 if isinstance(one, list) else 1) for name, one in given.items()})


@pytest.mark.skipif(not WORLDCEREAL.is_dir(), reason=f"the real files are not at {WORLDCEREAL}")
def test_worldcereal_series_give_a_map(predictor):
    """Every acquisition over a year with clouds and gaps, radar at 20 m; decoded by xarray to reflectance and decibels."""
    folder = WORLDCEREAL / "00002806639B424A"
    season = slice("2018-01-01", "2018-03-31")
    ten, twenty, radar = (
        xr.open_dataset(next(folder.glob(f"{name}_*.nc"))).drop_vars("spatial_ref").sel(timestamp=season)
        for name in ("S2_L2A_10m", "S2_L2A_20m", "S1_GRD-ASCENDING_20m")
    )
    fine = twenty[["B05", "B06", "B07", "B8A", "B11", "B12"]].interp(x=ten["x"], y=ten["y"], kwargs={"fill_value": "extrapolate"})
    optical = xr.merge([ten[["B02", "B03", "B04", "B08"]], fine])
    gaps = {"s2": float("nan"), "s1_asc": float("nan")}
    with pytest.raises(InputError, match=r"not plausible in its unit 'reflectance\*10000'.*units=\{'s2': 'reflectance'\}"):
        predictor.predict({"s2": optical}, nodata={"s2": gaps["s2"]})
    with pytest.raises(InputError, match=r"coordinates `x` are 20 apart, the model's pixels are 10 m"):
        predictor.predict({"s1_asc": radar}, nodata={"s1_asc": gaps["s1_asc"]})
    s1 = radar.interp(x=ten["x"], y=ten["y"], kwargs={"fill_value": "extrapolate"})
    prediction = predictor.predict({"s2": optical, "s1_asc": s1}, units={"s2": "reflectance"}, nodata=gaps)
    assert prediction.labels.shape == (64, 64)
    assert np.isfinite(prediction.probability).all()
