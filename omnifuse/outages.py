"""Missing acquisitions: sensors missing at random, few dates, gaps in time, as pure functions of a `Batch`.

Draws are keyed as in `omnifuse.corruptions`: by seed, sensor and `Batch.place`, never by the batch. What is missing at a severity is
missing at every severer one of the same kind, too. Single images have no dates to lose.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int

from omnifuse.frames import Batch, Frames
from omnifuse.modalities import Modality, check_names
from omnifuse.randomness import numpy_generator


def missing_sensors(batch: Batch, rate: float, seed: int) -> Batch:
    """Take each sensor from each place with probability `rate`, independently; one of those present stays, each with the same chance."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate ({rate}) must be in [0, 1].")
    if not rate:
        return batch
    places = batch.place.tolist()
    draw = [[numpy_generator(seed, f"missing/{name}", place).uniform() for place in places] for name in batch.frames]
    drawn = torch.tensor(draw).where(batch.present, -1.0)
    kept = (drawn >= rate) | (drawn == drawn.amax(0))
    return replace(batch, frames={name: frames.without(~kept[i]) for i, (name, frames) in enumerate(batch.frames.items())})


def fewer_dates(batch: Batch, num_dates: int, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Keep `num_dates` dates of every series at every place, drawn at random, in order; a series that has no more keeps all."""
    if num_dates < 1:
        raise ValueError(f"num_dates ({num_dates}) must be at least 1.")

    def kept(name: str, place: int, day: Int[np.ndarray, " t"]) -> Bool[np.ndarray, " t"]:
        return numpy_generator(seed, f"dates/{name}", place).permutation(len(day)) < num_dates

    return _dates_kept(batch, modalities, kept)


def gap(batch: Batch, days: float, modalities: Mapping[str, Modality], seed: int) -> Batch:
    """Cut all dates within `days` days out of all series of a place at once; it begins at random, and lies within the dates if it can.

    A series all of whose dates fall into the gap keeps the one farthest from its middle, so that no sensor goes missing.
    """
    if days < 0:
        raise ValueError(f"days ({days}) must not be negative.")
    if not days:
        return batch
    known = [_by_place(frames) for name, frames in batch.frames.items() if modalities[name].series]
    start = {}
    for i, place in enumerate(batch.place.tolist()):
        dates = np.concatenate([np.zeros(0), *(series[i] for series in known)])
        if len(dates):
            room = max(float(dates.max() - dates.min()) - days, 0.0)
            start[place] = float(dates.min()) + numpy_generator(seed, "gap", place).uniform() * room

    def kept(name: str, place: int, day: Int[np.ndarray, " t"]) -> Bool[np.ndarray, " t"]:
        away = np.abs(day - (start[place] + days / 2))
        outside = away > days / 2
        return outside if outside.any() else np.arange(len(day)) == away.argmax()

    return _dates_kept(batch, modalities, kept)


def _dates_kept(batch: Batch, modalities: Mapping[str, Modality], kept: Callable[[str, int, np.ndarray], np.ndarray]) -> Batch:
    """Keep the frames of series that `kept(sensor, place, days)` marks."""
    check_names(list(batch.frames), list(modalities), "missing dates")
    places, result = batch.place.tolist(), dict(batch.frames)
    for name, frames in batch.frames.items():
        if modalities[name].series and len(frames.day):
            marks = [kept(name, place, day) for place, day in zip(places, _by_place(frames), strict=True) if len(day)]
            result[name] = frames.keep(torch.from_numpy(np.concatenate(marks)))
    return replace(batch, frames=result)


def _by_place(frames: Frames) -> list[Int[np.ndarray, " _t"]]:
    """Return the days of each place."""
    return [day.numpy() for day in torch.split(frames.day.cpu(), frames.count.tolist())]
