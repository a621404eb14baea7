"""A tiny objective with dropout, its batches, and the jobs that fault tests run in processes of their own."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from omnifuse.errors import OmnifuseError
from omnifuse.frames import Batch, Frames
from omnifuse.objectives.base import LossOutput, Objective
from omnifuse.randomness import torch_generator
from omnifuse.train import checkpoint
from omnifuse.train.config import TrainConfig
from omnifuse.train.log import CLOCK, Row, read_log
from omnifuse.train.loop import TrainResult, train

Batches = Callable[[int], Iterator[Batch]]


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


def data(config: TrainConfig, rank: int = 0, world: int = 1, dtype: torch.dtype = torch.float32) -> Batches:
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


context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["torch", "torch._dynamo", "accelerate", "omnifuse.train.loop", "pytest"])  # then a process costs 0.1 s


def start(job: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start a job in a process forked from one that has imported everything and done nothing."""
    process = context.Process(target=job, args=arguments)
    process.start()
    return process


def finish(*processes: ForkServerProcess, seconds: float = 60) -> list[int | None]:
    """Wait for processes and return their exit codes; whoever does not end in time is killed."""
    end = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def quiet() -> None:
    """Keep the expected noise of a job out of the test report."""
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (for the life of the process)
    torch.set_num_threads(1)


def run_job(folder: Path, config: TrainConfig) -> None:
    """Run as a user would."""
    quiet()
    run(folder, config)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def rank_job(
    folder: Path,
    config: TrainConfig,
    dropout: float,
    dtype: torch.dtype,
    fault: str,
    environment: Mapping[str, str],
    rank: int,
    world: int,
    port: int,
) -> None:
    """Run as one rank; `fault` happens on the last rank at step 7. Leaves `error_<rank>.txt`, or the weights in `handed_<rank>`."""
    quiet()
    os.environ.update(environment)
    join(rank, world, port)
    objective = Tiny(dropout, dtype)
    if rank:  # the weights of rank 0 count
        torch.nn.init.ones_(objective.query.data).mul_(5)
        torch.nn.init.ones_(objective.hidden.weight.data)
    batches = data(config, rank, world, dtype)
    if fault and rank == world - 1:
        batches = with_nan(batches, config, 7) if fault == "nan" else with_signal(batches, config, 7)
    try:
        result = run(folder, config, objective=objective, batches=batches)
        save_file(objective.state_dict(), folder / f"handed_{rank}.safetensors")
        (folder / f"result_{rank}.txt").write_text(f"{result.step} {result.stopped}", encoding="utf-8")
    except OmnifuseError as error:
        (folder / f"error_{rank}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    torch.distributed.destroy_process_group()


def start_ranks(
    world: int,
    folder: Path,
    config: TrainConfig,
    dropout: float,
    dtype: torch.dtype,
    fault: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[ForkServerProcess]:
    """Start the processes; `environment` is what a launcher leaves, such as a strategy."""
    port = free_port()
    return [start(rank_job, folder, config, dropout, dtype, fault, dict(environment), rank, world, port) for rank in range(world)]


def with_nan(batches: Batches, config: TrainConfig, bad: int) -> Batches:
    """Put a NaN into the second micro-batch of a step."""

    def changed(first: int) -> Iterator[Batch]:
        for i, batch in enumerate(batches(first)):
            if first * config.accumulation + i == bad * config.accumulation + 1:
                frames = batch.frames["s2"]
                batch = replace(batch, frames={"s2": replace(frames, pixels=torch.full_like(frames.pixels, torch.nan))})
            yield batch

    return changed


def with_signal(batches: Batches, config: TrainConfig, at: int, *numbers: int) -> Batches:
    """Send this process signals while it waits for the data of a step."""

    def changed(first: int) -> Iterator[Batch]:
        for i, batch in enumerate(batches(first)):
            if first * config.accumulation + i == at * config.accumulation:
                for number in numbers or (signal.SIGTERM,):
                    os.kill(os.getpid(), number)
            yield batch

    return changed


def curve(folder: Path) -> list[Row]:
    """Return the log of a run without what a clock says."""
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in read_log(folder / "log.jsonl")]


def ending(folder: Path) -> dict[str, bytes]:
    """Return the bytes of everything a run ends with: weights, moments, averages, the best weights, and the curve."""
    newest = checkpoint.newest(folder / "checkpoints")[0]
    best = checkpoint.newest(folder / "best")[0]
    assert newest and best, folder
    files = [*newest.glob("*.safetensors"), *best.glob("*.safetensors")]
    return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files} | {"curve": json.dumps(curve(folder)).encode()}
