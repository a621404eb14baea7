"""A fine-tuning knows what its weights were pretrained on, and says where it tests on places whose images they have seen."""

from dataclasses import replace

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.inference.releases import read_named
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.ancestry import ancestry, seen_before
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig

DATA = LandscapeConfig(places=10, size=16, sensors=("s2", "s1_asc"))
ENCODERS = {name: UTAEConfig(widths=(8, 16), heads=8, dim=16) for name in DATA.sensors}
ROW_1 = SplitConfig(train=(1, 2, 3), test=(5,))
ROW_3 = SplitConfig(train=(3, 4, 5), test=(1, 2))


@pytest.fixture(scope="module")
def places() -> InMemory:
    landscape = Landscape(DATA)
    landscape.info = [row | {"fold": 1 + i % 5} for i, row in enumerate(landscape.info)]
    return InMemory.build(landscape)


def test_tested_places_of_the_pretraining_are_told_and_the_model_keeps_where_it_comes_from(places, tmp_path, capsys):
    start = PretrainConfig(
        data=LandscapeData(landscape=DATA),
        split=ROW_1,
        encoders=ENCODERS,
        objective=ContrastConfig(dim=8, hidden=8, cell_gsd=20.0),
        augment=AugmentConfig(most_dates=3),
        train=TrainConfig(steps=1, batch_size=4),
        probe_places=0,
        folder=str(tmp_path / "pretrain"),
    )
    pretrain(start, places)
    first = str(tmp_path / "pretrain" / "pretrained")
    assert read_named(first)[1].facts["place size (m)"] == places.size
    tuned = FinetuneConfig(
        data=start.data,
        split=ROW_3,
        encoders=ENCODERS,
        fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1),
        head=SegmentationConfig(dims=(8,)),
        augment=start.augment,
        train=TrainConfig(steps=1, batch_size=2),
        init=first,
        folder=str(tmp_path / "finetune"),
    )
    capsys.readouterr()
    finetune(tuned, places)
    assert "4 of the 4 tested places are of fold 1, 2, 3, which" in " ".join(capsys.readouterr().out.split())
    known = read_named(str(tmp_path / "finetune" / "model"))[1].facts["pretrained on"]
    assert known["data"] == "landscape" and known["split"]["key"] == "fold" and tuple(known["split"]["train"]) == (1, 2, 3)
    finetune(replace(tuned, split=ROW_1, folder=str(tmp_path / "same")), places)
    assert "tested places" not in capsys.readouterr().out


INFO = [{"fold": fold} for fold in (1, 2, 3, 4, 5)]


def fact(*train: int | str, data: str = "store", key: str = "fold", **more: object) -> dict[str, object]:
    return {"data": data, "split": {"key": key, "train": list(train), "val": [], "test": []}, **more}


@pytest.mark.parametrize(
    ("earlier", "count"),
    [
        ({}, 0),
        ({"data": "store"}, 0),
        (fact(1, 2), 0),
        (fact(4, 5), 1),
        (fact("4"), 1),  # values are compared as text, as on a command line
        (fact(4, 5, data="landscape"), 0),
        (fact(4, 5, key="region"), 0),
        (fact(4, 5, **{"pretrained on": fact(4)}), 2),
        (fact(1, **{"pretrained on": fact(5)}), 1),
        ({"data": "store", "split": "by region"}, 0),
    ],
)
def test_what_is_told(earlier, count):
    assert len(seen_before(earlier, "store", "fold", INFO, np.array([3, 4]))) == count


def test_random_weights_come_from_nowhere():
    assert ancestry("") == {}
