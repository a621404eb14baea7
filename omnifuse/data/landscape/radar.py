"""Sentinel-1: C-band backscatter of canopy over soil, mixed in power and speckled."""

import numpy as np
from jaxtyping import Float, Int

from omnifuse.data.landscape.climate import NUM_DAYS
from omnifuse.data.landscape.covers import COVERS, FLOODED, GROUND, RIPE
from omnifuse.data.landscape.noise import Fractal, centers
from omnifuse.data.landscape.parcels import Parcels
from omnifuse.data.landscape.phenology import State

REVISIT = 6
LOST = 0.07
UNIT = 2**16  # Whole numbers per unit power while mixing: see Parcels.mix.
TAPS = (0.2, 0.6, 0.2)  # Overlap of neighboring pixels: the ground-range product is oversampled.

_SCATTER = np.array([cover.scatter for cover in COVERS])
_ATTENUATION = np.array([cover.attenuation for cover in COVERS])
_STEMS = np.array([cover.stems for cover in COVERS])
_GROUND = np.array([GROUND[cover.ground] for cover in COVERS])
_ON_SOIL = np.array([cover.ground == "soil" for cover in COVERS])
_MEADOW = np.array(COVERS[0].scatter)


def power(decibel: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return linear power of a value in dB."""
    return 10 ** (decibel / 10)


def draw_dates(rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Draw the landscape days of acquisition on one ascending track."""
    days = np.arange(int(rng.integers(REVISIT)), NUM_DAYS, REVISIT)
    return days[rng.random(len(days)) >= LOST]


def backscatter(
    rng: np.random.Generator,
    parcels: Parcels,
    state: State,
    moisture: Float[np.ndarray, " d"],
    days: Int[np.ndarray, " t"],
    difficulty: float,
) -> Float[np.ndarray, "t 2 p"]:
    """Return the power of VV and VH of each parcel: a water cloud (Attema and Ulaby, 1978) of crop, weeds and straw over soil."""
    green, other, dry, flood, rough = (x[:, days] for x in (state.green, state.other, state.dry, state.flood, state.rough))
    effect = 0.8 * difficulty * rng.standard_normal((len(parcels.cover), 1, 1))
    effect = effect + 0.15 * difficulty * rng.standard_normal((len(parcels.cover), 1, 2))
    plants = 2 * _ATTENUATION[parcels.cover][:, None] * green + _STEMS[parcels.cover][:, None]
    depth = np.stack([plants, 1.6 * other, 0.6 * dry], -1)  # (P, T, 3)
    parts = np.stack([power(_SCATTER[parcels.cover]), *(np.tile(power(np.array(x)), (len(depth), 1)) for x in (_MEADOW, RIPE))], 1)
    total = np.maximum(depth.sum(-1), 1e-6)[..., None]
    canopy = (depth[..., None] * parts[:, None]).sum(2) / total
    seen = np.exp(-total)
    soil = _GROUND[parcels.cover][:, None] + _ON_SOIL[parcels.cover][:, None, None] * (
        moisture[days][:, None] * np.array([4.0, 2.6]) + rough[..., None] * np.array([2.4, 1.6])
    )
    ground = flood[..., None] * power(np.array(FLOODED)) + (1 - flood[..., None]) * power(soil)
    # Houses and stones answer with their own strength, whatever grows around them.
    result = canopy * (1 - seen) + ground * seen
    angle = -0.13 * (rng.uniform(31, 45) - 38)
    drift = 0.25 * rng.standard_normal((1, len(days), 2)) + 0.2 * rng.standard_normal((len(parcels.cover), len(days), 1))
    return np.moveaxis(result * power(effect + angle + drift), 0, -1)


def speckle(rng: np.random.Generator, shape: tuple[int, ...], looks: float) -> Float[np.ndarray, "..."]:
    """Return multiplicative speckle of mean 1 and variance 1 / looks over (..., h, w), correlated between neighbors."""
    left, middle, right = (np.float32(tap) for tap in TAPS)
    energy = sum(tap**2 for tap in TAPS) ** 2
    white = rng.standard_gamma(looks * energy, (*shape[:-2], shape[-2] + 2, shape[-1] + 2), dtype=np.float32)
    white = left * white[..., :-2, :] + middle * white[..., 1:-1, :] + right * white[..., 2:, :]
    white = left * white[..., :-2] + middle * white[..., 1:-1] + right * white[..., 2:]
    return white / np.float32(looks * energy)


def render(
    rng: np.random.Generator,
    parcels: Parcels,
    state: State,
    moisture: Float[np.ndarray, " d"],
    days: Int[np.ndarray, " t"],
    difficulty: float,
    looks: float,
) -> Float[np.ndarray, "t 3 h w"]:
    """Return VV, VH and VV - VH in dB as float16."""
    size = parcels.size
    grid = centers(size, 10)
    sigma = np.minimum(backscatter(rng, parcels, state, moisture, days, difficulty), 3.9)
    texture = Fractal.draw(rng, 1, 0, 10 * size, (160, 80, 40, 20), 0.4).at(grid, grid) * np.float32(0.12)
    image = parcels.mix(np.rint(sigma * UNIT)) * np.clip(1 + texture, 0.5, 1.6)
    image *= speckle(rng, image.shape, looks)
    decibel = 10 * np.log10(np.maximum(image, 6) / UNIT, dtype=np.float64)
    polarized = np.clip(decibel, -40, 25).astype(np.float16)
    ratio = polarized[:, :1].astype(np.float32) - polarized[:, 1:]
    return np.concatenate([polarized, ratio.astype(np.float16)], 1)
