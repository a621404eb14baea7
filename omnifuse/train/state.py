"""What the next step depends on: how it is found, loaded and saved in a run folder."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.optim import AdamW

from omnifuse.errors import ConfigError
from omnifuse.objectives.base import Objective
from omnifuse.train import checkpoint
from omnifuse.train.config import FREE, TrainConfig
from omnifuse.train.ema import Ema
from omnifuse.train.optimizer import load_optimizer, optimizer_tensors
from omnifuse.train.ranks import differences

logger = logging.getLogger(__name__)

# Another machine may round otherwise; that is told, and allowed.
MACHINE = frozenset({"world_size", "resolved_precision", *checkpoint.versions()})


@dataclass(frozen=True)
class TrainState:
    """A run's weights, their optimizer and average, and the plain facts `about` it that its checkpoints repeat."""

    folder: Path
    config: TrainConfig
    about: dict[str, Any]
    objective: Objective
    optimizer: AdamW
    ema: Ema | None

    def load(self, path: Path) -> None:
        """Go back to a checkpoint."""
        checkpoint.load_strict(self.objective, checkpoint.read_tensors(path, "model"), str(path))
        load_optimizer(self.optimizer, checkpoint.read_tensors(path, "optimizer"), str(path))
        if self.ema:
            self.ema.load(checkpoint.read_tensors(path, "ema"))

    def save(self, step: int) -> None:
        """Write a checkpoint."""
        tensors = {"model": self.objective.state_dict(), "optimizer": optimizer_tensors(self.optimizer)}
        if self.ema:
            tensors["ema"] = self.ema.tensors()
        checkpoint.save(self.folder / "checkpoints", step, tensors, {"about": self.about}, self.config.keep)

    def keep_best(self, step: int, values: dict[str, float]) -> None:
        """Keep the weights of an evaluation that is better than all before it."""
        name = self.config.best
        if not name:
            return
        if name not in values:
            raise ConfigError(f"training: `best` is {name!r}, the evaluation gives {sorted(values)}. Try: one of these.")
        sign = -1 if "loss" in name else 1
        before = best_evaluation(self.folder).get(name)
        if before is None or sign * values[name] > sign * before:
            tensors = {"model": self.ema.tensors() if self.ema else self.objective.state_dict()}
            checkpoint.save(self.folder / "best", step, tensors, {"about": self.about, "evaluation": values}, keep=1)


def best_evaluation(folder: Path) -> dict[str, float]:
    """Return the evaluation of the best weights of a run; empty if it keeps none."""
    path, _ = checkpoint.newest(folder / "best")
    return checkpoint.verify(path)["evaluation"] if path else {}


def starting_point(folder: Path, about: dict[str, Any], resume: bool) -> tuple[Path | None, int]:
    """Return the checkpoint to go on from and its step; (None, 0) in a new folder.

    Raises:
        ConfigError: if the run began with another configuration or other data; lists the fields.
    """
    checkpoints, best = folder / "checkpoints", folder / "best"
    if not resume and checkpoint.steps_in(checkpoints):
        raise ConfigError(f"{folder}: a run lies here, and resuming is off. Try: another folder, or resume.")
    found = checkpoint.recover(checkpoints)
    if found is None:
        if best.is_dir():  # left by a run whose checkpoints are gone: its figures are not of this one
            shutil.rmtree(folder / "best.old", ignore_errors=True)
            best.rename(folder / "best.old")
        return None, 0
    checkpoint.recover(best)
    state = checkpoint.verify(found)
    was = state["about"]
    changed = sorted(name for name in {**was, **about} if name not in FREE and was.get(name) != about.get(name))
    fixed = [name for name in changed if name not in MACHINE]
    text = differences({name: about.get(name) for name in fixed}, {name: was.get(name) for name in fixed})
    if text:
        raise ConfigError(f"{found}: the run began otherwise: {text}. Try: the values it began with, or another run folder.")
    for name in changed:
        logger.warning(
            "%s was %s when the run began, is %s now: the same to rounding, not to the bit.", name, was.get(name), about.get(name)
        )
    return found, int(state["step"])
