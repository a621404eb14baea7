"""Every baseline trains on the landscape through the same configuration as our model, and reaches all of its parameters."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnifuse.config import from_dict, to_dict
from omnifuse.data.landscape import LandscapeConfig
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.sensors import SensorView
from omnifuse.data.stacked import covariates
from omnifuse.errors import ConfigError
from omnifuse.modalities import MODALITIES
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.model import EncodersConfig, FusionModel, ModelConfig
from omnifuse.runs.baselines import (
    PUBLISHED,
    SMALL,
    Architecture,
    parts,
    unet_highres,
    utae_early,
    utae_late,
    utae_s2,
    vit_highres,
    with_covariates,
)
from omnifuse.runs.finetuning import FinetuneConfig, build_model, finetune
from omnifuse.runs.landscape import small_encoders, small_fusion, small_head
from omnifuse.runs.places import SplitConfig
from omnifuse.runs.sources import DataConfig, LandscapeData, StackedData
from omnifuse.train.config import TrainConfig

LANDSCAPE = LandscapeData(landscape=LandscapeConfig(places=5, size=16, sensors=("s2", "s1_asc", "spot", "dem", "climate", "landcover")))
STACKED = StackedData(data=LANDSCAPE)
OURS = Architecture(small_encoders(), small_fusion(), small_head())
CASES: dict[str, tuple[DataConfig, Architecture]] = {
    "utae_s2": (LANDSCAPE, utae_s2()),
    "utae_late": (LANDSCAPE, utae_late()),
    "utae_early": (STACKED, utae_early()),
    "unet_highres": (LANDSCAPE, unet_highres()),
    "vit_highres": (LANDSCAPE, vit_highres()),
    "learned": (LANDSCAPE, with_covariates(OURS, ("dem", "climate", "landcover"))),
    "stacked": (StackedData(data=LANDSCAPE, stacks=covariates(("dem", "climate", "landcover"), ("s2",))), utae_s2()),
}


def run(name: str, folder: str = "") -> FinetuneConfig:
    data, architecture = CASES[name]
    regions = ("oceanic", "northern plain", "continental", "southwest")
    split = SplitConfig(key="region", train=regions, test=("mediterranean",))
    train = TrainConfig(steps=2, batch_size=2, warmup_steps=1, evaluate_steps=0)
    return FinetuneConfig(data=data, split=split, **parts(architecture), train=train, folder=folder)


@pytest.mark.parametrize("name", CASES)
def test_every_baseline_reaches_all_its_parameters_and_survives_json(name):
    config = run(name)
    assert from_dict(FinetuneConfig, to_dict(config), "test") == config
    source = SensorView(config.data.open(), tuple(config.encoders))
    model = build_model(config, source, np.arange(2))
    logits = model(next(iter(evaluation_batches(source, np.arange(2), 2))))
    assert logits.shape == (2, 13, 16, 16)
    logits.square().mean().backward()
    assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]


def test_a_stacked_series_is_fine_tuned_like_any_other(tmp_path):
    done = finetune(run("utae_early", str(tmp_path)))
    assert list(done.subsets) == [("s2_s1",)]
    assert done.model.config.sensors.modalities["s2_s1"].bands[10:] == ("s1_asc.VV", "s1_asc.VH", "s1_asc.VV-VH")
    assert abs(done.model.config.sensors.modalities["s2_s1"].mean[10] + 12) < 3  # of the run's own places


def parameters(architecture: Architecture) -> int:
    names = {"s2_s1": "s2"}
    modalities = {name: replace(MODALITIES[names.get(name, name)], name=name) for name in architecture.encoders}
    config = EncodersConfig(modalities=modalities, encoders=architecture.encoders)
    labels = LANDSCAPE.open().classes
    assert labels is not None
    with torch.device("meta"):
        model = FusionModel(ModelConfig(sensors=config, fusion=architecture.fusion, head=architecture.head, labels=labels))
    return sum(parameter.numel() for parameter in model.parameters())


def test_published_sizes_are_about_those_of_the_papers():
    assert 0.9e6 < parameters(utae_s2(PUBLISHED)) < 1.3e6  # U-TAE: 1.09 M
    assert 24e6 < parameters(unet_highres(PUBLISHED, "aerial", 0.2, 0.2)) < 27e6  # U-Net with a ResNet-34: 24.4 M; ours mixes cells besides
    assert 20e6 < parameters(vit_highres(PUBLISHED, "aerial", 0.2, 0.2)) < 24e6  # ViT-S: 21.7 M
    assert parameters(unet_highres(SMALL)) < 0.8e6


def test_maps_go_down_to_the_labels_and_no_further():
    assert unet_highres(PUBLISHED, "aerial", 0.2, 0.2).fusion.gsds == (6.4, 3.2, 1.6, 0.8, 0.4)
    assert unet_highres().fusion.gsds == (40.0, 20.0, 10.0)
    assert vit_highres(PUBLISHED, "spot", 1.0, 10.0).fusion.gsds == (16.0, 8.0)
    assert vit_highres(PUBLISHED, "aerial", 0.2, 0.2).fusion.gsds == (3.2, 1.6, 0.8, 0.4)
    assert utae_late(PUBLISHED, ("s2", "s1_asc", "s1_desc")).fusion.gsds == CrossAttentionConfig().gsds


def test_an_unknown_covariate_is_said():
    with pytest.raises(ConfigError, match="no encoder for 'soil'"):
        with_covariates(OURS, ("soil",))
