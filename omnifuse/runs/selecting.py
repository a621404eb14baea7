"""Which weights of a fine-tuning are handed out: the last ones, or those that did best at the places that it watched."""

from pathlib import Path

from omnifuse.errors import ConfigError
from omnifuse.objectives.base import Objective
from omnifuse.runs.places import SplitConfig
from omnifuse.train.checkpoint import load_strict, newest, read_tensors, verify
from omnifuse.train.config import TrainConfig


def check_best(train: TrainConfig, headline: str) -> None:
    """Raise `ConfigError` before the first update for a `best` that no evaluation of this run gives."""
    if train.best not in ("", headline):
        raise ConfigError(f"finetune: `train.best` is {train.best!r}, these labels are scored by {headline}. Try: --train.best {headline}")


def select(objective: Objective, folder: Path, split: SplitConfig, train: TrainConfig) -> str:
    """Put the best weights of a run into its objective and say which; the last ones stay, and nothing is said, unless it was asked for.

    Only watched places that are not the tested ones choose: a score that has chosen is too high.

    Raises:
        ConfigError: where the run has ended without keeping its best weights.
    """
    if not (train.best and split.val):
        return ""
    path, _ = newest(folder / "best")
    if path is None:
        raise ConfigError(f"{folder}: the run ended without keeping its best weights. Try: another folder, or `--train.best ''`.")
    load_strict(objective, read_tensors(path, "model"), str(path))
    return f"best {train.best} on val at step {verify(path)['step']}"
