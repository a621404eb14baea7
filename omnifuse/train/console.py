"""What a run shows: a bar on a terminal, a line now and then in a file."""

import math
import time
from itertools import islice
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

FIRST = 8  # values of an evaluation in a line; the log has all
PAUSE = 10.0  # seconds between lines of training where there is no terminal


def duration(seconds: float) -> str:
    """Format seconds as 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Pace:
    """Seconds per step as passed on the wall, saving and evaluating included; the first step, which waits for the data, is not.

    A mean over the steps so far at first, a running mean over some 500 later.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = -1
        self.last = time.monotonic()

    def tick(self) -> None:
        """Note that a step has ended."""
        now = time.monotonic()
        self.steps += 1
        if self.steps:
            self.seconds += (now - self.last - self.seconds) * max(1 / self.steps, 0.002)
        self.last = now


class Display:
    """Shows how far a run is, its loss and when it will end."""

    def __init__(self, title: str, steps: int, step: int) -> None:
        self.title, self.steps = title, steps
        self.pace = Pace()
        self.console = Console(soft_wrap=True, highlight=False)
        self.progress: Progress | None = None
        self.printed = -math.inf
        if self.console.is_terminal:
            columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
            self.progress = Progress(*columns, console=self.console, transient=False)
            self.task = self.progress.add_task(title, total=steps, completed=step, text="")

    def __enter__(self) -> "Display":
        if self.progress:
            self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.progress:
            self.progress.stop()

    def step(self, step: int) -> None:
        """Note that updates up to `step` are done."""
        self.pace.tick()
        if self.progress:
            self.progress.update(self.task, completed=step)

    def show(self, row: dict[str, Any]) -> None:
        """Show a row of the log."""
        step = row["step"]
        text = "  ".join(f"{name.removeprefix('eval/')} {value:.4g}" for name, value in self._chosen(row).items())
        if self.pace.steps > 0:
            text += f"  eta {duration((self.steps - step) * self.pace.seconds)}"
        if self.progress and "loss" in row:
            self.progress.update(self.task, text=text)
        elif "loss" not in row or step == self.steps or time.monotonic() - self.printed > PAUSE:
            self.printed = time.monotonic()
            self.console.print(f"{self.title} {step}/{self.steps}  {text}", markup=False)

    @staticmethod
    def _chosen(row: dict[str, Any]) -> dict[str, float]:
        """Choose what fits a line: of an evaluation the first values, of training the loss and how the time is spent."""
        if "loss" in row:
            return {name: row[name] for name in ("loss", "lr", "places_per_second", "data_share") if name in row}
        return dict(islice(((name, value) for name, value in row.items() if name.startswith("eval/")), FIRST))
