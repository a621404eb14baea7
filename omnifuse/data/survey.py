"""What a set of places holds: statistics of the bands, dates, missing sensors and class frequencies, from the facts of each place."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnifuse.classes import ClassTable
from omnifuse.data.facts import PlaceFacts
from omnifuse.data.place import is_date
from omnifuse.data.statistics import Moments, Statistics
from omnifuse.modalities import Modality


@dataclass(frozen=True)
class SensorSurvey:
    """One sensor over all places.

    Attributes:
        places: Places where it is there.
        missing: Places where it is not.
        frames: Images in all.
        fewest: Images of the place with the fewest, among those that have any.
        median: Median images per place, among those that have any.
        most: Images of the place with the most.
        first: First date (ISO); empty where none is published.
        last: Last date.
        per_year: Images by year.
        repeated: Places where two images bear one date: two passes of a day, or an image stored twice.
        mean: Per band, in the sensor's unit; empty where the pixels were not looked at.
        std: Per band; divides by the number of pixels.
    """

    places: int
    missing: int
    frames: int
    fewest: int
    median: float
    most: int
    first: str
    last: str
    per_year: dict[str, int]
    repeated: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class ClassSurvey:
    """One class over all labelled places: `amount` is pixels of label maps, or the sum of scene labels; `share` is of what is scored."""

    name: str
    amount: float
    share: float
    places: int


@dataclass(frozen=True)
class Survey:
    """What the places hold.

    Attributes:
        places: Number of places.
        labelled: Places with labels.
        sensors: By modality name.
        classes: In the order of the class table; empty without labels.
        ignored: Share of the labels that is neither learned nor scored.
        present: Number of places by the sensors that are there, as `s2+s1_asc`; the most frequent first.
    """

    places: int
    labelled: int
    sensors: dict[str, SensorSurvey]
    classes: tuple[ClassSurvey, ...]
    ignored: float
    present: dict[str, int]

    @property
    def statistics(self) -> Statistics:
        """(mean, std) of the sensors whose pixels were looked at, as `with_statistics` takes them."""
        return {name: (sensor.mean, sensor.std) for name, sensor in self.sensors.items() if sensor.mean}


def survey(facts: Sequence[PlaceFacts], modalities: dict[str, Modality], classes: ClassTable | None) -> Survey:
    """Put the facts of places together; the result does not depend on who gathered them."""
    sensors = {name: _sensor(facts, name) for name in modalities}
    present = Counter("+".join(name for name in modalities if name in one.day) or "none" for one in facts)
    labels = [one.classes for one in facts if one.classes is not None]
    found: list[ClassSurvey] = []
    ignored = 0.0
    if labels and classes is not None:
        table = np.stack(labels).astype(np.float64)
        scored = table[:, :-1].sum() or 1.0
        found = [
            ClassSurvey(name, float(column.sum()), float(column.sum() / scored), int((column > 0).sum()))
            for name, column in zip(classes.names, table.T, strict=False)
        ]
        ignored = float(table[:, -1].sum() / (table.sum() or 1.0))
    return Survey(len(facts), len(labels), sensors, tuple(found), ignored, dict(present.most_common()))


def _sensor(facts: Sequence[PlaceFacts], name: str) -> SensorSurvey:
    days = [one.day[name] for one in facts if name in one.day]
    moments = merged([one.moments[name] for one in facts if name in one.moments])
    mean = () if moments is None else tuple(moments.mean.tolist())
    std = () if moments is None else tuple(np.sqrt(moments.deviation / moments.count).tolist())
    if not days:
        return SensorSurvey(0, len(facts), 0, 0, 0.0, 0, "", "", {}, 0, mean, std)
    counts = np.array([len(day) for day in days])
    dates = np.array([day for day in np.concatenate(days).tolist() if is_date(day)], "datetime64[D]")
    years, images = np.unique(dates.astype("datetime64[Y]").astype(str), return_counts=True)
    return SensorSurvey(
        places=len(days),
        missing=len(facts) - len(days),
        frames=int(counts.sum()),
        fewest=int(counts.min()),
        median=float(np.median(counts)),
        most=int(counts.max()),
        first=str(dates.min()) if len(dates) else "",
        last=str(dates.max()) if len(dates) else "",
        per_year=dict(zip(years.tolist(), images.tolist(), strict=True)),
        repeated=sum(len(np.unique(day)) < len(day) for day in days),
        mean=mean,
        std=std,
    )


def merged(moments: Sequence[Moments]) -> Moments | None:
    """Return the moments of all pixels together, merged in pairs so that the error grows with the logarithm; None of none."""
    left = list(moments)
    while len(left) > 1:
        left = [left[i].merge(left[i + 1]) if i + 1 < len(left) else left[i] for i in range(0, len(left), 2)]
    return left[0] if left else None
