"""Encoders that remember: the same predictions to the bit, fewer passes, and a model that is afterwards as it was."""

import numpy as np
import pytest
import torch
from small_models import SENSORS, fusion_model

from omnifuse.corruptions import speckle
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.loading import evaluation_batches
from omnifuse.evals.remembering import Remembering, remembering
from omnifuse.evals.subsets import all_subsets
from omnifuse.frames import Batch


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    source = Landscape(LandscapeConfig(places=4, size=16, hr=4, sensors=("s2", "s1_asc", "spot")))
    return list(evaluation_batches(source, np.arange(4), 2))


def views(batch: Batch) -> list[Batch]:
    subsets = [batch.only(subset) for subset in all_subsets(["s2", "s1_asc", "spot"])]
    return [*subsets, *(speckle(batch, looks, SENSORS.modalities, 0) for looks in (3.0, 1.0)), batch]


@torch.no_grad()
def test_predictions_are_the_same_to_the_bit(batches):
    model = fusion_model()
    plain = [model(view) for batch in batches for view in views(batch)]
    with remembering(model):
        found = [model(view) for batch in batches for view in views(batch)]
    assert all(torch.equal(a, b) for a, b in zip(plain, found, strict=True))
    assert not torch.equal(plain[6], plain[7])  # views differ, so a stale memory would show


@torch.no_grad()
def test_a_sensor_that_is_left_alone_is_seen_once(batches):
    model, seen = fusion_model(), []
    for name, encoder in model.encoders.items().items():
        encoder.register_forward_hook(lambda module, given, made, name=name: seen.append((name, len(given[0].pixels) > 0)))
    with remembering(model):
        for batch in batches:
            for view in views(batch):
                model(view)
    passes = {name: seen.count((name, True)) for name in SENSORS.encoders}
    assert passes == {"s2": 2, "s1_asc": 2 + 4, "spot": 2}  # two batches; speckle harms s1_asc twice in each


def test_the_model_is_afterwards_as_it_was():
    model = fusion_model()
    keys, encoders = list(model.state_dict()), list(model.encoders.by_name.values())
    with pytest.raises(RuntimeError), remembering(model):
        assert all(isinstance(encoder, Remembering) for encoder in model.encoders.by_name.values())
        raise RuntimeError
    assert list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(encoders, model.encoders.by_name.values(), strict=True))
    with remembering(torch.nn.Identity()):
        pass
