"""The main job end to end, as small as it gets: every step is the real one."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import omnifuse
from omnifuse.cli import main
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.data.statistics import band_statistics, with_statistics
from omnifuse.data.subset import Subset
from omnifuse.data.subset import split as places_of
from omnifuse.errors import CheckpointError, ConfigError, InputError, StoppedError
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.landscape import small_encoders, small_fusion, small_head
from omnifuse.runs.places import AugmentConfig, SplitConfig, opened
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.quickstart import QuickstartConfig, quickstart
from omnifuse.runs.recipe import read_recipe
from omnifuse.runs.sources import LandscapeData, OmbriaData, WorldCerealPatchesData
from omnifuse.train.config import TrainConfig
from omnifuse.train.log import read_log

REAL = Path(__file__).parents[3] / "shared" / "realdata"
DATA = LandscapeConfig(places=25, size=16, sensors=("s2", "s1_asc", "spot"))
SERIES = UTAEConfig(widths=(8, 16), heads=8, dim=64, padding="zeros")


@pytest.fixture(scope="module")
def places() -> InMemory:
    return InMemory.build(Landscape(DATA))


def training(steps: int = 2) -> TrainConfig:
    return TrainConfig(steps=steps, batch_size=4, warmup_steps=1, log_steps=1, save_steps=2)


def pretraining(parent: Path, **changes) -> PretrainConfig:
    config = PretrainConfig(
        data=LandscapeData(landscape=DATA),
        encoders=small_encoders(),
        augment=AugmentConfig(most_dates=4),
        train=training(),
        folder=str(parent / "pretrain"),
    )
    return replace(config, **changes)


def finetuning(parent: Path, **changes) -> FinetuneConfig:
    config = FinetuneConfig(
        data=LandscapeData(landscape=DATA),
        encoders=small_encoders(),
        fusion=small_fusion(),
        head=small_head(),
        augment=AugmentConfig(most_dates=4, modality_dropout=0.3),
        train=training(),
        label_fraction=0.2,
        folder=str(parent / "finetune"),
    )
    return replace(config, **changes)


def test_pretraining_hands_its_encoders_and_statistics_to_fine_tuning(tmp_path, places):
    pretrain(pretraining(tmp_path), places)
    start = finetuning(tmp_path, init=str(tmp_path / "pretrain" / "pretrained"), train=replace(training(1), learning_rate=0.0))
    tuned = finetune(start, places)  # a learning rate of zero leaves what it started from
    pretrained = omnifuse.load(tmp_path / "pretrain" / "pretrained").model.encoders.state_dict()
    for name, value in tuned.model.encoders.state_dict().items():
        torch.testing.assert_close(value, pretrained[name], atol=0, rtol=0)
    scratch = finetune(replace(start, init="", folder=str(tmp_path / "scratch")), places)
    assert any(not torch.equal(value, pretrained[name]) for name, value in scratch.model.encoders.state_dict().items())
    assert read_recipe(tmp_path / "finetune" / "config.json", FinetuneConfig) == start
    assert len(tuned.subsets) == 7 and all(len(found.place) == 5 for found in tuned.subsets.values())


def test_a_fine_tuned_folder_maps_what_the_model_maps(tmp_path, places):
    tuned = finetune(finetuning(tmp_path), places)
    predictor = omnifuse.load(tmp_path / "finetune" / "model")
    place = places[3]
    expected = tuned.model(place.to_batch())[0].argmax(0).numpy()
    found = predictor.predict({name: s.pixels for name, s in place.series.items()}, {name: s.day for name, s in place.series.items()})
    assert (found.labels == expected).all()


def test_a_run_reads_only_the_sensors_that_it_has_encoders_for(tmp_path, places):
    two = {name: small_encoders()[name] for name in ("s2", "spot")}
    assert set(finetune(finetuning(tmp_path, encoders=two), places).subsets) == {("s2",), ("spot",), ("s2", "spot")}


def test_a_run_goes_on_where_it_was_and_is_held_to_its_data(tmp_path, places):
    whole = pretrain(pretraining(tmp_path, train=training(4)), places)
    half = pretraining(tmp_path, train=training(4), folder=str(tmp_path / "again"))
    asked = 0

    class StopReadingError(Exception):
        pass

    class Stopping(InMemory):
        def __getitem__(self, index):
            nonlocal asked
            asked += 1
            if asked > 40:
                raise StopReadingError
            return super().__getitem__(index)

    with pytest.raises(StopReadingError):
        pretrain(half, Stopping(places, places.places))
    resumed = pretrain(half, places)
    assert resumed.step == whole.step == 4
    keys = ("step", "loss", "grad_norm")
    rows = [[{k: row[k] for k in keys if k in row} for row in read_log(r.folder / "log.jsonl")] for r in (whole, resumed)]
    assert rows[0] == rows[1]
    other = InMemory.build(Landscape(replace(DATA, places=26)))
    with pytest.raises(ConfigError, match="fingerprint"):
        pretrain(replace(half, train=replace(half.train, steps=4)), other)


def test_a_signal_ends_a_run_whose_leftovers_are_not_taken_for_results(tmp_path, places):
    class Signalling(InMemory):
        def __getitem__(self, index):
            signal.raise_signal(signal.SIGTERM)
            return super().__getitem__(index)

    config = pretraining(tmp_path, train=training(4))
    modalities = with_statistics(places.modalities, band_statistics(places, np.arange(20)))
    signalling = Signalling(places, places.places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omnifuse.runs.pretraining.band_statistics", lambda *_: {k: (m.mean, m.std) for k, m in modalities.items()})
        with pytest.raises(StoppedError, match="stopped by a signal at step 1"):
            pretrain(config, signalling)
    assert not (tmp_path / "pretrain" / "pretrained").exists()
    assert pretrain(config, places).step == 4
    assert (tmp_path / "pretrain" / "pretrained" / "model.safetensors").exists()


def test_what_does_not_fit_is_named(tmp_path, places):
    pretrain(pretraining(tmp_path), places)
    init = str(tmp_path / "pretrain" / "pretrained")
    other = {**small_encoders(), "s2": SERIES}
    with pytest.raises(CheckpointError, match="encoder of 's2' was pretrained as widths"):
        finetune(finetuning(tmp_path, init=init, encoders=other), places)
    with pytest.raises(InputError, match="unknown modality 's3'"):
        finetune(finetuning(tmp_path, encoders={"s3": SERIES}))
    with pytest.raises(InputError, match="no place has fold = 9"):
        finetune(finetuning(tmp_path, split=SplitConfig(test=(9,))), places)
    with pytest.raises(CheckpointError, match="nowhere"):
        finetune(finetuning(tmp_path, init=str(tmp_path / "nowhere")), places)


def test_labels_outside_the_classes_stop_a_run_and_name_the_place(tmp_path, places):
    wrong = InMemory(places, list(places.places))
    target = places[0].target.copy()
    target[3, 4] = 77
    wrong.places[0] = replace(places[0], target=target)
    with pytest.raises(InputError, match=r"place '00000'.*77.*13 \(ignored\)"):
        finetune(finetuning(tmp_path, label_fraction=1.0, split=SplitConfig(train=(1,), test=(2,))), wrong)


def test_the_quickstart_writes_its_report_and_can_be_repeated(tmp_path, capsys):
    folder = tmp_path / "quick"
    config = QuickstartConfig(folder=str(folder), places=25, pretrain_steps=3, finetune_steps=2, label_fraction=0.25, workers=0)
    page = quickstart(config)
    said = capsys.readouterr().out
    assert "[1/6] landscape" in said and "[6/6] report" in said
    value = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert value["seed"] == 0 and value["configuration"]["quickstart"]["places"] == 25
    subsets = {"s2", "s1_asc", "spot", "s2+s1_asc", "s2+spot", "s1_asc+spot", "s2+s1_asc+spot"}
    assert set(value["results"]["miou"]) == {"pretrained", "from scratch", "no modality dropout"}
    assert all(set(found) == subsets for found in value["results"]["miou"].values())
    assert page.stat().st_size > 100_000
    assert {path.stem for path in folder.glob("*.png")} >= {"subsets", "confusion", "pretraining", "finetuning", "place-1"}
    assert omnifuse.load(folder / "model").classes.names[0] == "background"
    with pytest.raises(ConfigError, match="finished quickstart"):
        quickstart(config)
    (folder / "report.html").unlink()
    quickstart(config)  # everything is there already: only the report is made again
    again = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert again["results"] == value["results"]
    (folder / "report.html").unlink()
    with pytest.raises(ConfigError, match="begun with another seed"):
        quickstart(replace(config, seed=1))


@pytest.mark.slow
def test_minutes_scale_the_work_once_and_write_it_down(tmp_path, capsys):
    config = QuickstartConfig(folder=str(tmp_path), places=25, minutes=0.5, label_fraction=0.25, workers=0)
    quickstart(config)
    assert "the default work ×" in capsys.readouterr().out
    settled = json.loads((tmp_path / "quickstart.json").read_text(encoding="utf-8"))["settled"]
    assert 10 <= settled["pretrain_steps"] < config.pretrain_steps and 10 <= settled["finetune_steps"] < config.finetune_steps
    (tmp_path / "report.html").unlink()
    quickstart(config)  # goes on with the work that was written down, however fast the machine is now
    assert "the default work ×" not in capsys.readouterr().out


def test_a_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    assert main(["quickstart", "--folder", str(tmp_path), "--overwrite"]) == 4
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not REAL.exists(), reason="real satellite data (../shared/realdata) is not here")
@pytest.mark.parametrize(
    ("data", "names", "split", "origin"),
    [
        (OmbriaData(path=str(REAL / "ombria"), tile=64), ("s1", "s2"), SplitConfig(train=(1,), test=(2,)), 0),
        (
            WorldCerealPatchesData(path=str(REAL / "worldcereal_patches"), tile=16),
            ("s2", "s1_asc"),
            SplitConfig(train=(1, 2), test=(3,)),
            17775,
        ),
    ],
    ids=["ombria", "worldcereal_patches"],
)
def test_the_same_way_is_whole_on_real_data(tmp_path, data, names, split, origin):
    encoders = dict.fromkeys(names, replace(SERIES, origin=origin, season=(0, 0) if origin == 0 else (30, 420)))
    common = {"data": data, "split": split, "encoders": encoders, "augment": AugmentConfig(most_dates=6)}
    source = opened(data, names, in_memory=False, workers=0)
    few = np.concatenate([places_of(source.info, "fold", (fold,))[:4] for fold in (*split.train, *split.test)])
    source = Subset(source, few)
    pretrain(PretrainConfig(**common, train=training(), folder=str(tmp_path / "pretrain")), source)
    fusion, head = replace(small_fusion(), gsds=(20.0, 10.0), dims=(16, 8)), replace(small_head(), dims=(8,))
    init = str(tmp_path / "pretrain" / "pretrained")
    tuned = finetune(FinetuneConfig(**common, fusion=fusion, head=head, init=init, train=training(), folder=str(tmp_path / "tune")), source)
    assert all(found.total.sum() > 0 for subset, found in tuned.subsets.items() if len(subset) == 2)
