"""Maps and embeddings from any subset of sensors; wrong input is an error that names it."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from small_models import CLASSES, FACTS, SENSORS, arrays, contrast, fusion_model

from omnifuse.classes import ClassTable
from omnifuse.data.arrays import place_from_arrays
from omnifuse.data.export import ground_of
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.inference.predictor import Predictor
from omnifuse.zoo import load, save_model, save_pretrained

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(SENSORS.modalities, size)]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    path = tmp_path_factory.mktemp("models") / "small"
    save_model(path, fusion_model(), FACTS)
    return load(path)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory) -> Predictor:
    path = tmp_path_factory.mktemp("models") / "pretrained"
    save_pretrained(path, contrast(), {})
    return load(path, device="auto")


def batch_of(**changes) -> Batch:
    return place_from_arrays(arrays() | changes, None, SENSORS.modalities).to_batch()


@pytest.mark.parametrize("subset", SUBSETS)
def test_any_subset_gives_a_map_that_is_a_probability(predictor, subset):
    given = {name: array for name, array in arrays().items() if name in subset}
    prediction = predictor.predict(given)
    assert prediction.labels.shape == (16, 16)
    assert prediction.probability.shape == (3, 16, 16)
    np.testing.assert_allclose(prediction.probability.sum(0), 1, rtol=1e-5)
    assert (prediction.labels == prediction.probability.argmax(0)).all()
    assert predictor.embed(given).cells.shape == (16, 8, 8)


def test_the_map_is_the_model_s_own(predictor):
    logits = fusion_model()(batch_of())[0, 1:]  # the first class counts for nothing
    np.testing.assert_allclose(predictor.predict(arrays()).probability[1:], logits.softmax(0).detach(), rtol=1e-5)


def test_the_label_that_counts_for_nothing_is_never_predicted(predictor, tmp_path):
    assert predictor.classes == CLASSES
    model = fusion_model()
    model.head.classify[1].bias.data[0] = 100.0
    save_model(tmp_path / "void", model, {})
    prediction = load(tmp_path / "void").predict(arrays())
    assert (prediction.probability[0] == 0).all()
    assert set(np.unique(prediction.labels)) <= {1, 2}
    model.config = type(model.config)(**{**vars(model.config), "labels": ClassTable(names=CLASSES.names, colors=CLASSES.colors)})
    save_model(tmp_path / "all", model, {})
    assert (load(tmp_path / "all").predict(arrays()).labels == 0).all()


def test_tensors_arrays_dataarrays_and_batches_are_the_same(predictor):
    given = arrays()
    days = {name: array["time"].to_numpy() for name, array in given.items()}
    expected = predictor.predict(given).probability
    plain = {name: array.to_numpy() for name, array in given.items()}
    np.testing.assert_array_equal(predictor.predict(plain, days).probability, expected)
    tensors = {name: torch.from_numpy(array) for name, array in plain.items()}
    np.testing.assert_array_equal(predictor.predict(tensors, days).probability, expected)
    np.testing.assert_array_equal(predictor.predict(batch_of()).probability, expected)


def test_a_place_gives_the_same_map_among_others(predictor):
    many = Batch.cat([batch_of().drop("s2"), batch_of(), batch_of().only(["spot"])])
    torch.testing.assert_close(predictor.probability(many)[1].numpy(), predictor.predict(arrays()).probability, rtol=1e-5, atol=1e-6)


def test_the_map_lies_on_the_ground_of_the_inputs(predictor):
    for subset in SUBSETS:
        dataset = predictor.predict({name: array for name, array in arrays().items() if name in subset}).to_xarray()
        np.testing.assert_allclose(dataset["x"], 600_005 + 10 * np.arange(16))
        np.testing.assert_allclose(dataset["y"], 4_999_995 - 10 * np.arange(16))
        assert dataset["labels"].dims == ("y", "x")
        assert dataset["labels"].attrs["flag_meanings"] == "void meadow winter_wheat"
        assert dataset["labels"].attrs["grid_mapping"] == "spatial_ref"
        assert dataset["spatial_ref"].attrs["crs_wkt"] == "EPSG:32631"
        assert list(dataset["class"].to_numpy()) == list(CLASSES.names)
    cells = predictor.embed(arrays()).to_xarray()["cells"]
    np.testing.assert_allclose(cells["x"], 600_010 + 20 * np.arange(8))


def test_surroundings_are_not_part_of_the_ground():
    given = arrays()
    surrounded = SENSORS.modalities | {"s2": replace(SENSORS.modalities["s2"], context=30.0)}
    assert ground_of({"s2": given["s2"]}, surrounded).x == (600_030.0, 600_130.0)
    inner = given["spot"].isel(x=slice(12, 52), y=slice(12, 52))
    ground = ground_of({"s2": given["s2"], "spot": inner}, surrounded)
    assert (ground.x, ground.y) == ((600_030.0, 600_130.0), (4_999_970.0, 4_999_870.0))
    with pytest.raises(InputError, match=r"'spot' lies at"):
        ground_of({"s2": given["s2"], "spot": given["spot"]}, surrounded)


def test_without_coordinates_the_map_has_none(predictor):
    given = {"s2": arrays()["s2"].drop_vars(["x", "y"])}
    assert not {"x", "y"} & set(predictor.predict(given).to_xarray().coords)


def test_fused_embeddings_are_the_coarse_map_and_its_mean(predictor):
    coarse = fusion_model().fuse(batch_of()).maps[0][0].detach()
    embedding = predictor.embed(arrays())
    np.testing.assert_allclose(embedding.cells, coarse, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(embedding.place, coarse.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_pretrained_embeddings_are_the_mean_of_the_present_sensors(embedder):
    model = contrast()
    embedded = model.embed(batch_of())
    both = embedder.embed({name: array for name, array in arrays().items() if name != "s1_asc"})
    expected = torch.stack([embedded[name][0][0].detach() for name in ("s2", "spot")]).mean(0)
    np.testing.assert_allclose(both.cells.reshape(8, -1).T, expected, rtol=1e-4, atol=1e-5)
    expected = torch.stack([embedded[name][1][0].detach() for name in ("s2", "spot")]).mean(0)
    np.testing.assert_allclose(both.place, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", ["predictor", "embedder"])
def test_embeddings_have_length_one_on_request(which, request):
    embedding = request.getfixturevalue(which).embed(arrays(), normalize=True)
    np.testing.assert_allclose(np.linalg.norm(embedding.place), 1, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(embedding.cells, axis=0), 1, rtol=1e-4)


def test_pretrained_encoders_say_that_they_make_no_map(embedder):
    assert embedder.classes is None
    with pytest.raises(InputError, match=r"without labels.*Try: embed"):
        embedder.predict(arrays())


def test_a_season_of_another_year_is_shifted_onto_the_model_s_own(predictor):
    given = arrays()
    later = {k: v.assign_coords(time=v["time"] + np.timedelta64(5 * 365 * 24, "h")) for k, v in given.items()}
    with pytest.raises(InputError, match=r"'s2' run from 2023-08-31 to .*the model knows about 2017-09-01.*season_start=.*'2023-09-01'"):
        predictor.predict(later)
    shifted = predictor.predict(later, season_start="2023-08-31").probability
    np.testing.assert_array_equal(shifted, predictor.predict(given).probability)
    moved = predictor.predict(given, season_start="2018-08-01").probability
    assert not np.array_equal(moved, shifted)  # dates matter
    with pytest.raises(InputError, match="season_start: 'autumn' is not a date"):
        predictor.predict(given, season_start="autumn")
    with pytest.raises(InputError, match=r"with season_start='1980-01-01' run from 2062"):
        predictor.predict(later, season_start="1980-01-01")


def test_dates_of_sensors_that_do_not_read_dates_are_free(predictor):
    spot = arrays()["spot"]
    predictor.predict({"spot": spot.assign_coords(time=[np.datetime64("1999-01-01", "ns")])})


def broken(name: str, change) -> dict:
    given = arrays()
    return given | {name: change(given[name])}


def with_nan(array):
    array = array.copy()
    array[2, 3, 1, 1] = np.nan
    return array


BAD = {
    "nothing": (dict, "no sensor at all.*s2, s1_asc, spot"),
    "unknown sensor": (lambda: {"s3": arrays()["s2"]}, "unknown modality 's3'.*`s2`"),
    "too few bands": (lambda: broken("s2", lambda a: a.isel(band=slice(9))), r"'s2'.*B12"),
    "too few dates": (lambda: ({"s2": arrays()["s2"].to_numpy()}, {"s2": [17800, 17810]}), r"'s2'.*4 images.*2 dates"),
    "NaN": (lambda: broken("s2", with_nan), r"'s2'.*not finite.*image 2"),
    "no frames": (lambda: {"s2": arrays()["s2"].isel(time=slice(0))}, "."),
    "reflectance in 0..1": (
        lambda: broken("s2", lambda a: a.clip(0, 10000) / 10000),
        r"'B2' of 's2'.*reflectance\*10000.*multiply by 10000",
    ),
    "pixels in 0..1": (lambda: broken("spot", lambda a: a / 255.0), r"'R' of 'spot'.*8-bit.*multiply by 255"),
    "radar as power": (lambda: {"s1_asc": 10 ** (arrays()["s1_asc"] / 10)}, r"'VV' of 's1_asc'.*dB.*log10"),
    "another square": (lambda: broken("s1_asc", lambda a: a.assign_coords(x=a["x"] + 10)), r"'s1_asc' lies at.*'s2' at.*Try: "),
    "another size": (lambda: broken("s1_asc", lambda a: a.isel(x=slice(8), y=slice(8))), r"'s1_asc'.*(8|80)"),
    "another CRS": (
        lambda: broken("s1_asc", lambda a: a.assign_coords(spatial_ref=((), 0, {"crs_wkt": "EPSG:32632"}))),
        "another coordinate system",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("call", ["predict", "embed"])
def test_bad_input_is_named(predictor, case, call):
    make, message = BAD[case]
    made = make()
    inputs, days = made if isinstance(made, tuple) else (made, None)
    with pytest.raises(InputError, match=message) as caught:
        getattr(predictor, call)(inputs, days)
    assert "Try: " in str(caught.value)


def test_bad_batches_are_named(predictor):
    batch = batch_of()
    with pytest.raises(InputError, match=r"batch of 2 places.*Try: "):
        predictor.predict(Batch.cat([batch, batch]))
    with pytest.raises(InputError, match="no image of any sensor at place 1"):
        predictor.probability(Batch.cat([batch, batch.drop(*SENSORS.modalities)]))
    with pytest.raises(InputError, match=r"no image of any sensor.*s2, s1_asc, spot"):
        predictor.predict(batch.drop(*SENSORS.modalities))
    batch.frames["s2"].pixels[1, 0, 0, 0] = torch.inf
    with pytest.raises(InputError, match=r"'s2'.*not finite, first in image 1"):
        predictor.predict(batch)


def test_dark_and_flat_places_are_not_mistaken_for_another_unit(predictor):
    given = arrays()
    predictor.predict({"spot": given["spot"] * 0})
    predictor.predict({"spot": (given["spot"] > 100).astype("uint8")})  # integers are as stored
    predictor.predict({"s2": given["s2"] * 0})
    predictor.predict({"s2": given["s2"] * 0 + 30.0})
