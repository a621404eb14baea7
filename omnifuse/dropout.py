"""Dropping sensors and dates: pure functions of a `Batch` and a generator. What a model must not see leaves the batch."""

from dataclasses import replace

import torch

from omnifuse.frames import Batch, Frames


def modality_dropout(batch: Batch, rate: float, generator: torch.Generator) -> Batch:
    """Drop each sensor of each place with probability `rate`, independently; at least one that was present stays.

    Where all would go, one of those present stays, each with the same chance.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate ({rate}) must be in [0, 1).")
    present = batch.present
    draw = torch.rand(present.shape, generator=generator).where(present, torch.tensor(-1.0))
    kept = (draw >= rate) | (draw == draw.amax(0))
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
