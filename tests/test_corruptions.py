"""Bad acquisitions: what they say of their statistics, what they leave alone, and that a place is harmed alike in any batch."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch

from omnifuse.corruptions import band_noise, clouds, drift, misregistration, optical_bands, radar_bands, shifted, speckle
from omnifuse.errors import InputError
from omnifuse.frames import Batch, Frames
from omnifuse.modalities import MODALITIES

SIDE = 16
NAMES = ("s2", "s1_asc", "spot", "dem", "aerial", "climate")
MODS = {name: replace(MODALITIES[name], gsd=10.0) for name in NAMES}
TYPES = {
    "s2": torch.int16,
    "s1_asc": torch.float32,
    "spot": torch.uint8,
    "dem": torch.float32,
    "aerial": torch.uint8,
    "climate": torch.float32,
}


def make(places: list[int], dates: int = 3, names: tuple[str, ...] = NAMES, side: int = SIDE) -> Batch:
    """Pixels around each band's mean; place 2 lacks `s2`."""
    parts = []
    for place in places:
        frames = {}
        for name in names:
            modality, draw = MODS[name], torch.Generator().manual_seed(place)
            t = 0 if (name, place) == ("s2", 2) else dates if modality.series else 1
            pixels = 1 if modality.per_place else side
            values = torch.randn(t, len(modality.bands), pixels, pixels, generator=draw)
            mean, std = (torch.tensor(x)[:, None, None] for x in (modality.mean, modality.std))
            frames[name] = Frames((mean + 0.2 * std * values).to(TYPES[name]), torch.arange(t) * 30, torch.tensor([t]))
        parts.append(Batch(frames, 10.0 * side, torch.tensor([place]), torch.tensor([place])))
    return Batch.cat(parts)


def same(a: Batch, b: Batch, names: tuple[str, ...] | None = None) -> bool:
    return all(torch.equal(a.frames[name].pixels, b.frames[name].pixels) for name in names or a.frames)


