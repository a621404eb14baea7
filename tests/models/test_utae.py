"""The U-TAE encoder: right ground, real frames only, each once, and nobody's neighbor."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from omnifuse.config import from_dict, to_dict
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Frames
from omnifuse.modalities import MODALITIES, Modality
from omnifuse.models.utae import UTAE, UTAEConfig

S2 = MODALITIES["s2"]
SMALL = {"widths": (8, 12, 16), "heads": 4, "dim": 16}
VARIANTS = [
    {},
    {"norm": "group"},
    {"padding": "zeros"},
    {"aggregation": "mean"},
    {"aggregation": "attention"},
    {"widths": (8, 16), "stride": 1},
    {"widths": (16,)},
    {"widths": (16,), "kernel": 1},
    {"frame_chunk": 3},
    {"checkpoint": True},
]


def build(modality: Modality = S2, **options) -> UTAE:
    torch.manual_seed(0)
    return UTAEConfig(**{**SMALL, **options}).build(modality).eval()


def make_frames(count: list[int], side: int = 16, bands: int = 10) -> Frames:
    draw = torch.Generator().manual_seed(1)
    n = sum(count)
    pixels = torch.randint(0, 6000, (n, bands, side, side), dtype=torch.int16, generator=draw)
    return Frames(pixels, 17775 + torch.arange(n, dtype=torch.int32) * 5, torch.tensor(count, dtype=torch.long))


def test_maps_are_coarse_to_fine_on_the_ground_cells_they_promise():
    utae = build()
    features = utae(make_frames([3, 0, 2], side=32))
    assert utae.dims == (16, 12, 8)
    assert utae.gsds == (40.0, 20.0, 10.0)
    assert features.place.tolist() == [0, 2]
    assert features.num_places == 3
    for x, dim, gsd in zip(features.maps, utae.dims, utae.gsds, strict=True):
        assert x.shape == (2, dim, 320 / gsd, 320 / gsd)


@pytest.mark.parametrize("options", VARIANTS)
def test_a_place_is_the_same_alone_and_together(options):
    frames = make_frames([3, 0, 5, 1, 3])
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        utae = build(**options, attention_dropout=0.0, dropout=0.0).to(dtype).train()  # training: batch statistics would show
        together = utae(frames)
        for row, place in enumerate(together.place):
            alone = utae(frames.select(place[None]))
            for one, many in zip(alone.maps, together.maps, strict=True):
                assert (many[row] - one[0]).norm() <= tolerance * one.norm()


@pytest.mark.parametrize("options", VARIANTS[:5])
def test_the_order_of_dates_does_not_matter_but_the_dates_do(options):
    utae, frames, order = build(**options).double(), make_frames([5, 3]), torch.tensor([4, 2, 0, 1, 3, 6, 7, 5])
    maps = utae(frames).maps
    for a, b in zip(maps, utae(replace(frames, pixels=frames.pixels[order], day=frames.day[order])).maps, strict=True):
        torch.testing.assert_close(a, b)
    assert (maps[0] - utae(replace(frames, day=frames.day[order])).maps[0]).abs().max() > 1e-3


@pytest.mark.parametrize("options", VARIANTS)
def test_a_sensor_missing_everywhere_gives_every_parameter_a_zero_gradient(options):
    utae = build(**options).train()
    features = utae(make_frames([0, 0]))
    assert [len(x) for x in features.maps] == [0] * len(utae.dims)
    sum(x.sum() for x in features.maps).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in utae.parameters())


def test_every_parameter_learns_in_training():
    utae = build().train()
    sum(x.square().sum() for x in utae(make_frames([3, 4])).maps).backward()
    assert all(parameter.grad.abs().max() > 1e-8 for parameter in utae.parameters())


@pytest.mark.parametrize("options", [{"frame_chunk": 1}, {"frame_chunk": 4}, {"frame_chunk": 3, "checkpoint": True}])
def test_chunks_and_checkpoints_change_neither_maps_nor_gradients(options):
    frames, results = make_frames([5, 2, 3]), []
    for chosen in ({"frame_chunk": 100}, options):
        utae = build(**chosen).double()
        maps = utae(frames).maps
        sum((x * x.detach().roll(1)).sum() for x in maps).backward()
        results.append([*maps, *(parameter.grad for parameter in utae.parameters())])
    torch.testing.assert_close(results[1], results[0])


def saved_bytes(utae: UTAE, frames: Frames) -> int:
    """Count the bytes kept for the backward pass, parameters aside."""
    known = {parameter.data_ptr() for parameter in utae.parameters()}
    kept: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        if x.data_ptr() not in known:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        features = utae(frames)
    assert features.maps[0].requires_grad
    return sum(kept.values())


def test_checkpointed_chunks_keep_the_published_widths_within_8_mib_a_frame():
    utae = UTAEConfig(checkpoint=True, frame_chunk=2).build(S2)
    few, many = (saved_bytes(utae, make_frames([count], side=64)) for count in (2, 6))
    assert (many - few) / 4 <= 8 * 2**20 / 4  # a quarter of the pixels of a published image


@pytest.mark.parametrize(("norm", "same"), [("pixel", True), ("group", False)])
def test_a_tile_gives_what_the_scene_gives_only_without_statistics_over_pixels(norm, same):
    utae, scene = build(norm=norm, widths=(8, 16)).double(), make_frames([3], side=64)
    tile = replace(scene, pixels=scene.pixels[..., 8:56, 8:56])
    difference = utae(scene).maps[-1][0, :, 28:36, 28:36] - utae(tile).maps[-1][0, :, 20:28, 20:28]
    assert (difference.abs().max() < 1e-10) == same


def test_the_context_around_a_place_is_seen_and_cut_off():
    surrounded = replace(S2, context=80.0)
    utae, frames = build(surrounded), make_frames([2], side=32)
    features = utae(frames)
    assert [tuple(x.shape[-2:]) for x in features.maps] == [(4, 4), (8, 8), (16, 16)]
    for inner, whole in zip(features.maps, build()(frames).maps, strict=True):
        edge = inner.shape[-1] // 2
        torch.testing.assert_close(inner, whole[..., edge:-edge, edge:-edge])


def test_a_point_has_a_purely_temporal_encoder():
    climate = MODALITIES["climate"]
    utae = build(climate, widths=(16,), kernel=1)
    features = utae(make_frames([12, 12], side=1, bands=4))
    assert [tuple(x.shape) for x in features.maps] == [(2, 16, 1, 1)]
    assert utae.gsds == (9000.0,)


@pytest.mark.parametrize(
    ("side", "options", "message"),
    [
        (18, {}, "18×18 pixels are not divisible by 4"),
        (4, {}, "Try: images of at least 8 pixels"),
        (1, {"widths": (16,)}, "or kernel=1 for points"),
        (16, {"modality": replace(S2, context=80.0)}, "nothing but the context of 80 m"),
        (16, {"modality": MODALITIES["s1_asc"]}, "have 10 bands. Try: 3, in the order VV, VH"),
    ],
)
def test_images_it_cannot_take_are_named(side, options, message):
    with pytest.raises(InputError, match=message):
        build(**options)(make_frames([1], side=side))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (10, 16)}, "equal share of `widths`"),
        ({"dim": 18}, "equal share of `dim`"),
        ({"widths": (6, 16), "aggregation": "mean", "norm": "group"}, "multiples of 4"),
        ({"widths": ()}, "must be positive"),
        ({"stride": 0}, "must be positive"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        UTAEConfig(**{**SMALL, **options})


def test_the_configuration_survives_json():
    config = UTAEConfig(**SMALL, norm="group", checkpoint=True)
    assert from_dict(UTAEConfig, to_dict(config), "config.json") == config
    with pytest.raises(ConfigError, match="widhts"):
        from_dict(UTAEConfig, {"kind": "utae", "widhts": [8]}, "config.json")


def flops(utae: nn.Module, count: list[int]) -> tuple[int, int]:
    """Count what the forward pass costs, and forward and backward together, at 128×128 pixels; computes nothing."""
    frames = make_frames(count, side=128).to("meta")
    with FlopCounterMode(display=False) as forward:
        maps = utae(frames).maps
    with FlopCounterMode(display=False) as backward:
        sum(x.sum() for x in maps).backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


def test_only_real_frames_cost_and_each_once():
    utae = UTAEConfig().build(S2).to("meta")
    first, second, ragged = flops(utae, [4]), flops(utae, [8]), flops(utae, [7, 0, 1])
    assert (second[0] - first[0]) / 4 <= 3.05e9
    assert (second[1] - first[1]) / 4 <= 8.9e9
    assert second[0] - 8 * (second[0] - first[0]) / 4 <= 2.8e9
    assert ragged[0] <= 1.01 * second[0]
