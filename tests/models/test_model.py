"""What must always hold of a model: any subset, alone or together, and every parameter reached whatever is missing."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from tiny import CLASSES, FUSIONS, SENSORS, model_config, places

from omnifuse.config import from_dict, to_dict
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch, Features
from omnifuse.models.model import EncodersConfig, FusionModel, ModelConfig

NAMES = list(SENSORS)
SUBSETS = [subset for k in range(1, 5) for subset in combinations(NAMES, k)]


@pytest.fixture(scope="module", params=FUSIONS)
def model(request) -> FusionModel:
    torch.manual_seed(0)
    return FusionModel(model_config(request.param)).eval()


@pytest.fixture(params=FUSIONS)
def fusion(request) -> str:
    return request.param


def close(dtype: torch.dtype) -> dict[str, float]:
    return {"atol": 1e-10, "rtol": 1e-10} if dtype == torch.float64 else {"atol": 1e-5, "rtol": 1e-5}


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_gives_a_finite_map(model, subset):
    batch = places(**dict.fromkeys(NAMES, (2, 1))).only(subset)
    logits = model(batch)
    assert logits.shape == (2, 3, 16, 16)
    assert logits.isfinite().all()


def test_subsets_differ_within_one_batch_and_every_sensor_matters(model):
    whole = places(**dict.fromkeys(NAMES, (2,)))
    for name in NAMES:
        assert (model(whole) - model(whole.drop(name))).abs().max() > 1e-3, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alone_or_together(fusion, dtype):
    torch.manual_seed(0)
    model = FusionModel(model_config(fusion)).eval().to(dtype)
    batch = places(dtype=dtype)
    together = model(batch)
    alone = torch.cat([model(part) for part in batch.split()])
    torch.testing.assert_close(together, alone, **close(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_permuting_places_permutes_outputs(fusion, dtype):
    torch.manual_seed(0)
    model = FusionModel(model_config(fusion)).eval().to(dtype)
    batch, order = places(dtype=dtype), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(batch.select(order)), model(batch)[order], **close(dtype))
    for name, features in model.encode(batch.select(order)).items():
        assert isinstance(features, Features)
        expected = batch.frames[name].present[order].nonzero()[:, 0]
        assert torch.equal(features.place, expected)


def test_a_missing_sensor_equals_a_sensor_never_given(model):
    batch = places()
    for name in NAMES:
        without = replace(batch, frames={k: v for k, v in batch.frames.items() if k != name})
        torch.testing.assert_close(model(batch.drop(name)), model(without), atol=0, rtol=0)


def test_the_order_of_sensors_does_not_matter(model):
    batch = places()
    other = replace(batch, frames=dict(reversed(batch.frames.items())))
    torch.testing.assert_close(model(batch), model(other), atol=0, rtol=0)


@pytest.mark.parametrize("missing", [(), ("s2",), ("s2", "spot"), tuple(NAMES[1:])], ids="+".join)
def test_every_parameter_has_a_gradient_whatever_is_missing(fusion, missing):
    torch.manual_seed(0)
    model = FusionModel(model_config(fusion))
    model(places(**dict.fromkeys(NAMES, (2, 1))).drop(*missing)).square().mean().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_place_with_no_sensor_at_all_does_no_harm(fusion):
    torch.manual_seed(0)
    model = FusionModel(model_config(fusion))
    batch = places(**dict.fromkeys(NAMES, (2, 0)))
    logits = model(batch)
    logits.square().mean().backward()
    assert logits.isfinite().all()
    norm = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
    assert norm < 1e3


def test_every_map_covers_the_place(model):
    maps = model.fuse(places()).maps
    assert [m.shape[-1] * gsd for m, gsd in zip(maps, model.config.fusion.gsds, strict=True)] == [160.0] * 3
    for name, encoder in model.encoders.items().items():
        features = encoder(places().frames[name])
        assert tuple(m.shape[1] for m in features.maps) == encoder.dims
        if not SENSORS[name].per_place:
            assert [m.shape[-1] * gsd for m, gsd in zip(features.maps, encoder.gsds, strict=True)] == [160.0] * len(encoder.dims)


def test_places_of_another_size_run_with_the_same_weights(model):
    batch = places(s2=(2,), spot=(1,))
    s2 = replace(batch.frames["s2"], pixels=batch.frames["s2"].pixels.repeat(1, 1, 2, 2))
    spot = replace(batch.frames["spot"], pixels=batch.frames["spot"].pixels.repeat(1, 1, 2, 2))
    larger = Batch({"s2": s2, "spot": spot}, 320.0, batch.place, batch.draw)
    assert model(larger).shape == (1, 3, 32, 32)


def test_an_unknown_modality_is_named(model):
    batch = places()
    odd = replace(batch, frames={**batch.frames, "s22": batch.frames["s2"]})
    with pytest.raises(InputError, match=r"unknown modality 's22'.*`s2`"):
        model(odd)


def test_configurations_survive_json_and_refuse_what_they_do_not_know(fusion):
    config = model_config(fusion)
    assert from_dict(ModelConfig, to_dict(config), "test") == config
    value = to_dict(config)
    value["fusion"]["headz"] = 3
    with pytest.raises(ConfigError, match=r"fusion.*headz"):
        from_dict(ModelConfig, value, "test")
    value = to_dict(config)
    value["sensors"]["encoders"]["s2"]["kind"] = "os.system"
    with pytest.raises(ConfigError, match=r"os\.system"):
        from_dict(ModelConfig, value, "test")


def test_encoders_and_modalities_must_agree():
    with pytest.raises(ConfigError, match="no encoder for"):
        EncodersConfig(modalities=SENSORS, encoders={"s2": model_config().sensors.encoders["s2"]})
    with pytest.raises(ConfigError, match="one value fewer"):
        FusionModel(replace(model_config(), head=replace(model_config().head, dims=(8,))))
    assert CLASSES.ignore == 9