KINDS: dict[str, Callable[..., Batch]] = {
    "speckle": lambda batch, seed=0: speckle(batch, 4.0, MODS, seed),
    "drift": lambda batch, seed=0: drift(batch, 0.2, MODS, seed),
    "noise": lambda batch, seed=0: band_noise(batch, 0.5, MODS, seed),
    "clouds": lambda batch, seed=0: clouds(batch, 0.4, MODS, seed),
    "misregistration": lambda batch, seed=0: misregistration(batch, 15.0, "s1_asc", MODS, seed),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_is_harmed_alike_in_any_batch_and_order(kind):
    together = KINDS[kind](make([5, 2, 7]))
    for position, place in ((0, 5), (1, 2), (2, 7)):
        alone = KINDS[kind](make([place]))
        assert same(together.select(torch.tensor([position])), alone)
    assert not same(together, make([5, 2, 7])) and not same(together, KINDS[kind](make([5, 2, 7]), 1))


@pytest.mark.parametrize("kind", KINDS)
def test_types_dates_and_places_stay(kind):
    before = make([1, 2])
    pixels = {name: frames.pixels.clone() for name, frames in before.frames.items()}
    after = KINDS[kind](before)
    for name, frames in after.frames.items():
        assert frames.pixels.dtype == TYPES[name] and frames.pixels.shape == pixels[name].shape
        assert torch.equal(frames.day, before.frames[name].day) and torch.equal(frames.count, before.frames[name].count)
        assert torch.equal(before.frames[name].pixels, pixels[name])  # the batch that was given is as it was


def test_severity_zero_is_the_same_to_the_bit():
    before = make([1, 3])
    for after in (
        speckle(before, math.inf, MODS, 0),
        drift(before, 0.0, MODS, 0),
        band_noise(before, 0.0, MODS, 0),
        clouds(before, 0.0, MODS, 0),
        misregistration(before, 0.0, "s2", MODS, 0),
    ):
        assert same(before, after)


@pytest.mark.parametrize("kind", ["drift", "noise", "clouds"])
def test_a_tiny_severity_is_nearly_the_same(kind):
    """The limit is continuous: the shortcut at zero hides no jump. A cloud of one pixel is a cloud, so count the pixels that changed."""
    tiny = {"drift": partial(drift, strength=1e-6), "noise": partial(band_noise, level=1e-6), "clouds": partial(clouds, fraction=1e-3)}
    before = make([1])
    after = tiny[kind](before, modalities=MODS, seed=0)
    for name, frames in before.frames.items():
        off = (frames.pixels.float() - after.frames[name].pixels.float()).abs() > 1e-2
        assert off.float().mean() < 0.02


def test_units_and_wavelengths_say_what_a_band_is():
    assert radar_bands(MODS["s1_asc"]) == (0, 1)  # the difference of both is no measurement of its own
    assert optical_bands(MODS["s2"]) == tuple(range(10)) and optical_bands(MODS["aerial"]) == (0, 1, 2, 3)
    assert not any(optical_bands(MODS[name]) or radar_bands(MODS[name]) for name in ("dem", "climate"))
    picture = replace(MODS["s1_asc"], units=("8-bit, relative",) * 3)
    assert not optical_bands(picture) and not radar_bands(picture)  # radar, but of unknown scale


def test_each_kind_touches_its_bands_only():
    before = make([1, 3])
    assert same(before, KINDS["speckle"](before), ("s2", "spot", "dem", "aerial", "climate"))
    assert same(before, KINDS["clouds"](before), ("s1_asc", "dem", "climate"))
    assert same(before, KINDS["drift"](before), ("dem", "climate"))
    assert same(before, KINDS["misregistration"](before), ("s2", "spot", "dem", "aerial", "climate"))
    height = KINDS["clouds"](before).frames["aerial"].pixels[:, 4]
    assert torch.equal(height, before.frames["aerial"].pixels[:, 4])


@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_speckle_has_mean_one_and_the_stated_variance_in_linear_power(looks):
    before = make([1], dates=20, side=64, names=("s1_asc",))
    after = speckle(before, looks, MODS, 3).frames["s1_asc"].pixels
    factor = 10 ** ((after - before.frames["s1_asc"].pixels)[:, :2].double() / 10)
    assert factor.mean().item() == pytest.approx(1, abs=0.01)
    assert factor.var().item() == pytest.approx(1 / looks, rel=0.02)
    assert torch.corrcoef(factor.movedim(1, 0).flatten(1))[0, 1].abs() < 0.01  # polarizations are independent
    change = after - before.frames["s1_asc"].pixels
    torch.testing.assert_close(change[:, 2], change[:, 0] - change[:, 1])  # and VV-VH changes as their difference does


def test_noise_has_the_stated_spread_in_every_band():
    before = make([1], dates=20, side=32, names=("s2", "dem"))
    after = band_noise(before, 0.5, MODS, 3)
    for name, frames in before.frames.items():
        added = (after.frames[name].pixels.double() - frames.pixels.double()).movedim(1, 0).flatten(1)
        torch.testing.assert_close(added.std(1), 0.5 * torch.tensor(MODS[name].std).double(), rtol=0.06, atol=0.0)


def test_drift_is_one_gain_and_offset_per_band_and_place():
    before = make([1, 3], dates=4, names=("s2", "s1_asc"))
    after = drift(before, 0.1, MODS, 0)
    for i in range(2):
        x, y = (batch.frames["s1_asc"].pixels[i * 4 : i * 4 + 4].movedim(1, 0).flatten(1) for batch in (before, after))
        torch.testing.assert_close(y[:2] - x[:2], (y[:2] - x[:2])[:, :1].expand(2, x.shape[1]))  # in dB a gain is added
        x, y = (batch.frames["s2"].pixels[i * 4 : i * 4 + 4].movedim(1, 0).flatten(1).double() for batch in (before, after))
        ones = torch.ones_like(x)
        fit = torch.linalg.lstsq(torch.stack([x, ones], 2), y[..., None]).solution[..., 0]
        assert ((fit[:, :1] * x + fit[:, 1:] - y).abs() < 1).all()  # rounding alone is left
        assert fit[:, 0].log().abs().max() < 0.4 and len(fit[:, 0].unique()) == 10
    many = make(list(range(100)), dates=1, side=2, names=("s1_asc",))
    gains = (drift(many, 0.1, MODS, 0).frames["s1_asc"].pixels - many.frames["s1_asc"].pixels)[:, :2, 0, 0]
    assert gains.std().item() == pytest.approx(0.1 * 10 / math.log(10), rel=0.15)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
def test_clouds_cover_the_stated_share_of_every_image_and_are_bright(fraction):
    dark = make([1], dates=6, names=("s2",))
    dark = replace(dark, frames={"s2": replace(dark.frames["s2"], pixels=torch.full_like(dark.frames["s2"].pixels, 300))})
    after = clouds(dark, fraction, MODS, 0).frames["s2"].pixels
    covered = (after > 1000).all(1)
    assert (covered.flatten(1).sum(1) - fraction * SIDE**2).abs().max() <= 1
    assert len({tuple(image.flatten().tolist()) for image in covered}) == (6 if fraction < 1 else 1)  # each image has its own sky
    assert fraction == 1 or (after < 300).any()  # shadows


def test_clouds_are_blobs_and_grow_with_their_share():
    batch = make([1], dates=6, names=("s2",), side=32)
    few, many = (clouds(batch, fraction, MODS, 0).frames["s2"].pixels.float().mean(1) > 3500 for fraction in (0.2, 0.5))
    assert (few & ~many).sum() == 0 < few.sum() < many.sum()
    beside = (few[:, :, 1:] == few[:, :, :-1]).float().mean()
    assert beside > 0.85  # scattered pixels would agree in 1 - 2 × 0.2 × 0.8 = 68 % of the pairs


def test_of_one_pixel_that_share_of_dates_is_covered():
    batch = make([1], dates=2000, names=("s2",), side=1)
    after = clouds(batch, 0.3, MODS, 0).frames["s2"].pixels
    assert (after != batch.frames["s2"].pixels).any(1).float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_integers_are_cut_to_their_range_and_not_wrapped():
    batch = make([1], names=("spot", "s2"))
    bright = replace(
        batch, frames=batch.frames | {"spot": replace(batch.frames["spot"], pixels=torch.full_like(batch.frames["spot"].pixels, 250))}
    )
    after = band_noise(bright, 1.0, MODS, 0).frames["spot"].pixels.int()
    assert (after == 255).any() and after.float().mean() > 200
    high = replace(batch, frames={"s2": replace(batch.frames["s2"], pixels=torch.full_like(batch.frames["s2"].pixels, 32_700))})
    after = band_noise(high, 1.0, MODS, 0).frames["s2"].pixels
    assert after.dtype == torch.int16 and after.max() == 32_767 and after.min() > 20_000
    wide = replace(bright, frames={"spot": replace(bright.frames["spot"], pixels=bright.frames["spot"].pixels.to(torch.uint16))})
    after = band_noise(wide, 1.0, MODS, 0).frames["spot"].pixels
    assert after.dtype == torch.uint16 and after.int().max() == 255  # the unit says 8-bit, whatever the type


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.float16, torch.float32, torch.float64], ids=str)
def test_whole_pixels_move_as_they_are(dtype):
    image = torch.arange(2 * 3 * 6 * 7).view(2, 3, 6, 7).to(dtype)
    moved = shifted(image, 2.0, -1.0)
    assert moved.dtype == dtype
    assert torch.equal(moved[..., 2:, :-1].double(), image.double().roll((2, -1), (-2, -1))[..., 2:, :-1])
    assert torch.equal(moved[..., 0, :-1].double(), image[..., 0, 1:].double())  # the border is repeated


