"""Vectors of places, in units of some hundred: the same places always go through the model together, whoever does the unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional

from omnifuse.data.loading import all_sensors, read_place
from omnifuse.data.place import PlaceSource, is_date
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.inference.area_model import loaded, one_at_a_time, threads
from omnifuse.inference.plan import Unit, read_block, write_block
from omnifuse.inference.predictor import Predictor
from omnifuse.modalities import Modality

NO_DAY = np.iinfo(np.int64).min  # where no image of a place has a date


@dataclass(frozen=True)
class Rows:
    """What became of some places of a source.

    Attributes:
        vectors: Embedding of each; zero where no image of any sensor was there.
        first: First date, in days since 1970-01-01; `NO_DAY` without any.
        last: Last date.
        count: Images of each sensor at each place.
    """

    vectors: Float[np.ndarray, "n d"]
    first: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    count: Int[np.ndarray, "n m"]


@dataclass(frozen=True)
class EmbedPlaces:
    """Embeds the places of a unit and writes them as blocks: a `UnitJob`.

    Attributes:
        source: Where places come from, with the sensors to use alone; picklable.
        model: Folder of the model, loaded once per process.
        folder: Work folder.
        batch_size: Places that go through the model together.
        device: As `omnifuse.load` has it.
        threads: Of this process, for arithmetic.
        normalize: Whether vectors have length 1.
        season_start: As `Predictor.predict` has it; empty without.
    """

    source: PlaceSource
    model: str
    folder: Path
    batch_size: int = 8
    device: str = "cpu"
    threads: int = 1
    normalize: bool = False
    season_start: str = ""

    def __call__(self, unit: Unit) -> None:
        with one_at_a_time, threads(self.threads):
            rows = self.rows(range(unit.row, unit.row + unit.height))
        for what in ("vectors", "first", "last", "count"):
            write_block(self.folder, what, unit, getattr(rows, what))

    def rows(self, indices: Sequence[int]) -> Rows:
        """Return the vectors of some places, in order."""
        model, known = loaded(self.model, self.device), self.source.modalities
        parts: list[Rows] = []
        for start in range(0, len(indices), self.batch_size):
            places = [read_place(self.source, index) for index in indices[start : start + self.batch_size]]
            batch = Batch.cat([all_sensors(place.to_batch(), known) for place in places])
            parts.append(self._embedded(model, batch, list(known)))
        dim = max((part.vectors.shape[1] for part in parts), default=0)
        vectors = [part.vectors if part.vectors.shape[1] else np.zeros((len(part.first), dim), np.float32) for part in parts]
        first, last, count = (np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "last", "count"))
        return Rows(np.concatenate(vectors), first, last, count)

    def _embedded(self, model: Predictor, batch: Batch, names: list[str]) -> Rows:
        there = batch.present.any(0)
        vectors = np.zeros((batch.num_places, 0), np.float32)
        if there.any():
            found, _ = model.features(batch.select(there.nonzero()[:, 0]), season_start=self.season_start or None)
            found = functional.normalize(found) if self.normalize else found
            vectors = np.zeros((batch.num_places, found.shape[1]), np.float32)
            vectors[there.numpy()] = found.float().cpu().numpy()
        first, last = _dates(batch)
        return Rows(vectors, first, last, torch.stack([batch.frames[name].count for name in names], 1).numpy())


def read_rows(folder: Path, unit: Unit) -> Rows:
    """Return what `EmbedPlaces` wrote of a unit."""
    return Rows(*(read_block(folder, what, unit) for what in ("vectors", "first", "last", "count")))


def shared_sensors(given: dict[str, Modality], known: dict[str, Modality], wanted: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the sensors of a source that a model reads, in the source's order, or those of them that are wanted.

    Raises:
        InputError: where there is none, or one is stored otherwise than the model knows it.
    """
    names = tuple(name for name in given if name in known and (not wanted or name in wanted))
    lacking = [name for name in wanted if name not in names]
    if lacking or not names:
        raise InputError(
            f"{where}: has {', '.join(given)}; the model reads {', '.join(known)}; {', '.join(lacking) or 'none'} "
            f"{'is not in both' if lacking else 'of them in common'}. Try: {', '.join(n for n in given if n in known) or 'another model'}."
        )
    for name in names:
        one, other = given[name], known[name]
        for what in ("bands", "units", "gsd", "context", "per_place"):
            if getattr(one, what) != getattr(other, what):
                raise InputError(
                    f"{where}: `{what}` of {name!r} is {getattr(one, what)}, the model was trained with {getattr(other, what)}. "
                    "Try: convert the data, or leave this sensor out with --sensors."
                )
    return names


def _dates(batch: Batch) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the first and the last date of each place over all sensors."""
    first = np.full(batch.num_places, np.iinfo(np.int64).max)
    last = np.full(batch.num_places, NO_DAY)
    for frames in batch.frames.values():
        day, place = frames.day.numpy().astype(np.int64), torch.repeat_interleave(frames.count).numpy()
        dated = np.array([is_date(one) for one in day.tolist()], bool)
        np.minimum.at(first, place[dated], day[dated])
        np.maximum.at(last, place[dated], day[dated])
    return np.where(last == NO_DAY, NO_DAY, first), last
