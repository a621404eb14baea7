"""The run's own record, `log.jsonl`: one row a line, complete whatever happens to trackers and networks."""

import json
import math
import os
from pathlib import Path
from typing import Any

from omnifuse.errors import OmnifuseError

Row = dict[str, Any]
CLOCK = frozenset(
    {"places_per_second", "frames_per_second", "cells_per_second", "data_share", "memory_gb", "tflops_per_second", "mfu"}
)  # fields that differ between equal runs


def read_log(path: Path) -> list[Row]:
    """Return the rows of a log in order; a last line torn by a kill is left out."""
    if not path.is_file():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or "step" not in row:
                raise ValueError("not a row")
            rows.append(row)
        except ValueError:
            if number < len(lines):
                raise OmnifuseError(f"{path}: line {number} is not a row of a log: {line[:80]!r}. Try: remove the line.") from None
    return rows


def evaluation_in(row: Row) -> dict[str, float]:
    """Return the evaluation that a row records; empty for a row of training."""
    return {name.removeprefix("eval/"): value for name, value in row.items() if name.startswith("eval/")}


class RunLog:
    """Appends rows. Opened for a resumed run, it forgets what the earlier process wrote after `step`."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows = [row for row in read_log(path) if row["step"] <= step]
        work = path.with_suffix(".tmp")
        try:
            with work.open("w", encoding="utf-8") as file:
                file.writelines(self._line(row) for row in self.rows)
                file.flush()
                os.fsync(file.fileno())
            work.replace(path)
            self.file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OmnifuseError(f"{path}: cannot be written ({error}). Try: free space, or a writable run folder.") from error

    def write(self, row: Row) -> None:
        """Append a row, and hand it to the system at once: a kill loses at most the row being written."""
        row = {name: value for name, value in row.items() if not isinstance(value, float) or math.isfinite(value)}  # JSON has no NaN
        self.rows.append(row)
        try:
            self.file.write(self._line(row))
            self.file.flush()
        except OSError as error:
            raise OmnifuseError(f"{self.path}: cannot be written ({error}). Try: free space, then start the same command again.") from error

    def evaluated(self, step: int) -> bool:
        """Whether the evaluation of `step` is recorded."""
        return any(row["step"] == step and evaluation_in(row) for row in self.rows)

    def last(self, evaluation: bool) -> Row:
        """Return the last row of training, or the last evaluation; empty if there is none."""
        if evaluation:
            return next((found for row in reversed(self.rows) if (found := evaluation_in(row))), {})
        return next((row for row in reversed(self.rows) if not evaluation_in(row)), {})

    def sync(self) -> None:
        """Wait until all rows are on the disk; done before each checkpoint, so that the log never lags behind it."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()

    @staticmethod
    def _line(row: Row) -> str:
        return json.dumps(row, ensure_ascii=False) + "\n"
