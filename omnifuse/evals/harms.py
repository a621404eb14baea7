"""Harms to sensors and dates at stated severities, as views of a batch: what robustness is measured under."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from omnifuse.config import Config
from omnifuse.corruptions import band_noise, clouds, drift, misregistration, optical_bands, radar_bands, speckle
from omnifuse.errors import ConfigError
from omnifuse.evals.scoring import View
from omnifuse.evals.subsets import Subset, all_subsets
from omnifuse.frames import Batch
from omnifuse.modalities import Modality
from omnifuse.outages import fewer_dates, gap, missing_sensors

Protocol = Literal["EMM", "RMM", "NM", "dates"]
MONTH = 365.25 / 12  # days


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig(Config):
    """Severities of each harm; an empty list leaves it out.

    Attributes:
        rates: Probability that a sensor is missing at a place, at random (RMM).
        looks: Looks of the speckle that is added to radar: fewer are worse.
        clouds: Share of every optical image under clouds.
        drift: Spread of the wrong gain of every band, as a share; optical bands drift as much in offset, in their standard deviations.
        noise: White noise on every band, in its standard deviations.
        shifts: Metres by which one sensor is off the others.
        dates: Dates of a series that are kept.
        gaps: Months without any date.
        failures: Probabilities that a sensor fails, of the expected score over subsets.
    """

    rates: tuple[float, ...] = (0.25, 0.5, 0.75)
    looks: tuple[float, ...] = (10.0, 3.0, 1.0)
    clouds: tuple[float, ...] = (0.1, 0.3, 0.6)
    drift: tuple[float, ...] = (0.05, 0.1, 0.2)
    noise: tuple[float, ...] = (0.25, 0.5, 1.0)
    shifts: tuple[float, ...] = (5.0, 10.0, 20.0)
    dates: tuple[int, ...] = (8, 4, 2, 1)
    gaps: tuple[float, ...] = (1.0, 3.0, 6.0)
    failures: tuple[float, ...] = (0.05, 0.1, 0.2)

    def __post_init__(self) -> None:
        for name in ("rates", "looks", "clouds", "drift", "noise", "shifts", "dates", "gaps", "failures"):
            found, most = getattr(self, name), 1.0 if name in ("rates", "clouds", "failures") else math.inf
            if not all(0 < value <= most for value in found):
                raise ConfigError(f"robustness: `{name}` is {found}, expected above 0 and at most {most:g}. Try: the defaults.")
        if 1.0 in self.failures:
            raise ConfigError(f"robustness: `failures` is {self.failures}, expected below 1. Try: the defaults.")


FULL = RobustnessConfig()
QUICK = RobustnessConfig(rates=(0.5,), looks=(3.0,), clouds=(0.3,), drift=(0.1,), noise=(0.5,), shifts=(10.0,), dates=(4,), gaps=(3.0,))


@dataclass(frozen=True)
class Setting:
    """One harm at one severity.

    Attributes:
        protocol: Which part of the evaluation it belongs to.
        harm: What happens, in words.
        severity: As a number in `unit`; 0 for subsets.
        unit: Of the severity, in words.
        sensors: The sensors that are left (EMM), or the one that is harmed (misregistration); empty for all that the harm concerns.
    """

    protocol: Protocol
    harm: str
    severity: float = 0.0
    unit: str = ""
    sensors: Subset = ()


def view_of(setting: Setting) -> str:
    """Return a setting in a few words that tell it from all others: of a subset its sensors joined by `+`."""
    severity = [f"{setting.severity:g} {setting.unit}"] if setting.unit else []
    return " ".join(
        [*([] if setting.protocol == "EMM" else [setting.harm]), *(["+".join(setting.sensors)] * bool(setting.sensors)), *severity]
    )


def name_of(setting: Setting) -> str:
    """Return all that a setting is as a name, of which it can be made again."""
    return "|".join([setting.protocol, setting.harm, repr(setting.severity), setting.unit, "+".join(setting.sensors)])


def settings_of(modalities: Mapping[str, Modality], size: float, seed: int, config: RobustnessConfig) -> dict[Setting, View]:
    """Return every setting that concerns one of the sensors, with the view of a batch that it is.

    Args:
        modalities: Sensors that the model is given.
        size: Side of the places in metres.
        seed: Of what is drawn per place.
        config: Severities.
    """
    names, known = tuple(modalities), dict(modalities)
    views: dict[Setting, View] = {Setting("EMM", "sensors", sensors=s): partial(_only, sensors=s) for s in all_subsets(names)}
    if len(names) > 1:
        views |= {
            Setting("RMM", "sensors missing at random", r, "of sensors"): partial(missing_sensors, rate=r, seed=seed) for r in config.rates
        }

    def add(protocol: Protocol, harm: str, unit: str, severities: Sequence[float], view: Callable[..., Batch], argument: str) -> None:
        for value in severities:
            views[Setting(protocol, harm, value, unit)] = partial(view, modalities=known, seed=seed, **{argument: value})

    optical, radar = (any(bands(m) for m in known.values()) for bands in (optical_bands, radar_bands))
    if radar:
        add("NM", "speckle", "looks", config.looks, speckle, "looks")
    if optical:
        add("NM", "clouds", "of the image", config.clouds, clouds, "fraction")
    if radar or optical:
        add("NM", "radiometric drift", "of the gain", config.drift, drift, "strength")
    add("NM", "noise", "standard deviations", config.noise, band_noise, "level")
    for name in names:
        if not known[name].per_place and known[name].pixels(size) > 1:
            for metres in config.shifts:
                view = partial(misregistration, metres=metres, sensor=name, modalities=known, seed=seed)
                views[Setting("NM", "misregistration", metres, "m", (name,))] = view
    if any(m.series for m in known.values()):
        add("dates", "dates kept", "dates", config.dates, fewer_dates, "num_dates")
        for months in config.gaps:
            views[Setting("dates", "gap", months, "months")] = partial(gap, days=months * MONTH, modalities=known, seed=seed)
    return views


def _only(batch: Batch, sensors: Subset) -> Batch:
    return batch.only(sensors)
