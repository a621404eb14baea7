"""Dropping sensors, dates and bands: pure functions of a `Batch` and a generator. What a model must not see leaves the batch."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from omnifuse.frames import Batch, Frames


def ramp(fraction: float, until: float) -> float:
    """Return by how much a rate counts when `fraction` of the training is done: it rises linearly and is whole from `until` on."""
    return 1.0 if fraction >= until else max(0.0, fraction) / until


def modality_dropout(batch: Batch, rate: float | Mapping[str, float], generator: torch.Generator) -> Batch:
    """Drop each sensor of each place with probability `rate`, independently; at least one that was present stays.

    Where all would go one of those present stays, each with the same chance where rates are equal.

    Args:
        batch: Places.
        rate: For all sensors, or by sensor; a sensor without a rate is never dropped.
        generator: What is drawn does not depend on the rate: a place that keeps a sensor keeps it where all rates are lower alike.
    """
    rates = torch.tensor([rate if isinstance(rate, int | float) else rate.get(name, 0.0) for name in batch.frames])
    if not bool(((rates >= 0) & (rates < 1)).all()):
        raise ValueError(f"rate ({rate}) must be in [0, 1).")
    present = batch.present
    draw = torch.rand(present.shape, generator=generator).where(present, torch.tensor(-1.0))
    kept = draw >= rates[:, None]
    nearest = draw / rates.clamp(min=1e-9)[:, None]
    kept = kept | (~kept.any(0) & present & (nearest == nearest.amax(0)))
    frames = {name: series.without(~kept[i]) for i, (name, series) in enumerate(batch.frames.items())}
    return replace(batch, frames=frames)


def date_dropout(batch: Batch, rate: float, generator: torch.Generator) -> Batch:
    """Drop each frame with probability `rate`, independently; at least one frame of each sensor and place stays."""
    if not 0 <= rate < 1:
        raise ValueError(f"rate ({rate}) must be in [0, 1).")

    def drop(frames: Frames) -> Frames:
        place = torch.repeat_interleave(frames.count)
        draw = torch.rand(len(place), generator=generator)
        most = torch.zeros(frames.num_places).scatter_reduce(0, place, draw, "amax")
        return frames.keep((draw >= rate) | (draw == most[place]))

    return replace(batch, frames={name: drop(frames) for name, frames in batch.frames.items()})


def limit_dates(batch: Batch, most: int, generator: torch.Generator) -> Batch:
    """Keep at most `most` frames of each sensor and place, drawn without replacement, in order of date."""
    if most < 1:
        raise ValueError(f"most ({most}) must be at least 1.")

    def limit(frames: Frames) -> Frames:
        place = torch.repeat_interleave(frames.count)
        order = (place + torch.rand(len(place), generator=generator, dtype=torch.float64)).argsort()
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))  # rank in the batch; minus the place's first frame: rank in the place
        return frames.keep(rank - (frames.count.cumsum(0) - frames.count)[place] < most)

    return replace(batch, frames={name: limit(frames) for name, frames in batch.frames.items()})


def band_dropout(batch: Batch, rate: float, means: Mapping[str, tuple[float, ...]], generator: torch.Generator) -> Batch:
    """Take the information out of each band of each sensor and place with probability `rate`; at least one band stays.

    All dates of the band become the sensor's mean, which an encoder standardises to zero: a band cannot leave, as its channel stays.

    Args:
        batch: Places.
        rate: In [0, 1).
        means: Mean of each band of each sensor, in its unit.
        generator: Of the draws.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate ({rate}) must be in [0, 1).")

    def drop(name: str, frames: Frames) -> Frames:
        draw = torch.rand(frames.num_places, frames.pixels.shape[1], generator=generator)
        kept = ((draw >= rate) | (draw == draw.amax(1, keepdim=True))).to(frames.pixels.device)
        mean = torch.tensor(means[name], device=frames.pixels.device)
        if not frames.pixels.is_floating_point():
            mean = mean.round()
        filled = mean.to(frames.pixels.dtype)[:, None, None]
        return replace(frames, pixels=frames.pixels.where(kept[frames.place][:, :, None, None], filled))

    return replace(batch, frames={name: drop(name, frames) for name, frames in batch.frames.items()})
