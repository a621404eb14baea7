"""Which places a run uses and what happens to them on the way: one small configuration per kind of source, chosen in a recipe."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from omnifuse.config import Config, to_dict, write_json
from omnifuse.data.bucketing import work_of
from omnifuse.data.loading import PlaceDataset, SteppedTransform, training_batches
from omnifuse.data.memory import InMemory
from omnifuse.data.place import PlaceSource, labelled_places
from omnifuse.data.sensors import SensorView
from omnifuse.data.transforms import Transform, compose, crop, symmetry
from omnifuse.dropout import band_dropout, date_dropout, limit_dates, modality_dropout, ramp
from omnifuse.errors import ConfigError, InputError, StoppedError
from omnifuse.frames import Batch
from omnifuse.modalities import Modality, check_names
from omnifuse.runs.sources import DataConfig
from omnifuse.runs.stages import console
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import TrainResult
from omnifuse.train.ranks import this_process


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Config):
    """Places by a value of their metadata; nothing random. No value is in two parts.

    Attributes:
        key: Metadata that tells the parts apart.
        train: Values whose places are trained on.
        val: Values whose places are scored during training, and with `train.best` choose the weights of a fine-tuning; without any
            those of `test` are scored, which choose nothing.
        test: Values whose places are held out.
    """

    key: str = "fold"
    train: tuple[int | str, ...] = (1, 2, 3, 4)
    val: tuple[int | str, ...] = ()
    test: tuple[int | str, ...] = (5,)

    def __post_init__(self) -> None:
        for first, second in combinations(("train", "val", "test"), 2):
            here = set(map(str, getattr(self, second)))  # as text, as a command line may give them
            if both := [str(value) for value in getattr(self, first) if str(value) in here]:
                raise ConfigError(
                    f"split: `{first}` and `{second}` share {self.key} {', '.join(both)}, so places would be scored that were learned "
                    f"from or chosen by. Try: {', '.join(both)} in one of the two."
                )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Config):
    """What happens to a place on its way into a training step; nothing of it happens in evaluation.

    Attributes:
        modality_dropout: Probability of dropping a sensor of a place; at least one stays.
        modality_rates: The same for single sensors, in place of `modality_dropout`.
        date_dropout: Probability of dropping each date of a sensor; at least one stays.
        band_dropout: Probability of replacing each band of a sensor by its mean; at least one stays.
        dropout_ramp: Share of the training over which these rates rise linearly from zero; 0: they are whole from the start.
        most_dates: At most so many dates of a series, drawn at random; 0 keeps all.
        symmetry: Whether one of the eight symmetries of the square is applied to all sensors and labels alike.
        crop: Side in metres of a random square of ground; 0 keeps the whole place.
    """

    modality_dropout: float = 0.0
    modality_rates: dict[str, float] = field(default_factory=dict)
    date_dropout: float = 0.0
    band_dropout: float = 0.0
    dropout_ramp: float = 0.0
    most_dates: int = 0
    symmetry: bool = True
    crop: float = 0.0

    def __post_init__(self) -> None:
        for name in ("modality_dropout", "date_dropout", "band_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"augment: `{name}` is {getattr(self, name)}, expected a share from 0 to below 1. Try: 0.5.")
        if not all(0 <= rate < 1 for rate in self.modality_rates.values()):
            raise ConfigError(f"augment: `modality_rates` is {self.modality_rates}, expected shares from 0 to below 1. Try: 0.5.")
        if not 0 <= self.dropout_ramp <= 1:
            raise ConfigError(f"augment: `dropout_ramp` is {self.dropout_ramp}, expected a share of the training, 0 to 1. Try: 0.5.")


def opened(data: DataConfig, sensors: tuple[str, ...], in_memory: bool, workers: int, source: PlaceSource | None = None) -> PlaceSource:
    """Return the places of a run as the named sensors saw them: those of `source`, where they were opened already."""
    if source is not None:
        return SensorView(source, sensors)
    view = SensorView(data.open(), sensors)
    return InMemory.build(view, workers) if in_memory else view


def with_labels(source: PlaceSource, places: Int[np.ndarray, " n"], part: str) -> Int[np.ndarray, " m"]:
    """Return the places of a part of the split that have labels, and say how many have none.

    Where only reading would tell they are all returned, and one without labels is an error once it is read.

    Raises:
        InputError: where none has.
    """
    known = labelled_places(source)
    kept = places if known is None else places[known[places]]
    if len(kept) == len(places):
        return places
    if not len(kept):
        raise InputError(f"split: none of the {len(places)} places of `{part}` has labels. Try: a split whose `{part}` has some.")
    if this_process()[0] == 0:
        console.print(f"split: {len(places) - len(kept)} of the {len(places)} places of `{part}` have no labels and are left out.")
    return kept


def fingerprint(source: PlaceSource, key: str) -> str:
    """Name what a run reads, so that it is not resumed on other data: sensors as stored, and which places there are in which part.

    Other metadata and statistics do not count: a run takes the statistics of its own places, and a store may be given more splits.

    Args:
        source: The places.
        key: Metadata that tells the parts of the run's split apart.
    """
    sensors = {name: to_dict(modality) | {"mean": None, "std": None} for name, modality in source.modalities.items()}
    what = {"size": source.size, "modalities": sensors, "places": [(row["id"], row.get(key)) for row in source.info]}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def keep_config(folder: Path, config: Config) -> None:
    """Write a run's configuration beside it, so that `config.json` can be given in place of the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    if this_process()[0] == 0:
        write_json(folder / "config.json", to_dict(config))


