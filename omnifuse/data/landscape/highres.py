"""The high-resolution image: one summer day in red, green and blue, with rows, crowns, tracks, swaths and houses."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from omnifuse.data.landscape.covers import COVERS
from omnifuse.data.landscape.noise import Fractal, centers
from omnifuse.data.landscape.optical import Colors, reflectance
from omnifuse.data.landscape.parcels import Parcels
from omnifuse.data.landscape.phenology import State

BLUR = 0.55  # Standard deviation of the point-spread function in metres.
BANDS = (2, 1, 0)  # Red, green, blue among the bands of Sentinel-2.

Line = Float[np.ndarray, " k"]


def contrast(period: float, gsd: float) -> float:
    """Return what optics and pixel leave of a wave of the given period in metres: 1 all, 0 nothing."""
    return float(np.exp(-2 * (np.pi * BLUR / period) ** 2) * abs(np.sinc(gsd / period)))


def wave(position: Line, period: float, gsd: float) -> Line:
    """Return rows of unit amplitude as the camera sees them."""
    return contrast(period, gsd) * np.cos(2 * np.pi * position / period)


def line(position: Line, period: float, width: float, gsd: float) -> Line:
    """Return 1 on lines of the given width and spacing, less where blurred, 0 elsewhere."""
    distance = np.abs((position / period) % 1 - 0.5) * period
    soft = 0.5 * gsd + BLUR
    return np.clip((width / 2 + soft - distance) / (2 * soft), 0, 1) * min(1.0, width / gsd)


def draw_date(rng: np.random.Generator) -> Int[np.ndarray, " 1"]:
    """Draw a cloudless summer day: day of year 140 to 250."""
    return np.array([121 + int(rng.integers(140, 251))])


def pattern(rng: np.random.Generator, texture: str, along: Line, across: Line, gsd: float) -> Line:
    """Return the relative deviation of plant cover within one parcel; `along` and `across` its rows in metres."""
    if texture == "tramlines":
        phase, spacing = rng.uniform(0, 36), rng.choice([24.0, 28.0, 36.0])
        pair = line(across + phase, spacing, 0.7, gsd) + line(across + phase + 1.9, spacing, 0.7, gsd)
        return -0.85 * pair
    if texture == "drilled":
        return 0.16 * wave(across, rng.uniform(4.5, 9.0), gsd) - 0.35 * line(across, 48.0, 0.6, gsd)
    if texture == "swaths":
        strength = rng.choice([0.0, 0.10, 0.35])
        return strength * wave(across + 0.8 * np.sin(along / 40), rng.uniform(2.8, 8.0), gsd)
    if texture == "rows":
        period = 1.5 + 1.5 * np.sqrt(rng.random())  # old vineyards are narrow, and vanish
        gaps = line(along + rng.uniform(0, 90), rng.uniform(60, 120), 4.0, gsd)
        return 0.95 * wave(across, period, gsd) - 0.8 * gaps
    if texture == "grid":
        wide, close = rng.uniform(3.5, 6.5), rng.uniform(2.5, 5.0)
        rows, trees = wave(across, wide, gsd), wave(along, close, gsd)
        return 0.9 * rows + 0.7 * trees + 0.9 * rows * trees
    return np.zeros_like(along)


def houses(rng: np.random.Generator, along: Line, across: Line, gsd: float) -> tuple[Line, Float[np.ndarray, "k 3"]]:
    """Return, for a settlement, the share of each pixel under a roof or street, and its color."""
    lot, depth = rng.uniform(16, 26), rng.uniform(22, 34)
    column, row = np.floor(along / lot).astype(int), np.floor(across / depth).astype(int)
    column, row = column - column.min(initial=0), row - row.min(initial=0)
    shape = (row.max(initial=0) + 1, column.max(initial=0) + 1)
    centers_x, centers_y = rng.uniform(0.42, 0.58, shape)[row, column], rng.uniform(0.40, 0.55, shape)[row, column]
    half_x, half_y = rng.uniform(3.5, 7.5, shape)[row, column], rng.uniform(3.5, 6.5, shape)[row, column]
    built = rng.random(shape)[row, column] < 0.85
    palette = np.array([(0.26, 0.13, 0.09), (0.30, 0.17, 0.11), (0.11, 0.11, 0.12), (0.36, 0.34, 0.32), (0.20, 0.12, 0.09)])
    roof = palette[rng.integers(len(palette), size=shape)] * rng.uniform(0.85, 1.15, (*shape, 1))
    dx = (along / lot) % 1 * lot - centers_x * lot
    dy = (across / depth) % 1 * depth - centers_y * depth
    side = np.where(dy > 0, 1.15, 0.85)[:, None]  # One slope of the roof faces the sun.
    inside = np.clip((half_x - np.abs(dx)) / gsd + 0.5, 0, 1) * np.clip((half_y - np.abs(dy)) / gsd + 0.5, 0, 1) * built
    street = line(across, 2 * depth, 6.0, gsd)
    color = np.where((street > inside)[:, None], np.array([0.15, 0.145, 0.14]), roof[row, column] * side)
    return np.maximum(inside, street), color


def render(
    rng: np.random.Generator,
    parcels: Parcels,
    state: State,
    colors: Colors,
    moisture: Float[np.ndarray, " d"],
    days: Int[np.ndarray, " 1"],
) -> UInt8[np.ndarray, "1 3 _hh _hw"]:
    """Return red, green and blue as 8-bit values."""
    gsd = 10 / parcels.hr
    side = len(parcels.component)
    grid = centers(side, gsd)
    total, gain = (x[0, list(BANDS)] for x in reflectance(parcels, state, colors, moisture, days))
    vigor = Fractal.draw(rng, 1, 0, side * gsd, (240, 80, 27, 9), 0.45).at(grid, grid)[0].ravel() * np.float32(0.13)
    crowns = Fractal.draw(rng, 1, 0, side * gsd, (11, 5.5), 0.5).at(grid, grid)[0].ravel()
    component = parcels.component.ravel()
    order = np.argsort(component, kind="stable")
    bounds = np.searchsorted(component[order], np.arange(len(parcels.cover) + 1))
    light = np.ones(side * side, dtype=np.float32)
    cover = vigor + 0.06 * rng.standard_normal(side * side, dtype=np.float32)
    east, south = parcels.east.ravel(), parcels.south.ravel()
    roofs: list[tuple[np.ndarray, Line, Float[np.ndarray, "k 3"]]] = []
    for number, kind in enumerate(parcels.cover):
        pixels = order[bounds[number] : bounds[number + 1]]
        texture = COVERS[kind].texture
        if texture == "smooth" or not len(pixels):
            continue
        if texture == "crowns":
            light[pixels] = 1 + 0.30 * crowns[pixels]
            continue
        cos, sin = np.cos(parcels.angle[number]), np.sin(parcels.angle[number])
        along = east[pixels] * cos + south[pixels] * sin
        across = south[pixels] * cos - east[pixels] * sin
        if texture == "houses":
            light[pixels] = 1 + 0.18 * crowns[pixels]
            roofs.append((pixels, *houses(rng, along, across, gsd)))
        else:
            plants = np.rint(4096 * pattern(rng, texture, along, across, gsd)).astype(np.float32) / 4096
            cover[pixels] += plants
            if texture in ("rows", "grid"):  # Crowns shade themselves and the ground beside them.
                light[pixels] = 1 - 0.8 * state.green[number, days[0]] * np.clip(plants, -0.6, 1)
    image = (total[:, component] + np.maximum(cover, -1) * gain[:, component]) * np.clip(light, 0.4, 1.8)
    for pixels, share, color in roofs:
        image[:, pixels] += share * (color.T - image[:, pixels])
    image = image.reshape(3, side, side)
    image = soften(soften(image, gsd, 1), gsd, 2)
    image = image * (1 + 0.06 * rng.standard_normal((3, 1, 1))) + 0.008 * rng.uniform(0.3, 1.2) * np.array([0.6, 0.8, 1.0])[:, None, None]
    image = 255 * np.sqrt(np.clip(image - 0.012, 0, 0.27) / 0.27) + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(1.5)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)[None]


def soften(image: Float[np.ndarray, "3 _hh _hw"], gsd: float, axis: int) -> Float[np.ndarray, "3 _hh _hw"]:
    """Blur along one axis with three taps of the variance of the point-spread function, where pixels are fine enough."""
    weight = min(0.5 * (BLUR / gsd) ** 2, 0.25)
    padded = np.pad(image, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode="edge")
    low, high = (np.moveaxis(padded, axis, 0)[part] for part in (slice(None, -2), slice(2, None)))
    return (1 - 2 * weight) * image + weight * (np.moveaxis(low, 0, axis) + np.moveaxis(high, 0, axis))
