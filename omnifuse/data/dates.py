"""Dates of images where nobody states them: told from names and tags, or spread over a season."""

import re
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int

from omnifuse.modalities import Modality

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIME = r"(?:[T_ ]?(?P<hour>[01]\d|2[0-3])[:_-]?(?P<minute>[0-5]\d)[:_-]?(?P<second>[0-5]\d)(?!\d))?"
_DATE = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<sep>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=sep)(?P<day>0[1-9]|[12]\d|3[01])(?!\d)" + _TIME
)
_DAY_OF_YEAR = re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<number>[0-3]\d\d)(?=T\d|\.|$|_)")  # 2018181T105031, as in HLS
_TAGS = ("datetime", "acquisition_date", "acquisitiondatetime", "sensing_time", "product_start_time", "date_acquired", "time_start")


def time_in(text: str) -> datetime | None:
    """Return the first date in a text, with its time of day in UTC if there is one: `2021-06-30`, `20210630T105031`, `2021181T…`."""
    for dated in _DATE.finditer(text):
        parts = dated.groupdict()
        try:
            found = datetime(int(parts["year"]), int(parts["month"]), int(parts["day"]), tzinfo=UTC)
        except ValueError:  # 31 February
            continue
        if parts["hour"]:
            found += timedelta(hours=int(parts["hour"]), minutes=int(parts["minute"]), seconds=int(parts["second"]))
        return found
    if match := _DAY_OF_YEAR.search(text):
        number = int(match["number"])
        return datetime(int(match["year"]), 1, 1, tzinfo=UTC) + timedelta(days=number - 1) if 1 <= number <= 366 else None
    return None


def time_of_file(path: str, tags: Mapping[str, str]) -> tuple[datetime | None, str]:
    """Return when an image was taken and what says so: the first date in its name, that of its folder if it is called by one, a tag.

    TIFF's own DateTime is when a file was written, and is not asked.
    """
    place = PurePosixPath(path.replace("\\", "/"))
    if found := time_in(place.name):
        return found, "name"
    if len(place.parent.name) <= 20 and _DATE.match(place.parent.name) and (found := time_in(place.parent.name)):
        return found, "folder"
    own = {key.lower(): value for key, value in tags.items()}
    for key in _TAGS:
        if key in own and (found := time_in(own[key])):
            return found, f"tag {key}"
    return None, ""


def spread(count: int, season: tuple[int, int]) -> Int[np.ndarray, " t"]:
    """Return days since 1970-01-01 of so many images, evenly over a season: the middles of as many equal parts of it."""
    first, last = season
    return np.array([first + (last - first) * (2 * i + 1) // (2 * count) for i in range(count)], np.int32)


def undated_days(count: int, modality: Modality, season: tuple[int, int] | None) -> list[int]:
    """Return days for images without dates, evenly over the season that the model knows, and warn of it where it reads dates."""
    if season is None:
        return [0] * count
    days = spread(count, season).tolist()
    first, last = ((EPOCH + timedelta(days=day)).date() for day in (days[0], days[-1]))
    warnings.warn(
        f"input: {count} image(s) of {modality.name!r} without dates are taken as evenly spread over the model's season, {first} to "
        f"{last}. Try: days={{{modality.name!r}: [...]}} for a better map.",
        stacklevel=2,
    )
    return [int(day) for day in days]
