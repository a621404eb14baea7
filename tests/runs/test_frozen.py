"""Frozen encoders stay as they were to the bit: in one process, after a stop, and among several processes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_models import contrast

from omnifuse.config import to_dict, write_json
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.store import write_store
from omnifuse.data.target_rules import DominantConfig
from omnifuse.errors import ConfigError
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import PlaceConfig, SegmentationConfig
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.objectives.contrast import Contrast
from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig
from omnifuse.train.log import read_log
from omnifuse.zoo import save_pretrained

NAMES = ("s2", "s1_asc", "spot")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> FinetuneConfig:
    """A probe of pretrained encoders on six places."""
    folder = tmp_path_factory.mktemp("frozen")
    landscape = Landscape(LandscapeConfig(places=6, size=16, hr=4, sensors=NAMES))
    landscape.info = [row | {"fold": 5 if i % 3 else 1} for i, row in enumerate(landscape.info)]
    write_store(landscape, folder / "store", workers=1)
    save_pretrained(folder / "pretrained", contrast(), {})
    return FinetuneConfig(
        data=StoreData(path=str(folder / "store")),
        split=SplitConfig(key="fold", train=(5,), test=(1,)),
        encoders=contrast().encoders.config.encoders,
        fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1),
        head=SegmentationConfig(dims=(8,)),
        objective=SegmentConfig(),
        train=TrainConfig(steps=2, batch_size=2, learning_rate=1e-2, log_steps=1, save_steps=1),
        init=str(folder / "pretrained"),
        frozen=True,
        folder=str(folder / "run"),
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def unchanged(run: Path, config: FinetuneConfig) -> bool:
    before, after = weights(Path(config.init)), weights(run / "model")
    encoders = [name for name in after if name.startswith("encoders.")]
    assert len(encoders) > 10
    return all(torch.equal(after[name], before[name]) for name in encoders)


@pytest.mark.parametrize("task", ["maps", "places"])
def test_encoders_stay_to_the_bit_and_the_rest_learns(start, task, tmp_path):
    other = {"head": PlaceConfig(dim=8), "objective": ClassifyConfig(), "target": (DominantConfig(),)} if task == "places" else {}
    config = replace(start, folder=str(tmp_path / "run"), **other)
    finetune(config)
    assert unchanged(tmp_path / "run", config)
    still = replace(config, folder=str(tmp_path / "still"), train=replace(config.train, learning_rate=0.0))
    finetune(still)
    learned, begun = weights(tmp_path / "run" / "model"), weights(tmp_path / "still" / "model")
    assert any(not torch.equal(value, begun[name]) for name, value in learned.items() if name.startswith("head."))
    thawed = replace(config, folder=str(tmp_path / "thawed"), frozen=False)
    finetune(thawed)
    assert not unchanged(tmp_path / "thawed", thawed)


def test_frozen_features_are_those_of_use_in_every_update(start, tmp_path):
    """All places in each update, nothing drawn and nothing learned: losses could differ by what encoders drop alone."""
    train = replace(start.train, batch_size=4, learning_rate=0.0, evaluate_steps=1)
    head, augment = SegmentationConfig(dims=(8,), dropout=0.0), AugmentConfig(symmetry=False)
    finetune(replace(start, head=head, train=train, augment=augment, folder=str(tmp_path / "run")))
    first, second = [row["loss"] for row in read_log(tmp_path / "run" / "log.jsonl") if "loss" in row]
    assert second == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("trained", [(), ("s2", "spot")])
def test_random_encoders_are_not_frozen(start, tmp_path, trained):
    begun = ""
    if trained:
        few = contrast().encoders.config
        few = replace(few, **{part: {name: getattr(few, part)[name] for name in trained} for part in ("modalities", "encoders")})
        save_pretrained(tmp_path / "few", Contrast(few, contrast().config), {})
        begun = str(tmp_path / "few")
    with pytest.raises(ConfigError, match=r"s1_asc.* at random weights.*--init.*--no-frozen"):
        finetune(replace(start, init=begun, folder=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_probe_that_was_stopped_ends_in_the_same_bits(start, tmp_path):
    class StopReadingError(Exception):
        pass

    asked = 0

    class Stopping(Landscape):
        def read(self, index, sensors):
            nonlocal asked
            asked += 1
            if asked > 5:  # in the third update, after two were saved
                raise StopReadingError
            return super().read(index, sensors)

    source = LandscapeConfig(places=6, size=16, hr=4, sensors=NAMES)
    whole, cut = (replace(start, folder=str(tmp_path / name), train=replace(start.train, steps=3)) for name in ("whole", "cut"))
    places = [cls(source) for cls in (Landscape, Stopping)]
    for one in places:
        one.info = [row | {"fold": 5 if i % 3 else 1} for i, row in enumerate(one.info)]
    finetune(whole, places[0])
    with pytest.raises(StopReadingError):
        finetune(cut, places[1])
    finetune(cut, places[0])
    first, again = weights(tmp_path / "whole" / "model"), weights(tmp_path / "cut" / "model")
    assert all(torch.equal(first[name], again[name]) for name in first) and unchanged(tmp_path / "cut", cut)


@pytest.mark.slow
def test_two_processes_keep_them_too(start, tmp_path):
    config = replace(start, folder=str(tmp_path / "two"))
    write_json(tmp_path / "config.json", to_dict(config))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "omnifuse.cli"]
    done = subprocess.run(
        [sys.executable, *launcher, "finetune", str(tmp_path / "config.json")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert unchanged(tmp_path / "two", config)
