"""Dropout on a schedule: a function of seed, epoch, place and step alone, however places are spread over processes and workers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import SENSORS

from omnifuse.classes import ClassTable
from omnifuse.data.loading import PlaceDataset, training_batches
from omnifuse.data.place import Place, Series
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch
from omnifuse.runs.places import AugmentConfig, SplitConfig, dropout_of, fingerprint, transform_of

NAMES = ("s2", "s1_asc")
MODALITIES = {name: SENSORS[name] for name in NAMES}


class Fields:
    """Forty places of 40 m, each with both sensors on six dates."""

    size = 40.0

    def __init__(self) -> None:
        self.modalities = MODALITIES
        self.classes = ClassTable(("field",), ("#ffff00",))
        self.provenance = {"licence": "CC0"}
        self.info = [{"id": str(index), "fold": 1} for index in range(40)]

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Place:
        draw = np.random.default_rng(index)
        shape = {name: (6, len(modality.bands), 4, 4) for name, modality in self.modalities.items()}
        days = np.arange(6, dtype=np.int32) * 30 + 17775
        return Place({name: Series(draw.normal(size=shape[name]).astype(np.float32), days) for name in NAMES}, 40.0, None, self.info[index])


def batches(augment: AugmentConfig, steps: int, *, world: int = 1, workers: int = 0, first: int = 0, batch_size: int = 4) -> list[Batch]:
    """Return the whole batches of steps `first` to `steps`, put together from all processes."""
    source = Fields()
    stepped = dropout_of(augment, source.modalities, steps)
    parts = []
    for rank in range(world):
        dataset = PlaceDataset(source, np.arange(40), 5, transform_of(augment, source.modalities), stepped)
        give = training_batches(dataset, batch_size=batch_size, seed=5, workers=workers, rank=rank, world=world)(first)
        parts.append([next(give) for _ in range(steps - first)])
    return [Batch.cat(list(step)) for step in zip(*parts, strict=True)]


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x.frames[name].pixels, y.frames[name].pixels) and torch.equal(x.frames[name].count, y.frames[name].count)
        for x, y in zip(a, b, strict=True)
        for name in NAMES
    )


ALL = AugmentConfig(modality_dropout=0.4, date_dropout=0.4, band_dropout=0.3, dropout_ramp=0.8, most_dates=5)


def test_processes_workers_and_restarts_change_nothing():
    whole = batches(ALL, 6)
    assert same(whole, batches(ALL, 6, world=2))
    assert same(whole, batches(ALL, 6, workers=2))
    assert same(whole[4:], batches(ALL, 6, first=4))


def test_the_rate_of_a_place_rises_with_the_step():
    augment = AugmentConfig(modality_dropout=0.8, date_dropout=0.8, dropout_ramp=1.0)
    given = batches(augment, 15, batch_size=20)
    share = [np.mean([int(batch.frames[name].count.sum()) / 120 for name in NAMES]) for batch in given]
    assert share[0] == 1  # nothing is dropped at the start
    thirds = [np.mean(share[i : i + 5]) for i in (0, 5, 10)]
    assert thirds[0] > thirds[1] + 0.1 > thirds[2] + 0.2
    constant = batches(AugmentConfig(modality_dropout=0.8, date_dropout=0.8), 1, batch_size=20)
    assert np.mean([int(constant[0].frames[name].count.sum()) / 120 for name in NAMES]) < 0.5


def test_single_sensors_have_their_own_rate():
    given = batches(AugmentConfig(modality_rates={"s1_asc": 0.5}), 20)
    present = torch.cat([batch.present.double() for batch in given], 1).mean(1)
    assert present[0] == 1 and 0.3 < present[1] < 0.7


def test_what_cannot_be_dropped_is_refused():
    assert dropout_of(AugmentConfig(dropout_ramp=0.5), MODALITIES, 10) is None
    for wrong in ({"modality_dropout": 1.0}, {"band_dropout": -0.1}, {"dropout_ramp": 2.0}, {"modality_rates": {"s2": 1.0}}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            AugmentConfig(**wrong)
    with pytest.raises(InputError, match=r"modality_rates.*s3"):
        dropout_of(AugmentConfig(modality_rates={"s3": 0.5}), MODALITIES, 10)


def test_a_stopped_run_goes_on_though_its_store_was_given_another_split_or_statistics():
    source, changed, other = Fields(), Fields(), Fields()
    changed.info = [{**row, "labels": 10} for row in changed.info]
    changed.modalities = {name: replace(modality, mean=(1.0,) * len(modality.bands)) for name, modality in MODALITIES.items()}
    assert fingerprint(changed, "fold") == fingerprint(source, "fold")
    other.info[3]["fold"] = 2
    assert fingerprint(other, "fold") != fingerprint(source, "fold")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": (1, 2, 3, 4), "test": (4,)}, "`train` and `test` share fold 4"),
        ({"train": (1, 2), "val": (2, 3, "1")}, "`train` and `val` share fold 1, 2"),
        ({"train": (1, 2), "val": (4, 5), "test": (5,)}, "`val` and `test` share fold 5"),
    ],
)
def test_a_value_in_two_parts_of_a_split_is_refused(parts, said):
    with pytest.raises(ConfigError, match=said):
        SplitConfig(**parts)
