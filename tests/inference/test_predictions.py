"""Every kind of prediction from a loaded model: classes of a place, several at once, quantities per place and per cell."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import CLASSES, arrays, fusion_model

from omnifuse.classes import Labels, Quantities
from omnifuse.errors import InputError
from omnifuse.inference.predictions import Measurement, PlacePrediction
from omnifuse.inference.predictor import Predictor
from omnifuse.models.heads import HeadConfig, PlaceConfig
from omnifuse.models.model import FusionModel
from omnifuse.zoo import load, save_model

HEIGHT = Quantities(("height", "cover"), ("m", ""), (10.0, 0.5), (4.0, 0.2))
MANY = replace(CLASSES, ignore=-1, exclusive=False, present_above=0.07)


def predictor(tmp_path, labels: Labels, head: HeadConfig | None = None) -> Predictor:
    config = fusion_model().config
    torch.manual_seed(1)
    save_model(tmp_path / "model", FusionModel(replace(config, labels=labels, head=head or config.head)), {})
    return load(tmp_path / "model")


def test_a_place_has_one_class(tmp_path):
    found = predictor(tmp_path, CLASSES, PlaceConfig(dim=8)).predict(arrays())
    assert isinstance(found, PlacePrediction)
    assert found.probability.shape == (3,) and found.probability.sum() == pytest.approx(1, abs=1e-6)
    assert found.probability[CLASSES.ignore] == 0
    assert found.names == (CLASSES.names[found.probability.argmax()],)


def test_a_place_has_any_number_of_classes(tmp_path):
    model = predictor(tmp_path, MANY, PlaceConfig(dim=8))
    model.model.head.classify[-1].bias.data = torch.tensor([-20.0, 4.0, 8.0])
    found = model.predict(arrays())
    assert found.names == ("winter wheat", "meadow") and found.probability[0] < 1e-6
    logits = model.model(model._one_place(arrays(), None)[0])[0]
    np.testing.assert_allclose(found.probability, logits.sigmoid().detach().numpy(), rtol=1e-6)


def test_quantities_come_in_their_units_per_place_and_per_cell(tmp_path):
    model = predictor(tmp_path, HEIGHT, PlaceConfig(dim=8))
    found = model.predict(arrays())
    assert isinstance(found, Measurement) and found.values.shape == (2,) and found.ground is None
    batch = model._one_place(arrays(), None)[0]
    standard = model.model.head(model.model.fuse(batch), batch.size)[0]
    np.testing.assert_allclose(found.values, (standard * torch.tensor([4.0, 0.2]) + torch.tensor([10.0, 0.5])).detach().numpy(), rtol=1e-5)
    assert found.to_xarray()["height"].attrs == {"units": "m"}


def test_a_map_of_a_quantity_has_coordinates(tmp_path):
    found = predictor(tmp_path, HEIGHT).predict(arrays()).to_xarray()
    assert found["height"].dims == ("y", "x") and found["height"].shape == (16, 16)
    assert float(found["x"][0]) == 600_005 and float(found["y"][0]) == 4_999_995


def test_a_model_of_quantities_has_no_probabilities(tmp_path):
    model = predictor(tmp_path, HEIGHT)
    with pytest.raises(InputError, match="predicts quantities"):
        model.probability(model._one_place(arrays(), None)[0])
