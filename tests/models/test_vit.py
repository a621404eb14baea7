"""The vision transformer: maps on the right ground, no neighbors, any size, your own timm weights."""

import subprocess
import sys
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from omnifuse.config import from_dict, to_dict
from omnifuse.errors import CheckpointError, ConfigError, InputError
from omnifuse.frames import Frames
from omnifuse.modalities import MODALITIES, Modality
from omnifuse.models.vit import ViT, ViTConfig

SPOT = replace(MODALITIES["spot"], gsd=1.25)
NAMES = ("vit_small_patch16_rope_224", "vit_tiny_patch16_224", "vit_tiny_patch16_dinov3_qkvb", "vit_base_patch16_siglip_gap_256")


def build(modality: Modality = SPOT, **options) -> ViT:
    torch.manual_seed(0)
    return ViTConfig(**{"dim": 32, "depth": 2, "heads": 2, "patch": 8, "stem_widths": (4, 8), **options}).build(modality)


def make_frames(count: list[int], height: int = 32, width: int = 32, bands: int = 3) -> Frames:
    draw = torch.Generator().manual_seed(1)
    n = sum(count)
    pixels = torch.randint(0, 256, (n, bands, height, width), dtype=torch.uint8, generator=draw)
    return Frames(pixels, torch.arange(n, dtype=torch.int32), torch.tensor(count))


def test_maps_are_coarse_to_fine_on_the_ground_cells_they_promise():
    vit = build(patch=16, stem_widths=(8, 16, 32))
    features = vit(make_frames([1, 0, 1], 64, 96))
    assert vit.gsds == (20.0, 10.0, 5.0, 2.5)
    assert vit.dims == (32, 32, 16, 8)
    for x, dim, gsd in zip(features.maps, vit.dims, vit.gsds, strict=True):
        assert x.shape == (2, dim, 64 * 1.25 / gsd, 96 * 1.25 / gsd)
    assert features.place.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("patch", "stem_widths"), [(2, (4,)), (6, (4,)), (10, (4,)), (12, (4, 8)), (14, (4,)), (16, (2, 4, 4, 8)), (5, ())]
)
@pytest.mark.parametrize("tokens_from", ["stem", "image"])
def test_any_patch_size_keeps_cells_where_they_are(patch, stem_widths, tokens_from):
    vit = build(patch=patch, stem_widths=stem_widths, tokens_from=tokens_from)
    x = vit.normalize(make_frames([1], 2 * patch, 3 * patch).pixels)
    maps = vit.stem(x)
    features = vit(make_frames([1], 2 * patch, 3 * patch))
    assert features.maps[0].shape[-2:] == (2, 3)
    assert len(features.maps) == len(vit.gsds) == 1 + len(stem_widths)
    for level, x in enumerate(reversed(maps), start=1):
        assert x.shape[-2:] == (2 * 2**level, 3 * 2**level)


def test_a_cell_of_the_stem_sees_the_ground_around_its_own_center():
    vit = build(patch=12, stem_widths=(4,))
    for row in range(4):
        pixels = torch.zeros(1, 3, 24, 24, requires_grad=True)
        vit.stem(pixels + torch.randn(1, 3, 24, 24))[0][0, :, row, 2].square().sum().backward()
        seen = pixels.grad[0].abs().sum((0, 2)).nonzero()[:, 0]
        assert (int(seen.min()), int(seen.max())) == (max(0, 6 * row - 1), min(23, 6 * row + 6))


def test_the_ground_of_a_token_is_its_own_patch():
    vit = build(depth=1, stem_widths=(), patch=8)
    vit.vit.blocks[0].attn.proj.weight.data.zero_()  # tokens no longer see each other
    vit.vit.blocks[0].attn.proj.bias.data.zero_()
    frames = make_frames([1], 32, 48)
    changed = frames.pixels.clone()
    changed[..., 8:16, 24:32] = 255 - changed[..., 8:16, 24:32]
    moved = (vit(frames).maps[0] - vit(replace(frames, pixels=changed)).maps[0]).abs().sum(1)[0]
    assert moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tokens_from", ["stem", "image"])
