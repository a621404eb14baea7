"""Architectures by name, with fresh and with released weights."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import SENSORS, contrast, fusion_model

import omnifuse
from omnifuse.classes import ClassTable
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch, Frames
from omnifuse.inference import creating, releases
from omnifuse.inference.folder import read_folder
from omnifuse.inference.releases import Release
from omnifuse.modalities import MODALITIES
from omnifuse.models.architectures import ARCHITECTURES
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import Encoders, FusionModel
from omnifuse.runs.landscape import small_encoders, small_fusion, small_head
from omnifuse.zoo import save_model, save_pretrained

LABELS = ("field", "forest")


def batch(names: tuple[str, ...], size: float = 320.0) -> Batch:
    frames = {}
    for name in names:
        modality = MODALITIES[name]
        side = modality.pixels(size)
        mean = torch.tensor(modality.mean)[:, None, None].expand(1, -1, side, side)
        frames[name] = Frames(mean, torch.tensor([17900]), torch.tensor([1]))
    return Batch(frames, size, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))


def test_the_tiny_architecture_is_that_of_the_quickstart():
    tiny = ARCHITECTURES["tiny"]
    modalities = {name: MODALITIES[name] for name in ("s2", "s1_asc", "spot")}
    assert tiny.encoders(modalities) == small_encoders() and tiny.fusion == small_fusion() and tiny.head == small_head()


def test_base_is_made_of_published_sizes():
    base = ARCHITECTURES["base"]
    assert base.series.widths == (64, 64, 64, 128) and base.fusion == CrossAttentionConfig() and base.head == SegmentationConfig()


@torch.no_grad()
@pytest.mark.parametrize("sensors", [("s2",), ("s2", "s1_asc", "spot"), ("s2", "dem", "climate")])
def test_every_sensor_has_an_encoder_by_what_its_pixels_are(sensors):
    model = omnifuse.create_model("tiny", sensors=sensors, labels=LABELS)
    assert isinstance(model, FusionModel) and model.training
    found = model.eval()(batch(sensors))
    assert found.shape == (1, 2, 32, 32) and found.isfinite().all()


def test_labels_are_names_a_table_or_none():
    table = ClassTable(names=LABELS, colors=("#000000", "#ffffff"))
    assert omnifuse.create_model("tiny", sensors=["s2"], labels=table).config.labels == table
    named = omnifuse.create_model("tiny", sensors=["s2"], labels=LABELS).config.labels
    assert named.names == LABELS and all(re.fullmatch("#[0-9a-f]{6}", color) for color in named.colors)
    assert isinstance(omnifuse.create_model("tiny", sensors=["s2"]), Encoders)


def test_sensors_may_be_your_own():
    own = replace(MODALITIES["spot"], name="drone", gsd=0.5)
    model = omnifuse.create_model("tiny", sensors={"drone": own})
    assert model.config.modalities["drone"].gsd == 0.5 and model.config.encoders["drone"] == ARCHITECTURES["tiny"].image


def test_fresh_weights_are_drawn_from_the_callers_generator():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(torch.cat([p.flatten() for p in omnifuse.create_model("tiny", sensors=["s2"]).parameters()]))
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match=r"unknown 'tinny'.*Try: tiny"):
        omnifuse.create_model("tinny")
    with pytest.raises(InputError, match=r"unknown modality 's22'"):
        omnifuse.create_model("tiny", sensors=["s22"])
    with pytest.raises(InputError, match=r"Try: a list of names, \['s2'\]"):
        omnifuse.create_model("tiny", sensors="s2")
    with pytest.raises(InputError, match="each once"):
        omnifuse.create_model("tiny", labels=["a", "a"])


@pytest.fixture
def released(tmp_path, monkeypatch) -> Path:
    """Two small releases, the encoders of one under the name of an architecture."""
    save_model(tmp_path / "maps", fusion_model(), {})
    save_pretrained(tmp_path / "encoders", contrast(seed=1), {})
    rows = {
        name: Release(where=name, sha256=read_folder(tmp_path / name).weights.sha256, license="", architecture=architecture)
        for name, architecture in (("maps", ""), ("encoders", "small"))
    }
    tiny = ARCHITECTURES["tiny"]
    small = replace(tiny, series=SENSORS.encoders["s2"], image=SENSORS.encoders["spot"])
    for module in (releases, creating):
        monkeypatch.setattr(module, "RELEASES", rows)
    monkeypatch.setattr(creating, "ARCHITECTURES", {**ARCHITECTURES, "small": small})
    monkeypatch.setattr(releases, "ROOTS", (tmp_path,))
    return tmp_path


def test_names_are_listed(released):
    assert omnifuse.list_models() == ["tiny", "base", "small", "maps", "encoders"]
    assert omnifuse.list_models(pretrained=True) == ["small", "maps", "encoders"]
    assert omnifuse.list_models("*ma*") == ["small", "maps"]


def test_a_released_model_comes_with_its_weights_or_with_fresh_ones(released):
    expected, found = fusion_model().state_dict(), omnifuse.create_model("maps", pretrained=True)
    assert found.training and all(p.requires_grad for p in found.parameters())
    assert all(torch.equal(value, expected[key]) for key, value in found.state_dict().items())
    fresh = omnifuse.create_model("maps").state_dict()
    assert fresh.keys() == expected.keys() and not torch.equal(fresh["fusion.mlp.1.weight"], expected["fusion.mlp.1.weight"])
    with pytest.raises(ConfigError, match="has its own sensors and labels"):
        omnifuse.create_model("maps", labels=LABELS)


def test_an_architecture_starts_from_its_released_encoders(released):
    spot = replace(MODALITIES["spot"], gsd=2.5)
    model = omnifuse.create_model("small", pretrained=True, sensors={"s2": MODALITIES["s2"], "spot": spot}, labels=LABELS)
    expected = contrast(seed=1).encoders.state_dict()
    for key, value in model.encoders.state_dict().items():
        assert torch.equal(value, expected[key]), key
    with pytest.raises(ConfigError, match=r"no weights of 'tiny' are released.*Try: pretrained=False"):
        omnifuse.create_model("tiny", pretrained=True)
