"""Places without labels: said and left out before the first step, where the data know them; named where they do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnifuse.config import read_json
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.data.place import Place, labelled_places
from omnifuse.data.sensors import SensorView
from omnifuse.data.stacked import Stacked
from omnifuse.data.store import Store
from omnifuse.data.subset import Subset
from omnifuse.data.target_rules import PresenceConfig
from omnifuse.data.targets import Retargeted
from omnifuse.data.writing import write_store
from omnifuse.errors import InputError
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.places import SplitConfig
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig

DATA = LandscapeConfig(places=20, size=16, sensors=("s2", "s1_asc"))
WITHOUT = (0, 11, 12, 13, 15)  # of folds 1, 3, 3, 3 and 4
ENCODER = UTAEConfig(widths=(8, 8), heads=4, dim=16, padding="zeros")


@pytest.fixture(scope="module")
def some() -> InMemory:
    """Twenty places in four folds, five of which have no labels."""
    whole = InMemory.build(Landscape(DATA))
    places = [replace(place, target=None) if number in WITHOUT else place for number, place in enumerate(whole.places)]
    return InMemory(whole, places)


class Unknowing:
    """The same places as a source that would have to read them to tell."""

    def __init__(self, source: InMemory) -> None:
        self.source = source
        self.modalities, self.classes, self.size = source.modalities, source.classes, source.size
        self.info, self.provenance = source.info, source.provenance

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Place:
        return self.source[index]


def finetuning(folder: Path, **changes) -> FinetuneConfig:
    config = FinetuneConfig(
        data=LandscapeData(landscape=DATA),
        split=SplitConfig(train=(1, 2), val=(3,), test=(4,)),
        encoders={"s2": ENCODER, "s1_asc": ENCODER},
        fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1),
        head=SegmentationConfig(dims=(8,)),
        train=TrainConfig(steps=2, batch_size=4, warmup_steps=0, log_steps=1, evaluate_steps=1),
        folder=str(folder),
    )
    return replace(config, **changes)


def test_places_without_labels_are_left_out_of_training_scores_and_fractions_and_said(some, tmp_path, capsys):
    tuned = finetune(finetuning(tmp_path), some)
    assert tuned.subsets["s2", "s1_asc"].place.tolist() == [16, 17, 18, 19]
    said = " ".join(capsys.readouterr().out.split())
    for part, words in (("train", "1 of the 10"), ("val", "3 of the 5"), ("test", "1 of the 5")):
        assert f"{words} places of `{part}` have no labels and are left out" in said
    assert read_json(tmp_path / "model" / "config.json")["facts"]["labeled places"] == 9


def test_a_part_without_any_labels_is_refused_before_a_step(some, tmp_path):
    bare = InMemory(some, [replace(p, target=None) if p.info["fold"] == 3 else p for p in some.places])
    with pytest.raises(InputError, match="none of the 5 places of `val` has labels"):
        finetune(finetuning(tmp_path), bare)
    assert not (tmp_path / "log.jsonl").exists()


def test_where_only_reading_tells_the_place_is_named(some, tmp_path):
    assert labelled_places(Unknowing(some)) is None
    name = some.info[0]["id"]
    with pytest.raises(InputError, match=rf"place '{name}' \(0\): has no labels\. Try: a split without it"):
        finetune(finetuning(tmp_path, train=replace(finetuning(tmp_path).train, batch_size=10)), Unknowing(some))


def test_pretraining_needs_no_labels_and_takes_every_place(some, tmp_path):
    config = PretrainConfig(
        data=LandscapeData(landscape=DATA),
        split=SplitConfig(train=(1, 3), test=(2,)),
        encoders={"s2": ENCODER, "s1_asc": ENCODER},
        train=TrainConfig(steps=2, batch_size=8, warmup_steps=0, log_steps=1),
        probe_places=0,
        folder=str(tmp_path),
    )
    assert pretrain(config, some).step == 2


def test_whatever_shows_the_places_of_a_source_knows_which_have_labels(some, tmp_path):
    expected = [number not in WITHOUT for number in range(20)]
    write_store(some, tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    rule = PresenceConfig()
    for source in (some, store, SensorView(store, ("s2",)), Retargeted(store, rule), Stacked(store, ()), InMemory.build(store)):
        known = labelled_places(source)
        assert known is not None and known.tolist() == expected, type(source).__name__
    few = labelled_places(Subset(store, np.array([11, 3])))
    assert few is not None and few.tolist() == [False, True]