@pytest.mark.parametrize("count", [[1, 1], [0, 0]])
def test_every_parameter_gets_a_gradient_and_zero_without_frames(name, tokens_from, count):
    vit = build(name=name, tokens_from=tokens_from, heads=2, dim=64)
    for size in (32, 64):
        vit.zero_grad()
        features = vit(make_frames(count, size, size))
        assert len(features.maps[0]) == sum(count)
        sum(x.square().sum() for x in features.maps).backward()
        for key, parameter in vit.named_parameters():
            assert parameter.grad is not None, key
            assert bool(parameter.grad.any()) == (sum(count) > 0), key


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 0, 0), (3, 1, 5)])
def test_a_batch_without_the_sensor_gives_maps_without_rows(shape):
    features = build()(Frames.empty(3, shape))
    assert [len(x) for x in features.maps] == [0, 0, 0]
    assert len(features.place) == 0
    assert features.num_places == 3


@pytest.mark.parametrize("name", NAMES)
def test_alone_or_together_is_the_same(name):
    vit = build(name=name, dim=64).double()
    frames = make_frames([1, 0, 3, 1, 2])
    together = vit(frames)
    for row, place in enumerate(together.place.tolist()):
        alone = vit(frames.select(torch.tensor([place])))
        for one, many in zip(alone.maps, together.maps, strict=True):
            torch.testing.assert_close(one[0], many[row], rtol=1e-12, atol=1e-12)


def test_several_images_of_a_place_are_averaged():
    vit = build().double()
    frames = make_frames([2, 1])
    single = vit(replace(frames, count=torch.tensor([1, 1, 1])))
    for mean, each in zip(vit(frames).maps, single.maps, strict=True):
        torch.testing.assert_close(mean, torch.stack([(each[0] + each[1]) / 2, each[2]]))


def test_bands_are_normalized_with_the_modality():
    scaled = replace(SPOT, mean=tuple(2 * m for m in SPOT.mean), std=tuple(2 * s for s in SPOT.std))
    frames = make_frames([1])
    doubled = replace(frames, pixels=frames.pixels.int() * 2)
    torch.testing.assert_close(build(scaled)(doubled).maps, build(SPOT)(frames).maps)


def test_context_is_seen_but_not_returned():
    surrounded = replace(SPOT, context=10.0)  # one token of 10 m on each side
    frames = make_frames([1], 48, 48)
    for inner, outer, cells in zip(build(surrounded)(frames).maps, build(SPOT)(frames).maps, (1, 2, 4), strict=True):
        torch.testing.assert_close(inner, outer[..., cells:-cells, cells:-cells])


def test_rotary_positions_are_distances_that_do_not_stretch_with_the_image():
    vit = build()
    small, large = (vit.vit.rope.get_embed(shape=(side, side)).unflatten(0, (side, side)) for side in (4, 8))
    torch.testing.assert_close(large[:4, :4], small)


def test_an_image_that_is_not_whole_patches_is_refused_with_a_size_that_fits():
    with pytest.raises(InputError, match=r"'spot'.*36×32 pixels.*patches of 8 pixels.*32×32"):
        build()(make_frames([1], 36, 32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 6, "stem_widths": (4, 8)}, "cannot be halved 2 times"),
        ({"name": "vit_smal_patch16_224"}, "vit_small_patch16_224"),
        ({"name": "vit_relpos_small_patch16_224"}, "cannot build"),
        ({"dim": 30, "heads": 4}, "cannot build"),
        ({"weights": "x.safetensors"}, "tokens_from='image'"),
        ({"weights": "nowhere.safetensors", "tokens_from": "image"}, "no such file"),
    ],
)
def test_what_cannot_be_built_is_a_clear_error(options, message):
    with pytest.raises((ConfigError, CheckpointError), match=message) as caught:
        build(**options)
    assert "Try: " in str(caught.value)


