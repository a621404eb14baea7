"""Every problem of a set of places, not only the first: what a reader says of its files, and what each place holds.

What a training run would raise as an error is a :class:`~omnifuse.data.problems.Problem` here, with the same words.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import DataLoader, Dataset

from omnifuse.classes import ClassTable
from omnifuse.data.facts import PlaceFacts
from omnifuse.data.loading import check_labels, read_place
from omnifuse.data.place import Place, PlaceSource, Series
from omnifuse.data.positions import position_problems
from omnifuse.data.problems import Problem
from omnifuse.errors import OmnifuseError
from omnifuse.modalities import Modality

Progress = Callable[[int, int], None]
_LATEST = 47_482  # days: the year 2100


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes:
        problems: Each once, in the order of the places.
        facts: What the places hold that could be read.
        places: Number of places; 0 where not even that could be read.
        affected: Ids of the places with a problem.
    """

    problems: tuple[Problem, ...]
    facts: tuple[PlaceFacts, ...]
    places: int
    affected: frozenset[str]


@runtime_checkable
class Checkable(Protocol):
    """A reader that knows more of its files than one sees in the places: what is missing, contradictory, or not as published."""

    def problems(self) -> Iterator[Problem]: ...


def check_source(source: PlaceSource, where: str, workers: int = 0, progress: Progress | None = None) -> Check:
    """Return every problem of a source: those that its reader knows of, those of the metadata, and those of each place.

    Args:
        source: The places; all of them are read.
        where: What stands for a file where a problem is in none.
        workers: Processes that read; 0 reads in this one.
        progress: Called with (places done, places in all).
    """
    found = list(source.problems()) if isinstance(source, Checkable) else []
    found += metadata_problems(source, where)
    return gathered(found, read_checked(_Places(source, where), len(source), workers, progress), len(source), where)


def gathered(found: Iterable[Problem], places: Iterable[tuple[list[Problem], PlaceFacts | None]], num_places: int, where: str) -> Check:
    """Put together what is known of the whole and of each place.

    What is said of a file and place already is not said again; nor is what several places say of one file, unless it is `where`,
    which stands for no file.
    """

    def key(problem: Problem) -> tuple[str, str, str]:
        return (problem.file, problem.what, problem.place if problem.file == where else "")

    said = {(*key(problem), problem.place): problem for problem in found}
    keys = {key(problem) for problem in said.values()}
    affected = {problem.place for problem in said.values() if problem.place}
    spoken_of = {(problem.place, problem.file) for problem in said.values() if problem.file != where}
    facts = []
    for problems, known in places:
        if known is not None:
            facts.append(known)
        for problem in problems:
            affected.add(problem.place)
            if (problem.place, problem.file) not in spoken_of and key(problem) not in keys:
                said[*key(problem), problem.place] = problem
                keys.add(key(problem))
    return Check(tuple(said.values()), tuple(facts), num_places, frozenset(affected))


def read_checked(
    dataset: Dataset[tuple[list[Problem], PlaceFacts | None]], num_places: int, workers: int, progress: Progress | None
) -> Iterator[tuple[list[Problem], PlaceFacts | None]]:
    """Yield problems and facts of every place, in order, found by `workers` processes."""
    loader = DataLoader(dataset, batch_size=None, sampler=range(num_places), collate_fn=_identity, num_workers=workers)
    for done, item in enumerate(loader, 1):
        yield item
        if progress is not None:
            progress(done, num_places)


def place_problems(place: Place, modalities: dict[str, Modality], classes: ClassTable | None, file: str) -> Iterator[Problem]:
    """Yield what is wrong with the values of a place, sensor by sensor: shapes, dates, values that are not finite, labels."""
    name = str(place.info.get("id", ""))
    for sensor, series in place.series.items():
        try:
            place.only((sensor,)).check(modalities, "")
        except OmnifuseError as error:
            yield problem_of(error, file, name)
            continue
        yield from (Problem(file, f"{sensor!r} {what}", remedy, name) for what, remedy in _date_problems(series))
    if place.target is not None and classes is not None:
        try:
            check_labels(place.target, classes)
        except OmnifuseError as error:
            yield problem_of(error, file, name)


def metadata_problems(source: PlaceSource, file: str) -> Iterator[Problem]:
    """Yield what is wrong with the metadata of the places: ids that stand twice, and positions that cannot be."""
    seen: dict[str, int] = {}
    for index, row in enumerate(source.info):
        name = str(row.get("id", ""))
        if not name:
            yield Problem(file, f"place {index} has no id", "give every place an id of its own")
        elif name in seen:
            yield Problem(file, f"places {seen[name]} and {index} are both called {name!r}", "give every place an id of its own", name)
        seen.setdefault(name, index)
    yield from position_problems(source.info, source.size, file)


def problem_of(error: Exception, file: str, place: str) -> Problem:
    """Return an error as a problem: the file that it names, if it does, what was found, and the remedy."""
    text = re.sub(r"^place .*? \(\d+\): ", "", str(error)).removeprefix(": ")
    what, _, remedy = text.partition(" Try: ")
    named = re.match(r"(\S*/[^:]*?): (?=\S)", what)
    if named is not None:
        file, what = named[1], what[named.end() :]
    return Problem(file, what.strip().rstrip("."), remedy.strip().rstrip(".") or "look at the file", place)


def _date_problems(series: Series) -> Iterator[tuple[str, str]]:
    same_day = np.flatnonzero(np.diff(series.day) == 0)
    twice = [int(frame) for frame in same_day if np.array_equal(series.pixels[frame], series.pixels[frame + 1])]
    if twice:
        date = np.datetime64(int(series.day[twice[0]]), "D")
        yield f"has {len(twice)} images twice, first {twice[0]} and {twice[0] + 1}, both of {date}", "keep one of each"
    if len(series.day) and int(series.day[-1]) > _LATEST:
        yield f"is dated {np.datetime64(int(series.day[-1]), 'D')}", "correct the date"


class _Places(Dataset[tuple[list[Problem], PlaceFacts | None]]):
    def __init__(self, source: PlaceSource, where: str) -> None:
        self.source = source
        self.where = where

    def __getitem__(self, index: int) -> tuple[list[Problem], PlaceFacts | None]:
        name = str(self.source.info[index].get("id", index))
        try:
            place = read_place(self.source, index)
        except (OSError, ValueError) as error:
            return [problem_of(error, self.where, name)], None
        problems = list(place_problems(place, self.source.modalities, self.source.classes, self.where))
        return problems, PlaceFacts.of(place, self.source.classes, pixels=False)


def _identity(item: Any) -> Any:
    return item
