"""Every kind of objective, trained by several processes on places of three sensors, most of which lack one."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from small_models import SENSORS, fusion_model
from train_jobs import free_port, join, quiet, start

from omnifuse.frames import Batch, Frames
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.base import Objective
from omnifuse.objectives.combined import Combined
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.masked import MaskedConfig
from omnifuse.objectives.mil_nce import MilNCEConfig
from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.randomness import torch_generator
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import train

SIZE = 80.0
CONTRAST = ContrastConfig(dim=8, hidden=8, cell_gsd=20.0, num_cells=4)
MASKED = MaskedConfig(dim=8, hidden=8, num_cells=4)
RECOMPUTED = replace(SENSORS, encoders={name: replace(encoder, checkpoint=True) for name, encoder in SENSORS.encoders.items()})
ONE_LEVEL = UTAEConfig(widths=(8,), kernel=1, heads=2, dim=16, compile=True)  # kernels of 3 fail in torch's own compiler on CPUs
COMPILED = replace(SENSORS, encoders={**SENSORS.encoders, "s2": ONE_LEVEL})


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "segment": lambda: SegmentConfig().build(fusion_model()),
    "recomputed contrast": lambda: CONTRAST.build(RECOMPUTED),
    "compiled contrast": lambda: CONTRAST.build(COMPILED),
    "masked": lambda: MASKED.build(SENSORS),
    "combined": lambda: Combined(CONTRAST.build(SENSORS), MASKED, 0.5),
    "MIL-NCE": lambda: MilNCEConfig(dim=8, hidden=8, cell_gsd=20.0, num_cells=4, cell_weight=0.5).build(SENSORS),
}


def places(step: int, size: int) -> Batch:
    """Return the places of a step; place i has only `s2` where i % 4 == 0, all but `s2` where i % 4 == 1."""
    generator = torch_generator(0, "sharding", step)
    place = torch.arange(size)
    frames = {}
    for name, modality in SENSORS.modalities.items():
        count = torch.full((size,), 3 if modality.series else 1).where(place % 4 != (1 if name == "s2" else 0), torch.tensor(0))
        side = modality.pixels(SIZE)
        values = torch.randn(int(count.sum()), len(modality.bands), side, side, generator=generator)
        mean, std = (torch.tensor(x)[:, None, None] for x in (modality.mean, modality.std))
        frames[name] = Frames(mean + std * values, torch.randint(17775, 18140, (len(values),), generator=generator).int(), count)
    target = torch.randint(0, 3, (size, 8, 8), generator=generator)
    return Batch(frames, SIZE, place + 100 * step, torch.randint(0, 2**40, (size,), generator=generator), target)


def batches(config: TrainConfig, rank: int, world: int, first: int) -> Iterator[Batch]:
    for step in range(first, config.steps):
        for micro in range(config.accumulation):
            yield places(step, config.batch_size).select(torch.arange(micro * world + rank, config.batch_size, config.accumulation * world))


def _rank(name: str, folder: Path, config: TrainConfig, environment: Mapping[str, str], rank: int, world: int, port: int) -> None:
    quiet()
    os.environ.update(environment)
    join(rank, world, port)
    torch.manual_seed(rank)  # the weights of rank 0 count
    train(OBJECTIVES[name](), partial(batches, config, rank, world), config, folder)
    torch.distributed.destroy_process_group()


def start_objective(name: str, world: int, folder: Path, config: TrainConfig, environment: Mapping[str, str]) -> list[Any]:
    """Start the processes; `environment` is what a launcher leaves."""
    port = free_port()
    return [start(_rank, name, folder, config, environment, rank, world, port) for rank in range(world)]
