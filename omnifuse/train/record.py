"""Everything a run tells: to its log, its tracker and its console. One object, mute on ranks above 0."""

import resource
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from omnifuse.train.config import TrainConfig
from omnifuse.train.console import Display
from omnifuse.train.log import RunLog
from omnifuse.train.tracker import Tracker


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


class Clock:
    """Where the time of the steps since the last row went."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.steps, self.seconds, self.waited = 0, 0.0, 0.0

    def add(self, seconds: float, waited: float) -> None:
        """Add a step of `seconds`, of which `waited` passed waiting for data."""
        self.steps, self.seconds, self.waited = self.steps + 1, self.seconds + seconds, self.waited + waited

    def row(self, batch_size: int) -> dict[str, float]:
        """Return the fields of `log.CLOCK` and start anew."""
        seconds = max(self.seconds, 1e-9)
        row = {"places_per_second": batch_size * self.steps / seconds, "data_share": self.waited / seconds, "memory_gb": peak_memory()}
        self.reset()
        return row


def peak_memory() -> float:
    """Return the most memory this process has held, in GB: on its GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
