"""Bad acquisitions: speckle, clouds, radiometric drift, band noise and misregistration as pure functions of a `Batch`.

Every draw is keyed by seed, kind, sensor and `Batch.place`: a place is harmed alike in any batch, in any order and on any number of
processes. Draws do not depend on the severity (speckle's do), so a severer setting is the same accident, only worse. Severity zero is the
batch itself.
What a band is, its `Modality` says by unit and wavelength. Values come back in the type they are stored in, rounded and cut to its range.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from omnifuse.frames import Batch, Frames
from omnifuse.modalities import Modality, check_names
from omnifuse.randomness import numpy_generator

_MICROWAVE = 1e6  # nanometres: no cloud is seen beyond
_WHITE = {"reflectance": 0.7, "reflectance*10000": 7000.0, "8-bit": 230.0, "8-bit, relative": 230.0}  # a thick cloud in a unit
_DECIBEL = 10 / math.log(10)  # of a gain's natural logarithm

Draw = Callable[[np.random.Generator, int], np.ndarray]  # of a place's generator and number of images: one row per image
Drawn = Callable[[str, Draw], Tensor]  # what is drawn under a name for all images of a sensor
Change = Callable[[Tensor, Modality, Drawn], Tensor]  # of values as floats


def radar_bands(modality: Modality) -> tuple[int, ...]:
    """Return the bands of calibrated backscatter in dB or linear power, without differences of others such as `VV-VH`."""
    differences = {i for i, _, _ in _differences(modality)}
    return tuple(i for i, unit in enumerate(modality.units) if unit in ("dB", "linear") and i not in differences)


def optical_bands(modality: Modality) -> tuple[int, ...]:
    """Return the bands that see sunlight: reflectance or 8-bit pictures of anything but microwaves."""
    bands = enumerate(zip(modality.units, modality.wavelengths, strict=True))
    return tuple(i for i, (unit, wave) in bands if unit.startswith(("reflectance", "8-bit")) and wave < _MICROWAVE)


def speckle(batch: Batch, looks: float, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Multiply the power of radar bands by gamma noise of mean 1 and variance 1 / `looks`, independent per pixel, band and date.

    Args:
        batch: Places.
        looks: Equivalent number of looks of the noise that is added; infinity adds none, 1 is that of a single-look image.
        modalities: By sensor.
        seed: Of the draws.
    """
    if not looks > 0:
        raise ValueError(f"looks ({looks}) must be positive.")

    def change(values: Tensor, modality: Modality, drawn: Drawn) -> Tensor:
        shape = values.shape[1:]
        factor = drawn("speckle", lambda rng, t: rng.standard_gamma(looks, (t, *shape)) / looks)
        return _multiplied(values, factor.clamp(min=1e-12), modality)

    return batch if math.isinf(looks) else _changed(batch, modalities, radar_bands, change, seed)


