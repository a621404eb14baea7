"""What each fusion does with the sensors of a cell, and that they cost about the same."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from tiny import FUSIONS, SENSORS, model_config, places, sensors

from omnifuse.classes import ClassTable
from omnifuse.errors import ConfigError
from omnifuse.modalities import MODALITIES
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.fusion_stacked import Gating, Stacking, side_by_side
from omnifuse.models.fusion_weighted import LateConfig, Weighting
from omnifuse.models.fusions import FusionConfig
from omnifuse.models.model import Encoders, EncodersConfig, FusionModel, ModelConfig
from omnifuse.runs.landscape import small_encoders, small_fusion, small_head

MAPS = {name: torch.randn(n, 8, 3, 3, generator=torch.Generator().manual_seed(n)) for name, n in {"s2": 3, "s1_asc": 2, "spot": 1}.items()}
PLACE = {"s2": torch.tensor([0, 1, 3]), "s1_asc": torch.tensor([0, 3]), "spot": torch.tensor([3])}  # place 2 has no sensor


def test_late_fusion_is_the_mean_of_what_each_sensor_says_alone():
    torch.manual_seed(0)
    model = FusionModel(model_config("late")).eval().double()
    whole = places(dtype=torch.float64, **dict.fromkeys(SENSORS, (2, 1)))
    alone = {name: model(whole.only((name,))) for name in SENSORS}
    for subset in (subset for k in (2, 3, 4) for subset in combinations(SENSORS, k)):
        torch.testing.assert_close(model(whole.only(subset)), torch.stack([alone[name] for name in subset]).mean(0))


def test_other_fusions_are_not_the_mean_of_logits():
    for kind in set(FUSIONS) - {"late"}:
        torch.manual_seed(0)
        model = FusionModel(model_config(kind)).eval()
        whole = places(s2=(2, 1), s1_asc=(1, 3))
        mean = (model(whole.only(("s2",))) + model(whole.only(("s1_asc",)))) / 2
        assert (model(whole) - mean).abs().max() > 1e-3, kind


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_batch_of_no_places_gives_no_rows_and_reaches_every_parameter(kind):
    model = FusionModel(model_config(kind))
    logits = model(places().select(torch.tensor([], dtype=torch.long)))
    logits.sum().backward()
    assert logits.shape == (0, 3, 16, 16)
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_sensors_that_show_the_same_weigh_to_the_same():
    torch.manual_seed(0)
    weighting, same = Weighting(8), torch.randn(2, 8, 3, 3)
    place = torch.tensor([0, 1])
    torch.testing.assert_close(weighting({"a": same, "b": same, "c": same}, dict.fromkeys("abc", place), 2), same)


def test_attention_weights_and_gates_agree_with_a_loop_over_places_and_cells():
    torch.manual_seed(0)
    weighting, gating = Weighting(8), Gating(3, 8, 2)
    weighted, gated = weighting(MAPS, PLACE, 4), gating(MAPS, PLACE, 4)
    for place in range(4):
        seen = {name: MAPS[name][rows.tolist().index(place)] for name, rows in PLACE.items() if place in rows}
        for y, x in ((0, 0), (1, 2), (2, 1)):
            cell = {name: one[:, y, x] for name, one in seen.items()}
            if cell:
                scores = torch.stack([weighting.score(one[None, :, None, None])[0, 0, 0, 0] for one in cell.values()])
                expected = (scores.softmax(0)[:, None] * torch.stack(list(cell.values()))).sum(0)
                torch.testing.assert_close(weighted[place, :, y, x], expected)
            stacked = torch.cat([torch.cat([cell[name], torch.ones(1)]) if name in cell else torch.zeros(9) for name in MAPS])
            gates = (gating.gate.weight[:, :, 0, 0] @ stacked + gating.gate.bias).sigmoid().reshape(3, 2)
            expected = torch.zeros(8)
            for gate, name in zip(gates, MAPS, strict=True):
                if name in cell:
                    expected += gate.repeat_interleave(4) * cell[name].tanh()
            torch.testing.assert_close(gated[place, :, y, x], expected)
    assert torch.equal(weighted[2], torch.zeros(8, 3, 3)) and torch.equal(gated[2], torch.zeros(8, 3, 3))


def test_stacked_channels_tell_a_missing_sensor_from_one_that_shows_zeros():
    zeros = {"a": torch.randn(1, 8, 2, 2), "b": torch.zeros(1, 8, 2, 2)}
    here, away = {"a": torch.tensor([0]), "b": torch.tensor([0])}, {"a": torch.tensor([0]), "b": torch.tensor([], dtype=torch.long)}
    missing = zeros | {"b": torch.zeros(0, 8, 2, 2)}
    assert side_by_side(zeros, here, 1).shape == (1, 2, 9, 2, 2)
    assert side_by_side(zeros, here, 1)[0, 1, -1].eq(1).all() and side_by_side(missing, away, 1)[0, 1].eq(0).all()
    torch.manual_seed(0)
    for combine in (Stacking(2, 8), Gating(2, 8, 2)):
        assert (combine(zeros, here, 1) - combine(missing, away, 1)).abs().max() > 1e-3


def landscape_model(fusion: FusionConfig) -> FusionModel:
    encoders = small_encoders()
    modalities = {name: MODALITIES[name] for name in encoders} | {"spot": replace(MODALITIES["spot"], gsd=1.25)}
    labels = ClassTable(names=tuple("abcdefghijklm"), colors=("#000000",) * 13)
    config = EncodersConfig(modalities=modalities, encoders=encoders)
    return FusionModel(ModelConfig(sensors=config, fusion=fusion, head=small_head(), labels=labels))


def test_fusions_of_the_same_widths_have_about_the_same_parameters():
    own = small_fusion()
    size = {"gsds": own.gsds, "dims": own.dims, "heads": own.heads, "depth": own.depth}
    count = {kind: sum(p.numel() for p in landscape_model(type(one)(**size)).parameters()) for kind, one in FUSIONS.items()}
    assert max(count.values()) < 1.07 * min(count.values()), count


@pytest.mark.parametrize("cls", [CrossAttentionConfig, LateConfig])
def test_what_cannot_be_built_is_said(cls):
    encoders = Encoders(sensors()).items()
    with pytest.raises(ConfigError, match="must fall from coarse to fine"):
        cls(gsds=(10.0, 20.0), dims=(8, 8))
    with pytest.raises(ConfigError, match="as many values as"):
        cls(gsds=(20.0, 10.0), dims=(8,))
    with pytest.raises(ConfigError, match=r"multiple of .*heads \(3\)"):
        cls(gsds=(20.0,), dims=(16,), heads=3).build(encoders)


def test_scales_finer_than_every_sensor_are_refused_unless_sensors_do_not_meet():
    encoders = {name: encoder for name, encoder in Encoders(sensors()).items().items() if name in ("s2", "s1_asc")}
    for kind, config in FUSIONS.items():
        finer = replace(config, gsds=(40.0, 10.0, 1.0), dims=(16, 8, 8))
        if kind == "late":
            finer.build(encoders)
        else:
            with pytest.raises(ConfigError, match=r"the finest are of 10 m\. Try: fewer `gsds`"):
                finer.build(encoders)
