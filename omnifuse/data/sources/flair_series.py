"""Which Sentinel dates of the FLAIR data sets count: dates in file names and tables, snow and cloud masks, day numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, Num

from omnifuse.config import Config
from omnifuse.data.place import Series
from omnifuse.errors import InputError

SNOW, CLOUD = 0, 1  # bands of both data sets' masks; other products store cloud first
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class CloudFilter(Config):
    """The rule of the FLAIR#2 baseline: a date is kept where the share of covered pixels of the window is below `cover`.

    Attributes:
        probability: A pixel is covered by snow or by cloud from this probability on, in percent.
        cover: Share of covered pixels from which on a date is dropped.
        both: Whether a pixel under snow and cloud counts `twice`, as published, or `once`.
    """

    probability: int = 60
    cover: float = 0.5
    both: Literal["twice", "once"] = "twice"


@dataclass(frozen=True)
class HubCloudFilter(Config):
    """The rule of the FLAIR-HUB baseline: a date is kept where enough pixels have hardly any cloud and snow.

    Where no date passes, those with hardly any snow are kept. That may be none, too.

    Attributes:
        percent: A pixel is clear up to this probability of cloud and of snow, in percent.
        clear: Least share of clear pixels.
    """

    percent: int = 1
    clear: float = 0.95


PUBLISHED, HUB_PUBLISHED = CloudFilter(), HubCloudFilter()  # the rules as published


def kept_dates(mask: Num[np.ndarray, "t 2 h w"], rule: CloudFilter) -> Bool[np.ndarray, " t"]:
    """Return which dates of a FLAIR#2 window are kept; `mask` holds percent of snow and of cloud."""
    covered = mask >= rule.probability
    each = covered.sum(1) if rule.both == "twice" else covered.any(1)
    return each.mean((1, 2)) < rule.cover


def kept_hub_dates(mask: Num[np.ndarray, "t 2 h w"], rule: HubCloudFilter) -> Bool[np.ndarray, " t"]:
    """Return which dates of a FLAIR-HUB patch are kept; `mask` holds percent of snow and of cloud."""
    clear = mask <= rule.percent
    pixels = mask.shape[2] * mask.shape[3]
    kept = clear.all(1).sum((1, 2)) >= rule.clear * pixels
    return kept if kept.any() else clear[:, SNOW].sum((1, 2)) >= rule.clear * pixels


def with_data(series: Series) -> Series:
    """Drop frames that are zero everywhere: no data. Sort the others by date."""
    order = np.argsort(series.day, kind="stable")
    seen = order[series.pixels[order].any((1, 2, 3))]
    return Series(np.ascontiguousarray(series.pixels[seen]), series.day[seen])


def product_days(products: Sequence[str], where: str) -> Int[np.ndarray, " t"]:
    """Return the days (since 1970-01-01) of Sentinel-2 product names, from their characters 11 to 18 (YYYYMMDD)."""
    return np.array([day_number(name[11:19], f"{where}: line {line}, {name!r}") for line, name in enumerate(products, 1)], np.int32)


def day_number(text: str, where: str) -> int:
    """Return the days since 1970-01-01 of a date YYYYMMDD or YYYY-MM-DD.

    An unknown day or month, written 00, counts as the first.

    Raises:
        InputError: naming `where` and what was found.
    """
    parts = re.fullmatch(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ].*)?", text.strip())
    try:
        if parts is None:
            raise ValueError
        year, month, day = (int(part) for part in parts.groups())
        return date(year, month or 1, day or 1).toordinal() - _EPOCH
    except ValueError:
        raise InputError(f"{where}: {text!r} is not a date YYYYMMDD. Try: download this file again.") from None


def flair2_day(day: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
    """Return what the FLAIR#2 baseline feeds for dates (days since 1970-01-01): days from each date to 15 May, years ignored.

    Positive before 15 May, negative after; 29 February, on which the baseline fails, counts as 28 February.
    """
    dates = [date.fromordinal(int(one) + _EPOCH) for one in day]
    moved = [one.replace(year=2021, day=28 if (one.month, one.day) == (2, 29) else one.day) for one in dates]
    return np.array([(date(2021, 5, 15) - one).days for one in moved], np.int32)


def flair_hub_day(day: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
    """Return what the FLAIR-HUB baseline feeds for dates (days since 1970-01-01): days since 15 May of the same year.

    Positive after 15 May: the opposite sign of `flair2_day`.
    """
    dates = [date.fromordinal(int(one) + _EPOCH) for one in day]
    return np.array([(one - date(one.year, 5, 15)).days for one in dates], np.int32)
