"""Everything a run tells: to its log, its tracker and its console. One object, mute on ranks above 0."""

import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from omnifuse.frames import Batch
from omnifuse.objectives.base import Objective
from omnifuse.train.config import TrainConfig
from omnifuse.train.console import Display
from omnifuse.train.log import RunLog
from omnifuse.train.ranks import this_process
from omnifuse.train.tracker import Tracker

WriteReport = Callable[[], Sequence[Path]]  # writes a run's page and returns its pictures

CELL = 10.0  # metres
# Dense bf16 on tensor cores, operations per second, from the vendor's data sheets; the first part found in the device's name counts.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "A30": 165e12,
    "A40": 150e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


class Record:
    """Rows go to `log.jsonl`, to the tracker and to the console; a context manager.

    Args:
        folder: The run folder.
        step: Updates done before; later rows of an earlier process are forgotten, as they will be written again.
        config: Says which tracker, and how many steps there are.
        about: Goes to the tracker as the configuration of the run.
        title: Shown beside the progress.
    """

    def __init__(self, folder: Path, step: int, config: TrainConfig, about: dict[str, Any], title: str) -> None:
        self.stack = ExitStack()
        self.log = RunLog(folder / "log.jsonl", step)
        self.stack.callback(self.log.close)
        self.display = Display(title, config.steps, step)
        self.tracker = Tracker(folder, config.project, about) if config.tracker == "wandb" else None

    def __enter__(self) -> "Record":
        self.stack.enter_context(self.display)
        if self.tracker:
            self.stack.callback(self.tracker.close)
        return self

    def __exit__(self, *details: Any) -> None:
        self.stack.close()

    def write(self, row: dict[str, Any]) -> None:
        """Tell a row everywhere; only the log can raise."""
        self.log.write(row)
        self.display.show(row)
        if self.tracker:
            self.tracker.write(row)

    def finish(self, report: WriteReport) -> None:
        """Have the run's report written, from the rows that are in the log by now, and show its pictures to the tracker."""
        pictures = report()
        if self.tracker:
            self.tracker.show(pictures)


class Clock:
    """Where the time of the steps since the last row went, and what was worked off in it.

    Args:
        flops_per_place: Floating-point operations of training on one place, forward and backward; 0 if not known.
    """

    def __init__(self, flops_per_place: float = 0.0) -> None:
        self.flops_per_place = flops_per_place
        self.reset()

    def reset(self) -> None:
        self.steps, self.seconds, self.waited = 0, 0.0, 0.0
        self.places, self.frames, self.cells = 0, 0, 0.0

    def add(self, seconds: float, waited: float) -> None:
        """Add a step of `seconds`, of which `waited` passed waiting for data."""
        self.steps, self.seconds, self.waited = self.steps + 1, self.seconds + seconds, self.waited + waited

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches on and count what is in them."""
        for batch in batches:
            self.places += batch.num_places
            self.frames += sum(int(frames.count.sum()) for frames in batch.frames.values())
            self.cells += batch.num_places * (batch.size / CELL) ** 2
            yield batch

    def row(self, batch_size: int) -> dict[str, float]:
        """Return the fields of `log.CLOCK` and start anew.

        Frames are acquisitions of all sensors, cells are 10 m × 10 m of the ground; both at the rate of the places of this process.
        """
        seconds = max(self.seconds, 1e-9)
        rate = batch_size * self.steps / seconds
        row = {"places_per_second": rate, "data_share": self.waited / seconds, "memory_gb": peak_memory()}
        if self.places:
            row |= {"frames_per_second": rate * self.frames / self.places, "cells_per_second": rate * self.cells / self.places}
        if self.flops_per_place:
            row["tflops_per_second"] = rate * self.flops_per_place / 1e12
            peak = peak_flops()
            if peak:
                row["mfu"] = rate * self.flops_per_place / (peak * this_process()[1])
        self.reset()
        return row


def peak_flops() -> float:
    """Return what this process's GPU can do at most per second in bf16; 0 without one, or where it is not in the table."""
    if not torch.cuda.is_available():
        return 0.0
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), 0.0)


def count_flops(objective: Objective, batch: Batch) -> float:
    """Return the floating-point operations per place of a forward and backward pass over `batch`, matrix products and convolutions.

    In evaluation mode, so that nothing is drawn and no other process is asked. What is recomputed (activation checkpointing) counts.
    """
    training = objective.training
    objective.eval()
    with FlopCounterMode(display=False) as counter:
        objective(batch).loss.backward()
    objective.train(training)
    objective.zero_grad()
    return counter.get_total_flops() / batch.num_places


def peak_memory() -> float:
    """Return the most memory this process has held, in GB: on its GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
