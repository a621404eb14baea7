"""What the next step depends on: how it is found, loaded and saved in a run folder."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from omnifuse.errors import ConfigError
from omnifuse.objectives.base import Objective
from omnifuse.train import checkpoint
from omnifuse.train.config import FREE, TrainConfig
from omnifuse.train.ema import Ema
from omnifuse.train.optimizer import load_optimizer, optimizer_tensors
from omnifuse.train.ranks import differences
from omnifuse.train.sharding import divided, fill, gathered

logger = logging.getLogger(__name__)

# Another machine may round otherwise; that is told, and allowed.
MACHINE = frozenset({"world_size", "resolved_precision", "strategy", *checkpoint.versions()})

REPLICATED, SHARDED = "replicated", "sharded"  # each process holds all weights, or a piece of them


@dataclass(frozen=True)
class TrainState:
    """A run's weights, their optimizer and average, and the plain facts `about` it that its checkpoints repeat.

    Attributes:
        folder: The run folder.
        config: The run.
        about: Repeated by its checkpoints.
        objective: What is trained; in pieces if it is sharded.
        handed: What is evaluated and handed out: `objective` itself, or the whole one beside it if that is sharded.
        optimizer: Of `objective`.
        ema: Of `objective`.
    """

    folder: Path
    config: TrainConfig
    about: dict[str, Any]
    objective: Objective
    handed: Objective
    optimizer: AdamW
    ema: Ema | None

    def load(self, path: Path) -> None:
        """Go back to a checkpoint."""
        own = self.objective.state_dict()
        tensors = {name: divided(tensor, own.get(name)) for name, tensor in checkpoint.read_tensors(path, "model").items()}
        checkpoint.load_strict(self.objective, tensors, str(path))
        load_optimizer(self.optimizer, checkpoint.read_tensors(path, "optimizer"), str(path))
        if self.ema:
            self.ema.load(checkpoint.read_tensors(path, "ema"))

    def whole(self, keep: bool) -> dict[str, dict[str, Tensor]]:
        """Return what a checkpoint holds, empty where it is not to be kept. All processes call it, as pieces are put together here."""
        tensors: dict[str, Mapping[str, Tensor]] = {"model": self.objective.state_dict(), "optimizer": optimizer_tensors(self.optimizer)}
        if self.ema:
            tensors["ema"] = self.ema.tensors()
        return {name: gathered(group, keep) for name, group in tensors.items()}

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Write a checkpoint of `whole`."""
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
            sharded = self.handed is not self.objective  # then `handed` was filled for the evaluation
            tensors = {"model": self.ema.tensors() if self.ema and not sharded else self.handed.state_dict()}
            checkpoint.save(self.folder / "best", step, tensors, {"about": self.about, "evaluation": values}, keep=1)

    @contextmanager
    def weights_to_use(self, device: torch.device) -> Iterator[None]:
        """Let `handed` hold the weights to use, on `device`, inside a `with` block."""
        if self.handed is self.objective:
            with self.ema.applied() if self.ema else nullcontext():
                yield
        else:
            self.hand_out(device)
            yield
            self.handed.to("cpu")  # frees the device for training

    def hand_out(self, device: torch.device) -> None:
        """Put the weights to use into `handed`: the averaged ones where there are."""
        if self.handed is not self.objective:
            self.handed.to(device)
            fill(self.handed, self.ema.tensors() if self.ema else self.objective.state_dict())
        elif self.ema:
            self.ema.swap()


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
    was = {"strategy": REPLICATED, **state["about"]}
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
