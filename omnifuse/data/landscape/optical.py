"""Sentinel-2: reflectance of mixed parcels under haze, clouds and their shadows."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from omnifuse.data.landscape.climate import DOY, NUM_DAYS, Site
from omnifuse.data.landscape.covers import COVERS, SPECTRA
from omnifuse.data.landscape.noise import Fractal, centers
from omnifuse.data.landscape.parcels import Parcels
from omnifuse.data.landscape.phenology import State

REVISIT = 5
MOST = 61  # Dates kept, as in PASTIS.
UNIT = 80_000  # Whole numbers per unit reflectance while mixing: see Parcels.mix.
VIGOR = 0.10  # Standard deviation of cover within a parcel, relative.

_CANOPY = np.array([SPECTRA[cover.canopy] for cover in COVERS])
_GROUND = np.array([SPECTRA[cover.ground] for cover in COVERS])
_ON_SOIL = np.array([cover.ground == "soil" for cover in COVERS])
_BLUE = np.array([1.0, 0.72, 0.5, 0.44, 0.38, 0.32, 0.28, 0.26, 0.08, 0.04])  # Haze by band.
_SHADE = np.array([0.50, 0.55, 0.58, 0.60, 0.62, 0.63, 0.64, 0.64, 0.70, 0.72])  # Light lost in a full shadow by band.


@dataclass(frozen=True)
class Colors:
    """Factors on the spectra of each parcel's canopy, dry matter and ground, by band."""

    canopy: Float[np.ndarray, "p 10"]
    dry: Float[np.ndarray, "p 10"]
    ground: Float[np.ndarray, "p 10"]


def draw_colors(rng: np.random.Generator, num: int, site: Site, difficulty: float) -> Colors:
    """Draw parcel colors: ± 7 % overall and ± 3.5 % by band at difficulty 1.5; soils differ more."""

    def factor(overall: float, band: float) -> Float[np.ndarray, "p 10"]:
        return np.exp(overall * rng.standard_normal((num, 1)) + band * rng.standard_normal((num, 10)))

    scale = difficulty / 1.5
    tint = np.exp(0.06 * rng.standard_normal(10) * np.linspace(1.5, 0.5, 10))  # The soil of the neighborhood.
    soil = site.region.soil * tint * factor(0.13 * scale, 0.03 * scale)
    return Colors(factor(0.07 * scale, 0.035 * scale), factor(0.10 * scale, 0.03 * scale), soil)


def reflectance(
    parcels: Parcels, state: State, colors: Colors, moisture: Float[np.ndarray, " d"], days: Int[np.ndarray, " t"]
) -> tuple[Float[np.ndarray, "t 10 p"], Float[np.ndarray, "t 10 p"]]:
    """Return reflectance of each parcel, and what full cover of its canopy would add to it (for vigor and rows)."""
    green, other, dry, flower, flood = (x[:, days, None] for x in (state.green, state.other, state.dry, state.flower, state.flood))
    canopy = ((1 - flower) * _CANOPY[parcels.cover][:, None] + flower * SPECTRA["flower"]) * colors.canopy[:, None]
    wet = 1 - 0.35 * moisture[days][:, None] * _ON_SOIL[parcels.cover][:, None, None]
    brightness = np.where(_ON_SOIL[parcels.cover][:, None], colors.ground, 1 + 0.4 * (colors.canopy - 1))
    ground = _GROUND[parcels.cover][:, None] * brightness[:, None] * wet
    ground = flood * SPECTRA["water"] * 1.3 + (1 - flood) * ground
    grass = SPECTRA["grass"] * colors.canopy[:, None]
    straw = SPECTRA["dry"] * colors.dry[:, None]
    total = green * canopy + other * grass + dry * straw + (1 - green - other - dry) * ground
    contrast = (green + other) * (np.where(green >= other, canopy, grass) - ground)
    return np.moveaxis(total, 0, -1), np.moveaxis(contrast, 0, -1)


