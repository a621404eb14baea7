"""`omnifuse release` states what a run measured: the scores of its `results.json`, and none of anything else that is called so."""

import json
from pathlib import Path

import pytest
import torch
from small_models import CLASSES, FACTS, contrast, fusion_model

from omnifuse.cli import main
from omnifuse.config import from_dict
from omnifuse.evals.metrics import Confusion
from omnifuse.evals.scoring import Scored
from omnifuse.inference.card import Score, scores_of
from omnifuse.inference.folder import read_folder
from omnifuse.runs.releasing import measured
from omnifuse.runs.results import SEED, write_results
from omnifuse.zoo import save_model, save_pretrained

STATED = ["--title", "Small", "--description", "A test.", "--data", "Synthetic.", "--limits", "Everything."]
METRIC = Confusion(classes=CLASSES.names, void=CLASSES.ignore)


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder: its model, and what was counted at five places under two views; under a third nothing was seen."""
    save_model(tmp_path / "run" / "model", fusion_model(), FACTS)
    draw = torch.Generator().manual_seed(0)
    scored = {}
    for view, places in (("s2", 5), ("s2+s1_asc", 5), ("spot", 0)):
        counts = torch.randint(1, 9, (places, 3, 3), generator=draw) * torch.tensor([0, 1, 1])[:, None]
        scored[view] = Scored(counts, torch.arange(places), 5 - places, METRIC)
    write_results(tmp_path / "run", scored, {i: f"place {i}" for i in range(5)}, {"seed": 3})
    return tmp_path / "run"


def released(folder: Path, home: Path, *flags: str) -> int:
    return main(["release", str(folder), "small", *STATED, "--into", str(home / "to"), *flags])


def test_the_scores_of_the_run_are_those_of_the_card(run, tmp_path):
    assert released(run / "model", tmp_path) == 0
    views = json.loads((run / "results.json").read_text(encoding="utf-8"))["views"]
    scores = scores_of(read_folder(tmp_path / "to" / "small").facts)
    assert {score.sensors for score in scores} == set(views) == {"s2", "s2+s1_asc"}
    for score in scores:
        view = views[score.sensors]
        assert (score.metric, score.value, [score.low, score.high]) == ("miou", view["score"], view["interval"])
        assert score.on == "5 held-out places, 95 % interval over places"
    text = (tmp_path / "to" / "small" / "README.md").read_text(encoding="utf-8")
    best = scores[0]
    assert f"| miou | {best.sensors} | {best.value:.3f} ({best.low:.3f}–{best.high:.3f}) | 5 held-out places" in text.replace(
        "mIoU", "miou"
    )
    assert SEED == 0 and [from_dict(Score, row, "here") for row in measured(run)]


def test_scores_of_a_file_go_before_those_of_the_run(run, tmp_path):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps([{"metric": "mIoU", "sensors": "s2", "value": 0.4}]), encoding="utf-8")
    assert released(run / "model", tmp_path, "--scores", str(file)) == 0
    assert [score.value for score in scores_of(read_folder(tmp_path / "to" / "small").facts)] == [0.4]


def test_figures_of_a_pretraining_are_no_scores(tmp_path):
    """Its page leaves a `results.json` of its own format beside the model."""
    save_pretrained(tmp_path / "run" / "pretrained", contrast(), {})
    (tmp_path / "run" / "results.json").write_text(json.dumps({"format": "omnifuse-pretraining", "series": {}}), encoding="utf-8")
    assert released(tmp_path / "run" / "pretrained", tmp_path) == 0
    assert scores_of(read_folder(tmp_path / "to" / "small").facts) == []


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (lambda run: (run / "results.json").unlink(), 4, "no scores"),
        (lambda run: (run / "results.json").write_text("{}"), 4, "results.json: field `metric`"),
        (lambda run: (run / "results.json").write_text('{"format": "omnifuse-pretraining"}'), 4, "results.json: field `metric`"),
        (lambda run: (run / "counts.safetensors").unlink(), 3, "counts.safetensors: cannot be read"),
        (lambda run: (run / "counts.safetensors").write_bytes(b"damaged"), 3, "counts.safetensors: cannot be read"),
    ],
)
def test_results_that_cannot_be_read_are_named(run, tmp_path, capsys, damage, code, told):
    damage(run)
    assert released(run / "model", tmp_path) == code
    said = capsys.readouterr().err
    assert told in said and "Try: " in said and not (tmp_path / "to").exists()


@pytest.mark.parametrize("scores", ['[{"metric": "mIoU"}]', '"0.4"', "[", "[]", '[{"metric": "mIoU", "sensors": "s2", "value": "high"}]'])
def test_a_file_of_scores_that_is_none_is_named(run, tmp_path, capsys, scores):
    (run / "results.json").unlink()
    (tmp_path / "scores.json").write_text(scores, encoding="utf-8")
    assert released(run / "model", tmp_path, "--scores", str(tmp_path / "scores.json")) == 4
    assert "Try: " in capsys.readouterr().err and not (tmp_path / "to").exists()
