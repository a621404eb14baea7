"""What a place holds, small enough to be kept for all places: dates, moments of the bands, pixels or shares of the classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num
from torch.utils.data import DataLoader, Dataset

from omnifuse.classes import ClassTable
from omnifuse.data.loading import read_place
from omnifuse.data.place import Place, PlaceSource
from omnifuse.data.statistics import Moments
from omnifuse.data.store import Store

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PlaceFacts:
    """What is known of one place without its pixels.

    Attributes:
        day: Dates by sensor, in days since 1970-01-01; only of sensors that are there.
        moments: Moments of the bands by sensor.
        classes: How much of each class there is, then of what is ignored: pixels of a label map, or the values of scene labels (and
            0). None without labels.
    """

    day: dict[str, Int[np.ndarray, " _t"]]
    moments: dict[str, Moments]
    classes: Num[np.ndarray, " k"] | None

    @staticmethod
    def of(place: Place, table: ClassTable | None, pixels: bool = True) -> "PlaceFacts":
        seen = {name: series for name, series in place.series.items() if len(series.pixels)}
        day = {name: series.day.astype(np.int32) for name, series in seen.items()}
        moments = {name: Moments.of(series.pixels) for name, series in seen.items()} if pixels else {}
        return PlaceFacts(day, moments, None if place.target is None or table is None else amounts(place.target, table))


def amounts(target: Num[np.ndarray, "..."], table: ClassTable) -> Num[np.ndarray, " k"]:
    """Return how much of each class there is, then of what is ignored."""
    if target.ndim == 1 and target.dtype.kind == "f":
        return np.append(target, 0).astype(np.float64)
    ignored = target == table.ignore
    return np.append(np.bincount(target[~ignored].ravel().astype(np.int64), minlength=len(table.names)), ignored.sum())


def read_facts(
    source: PlaceSource, indices: Sequence[int], workers: int = 0, progress: Progress | None = None, pixels: bool = True
) -> list[PlaceFacts]:
    """Return the facts of the given places: at once from what a store wrote down, else by reading each place with `workers`.

    Args:
        source: The places.
        indices: Which of them.
        workers: Processes that read; 0 reads in this one.
        progress: Called with (places done, places in all).
        pixels: Whether moments are wanted.
    """
    if isinstance(source, Store):
        return stored_facts(source, indices, pixels)
    loader = DataLoader(_Facts(source), batch_size=None, sampler=list(indices), collate_fn=_identity, num_workers=workers)
    found = []
    for facts in loader:
        found.append(facts)
        if progress is not None:
            progress(len(found), len(indices))
    return found


def stored_facts(store: Store, indices: Sequence[int], pixels: bool = True) -> list[PlaceFacts]:
    """Return the facts that a store holds beside its pixels."""
    days = {name: store.days(name) for name in store.modalities}
    moments = {name: store.moments(name) for name in store.modalities} if pixels else {}
    classes = store.class_counts()
    labelled = store.labelled()
    found = []
    for index in indices:
        day = {name: of_place[index] for name, of_place in days.items() if len(of_place[index])}
        known = {name: _moments(moments[name][index]) for name in day if name in moments}
        if classes is not None:
            amount: Num[np.ndarray, " k"] | None = classes[index] if labelled[index] else None
        else:
            target = store[index].target if labelled[index] else None
            amount = None if target is None or store.classes is None else amounts(target, store.classes)
        found.append(PlaceFacts(day, known, amount))
    return found


def _moments(rows: Float[np.ndarray, "c 3"]) -> Moments:
    return Moments(int(rows[0, 0]), rows[:, 1], rows[:, 2])


class _Facts(Dataset[PlaceFacts]):
    def __init__(self, source: PlaceSource) -> None:
        self.source = source

    def __getitem__(self, index: int) -> PlaceFacts:
        return PlaceFacts.of(read_place(self.source, index), self.source.classes)


def _identity(item: Any) -> Any:
    return item
