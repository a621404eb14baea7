"""How each parcel lives through the year: green cover, dry matter, water and tillage, day by day."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from omnifuse.data.landscape.climate import DOY, Site, calendar
from omnifuse.data.landscape.covers import COVERS, MARGIN
from omnifuse.data.landscape.noise import logistic

Days = Float[np.ndarray, "p t"]

_CALENDAR = np.array([[c.winter, c.emergence, *c.rise, *c.fall, c.peak, c.harvest, *c.flower, *c.flood] for c in COVERS])
_NAMES = [cover.name for cover in COVERS]
_MEADOW, _ALFALFA, _VINE, _ORCHARD = (_NAMES.index(name) for name in ("meadow", "alfalfa", "grapevine", "orchard"))


@dataclass(frozen=True)
class State:
    """Cover fractions of each parcel (rows) on each landscape day (columns); what they leave free is bare ground.

    Attributes:
        green: Green cover of the crop.
        other: Green cover of anything else: volunteers, cover crops, grass between rows, last year's crop.
        dry: Ripe crop, straw, stubble, litter.
        flower: Share of the green cover in flower.
        flood: Share of the ground under water.
        rough: Roughness of the soil after tillage, 0 rolled to 1 ploughed.
    """

    green: Days
    other: Days
    dry: Days
    flower: Days
    flood: Days
    rough: Days


def cuts(rng: np.random.Generator, cover: Int[np.ndarray, " p"]) -> Float[np.ndarray, "p 5"]:
    """Return the days of mowing: none to two for meadows, one in autumn and four in summer for alfalfa."""
    num = len(cover)
    first = rng.uniform(122, 172, num)
    again = first + rng.uniform(42, 75, num)
    times = rng.choice(3, num, p=(0.3, 0.4, 0.3))
    never = np.full(num, np.inf)
    meadow = np.stack([np.where(times > 0, first, never), np.where(times > 1, again, never), never, never, never], 1)
    start = rng.uniform(116, 136, num)
    alfalfa = np.stack([rng.uniform(-115, -75, num), *(start + 38 * i + rng.uniform(-4, 4, num) for i in range(4))], 1)
    return np.where((cover == _MEADOW)[:, None], meadow, np.where((cover == _ALFALFA)[:, None], alfalfa, np.inf))


def since(day: Days, event: Float[np.ndarray, "p 1"], memory: float) -> Days:
    """Return exp(-(day - event) / memory) after the event and 0 before it; an infinite event never comes."""
    elapsed = day - event
    return np.where(elapsed >= 0, np.exp(-np.maximum(elapsed, 0) / memory), 0.0)


def grow(rng: np.random.Generator, cover: Int[np.ndarray, " p"], site: Site, difficulty: float) -> State:
    """Simulate the harvest year. Parcels of one crop differ by ± 4.5 days × difficulty, ± 7 % of cover, ± 4 days of harvest."""
    num = len(cover)

    def uniform(low: float, high: float) -> Float[np.ndarray, "p 1"]:
        return rng.uniform(low, high, (num, 1))

    def normal(scale: float) -> Float[np.ndarray, "p 1"]:
        return scale * rng.standard_normal((num, 1))

    winter, emergence, rise, pace, fall, slack, peak, harvest, bloom, blooming, share, wet, drained = _CALENDAR[cover].T[:, :, None]
    # Every day counts from the parcel's own calendar.
    t = calendar(site)[None] - normal(4.5 * difficulty)
    early = DOY[None] - normal(3.0 * difficulty)  # Sowing follows the farm, not the warmth.
    t = np.where(DOY < 1, early, t)
    annual = np.isfinite(harvest)
    lush = 1 + normal(0.07)
    harvest = harvest + normal(4)

    up = logistic((early - emergence - 14) / 7)
    grown = winter * lush * up + np.maximum(peak * lush - winter * lush, 0) * logistic((t - rise) / pace)
    grown = np.minimum(grown, 0.97)
    green = grown * logistic((fall - t) / slack)
    standing = t < harvest
    green = np.where(standing, green, 0)
    ripe = np.where(standing & annual, 0.8 * (grown - green), 0)
    ripe = ripe + np.where(annual, 0, 0.35 * (grown - green))  # Litter and bare wood of what stays.

    # Mowing and summer drought.
    dry = np.zeros_like(green)
    mown = np.ones_like(green)
    for day in cuts(rng, cover).T[:, :, None]:
        stroke = since(t, day, 15)
        mown = mown * (1 - 0.68 * stroke)
        dry = dry + 0.22 * since(t, day, 6)
    thirst = np.clip((site.local_temperature - 9.5) / 9 + normal(0.18), 0, 0.75)
    drought = thirst * logistic((t - 192) / 9) * logistic((262 - t) / 9)
    grassy = np.isin(cover, (_MEADOW, MARGIN))[:, None]
    green = green * mown * np.where(grassy, 1 - 0.8 * drought, 1)
    dry = dry + ripe + np.where(grassy, 0.6 * drought * grown, 0)

    # After harvest: stubble and volunteers until the plough.
    plough = harvest + uniform(8, 95)
    stubble = 0.55 * since(t, harvest, 45) * (t < plough)
    volunteers = uniform(-0.25, 0.35).clip(0) * logistic((t - harvest - 24) / 7) * (t < plough)
    # Before sowing: what the last crop left, and a cover crop over winter where spring crops follow.
    spring = annual & (winter == 0)
    sown = np.where(spring, np.minimum(rise - 30, 110) + normal(6), emergence - 4 + normal(3))
    tilled = np.where(spring, np.maximum(uniform(-75, 90), -110), sown - uniform(3, 28))
    late = uniform(0, 1) < np.where(spring, 0.35, 0.20)
    gathered = np.where(late, uniform(-112, -78), -150)
    before = early < tilled
    old = np.where(late, 0.8 * logistic((gathered - 14 - early) / 9), 0) * (early < gathered)
    weeds = uniform(-0.3, 0.3).clip(0) * logistic((early + 105) / 9) * (early >= gathered) * before
    catch = np.where(spring & (uniform(0, 1) < 0.35), uniform(0.3, 0.7), 0)
    catch = catch * logistic((early + 62) / 9) * logistic((tilled - early) / 3) * (early < sown)
    aftermath = np.where(early < gathered, 0.55 - 0.6 * old, 0.5 * since(early, gathered, 60)) * before
    other = np.where(annual, volunteers + old * before + weeds + catch, 0)
    dry = dry + np.where(annual, stubble + np.maximum(aftermath, 0), 0)

    # Grass between the rows of vines and trees follows the meadow's year.
    between = np.where(
        (cover == _VINE)[:, None], uniform(-0.25, 0.55).clip(0), np.where((cover == _ORCHARD)[:, None], uniform(0.05, 0.6), 0)
    )
    season = 0.55 + 0.35 * logistic((t - 78) / 16)
    other = other + between * season * (1 - 0.8 * drought) * (1 - green)
    dry = dry + between * 0.5 * drought * (1 - green)

    rough = np.maximum(since(early, tilled, 45), since(t, plough, 45)) * annual * (1 - 0.6 * ((early > sown) & (t < harvest)))
    flood = logistic((t - wet) / 2) * logistic((drained - t) / 3) * (drained > 0)
    flower = share * np.exp(-(((t - bloom) / blooming) ** 2)) * (1 + 0 * lush)

    total = green + other + dry
    squeeze = np.minimum(1, 0.98 / np.maximum(total, 1e-6))
    return State(green * squeeze, other * squeeze, dry * squeeze, flower, flood, rough)
