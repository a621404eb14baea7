"""timm's convolutional networks as encoders: no neighbors, maps that cover the ground, any size, pretrained statistics kept."""

from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import model_config, places
from torch import nn
from torch.nn import functional

from omnifuse.config import from_dict, to_dict
from omnifuse.errors import CheckpointError, ConfigError, InputError
from omnifuse.frames import Frames
from omnifuse.modalities import MODALITIES, Modality
from omnifuse.models.model import EncodersConfig, FusionModel, ModelConfig
from omnifuse.models.timm_encoder import TimmConfig, TimmEncoder

SPOT = replace(MODALITIES["spot"], gsd=1.25)
NAMES = ("resnet18d", "convnext_atto", "mobilenetv3_small_050", "regnetx_002")
SMALL = "mobilenetv3_small_050"


def build(name: str = SMALL, modality: Modality = SPOT, **options) -> TimmEncoder:
    torch.manual_seed(0)
    return TimmConfig(name=name, **options).build(modality)


def make_frames(count: list[int], side: int = 64, bands: int = 3, dtype: torch.dtype = torch.float32) -> Frames:
    n = sum(count)
    pixels = torch.rand(n, bands, side, side, generator=torch.Generator().manual_seed(1), dtype=dtype) * 255
    return Frames(pixels, torch.arange(n, dtype=torch.int32), torch.tensor(count))


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_coarse_to_fine_and_no_batch_norm_is_left(name):
    encoder = build(name)
    features = encoder(make_frames([1, 0, 2]))
    assert features.place.tolist() == [0, 2]
    assert list(encoder.gsds) == sorted(encoder.gsds, reverse=True) and encoder.gsds[0] == 40
    for x, dim, gsd in zip(features.maps, encoder.dims, encoder.gsds, strict=True):
        assert x.shape == (2, dim, 80 / gsd, 80 / gsd)
    assert not [one for one in encoder.modules() if isinstance(one, nn.BatchNorm2d)]


@pytest.mark.parametrize("norm", ["pixel", "group"])
def test_an_image_gives_the_same_alone_and_among_others_even_in_training(norm):
    encoder = build(norm=norm).double().train()
    frames = make_frames([1, 1, 2], dtype=torch.float64)
    together = encoder(frames).maps
    for i in range(3):
        alone = encoder(frames.select(torch.tensor([i]))).maps
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[i], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_no_image_at_all_gives_every_parameter_a_zero_gradient(name):
    encoder = build(name)
    features = encoder(Frames.empty(3, (3, 64, 64)))
    assert [len(x) for x in features.maps] == [0] * len(encoder.dims)
    sum(x.sum() for x in features.maps).backward()
    assert all(p.grad is not None and not p.grad.any() for p in encoder.parameters())


def test_images_of_any_size_are_stretched_to_whole_cells():
    encoder = build().eval()
    frames = make_frames([1], side=50)
    stretched = functional.interpolate(encoder.normalize(frames.pixels), size=(64, 64), mode="bilinear")
    for x, expected in zip(encoder(frames).maps, reversed(encoder.network(stretched)), strict=True):
        assert torch.equal(x, expected)
    assert encoder(make_frames([1], side=5)).maps[0].shape[-2:] == (1, 1)


def test_context_is_cut_from_every_map():
    encoder = build(modality=replace(SPOT, context=20.0)).eval()  # 64 pixels of 1.25 m: 80 m, of which the middle 40 m are the place
    whole = build().eval()
    for x, around in zip(encoder(make_frames([1])).maps[1:], whole(make_frames([1])).maps[1:], strict=True):
        side = around.shape[-1]
        assert torch.equal(x, around[..., side // 4 : side - side // 4, side // 4 : side - side // 4])


def test_fewer_stages_are_the_finer_ones():
    whole, part = build("convnext_atto"), build("convnext_atto", stages=2)
    assert part.dims == whole.dims[2:] and part.gsds == whole.gsds[2:]
    assert sum(p.numel() for p in part.parameters()) < 0.2 * sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_timm_with_frozen_norms_give_timms_own_maps(name, tmp_path):
    torch.manual_seed(1)
    plain = timm.create_model(name)
    for one in plain.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.running_mean.normal_(0, 0.1)
            one.running_var.uniform_(0.5, 2)
    save_file(plain.state_dict(), tmp_path / "weights.safetensors")
    encoder = build(name, norm="frozen", weights=str(tmp_path / "weights.safetensors"))
    theirs = timm.create_model(name, features_only=True)
    theirs.load_state_dict({key: dict(plain.state_dict())[_plain(key, plain)] for key in theirs.state_dict()})
    frames = make_frames([1])
    for mode in (False, True):  # training changes nothing: the statistics are frozen
        encoder.train(mode)
        for x, expected in zip(encoder(frames).maps, reversed(theirs.eval()(encoder.normalize(frames.pixels))), strict=True):
            torch.testing.assert_close(x, expected)


def _plain(key: str, plain: nn.Module) -> str:
    return key if key in plain.state_dict() else key.replace("_", ".", 1)


def test_weights_of_three_bands_serve_more(tmp_path):
    plain = timm.create_model(SMALL)
    save_file(plain.state_dict(), tmp_path / "weights.safetensors")
    aerial = MODALITIES["aerial"]
    encoder = build(modality=aerial, norm="frozen", weights=str(tmp_path / "weights.safetensors"))
    kernel, own = plain.conv_stem.weight, encoder.network.conv_stem.weight
    assert own.shape[1] == 5
    torch.testing.assert_close(own[:, 3] / kernel[:, 0], torch.full_like(own[:, 3], 3 / 5))


def test_a_model_with_it_reaches_every_parameter_and_survives_json():
    config = model_config()
    encoders = config.sensors.encoders | {"spot": TimmConfig(name=SMALL, stages=4)}
    config = replace(config, sensors=EncodersConfig(modalities=config.sensors.modalities, encoders=encoders))
    assert from_dict(ModelConfig, to_dict(config), "test") == config
    torch.manual_seed(0)
    model = FusionModel(config)
    model(places()).square().mean().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_its_shapes_are_known_without_its_weights():
    with torch.device("meta"):
        shapes = build(SMALL, stages=4).state_dict()
    assert {key: value.shape for key, value in build(SMALL, stages=4).state_dict().items()} == {k: v.shape for k, v in shapes.items()}


def test_what_cannot_be_used_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"'resnet18x'.*Try: 'resnet18'"):
        build("resnet18x")
    with pytest.raises(ConfigError, match=r"'vit_tiny_patch16_224' gives no maps of images of any size.*Try: 'resnet18d'"):
        build("vit_tiny_patch16_224")
    with pytest.raises(ConfigError, match=r"has 5 maps.*`stages` is 7"):
        build(stages=7)
    with pytest.raises(InputError, match=r"'spot': images have 4 bands\. Try: 3, in the order R, G, B"):
        build()(make_frames([1], bands=4))
    save_file(timm.create_model(SMALL).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"batch norms.*Try: norm='frozen'"):
        build(weights=str(tmp_path / "weights.safetensors"))
    with pytest.raises(CheckpointError, match="missing"):
        build("resnet18d", norm="frozen", weights=str(tmp_path / "weights.safetensors"))