def test_parts_of_pixels_are_interpolated():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 4, 8)
    torch.testing.assert_close(shifted(ramp, 0.0, 0.25)[..., 1:], ramp[..., 1:] - 0.25)
    torch.testing.assert_close(shifted(ramp, 0.0, -1.5)[..., :6], ramp[..., :6] + 1.5)


def test_misregistration_moves_one_sensor_by_metres_in_all_directions():
    batch = make(list(range(40)), names=("s1_asc", "s2"))
    after = misregistration(batch, 20.0, "s1_asc", MODS, 0)
    assert same(batch, after, ("s2",))
    found = set()
    for i in range(40):
        x, y = (b.frames["s1_asc"].select(torch.tensor([i])).pixels for b in (batch, after))
        steps = [(2, 0), (-2, 0), (0, 2), (0, -2)]
        fits = [step for step in steps if torch.equal(x.roll(step, (-2, -1))[..., 2:-2, 2:-2], y[..., 2:-2, 2:-2])]
        assert len(fits) == 1
        found.add(fits[0])
    assert len(found) == 4


def test_wrong_settings_are_named():
    batch = make([1], names=("s2",))
    with pytest.raises(ValueError, match="looks"):
        speckle(batch, 0.0, MODS, 0)
    with pytest.raises(ValueError, match="fraction"):
        clouds(batch, 1.2, MODS, 0)
    with pytest.raises(InputError, match="unknown modality 's3'"):
        misregistration(batch, 10.0, "s3", MODS, 0)
    with pytest.raises(InputError, match="unknown modality 's2'"):
        clouds(batch, 0.2, {"s1": MODS["s1_asc"]}, 0)