def refuse_stopped(result: TrainResult) -> None:
    """Raise `StoppedError` for a training that a signal ended early: what follows needs the whole of it."""
    if result.stopped:
        raise StoppedError(f"{result.folder}: stopped by a signal at step {result.step}. Try: the same command again, it goes on there.")


def transform_of(config: AugmentConfig, modalities: dict[str, Modality]) -> Transform:
    """Return the transform of a batch of one; what it draws is keyed by seed, epoch and place, whoever runs it."""
    steps: list[Transform] = []
    if config.most_dates:
        steps.append(partial(_limit_dates, most=config.most_dates))
    if config.crop:
        steps.append(crop(config.crop, modalities))
    if config.symmetry:
        steps.append(symmetry)
    return compose(*steps)


def dropout_of(config: AugmentConfig, modalities: dict[str, Modality], steps: int) -> SteppedTransform | None:
    """Return the dropout of sensors, dates and bands as it is at an optimizer step of `steps`; None where nothing is dropped.

    The step comes with the key of a place, so a schedule is the same on any number of processes and workers, and after a restart.
    """
    check_names(list(config.modality_rates), list(modalities), "augment: `modality_rates`")
    if not (config.modality_dropout or any(config.modality_rates.values()) or config.date_dropout or config.band_dropout):
        return None
    return partial(_dropped, config=config, means={name: modality.mean for name, modality in modalities.items()}, steps=steps)


def _dropped(
    batch: Batch, generator: torch.Generator, step: int, config: AugmentConfig, means: dict[str, tuple[float, ...]], steps: int
) -> Batch:
    share = ramp(step / steps, config.dropout_ramp)
    rates = {name: share * config.modality_rates.get(name, config.modality_dropout) for name in batch.frames}
    batch = modality_dropout(batch, rates, generator)
    if config.date_dropout:
        batch = date_dropout(batch, share * config.date_dropout, generator)
    if config.band_dropout:
        batch = band_dropout(batch, share * config.band_dropout, means, generator)
    return batch


def training_places(
    source: PlaceSource,
    places: Int[np.ndarray, " n"],
    augment: AugmentConfig,
    train: TrainConfig,
    modalities: dict[str, Modality] | None = None,
    labels: bool | None = None,
) -> Callable[[int], Iterator[Batch]]:
    """Return what the loop asks for: this process's micro-batches from any optimizer step on.

    `modalities` are those of the model, whose statistics say what a dropped band becomes; by default those of the source.
    `labels` says whether places must have them (`PlaceDataset`).
    """
    stepped = dropout_of(augment, modalities or source.modalities, train.steps)
    dataset = PlaceDataset(source, places, train.seed, transform_of(augment, source.modalities), stepped, labels)
    work = work_of(source, places, augment.most_dates)

    def from_step(step: int) -> Iterator[Batch]:  # asked for by the loop, which has joined the processes by then
        rank, world = this_process()
        common = {"batch_size": train.batch_size, "seed": train.seed, "workers": train.workers, "accumulation": train.accumulation}
        return training_batches(dataset, rank=rank, world=world, work=work, **common)(step)

    return from_step


def _limit_dates(batch: Batch, generator: torch.Generator, most: int) -> Batch:
    return limit_dates(batch, most, generator)
