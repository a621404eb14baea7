"""A tiny objective with dropout, its batches, and the jobs that fault tests run in processes of their own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from omnifuse.frames import Batch, Frames
from omnifuse.objectives.base import LossOutput, Objective
from omnifuse.randomness import torch_generator
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import TrainResult, train


class Tiny(Objective):
    """Regresses a target from the mean of a place's frames; `dropout` makes it depend on the random state."""

    def __init__(self, dropout: float = 0.2, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.hidden = nn.Linear(3, 8, dtype=dtype)
        self.norm = nn.LayerNorm(8, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(8, 1, dtype=dtype)
        self.query = nn.Parameter(torch.ones(2, 8, dtype=dtype))

    def forward(self, batch: Batch) -> LossOutput:
        frames = batch.frames["s2"]
        seen = frames.pixels.mean((2, 3)).to(self.query.dtype)
        total = seen.new_zeros(batch.num_places, 3).index_add(0, frames.place, seen)
        value = self.out(self.dropout(self.norm(self.hidden(total))) * self.query.mean(0))[:, 0]
        loss = (value - total.sum(1)).square().mean()
        return LossOutput(loss, {"value": value.detach().mean()})


def places(seed: int, step: int, size: int, dtype: torch.dtype = torch.float32) -> Batch:
    """Return the global batch of a step: a pure function of seed and step."""
    generator = torch_generator(seed, "test", step)
    count = torch.randint(0, 3, (size,), generator=generator)
    pixels = torch.randn(int(count.sum()), 3, 2, 2, generator=generator, dtype=dtype)
    frames = Frames(pixels, torch.arange(len(pixels), dtype=torch.int32), count)
    return Batch({"s2": frames}, 20.0, torch.arange(size) + 1000 * step, torch.randint(0, 2**40, (size,), generator=generator))


def data(config: TrainConfig, rank: int = 0, world: int = 1, dtype: torch.dtype = torch.float32) -> Callable[[int], Iterator[Batch]]:
    """Return `batches(step)`: micro-batch m of rank r holds every (accumulation × world)-th place."""

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            whole = places(config.seed, step, config.batch_size, dtype)
            for micro in range(config.accumulation):
                yield whole.select(torch.arange(micro * world + rank, config.batch_size, config.accumulation * world))

    return batches


def small(**changes: Any) -> TrainConfig:
    """Return a run of 20 updates with everything on that could break a resumption."""
    base: dict[str, Any] = {
        "steps": 20,
        "batch_size": 8,
        "accumulation": 2,
        "learning_rate": 1e-2,
        "warmup_steps": 3,
        "ema": 0.9,
        "precision": "no",
        "save_steps": 3,
        "log_steps": 1,
        "evaluate_steps": 5,
        "best": "score",
    }
    return TrainConfig(**{**base, **changes})


def evaluate(objective: Objective, step: int) -> dict[str, float]:
    """Draw, and measure the loss on fixed places: must not disturb training."""
    torch.rand(3)
    with torch.no_grad():
        return {"score": -float(objective(places(99, 0, 8)).loss), "step": float(step)}


def run(folder: Path, config: TrainConfig | None = None, **arguments: Any) -> TrainResult:
    """Train a new Tiny in `folder`."""
    config = config or small()
    objective = arguments.pop("objective", None) or Tiny()
    return train(objective, arguments.pop("batches", None) or data(config), config, folder, **{"evaluate": evaluate, **arguments})


def join(rank: int, world: int, port: int) -> None:
    """Take a rank's place in a group of CPU processes."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(ACCELERATE_USE_CPU="1", OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