def draw_dates(rng: np.random.Generator, site: Site, clouds: float) -> tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Draw landscape days of acquisition and the cloud fraction of the wide scene on each.

    Scenes under thick cover are mostly not delivered, and of the others the clearest `MOST` are kept.
    """
    days = np.arange(int(rng.integers(REVISIT)), NUM_DAYS, REVISIT)
    winter = np.cos(2 * np.pi * (DOY[days] - 10) / 365)
    mean = np.clip(clouds * (site.region.cloud + 0.10 * winter), 0, 0.93)
    spread = 1.3
    fraction = rng.beta(np.maximum(mean * spread, 1e-3), (1 - mean) * spread) * (mean > 0)
    kept = (fraction < 0.85) | (rng.random(len(days)) < 0.25)
    rank = np.where(kept, fraction + rng.random(len(days)), np.inf)
    order = np.sort(np.argsort(rank, kind="stable")[: min(MOST, int(kept.sum()))])
    return days[order], fraction[order]


def veil(
    rng: np.random.Generator, fraction: Float[np.ndarray, " t"], doy: Float[np.ndarray, " t"], size: int
) -> tuple[Float[np.ndarray, "t h w"], Float[np.ndarray, "t h w"]]:
    """Return opacity of clouds and of their shadows, which fall to the north-west, farther under a low sun."""
    num, grid = len(fraction), centers(size, 10)
    slope = 1.25 - 0.75 * np.cos(2 * np.pi * (doy - 172) / 365)  # Tangent of the sun's zenith angle at 45° N, 10:30.
    shift = slope * rng.uniform(250, 650, num)
    south, east = 0.85 * shift[:, None], 0.53 * shift[:, None]
    far = 10 * size + float(shift.max(initial=0))
    field = Fractal.draw(rng, num, 0, far, (3200, 1600, 800, 400, 200, 100, 50), 0.9)
    normal = NormalDist()
    level = np.array([normal.inv_cdf(1 - min(max(float(f), 1e-9), 1 - 1e-9)) for f in fraction], dtype=np.float32)[:, None, None]
    softness = rng.uniform(2, 9, (num, 1, 1)).astype(np.float32)
    veils = []
    for rows, columns in ((grid, grid), (grid + south, grid + east)):
        depth = np.maximum(field.at(np.broadcast_to(rows, (num, size)), np.broadcast_to(columns, (num, size))) - level, 0) * softness
        veils.append(1 - 1 / (1 + depth) ** 2)
    return veils[0], veils[1]


def render(
    rng: np.random.Generator,
    parcels: Parcels,
    state: State,
    colors: Colors,
    moisture: Float[np.ndarray, " d"],
    days: Int[np.ndarray, " t"],
    fraction: Float[np.ndarray, " t"],
    sky: np.random.Generator,
) -> Int[np.ndarray, "t 10 h w"]:
    """Return reflectance × 10,000 as int16."""
    size, num = parcels.size, len(days)
    grid = centers(size, 10)
    total, contrast = reflectance(parcels, state, colors, moisture, days)
    gain = 1 + 0.02 * sky.standard_normal((num, 10, 1))
    vigor = Fractal.draw(rng, 1, 0, 10 * size, (320, 160, 80, 40, 20), 0.5).at(grid, grid)
    vigor = np.clip(vigor * np.float32(VIGOR), -0.4, 0.4)
    ground = parcels.mix(np.rint(total * gain * UNIT)) + vigor * parcels.mix(np.rint(contrast * gain * UNIT))
    ground *= np.float32(10_000 / UNIT)

    haze = 90 * sky.gamma(1.6, 1.0, num)[:, None, None, None] * _BLUE[:, None, None]
    cloud, shadow = (x[:, None] for x in veil(sky, fraction, DOY[days], size))
    bright = 10_000 * SPECTRA["cloud"][:, None, None] * sky.uniform(0.75, 1.1, (num, 1, 1, 1))
    ground *= 1 - shadow * _SHADE[:, None, None].astype(np.float32) * (1 - cloud)
    ground *= (1 - haze / 6000).astype(np.float32)
    ground += haze.astype(np.float32)
    ground += cloud * (bright.astype(np.float32) * (np.float32(0.7) + np.float32(0.3) * cloud) - ground)
    ground += 40 * rng.standard_normal(ground.shape, dtype=np.float32)
    return np.clip(np.rint(ground), -1000, 20_000).astype(np.int16)
