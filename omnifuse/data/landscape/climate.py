"""Where a place is: region, climate cell, fold, terrain, weather; and how warmth moves the crop calendar."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from omnifuse.data.landscape.config import LandscapeConfig
from omnifuse.data.landscape.noise import Fractal, centers
from omnifuse.data.landscape.regions import REGIONS, Region
from omnifuse.randomness import numpy_generator

DAY0 = 17775  # 2018-09-01 in days since 1970-01-01.
NUM_DAYS = 450
DOY = np.arange(NUM_DAYS) - 121.0  # Day of the harvest year: 1 is 2019-01-01.
CELLS = 5  # Climate cells along a region's side; cell (row, column) is in fold (row + 2 column) mod 5 + 1.
CELL_METERS = 9000.0
LAPSE = 0.0065  # °C per metre.
PHOTOPERIOD = 0.55  # Share of a thermal shift that daylength lets through.
MONTHS = np.array([14, 44, 75, 105, 136, 167, 195, 226, 256, 287, 317, 348])  # 15 September 2018, 15 October, ...


@dataclass(frozen=True)
class Site:
    """What is known of a place before anything is drawn on it.

    Attributes:
        index: Of the place.
        region: Its region.
        cell: Number of the climate cell within the region, row by row from the south-west.
        fold: 1 to 5; all places of a cell share it.
        longitude: Of the center in degrees.
        latitude: Of the center in degrees.
        temperature: Annual mean of the cell in °C.
        amplitude: Half amplitude of the year in °C.
        elevation: Mean elevation of the cell in metres.
        rain: Millimetres per year.
        rise: Mean elevation of the place above that of its cell in metres.
    """

    index: int
    region: Region
    cell: int
    fold: int
    longitude: float
    latitude: float
    temperature: float
    amplitude: float
    elevation: float
    rain: float
    rise: float

    @property
    def local_temperature(self) -> float:
        """Annual mean of the place itself in °C: what its crops feel."""
        return self.temperature - LAPSE * self.rise


def locate(config: LandscapeConfig, index: int) -> Site:
    """Return the site of a place. Regions and folds take turns, so that small sets have all of them."""
    number = config.region_indices[index % len(config.regions)]
    region = REGIONS[number]
    fold = index // len(config.regions) % 5
    rng = numpy_generator(config.seed, "landscape/site", index)
    column = int(rng.integers(CELLS))
    row = (fold - 2 * column) % 5
    cell = row * CELLS + column
    east, north = (np.array([column, row]) + rng.uniform(0.05, 0.95, 2)) * CELL_METERS
    rise = 0.6 * region.relief * rng.standard_normal()
    latitude = region.corner[1] + north / 111_320
    longitude = region.corner[0] + east / (111_320 * np.cos(np.radians(region.corner[1])))
    rng = numpy_generator(config.seed, "landscape/cell", number, cell)
    lift = region.relief * float(np.clip(rng.standard_normal(), -2, 2))
    lift = max(lift, 5 - region.elevation)
    return Site(
        index=index,
        region=region,
        cell=cell,
        fold=fold + 1,
        longitude=round(float(longitude), 6),
        latitude=round(float(latitude), 6),
        temperature=round(float(region.temperature - LAPSE * lift + 0.5 * rng.standard_normal()), 3),
        amplitude=round(float(region.amplitude + 0.3 * rng.standard_normal()), 3),
        elevation=round(float(region.elevation + lift), 1),
        rain=round(float(region.rain * 365 * 6.2 * np.exp(0.1 * rng.standard_normal())), 1),
        rise=round(float(max(rise, 2 - region.elevation - lift)), 1),
    )


def temperature(mean: float, amplitude: float, doy: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return the mean air temperature in °C; the year is coldest on 20 January."""
    return mean - amplitude * np.cos(2 * np.pi * (doy - 20) / 365)


def calendar(site: Site) -> Float[np.ndarray, " t"]:
    """Return, for each landscape day, the day of year at which the reference climate (12 °C, amplitude 8) is as far.

    Progress is warmth above 0 °C summed from 1 January; daylength damps it, and it no longer counts in late autumn.
    """
    year = np.arange(1.0, 366.0)
    here = np.cumsum(np.maximum(temperature(site.local_temperature, site.amplitude, year), 0))
    there = np.cumsum(np.maximum(temperature(12, 8, year), 0))
    ahead = np.clip(np.interp(here, there, year) - year, -45, 45) * PHOTOPERIOD
    fade = np.clip((DOY - 1) / 30, 0, 1) * np.clip((330 - DOY) / 60, 0, 1)
    return DOY + fade * np.interp(DOY, year, ahead)


def moisture(rng: np.random.Generator, site: Site) -> Float[np.ndarray, " t"]:
    """Return topsoil moisture per landscape day, 0 dry to 1 soaked: rain that drains and, in summer, evaporates fast."""
    summer = 0.5 - 0.5 * np.cos(2 * np.pi * (DOY - 20) / 365)
    rain = (rng.random(NUM_DAYS) < site.region.rain * (1.15 - 0.3 * summer)) * rng.uniform(0.1, 0.6, NUM_DAYS)
    keep = 0.93 - 0.13 * summer
    result, level = np.zeros(NUM_DAYS), 0.3
    for day in range(NUM_DAYS):
        level = min(level * keep[day] + rain[day], 1.0)
        result[day] = level
    return result


def elevation(rng: np.random.Generator, site: Site, size: int) -> Float[np.ndarray, "1 1 h w"]:
    """Return the elevation in metres of pixels of 10 m."""
    grid = centers(size, 10)
    hills = Fractal.draw(rng, 1, 0, 10 * size, (1600, 800, 400, 160), 1.2).at(grid, grid)
    hills = hills - np.rint(hills.mean() * 1024) / 1024
    level = site.elevation + site.rise + 0.15 * site.region.relief * hills
    return np.maximum(level, 0)[None].astype(np.float32)


def monthly(site: Site) -> Float[np.ndarray, "12 4 1 1"]:
    """Return temperature (°C), half amplitude (°C), elevation (m) and rain (mm per year) of the climate cell by month."""
    warm = temperature(site.temperature, site.amplitude, DOY[MONTHS])
    rest = np.tile([site.amplitude, site.elevation, site.rain], (12, 1))
    return np.round(np.column_stack([warm, rest]), 3).astype(np.float32)[:, :, None, None]