def drift(batch: Batch, strength: float, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Give each radiometric band of each sensor and place a wrong gain and offset, the same on all dates.

    The gain is exp(`strength` × n) with n standard normal, in dB an addition; optical bands also get an offset of `strength` × n × their
    standard deviation. Bands of other units, such as metres or degrees, do not drift.
    """

    def change(values: Tensor, modality: Modality, drawn: Drawn) -> Tensor:
        bands = len(modality.bands)
        draw = drawn("drift", lambda rng, t: np.broadcast_to(rng.standard_normal((2, bands)), (t, 2, bands)))
        gain, offset = (draw[:, i, :, None, None].to(values) * strength for i in range(2))
        optical = _band_mask(optical_bands(modality), modality).to(values)
        return _multiplied(values, gain.exp(), modality) + offset * _column(modality.std, values) * optical

    return batch if not strength else _changed(batch, modalities, lambda m: (*radar_bands(m), *optical_bands(m)), change, seed)


def band_noise(batch: Batch, level: float, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Add white Gaussian noise of `level` standard deviations of the band to every band of every sensor, independent per pixel and date."""

    def change(values: Tensor, modality: Modality, drawn: Drawn) -> Tensor:
        shape = values.shape[1:]
        noise = drawn("noise", lambda rng, t: rng.standard_normal((t, *shape), dtype=np.float32))
        return values + level * _column(modality.std, values) * noise.to(values)

    return batch if not level else _changed(batch, modalities, lambda m: tuple(range(len(m.bands))), change, seed)


def clouds(batch: Batch, fraction: float, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Cover `fraction` of every optical image by bright fractal clouds that let little light through and throw a shadow beside them.

    Each image has its own sky. Of an image of one pixel, that share of dates is covered.

    Args:
        batch: Places.
        fraction: Share of an image under clouds, 0 to 1; to within one pixel.
        modalities: By sensor.
        seed: Of the draws.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction ({fraction}) must be in [0, 1].")

    def change(values: Tensor, modality: Modality, drawn: Drawn) -> Tensor:
        h, w = values.shape[-2:]
        sky = drawn("clouds", lambda rng, t: np.stack([_sky(rng, h, w, fraction) for _ in range(t)])).to(values)
        opacity, shadow = sky[:, :1], sky[:, 1:]
        usual = zip(modality.units, modality.mean, modality.std, strict=True)
        white = _column([_WHITE.get(unit, mean + 3 * std) for unit, mean, std in usual], values)
        return values * (1 - 0.5 * shadow) * (1 - opacity) + opacity * white * (0.7 + 0.3 * opacity)

    return batch if not fraction else _changed(batch, modalities, optical_bands, change, seed)


def misregistration(batch: Batch, metres: float, sensor: str, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Shift all images of one sensor by `metres` along one of the four directions of its grid, drawn per place; borders are repeated.

    Whole pixels are moved as they are, so that nothing is blurred; what is between them is interpolated.
    """
    check_names([sensor], list(batch.frames), "misregistration")
    frames, step = batch.frames[sensor], round(metres / modalities[sensor].gsd, 9)
    if not step or not len(frames.pixels) or modalities[sensor].per_place:
        return batch
    moved = []
    for place, pixels in zip(batch.place.tolist(), torch.split(frames.pixels, frames.count.tolist()), strict=True):
        direction = int(numpy_generator(seed, f"misregistration/{sensor}", place).integers(4))
        down, right = ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step))[direction]
        moved.append(shifted(pixels, down, right))
    return replace(batch, frames=batch.frames | {sensor: replace(frames, pixels=torch.cat(moved))})


def shifted(pixels: Num[Tensor, "n c h w"], down: float, right: float) -> Num[Tensor, "n c h w"]:
    """Move images by pixels; exact for whole ones, bilinear else, borders repeated."""
    for axis, step in ((-2, down), (-1, right)):
        whole = math.floor(step)
        source = torch.arange(pixels.shape[axis], device=pixels.device) - whole
        near, far = (pixels.index_select(axis, (source - more).clamp(0, len(source) - 1)) for more in (0, 1))
        part = step - whole
        pixels = near if not part else _stored((1 - part) * _wide(near) + part * _wide(far), pixels.dtype)
    return pixels


def _changed(
    batch: Batch, modalities: Mapping[str, Modality], bands: Callable[[Modality], tuple[int, ...]], change: Change, seed: int
) -> Batch:
    """Replace the named bands of every sensor by what `change` makes of them; all others keep their bits."""
    check_names(list(batch.frames), list(modalities), "corruption")
    places, result = batch.place.tolist(), dict(batch.frames)
    for name, frames in batch.frames.items():
        modality, chosen = modalities[name], bands(modalities[name])
        if not chosen or not len(frames.pixels):
            continue

        def drawn(kind: str, draw: Draw, name: str = name, frames: Frames = frames) -> Tensor:
            images = zip(places, frames.count.tolist(), strict=True)
            parts = [draw(numpy_generator(seed, f"{kind}/{name}", place), t) for place, t in images if t]
            return torch.from_numpy(np.concatenate(parts).astype(np.float32)).to(frames.pixels.device)

        before = _wide(frames.pixels)
        values = change(before, modality, drawn)
        for i, unit in enumerate(modality.units):
            if unit.startswith("8-bit"):
                values[:, i] = values[:, i].clamp(0, 255)
        for i, a, b in _differences(modality):
            if i not in chosen and a in chosen and b in chosen:  # changes by what the two change by
                values[:, i] = before[:, i] + (values[:, a] - before[:, a]) - (values[:, b] - before[:, b])
                chosen = (*chosen, i)
        mask = _band_mask(chosen, modality).to(values.device)
        result[name] = replace(frames, pixels=torch.where(mask, _stored(values, frames.pixels.dtype), frames.pixels))
    return replace(batch, frames=result)


def _multiplied(values: Float[Tensor, "n c h w"], factor: Float[Tensor, "n c _h _w"], modality: Modality) -> Float[Tensor, "n c h w"]:
    """Multiply what bands measure; in dB that is an addition."""
    decibel = _band_mask([i for i, unit in enumerate(modality.units) if unit == "dB"], modality).to(values.device)
    factor = factor.to(values)
    return torch.where(decibel, values + _DECIBEL * factor.log(), values * factor)


def _sky(rng: np.random.Generator, h: int, w: int, fraction: float) -> Float[np.ndarray, "2 h w"]:
    """Return opacity of the clouds (0, or 0.5 at their edge to 1) and the shadow on what is not under them, for one image."""
    field = np.zeros((h, w))
    for octave in range(5):
        nodes = 2 * 2**octave + 1
        field += 0.5**octave * (_steps(h, nodes) @ rng.standard_normal((nodes, nodes)) @ _steps(w, nodes).T)
    rank = np.empty(h * w)
    rank[field.ravel().argsort()[::-1]] = (np.arange(h * w) + rng.uniform()) / (h * w)
    down, right = (int(rng.integers(-(side // 4), side // 4 + 1)) for side in (h, w))
    opacity = np.where(rank < fraction, np.clip(0.5 + 2 * (fraction - rank) / fraction, 0.5, 1), 0).reshape(h, w)
    shadow = np.roll(opacity > 0, (down, right), (0, 1)) * (1 - opacity)
    return np.stack([opacity, shadow])


def _steps(num: int, nodes: int) -> Float[np.ndarray, "num nodes"]:
    """Return the weights of lattice nodes at pixel centers, smooth between two nodes."""
    position = (np.arange(num) + 0.5) / num * (nodes - 1)
    base = position.astype(int)
    part = position - base
    weight = part * part * (3 - 2 * part)
    result = np.zeros((num, nodes))
    result[np.arange(num), base], result[np.arange(num), base + 1] = 1 - weight, weight
    return result


def _differences(modality: Modality) -> list[tuple[int, int, int]]:
    """Return the bands in dB that are the difference of two others, as (band, minuend, subtrahend)."""
    found = []
    for i, name in enumerate(modality.bands):
        first, _, second = name.partition("-")
        if modality.units[i] == "dB" and first in modality.bands and second in modality.bands:
            found.append((i, modality.bands.index(first), modality.bands.index(second)))
    return found


def _band_mask(bands: tuple[int, ...] | list[int], modality: Modality) -> Tensor:
    return torch.tensor([i in bands for i in range(len(modality.bands))])[:, None, None]


def _column(values: tuple[float, ...] | list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def _wide(pixels: Num[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return values in a type that holds all of them exactly."""
    return pixels.to(torch.float64 if pixels.dtype in (torch.float64, torch.int32, torch.int64) else torch.float32)


def _stored(values: Float[Tensor, "n c h w"], dtype: torch.dtype) -> Num[Tensor, "n c h w"]:
    if dtype.is_floating_point:
        return values.to(dtype)
    limits = torch.iinfo(dtype)
    return values.round().clamp(limits.min, limits.max).to(dtype)
