"""What a model may be given: checked against what it was trained on, before it is run."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta

import torch
from torch import Tensor

from omnifuse.data.units import SCALED_TO_ONE
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.modalities import Modality, check_names
from omnifuse.models.model import EncodersConfig
from omnifuse.models.utae import UTAEConfig

_EPOCH = date(1970, 1, 1)
_YEAR = 365  # days
_SCALED = {"reflectance*10000": "multiply by 10000", "8-bit": "multiply by 255"}  # units of which values in 0..1 are none


def check_batch(batch: Batch, modalities: Mapping[str, Modality]) -> None:
    """Raise `InputError`, naming sensor, band and unit, for anything a model of these modalities would make a bad map of."""
    check_names(list(batch.frames), list(modalities), "input")
    if not batch.frames or not batch.present.any(0).all():
        empty = [] if not batch.frames else (~batch.present.any(0)).nonzero()[:, 0].tolist()
        where = f" at place {', '.join(map(str, empty[:5]))}" if batch.num_places > 1 and empty else ""
        raise InputError(f"input: no image of any sensor{where}. Try: give at least one of {', '.join(modalities)}.")
    for name, frames in batch.frames.items():
        modality, found = modalities[name], frames.pixels.shape
        if not len(frames.pixels):
            continue
        side = modality.pixels(batch.size)
        if found[1:] != (len(modality.bands), side, side):
            raise InputError(
                f"input: {name!r} has shape {tuple(found)}, expected (images, {len(modality.bands)} bands "
                f"{'/'.join(modality.bands)}, {side}, {side}) for a place of {batch.size:g} m. Try: give these bands in this order."
            )
        if frames.pixels.is_floating_point():
            if not frames.pixels.isfinite().all():
                image = int((~frames.pixels.isfinite()).flatten(1).any(1).nonzero()[0, 0])
                raise InputError(f"input: {name!r} has a value that is not finite, first in image {image}. Try: drop or fill it.")
            _check_units(frames.pixels, modality)


def _check_units(pixels: Tensor, modality: Modality) -> None:
    """Refuse what is certainly another unit: scaled reflectance or 8-bit values within 0..1, decibels that are power ratios."""
    for unit, remedy in _SCALED.items():
        bands = [i for i, found in enumerate(modality.units) if found == unit]
        if bands and 0 < float(pixels[:, bands].abs().max()) <= SCALED_TO_ONE[unit]:
            band, most = modality.bands[bands[0]], float(pixels[:, bands[0]].max())
            raise InputError(
                f"input: band {band!r} of {modality.name!r} reaches {most:.3g}, not plausible in its unit {unit!r} "
                f"(mean {modality.mean[bands[0]]:g}). Try: {remedy}, or give values as stored."
            )
    for i, unit in enumerate(modality.units):
        if unit == "dB" and modality.mean[i] + 3 * modality.std[i] < 0 and float(pixels[:, i].min()) > 0:
            raise InputError(
                f"input: band {modality.bands[i]!r} of {modality.name!r} is positive throughout, not plausible in its unit 'dB' "
                f"(mean {modality.mean[i]:g}). Try: 10 * log10 of the power."
            )


def seasons(sensors: EncodersConfig, season_start: date | str | None = None) -> dict[str, tuple[int, int]]:
    """Return the first and last day since 1970-01-01 of the season that each encoder has learned, for those that read dates.

    Args:
        sensors: The model's.
        season_start: As of `season_shifted`: days are those of the user, before the shift.
    """
    start = None if season_start is None else (_as_date(season_start) - _EPOCH).days
    found = {}
    for name, encoder in sensors.encoders.items():
        if isinstance(encoder, UTAEConfig):
            origin, (first, last) = encoder.origin if start is None else start, encoder.season
            found[name] = (origin + first, origin + last) if last - first >= _YEAR / 12 else (origin, origin + _YEAR)
    return found


def season_shifted(batch: Batch, origins: Mapping[str, date], season_start: date | str | None) -> Batch:
    """Shift dates so that `season_start` falls on the day that each encoder counts from; without one, refuse dates far from it.

    Dates are days since 1970-01-01 for the user and days since a model's origin for its date encoding, which has seen the
    seasons of its training alone: from a year before the origin to three years after it is what this lets through.
    """
    shifted = dict(batch.frames)
    for name, origin in origins.items():
        if name not in shifted or not len(shifted[name].day):
            continue
        day = shifted[name].day
        if season_start is not None:
            day = day + (origin - _as_date(season_start)).days
            shifted[name] = replace(shifted[name], day=day)
        _check_dates(name, int(day.min()), int(day.max()), origin, season_start)
    return replace(batch, frames=shifted)


def check_days(days: Mapping[str, Iterable[int]], origins: Mapping[str, date], season_start: date | str | None) -> None:
    """Refuse dates that `season_shifted` would, before anything is read; days since 1970-01-01 by sensor."""
    for name, origin in origins.items():
        shift = 0 if season_start is None else (origin - _as_date(season_start)).days
        if own := [day + shift for day in days.get(name, ())]:
            _check_dates(name, min(own), max(own), origin, season_start)


def _check_dates(name: str, first_day: int, last_day: int, origin: date, season_start: date | str | None) -> None:
    first, last = _named(first_day), _named(last_day)
    if first >= origin - timedelta(days=_YEAR) and last <= origin + timedelta(days=3 * _YEAR):
        return
    what = f"with season_start={str(season_start)!r} " if season_start is not None else ""
    back = 0 if season_start is None else (_as_date(season_start) - origin).days
    middle = _named((first_day + last_day) // 2 + back)  # of the user's own dates: the season began before it
    year = middle.year - ((middle.month, middle.day) < (origin.month, origin.day))
    raise InputError(
        f"input: dates of {name!r} {what}run from {first} to {last}, the model knows about {origin - timedelta(days=_YEAR)} to "
        f"{origin + timedelta(days=3 * _YEAR)}. Try: season_start= the day of your season that corresponds to its {origin}, "
        f"such as '{year}-{origin.month:02d}-{origin.day:02d}'."
    )


def _named(day: int) -> date:
    """Return the date of a day, or the last one that Python can name."""
    return _EPOCH + timedelta(days=min(max(day, (date.min - _EPOCH).days), (date.max - _EPOCH).days))


def _as_date(value: date | str) -> date:
    if isinstance(value, date):
        return date(value.year, value.month, value.day)  # a datetime is one, too, but has a time
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise InputError(f"season_start: {value!r} is not a date. Try: year-month-day, such as '2022-09-01'.") from None


def device_of(module: torch.nn.Module) -> torch.device:
    """Return the device of a module's parameters."""
    return next(module.parameters()).device
