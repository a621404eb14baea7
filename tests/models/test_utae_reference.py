"""The published U-TAE: figures computed with the published code, and what a file of weights may get wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from omnifuse.errors import CheckpointError
from omnifuse.frames import Frames
from omnifuse.models.utae import from_reference
from omnifuse.models.utae_reference import ReferenceUTAE
from omnifuse.nn.segments import segment_sum

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "utae_reference.npz"
PUBLISHED = {"widths": (64, 64, 64, 128), "decoder": (32, 32, 64, 128), "out": (32, 20), "bands": 10, "stride": 2}
TINY = {"widths": (8, 12, 16), "decoder": (4, 8, 16), "out": (4, 5), "bands": 3, "stride": 2}
ATTENTION = {"heads": 16, "key_dim": 4, "dim": 256}


def uniform(stream: int, size: int) -> np.ndarray:
    """Draw from a hash written in a few lines anywhere: values in [0, 1)."""
    h = (7919 * np.arange(size, dtype=np.uint64) + np.uint64(104729 * stream + 13)) % 2**32
    for _ in range(2):
        h = ((h ^ (h >> np.uint64(16))) * np.uint64(73244475)) % 2**32
    return (h ^ (h >> np.uint64(16))) / 2**32


def drawn_weights() -> dict[str, Tensor]:
    """Fill the published entries, in their order, from the hash."""
    state = ReferenceUTAE(**PUBLISHED, **ATTENTION).state_dict()
    for i, (name, value) in enumerate(state.items()):
        r = torch.from_numpy(uniform(i, value.numel())).view(value.shape)
        s = 2 * r - 1
        kinds = {"num_batches_tracked": 0 * r, "running_var": 0.5 + r, "running_mean": 0.2 * s, "Q": 2 * s, "bias": 0.2 * s}
        other = 1 + 0.2 * s if value.ndim == 1 else s * (6 / max(1, value[0].numel())) ** 0.5 if value.ndim else s
        state[name] = next((drawn for suffix, drawn in kinds.items() if name.endswith(suffix)), other).to(value.dtype)
    return state


class PaddedNorm(nn.Module):
    """The published input norm, in which frames that pad a series to `length` count as zeros."""

    def __init__(self, norm: nn.Module, length: int) -> None:
        super().__init__()
        self.norm, self.length = norm, length

    def forward(self, x: Tensor, place: Tensor, num_places: int) -> Tensor:
        x = x.unflatten(-1, (self.norm.groups, -1))
        mean = segment_sum(x.mean(-1), place, num_places) / self.length
        variance = segment_sum(x.square().mean(-1), place, num_places) / self.length - mean.square()
        x = (x - mean[place][..., None]) * (variance[place][..., None] + 1e-5).rsqrt()
        return x.flatten(-2) * self.norm.weight + self.norm.bias


def drawn_frames() -> Frames:
    """Return two places of four and three dates; the published run pads the second to four."""
    pixels = torch.from_numpy(2 * uniform(1000, 81920) - 1).float().view(8, 10, 32, 32)
    return Frames(pixels[:7], torch.tensor([3, 20, 80, 150, 5, 60, 100]), torch.tensor([4, 3]))


def drawn_model(padded: bool = True, **options) -> ReferenceUTAE:
    model = from_reference(drawn_weights(), **options)
    if padded:
        model.temporal_encoder.in_norm = PaddedNorm(model.temporal_encoder.in_norm, 4)
    return model


@torch.no_grad()
def logits(model: nn.Module, frames: Frames) -> Tensor:
    return model(frames)[0]


def test_the_hash_is_the_one_the_figures_were_computed_with():
    np.testing.assert_allclose(uniform(0, 4), [0.46540215, 0.33594861, 0.23537526, 0.86698621], atol=1e-8)
    np.testing.assert_allclose(uniform(1000, 2), [0.11866388, 0.49701805], atol=1e-8)


def test_parameters_are_the_published_ones():
    model = ReferenceUTAE(**PUBLISHED, **ATTENTION)
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    assert counts == {"in_conv": 43008, "down_blocks": 567360, "up_blocks": 378560, "temporal_encoder": 83200, "out_conv": 15132}
    assert len(model.state_dict()) == 158
    assert sum(buffer.numel() for buffer in model.buffers()) == 1527


@torch.no_grad()
def test_output_has_the_published_figures():
    model, frames = drawn_model(), drawn_frames()
    out, attention = model(frames)
    figures = [out.mean(), out.std(), out.max(), (out == 0).float().mean(), out[0, 0, 0, 0], out[1, 0, 0, 0], out[1, 7, 10, 20]]
    torch.testing.assert_close(
        torch.stack(figures), torch.tensor([1.032771, 2.091328, 11.8916, 0.692773, 2.78843, 3.46677, 0.30907]), atol=1e-4, rtol=0
    )
    first = "3.67241 .53402 .05109 .45717 0 .02005 6.47706 .29120 5.52649 0 0 .07219 0 2.24398 0 .12904 .02328 1.09191 0 .00962"
    second = "3.70649 .54577 .04800 .42521 0 .02554 6.55616 .30052 5.54906 .00002 0 .05951 0 2.26164 0 .11799 .01915 1.08188 0 .01441"
    means = torch.tensor([[float(word) for word in line.split()] for line in (first, second)])
    torch.testing.assert_close(out.mean((2, 3)), means, atol=2e-5, rtol=0)
    torch.testing.assert_close(attention[0, :4, 1, 2], torch.tensor([0.020248, 0.008513, 0.020045, 0.951193]), atol=1e-5, rtol=0)
    torch.testing.assert_close(attention[5, 4:, 0, 0], torch.tensor([0.384490, 0.571299, 0.044211]), atol=1e-5, rtol=0)
    assert {c: n for c, n in enumerate(out.argmax(1).flatten().bincount(minlength=20).tolist()) if n} == {0: 69, 6: 1341, 8: 633, 13: 5}


@pytest.mark.parametrize(
    ("options", "figures"),
    [
        ({"aggregation": "attention"}, (0.996181, 2.87900, 0.39310)),
        ({"aggregation": "mean"}, (0.995584, 2.82000, 0.33716)),
        ({"padding": "zeros"}, (0.956629, 0.0, 0.90512)),
    ],
)
def test_published_variants_have_their_figures(options, figures):
    out = logits(drawn_model(**options), drawn_frames())
    torch.testing.assert_close(torch.stack([out.mean(), out[0, 0, 0, 0], out[1, 7, 10, 20]]), torch.tensor(figures), atol=1e-4, rtol=0)


@torch.no_grad()
def test_decoder_maps_have_the_published_figures():
    maps, _ = drawn_model().maps(drawn_frames())
    assert [tuple(x.shape) for x in maps] == [(2, 128, 4, 4), (2, 64, 8, 8), (2, 32, 16, 16), (2, 32, 32, 32)]
    figures = [[-0.009280, 1.015417], [1.046036, 1.109941], [1.887354, 1.958454], [1.424129, 1.413408]]
    torch.testing.assert_close(torch.tensor([[x.mean(), x.std()] for x in maps]), torch.tensor(figures), atol=1e-4, rtol=0)


def test_a_place_gives_what_the_published_code_gives_for_it_alone():
    padded, packed = (logits(drawn_model(flag), drawn_frames()) for flag in (True, False))
    assert abs(packed[1].mean() - 1.026978) < 1e-5
    assert abs((packed[1] - padded[1]).abs().max() - 0.886) < 1e-3
    assert (packed[1].argmax(0) != padded[1].argmax(0)).sum() == 49
    torch.testing.assert_close(packed[0], padded[0], atol=1e-4, rtol=0)


def test_later_dates_have_the_published_effect():
    model, frames = drawn_model(False), drawn_frames().select(torch.tensor([0]))
    now, later = logits(model, frames), logits(model, Frames(frames.pixels, frames.day + 30, frames.count))
    assert abs(later.mean() - 1.027833) < 1e-5
    assert abs((later - now).abs().max() - 2.1986) < 1e-3


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN.name} is not here: outputs of the published code, kept beside the repository")
    with np.load(GOLDEN) as file:
        return dict(file)


def golden_place(golden: dict[str, np.ndarray], case: int) -> Frames:
    days = torch.from_numpy(golden[f"case{case}/days"])
    return Frames(torch.from_numpy(golden[f"case{case}/frames"]), days, torch.tensor([len(days)]))


def golden_model(golden: dict[str, np.ndarray]) -> nn.Module:
    return from_reference({name.removeprefix("state_dict/"): value for name, value in golden.items() if name.startswith("state_dict/")})


@pytest.mark.parametrize("case", [0, 1])
def test_outputs_and_gradients_of_the_published_code_are_reproduced(golden, case):
    model, frames = golden_model(golden), golden_place(golden, case)
    frames.pixels.requires_grad_()
    out, attention = model(frames)
    out[0].square().mean().backward()
    np.testing.assert_allclose(out[0].detach(), golden[f"case{case}/logits"], atol=1e-5)
    np.testing.assert_allclose(attention.detach(), golden[f"case{case}/attention"], atol=1e-4)
    gradient = golden[f"case{case}/grad_frames"]
    np.testing.assert_allclose(frames.pixels.grad, gradient, atol=1e-4 * np.abs(gradient).max())


@torch.no_grad()
def test_both_places_in_one_ragged_batch_give_what_each_gives_alone(golden):
    out, attention = golden_model(golden)(Frames.cat([golden_place(golden, 0), golden_place(golden, 1)]))
    np.testing.assert_allclose(out, np.stack([golden["case0/logits"], golden["case1/logits"]]), atol=1e-5)
    np.testing.assert_allclose(attention, np.concatenate([golden["case0/attention"], golden["case1/attention"]], 1), atol=1e-4)


def test_names_stand_in_the_published_order(golden):
    names = [name.removeprefix("state_dict/") for name in golden if name.startswith("state_dict/")]
    assert list(ReferenceUTAE(**PUBLISHED, **ATTENTION).state_dict()) == names


def tiny_weights(**options) -> dict[str, Tensor]:
    return ReferenceUTAE(**{**TINY, "heads": 4, "key_dim": 2, "dim": 16, **options}).state_dict()


@pytest.mark.parametrize(
    "options",
    [
        {"widths": (64, 64, 128, 128), "decoder": (64, 64, 128, 128), "out": (32, 13)},  # FLAIR-2
        {"out": (32, 19), "stride": 1},  # FLAIR-HUB: no down-sampling
        {"widths": (16,), "decoder": (16,)},
    ],
)
def test_sizes_are_read_from_the_weights(options):
    sizes = {**PUBLISHED, **ATTENTION, **options}
    state = ReferenceUTAE(**sizes).state_dict()
    model = from_reference(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    side = 10 if sizes["stride"] == 1 else 16
    out, attention = model(Frames(torch.randn(2, 10, side, side), torch.tensor([1, 5]), torch.tensor([2, 0])))
    assert out.shape == (1, sizes["out"][1], side, side)
    assert attention.shape[:2] == (16, 2)


@pytest.mark.parametrize("prefix", ["module.", "encoder.", "module.encoder."])
def test_prefixes_of_training_wrappers_and_panoptic_models_are_understood(prefix):
    state = tiny_weights()
    wrapped = {prefix + name: value for name, value in state.items()}
    if "encoder." in prefix:
        wrapped[prefix.removesuffix("encoder.") + "shape_mlp.0.weight"] = torch.zeros(1)
    assert all(torch.equal(value, state[name]) for name, value in from_reference(wrapped).state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("up_blocks.1.up.1.running_var"), "1 entries missing: up_blocks.1.up.1.running_var"),
        (lambda state: state.pop("temporal_encoder.inconv.weight"), "missing: temporal_encoder.inconv.weight"),
        (lambda state: state.update({"head.weight": torch.zeros(1)}), "1 entries unexpected: head.weight"),
        (lambda state: state.update({"in_conv.conv.conv.0.bias": torch.zeros(3)}), r"in_conv.conv.conv.0.bias \(3,\), not \(8,\)"),
        (lambda state: state.update({"module.in_conv.conv.conv.0.bias": torch.zeros(8)}), "with and without `module.`"),
        (lambda state: state.update({"state_dict": dict(state)}), "Try: its entry `state_dict`"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, message):
    state = dict(tiny_weights())
    change(state)
    with pytest.raises(CheckpointError, match=message):
        from_reference(state)
