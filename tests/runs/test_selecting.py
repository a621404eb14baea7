"""A fine-tuning hands out the weights that did best at the places it watches, where it has such places and is asked to."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.errors import ConfigError
from omnifuse.inference.releases import read_named
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs import finetuning
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.finetuning_facts import read_facts
from omnifuse.runs.finetuning_report import state
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.results import read_results
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.checkpoint import trained_weights
from omnifuse.train.config import TrainConfig

DATA = LandscapeConfig(places=10, size=16, sensors=("s2",))


@pytest.fixture(scope="module")
def places() -> InMemory:
    landscape = Landscape(DATA)
    landscape.info = [row | {"fold": 1 + i % 5} for i, row in enumerate(landscape.info)]
    return InMemory.build(landscape)


@pytest.fixture
def config(tmp_path) -> FinetuneConfig:
    return FinetuneConfig(
        data=LandscapeData(landscape=DATA),
        split=SplitConfig(train=(1, 2, 3), val=(4,), test=(5,)),
        encoders={"s2": UTAEConfig(widths=(8, 16), heads=8, dim=16)},
        fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1),
        head=SegmentationConfig(dims=(8,)),
        augment=AugmentConfig(most_dates=4),
        train=TrainConfig(steps=3, batch_size=2, log_steps=1, save_steps=1, evaluate_steps=1, best="miou"),
        folder=str(tmp_path / "run"),
    )


class KilledError(Exception):
    pass


@pytest.fixture
def watch(monkeypatch):
    """Say what the evaluations during training find, the last after three updates; those at the end are as they are."""
    real = finetuning.score

    def found(*values: float) -> None:
        told = iter(values)

        def score(model, source, numbers, subsets, metric):
            value = next(told, None)
            if value is not None:
                return {subsets[0]: SimpleNamespace(score=value)}
            if len(values) == 2:
                raise KilledError
            return real(model, source, numbers, subsets, metric)

        monkeypatch.setattr(finetuning, "score", score)

    return found


def weights(folder) -> dict[str, torch.Tensor]:
    return {f"model.{name}": value for name, value in load_file(folder / "model" / "model.safetensors").items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_best_weights_on_val_are_scored_and_handed_out(config, places, watch, tmp_path):
    watch(0.2, 0.9, 0.1)
    tuned = finetune(config, places)
    run = tmp_path / "run"
    assert same(weights(run), trained_weights(run / "best")) and not same(weights(run), trained_weights(run / "checkpoints"))
    assert same({f"model.{name}": value for name, value in tuned.model.state_dict().items()}, weights(run))
    for facts in (read_named(str(run / "model"))[1].facts, read_results(run).about.facts):
        assert facts["selected"] == "best miou on val at step 2" and facts["steps"] == 3
    assert "not the last one: best miou on val at step 2" in state(read_facts(run))
    assert same({f"model.{name}": value for name, value in finetune(config, places).model.state_dict().items()}, weights(run))


def test_a_run_that_goes_on_knows_what_was_best_before(config, places, watch, tmp_path):
    watch(0.2, 0.9)
    with pytest.raises(KilledError):
        finetune(config, places)
    best = trained_weights(tmp_path / "run" / "best")
    watch(0.1)
    finetune(config, places)
    assert same(weights(tmp_path / "run"), best)


def test_nothing_is_selected_without_places_of_its_own_or_without_being_asked(config, places, watch, tmp_path):
    for name, change in {
        "tested": {"split": replace(config.split, val=())},
        "not asked": {"train": replace(config.train, best="")},
    }.items():
        watch(0.2, 0.9, 0.1)
        finetune(replace(config, folder=str(tmp_path / name), **change), places)
        assert same(weights(tmp_path / name), trained_weights(tmp_path / name / "checkpoints"))
        assert "selected" not in read_results(tmp_path / name).about.facts


def test_what_cannot_select_is_said_before_the_first_update(config, places, tmp_path):
    with pytest.raises(ConfigError, match=r"`train.best` is 'r2'.*--train.best miou"):
        finetune(replace(config, train=replace(config.train, best="r2")), places)
    assert not (tmp_path / "run").exists()


def test_best_weights_that_were_not_kept_are_not_replaced_by_others(config, places):
    finetune(replace(config, train=replace(config.train, best="")), places)
    with pytest.raises(ConfigError, match="without keeping its best weights"):
        finetune(config, places)