def test_config_round_trip():
    config = ViTConfig(dim=32, stem_widths=(4, 8))
    assert from_dict(ViTConfig, to_dict(config), "test") == config


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_your_own_timm_weights_give_timm_s_own_tokens(tmp_path, name, suffix):
    torch.manual_seed(3)
    theirs = timm.create_model(name, embed_dim=64, depth=2, num_heads=2, dynamic_img_size=True).eval()
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(theirs.state_dict(), path)
    vit = build(name=name, dim=64, patch=16, tokens_from="image", weights=str(path)).eval()
    frames = make_frames([1], 224, 224)
    expected = theirs.forward_features(vit.normalize(frames.pixels))[:, theirs.num_prefix_tokens :]
    torch.testing.assert_close(vit(frames).maps[0].flatten(2).mT, expected)


def test_weights_are_resampled_to_other_patches_and_bands_and_the_log_says_so(tmp_path, caplog):
    theirs = timm.create_model("vit_tiny_patch16_224", embed_dim=64, depth=2, num_heads=2)
    path = tmp_path / "weights.safetensors"
    save_file(theirs.state_dict(), path)
    aerial = replace(MODALITIES["aerial"])
    vit = build(aerial, name="vit_tiny_patch16_224", dim=64, tokens_from="image", weights=str(path))
    assert vit.vit.patch_embed.proj.weight.shape == (64, 5, 8, 8)
    torch.testing.assert_close(vit.vit.blocks[1].mlp.fc2.weight, theirs.blocks[1].mlp.fc2.weight)
    assert all(part in caplog.text for part in ("head.weight", "patch_embed", "pos_embed", str(path)))


def test_weights_of_a_model_that_norms_after_pooling_norm_every_token(tmp_path):
    theirs = timm.create_model("vit_tiny_patch16_224", embed_dim=64, depth=1, num_heads=2, global_pool="avg")
    theirs.fc_norm.weight.data.normal_()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    options = {"name": "vit_tiny_patch16_224", "dim": 64, "depth": 1, "patch": 16, "tokens_from": "image"}
    vit = build(**options, weights=str(tmp_path / "weights.safetensors"))
    frames = make_frames([1], 224, 224)
    tokens = theirs.fc_norm(theirs.forward_features(vit.normalize(frames.pixels)))[:, 1:]
    torch.testing.assert_close(vit(frames).maps[0].flatten(2).mT, tokens)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_code_in_weights_is_run(tmp_path):
    torch.save({"head.weight": Trap(tmp_path / "trapped")}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"weights\.pth: cannot be read"):
        build(name="vit_tiny_patch16_224", patch=16, tokens_from="image", weights=str(tmp_path / "weights.pth"))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("damage", ["truncated", "page", "missing", "extra", "narrow", "nested"])
def test_unfit_weights_are_refused_with_the_file(tmp_path, damage):
    state = timm.create_model("vit_tiny_patch16_224", embed_dim=64, depth=2, num_heads=2).state_dict()
    path = tmp_path / "weights.pth"
    if damage == "missing":
        del state["blocks.1.attn.qkv.weight"]
    if damage == "extra":
        state["blocks.2.attn.qkv.weight"] = torch.zeros(3)
    torch.save({"model": state, "epoch": 3} if damage == "nested" else state, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    if damage == "page":
        path.write_text("<!doctype html><title>Not found</title>")
    with pytest.raises(CheckpointError, match=r"weights\.pth.*Try: "):
        build(name="vit_tiny_patch16_224", dim=32 if damage == "narrow" else 64, patch=16, tokens_from="image", weights=str(path))


def test_a_torchvision_that_does_not_fit_torch_is_one_clear_sentence(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    script = "from omnifuse import MODALITIES as m; from omnifuse.models.vit import ViTConfig; ViTConfig().build(m['spot'])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert "ConfigError" in result.stderr
    assert "install torch and torchvision in one command" in result.stderr
