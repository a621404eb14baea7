"""The commands around models: listing, showing, exporting, releasing."""

import json
from pathlib import Path

import pytest
from small_models import FACTS, contrast, fusion_model

from omnifuse.cli import main
from omnifuse.inference import releases
from omnifuse.inference.card import Score
from omnifuse.runs import models, releasing
from omnifuse.zoo import Release, load, save_model, save_pretrained

STATED = ["--title", "Small", "--description", "A test.", "--data", "Synthetic.", "--limits", "Everything."]
SCORES = [{"metric": "mIoU", "sensors": "s2", "value": 0.4, "low": 0.3, "high": 0.5, "on": "6 places"}]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    save_model(folder, fusion_model(), FACTS)
    return folder


def released(saved: Path, home: Path, *flags: str) -> int:
    (home / "scores.json").write_text(json.dumps(SCORES), encoding="utf-8")
    return main(["release", str(saved), "small", *STATED, "--scores", str(home / "scores.json"), "--into", str(home / "to"), *flags])


def test_a_release_has_a_card_a_row_and_a_hash(saved, tmp_path, monkeypatch, capsys):
    assert released(saved, tmp_path) == 0
    out = tmp_path / "to" / "small"
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors", "model.stac.json"]
    text = (out / "README.md").read_text(encoding="utf-8")
    for part in ("# Small", "A test.", "Synthetic.", "Everything.", "CC-BY-4.0", "| mIoU | s2 | 0.400 (0.300–0.500) | 6 places |"):
        assert part in text
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith('    "small": Release(')]
    row = eval(f"{{{line}}}", {"Release": Release})  # noqa: S307  # it is to be pasted into a module
    for module in (releases, models):
        monkeypatch.setattr(module, "RELEASES", row)
    monkeypatch.setattr(releases, "ROOTS", (tmp_path / "to",))
    assert load("small").config.facts["title"] == "Small"
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "small" in shown and "tiny" in shown and "base" in shown
    assert main(["models", "small"]) == 0 and "# Small" in capsys.readouterr().out
    assert main(["models", "small", "--stac"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["mlm:name"] == "small"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_names_are_whole_at_any_width(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {*releases.RELEASES, *models.ARCHITECTURES} <= set(lines)  # each on a line of its own, to be copied
    assert all(len(line) <= columns for line in lines if line.startswith(" "))
    assert "…" not in "".join(lines)
    if columns >= 60:
        assert "  mIoU 78.9 % (74.2–83.1), all sensors" in lines


def test_scores_are_said_in_percent_where_they_are_shares():
    score = {"sensors": "s2+spot", "value": 0.789, "low": 0.742, "high": 0.831}
    share, other = Score(metric="miou", **score), Score(metric="rmse (t/ha)", **score)
    assert models.score_text(share, ("s2", "spot")) == "mIoU 78.9 % (74.2–83.1), all sensors"
    assert models.score_text(share, ("s2", "spot", "dem")) == "mIoU 78.9 % (74.2–83.1), s2 + spot"
    assert models.score_text(other, ("s2", "spot")) == "rmse (t/ha) 0.789 (0.742–0.831), all sensors"
    assert models.score_text(Score(metric="accuracy", sensors="s2", value=0.5), ("s2",)) == "accuracy 50.0 %, s2"


def test_a_release_is_refused_where_it_would_be_wrong(saved, tmp_path, monkeypatch, capsys):
    assert main(["release", str(saved), "small", *STATED, "--into", str(tmp_path / "to")]) == 4
    assert "no scores" in capsys.readouterr().err
    assert released(saved, tmp_path) == 0
    assert released(saved, tmp_path) == 5 and "exists" in capsys.readouterr().err
    assert released(saved, tmp_path, "--overwrite") == 0
    monkeypatch.setattr(releasing, "LARGEST", 1000)
    assert released(saved, tmp_path, "--overwrite") == 5 and "more than the 0.001 MB" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["small"]  # the earlier one, and nothing half made


def test_pretrained_encoders_are_released_without_scores(tmp_path):
    save_pretrained(tmp_path / "encoders", contrast(), {})
    assert main(["release", str(tmp_path / "encoders"), "small", *STATED, "--into", str(tmp_path / "to")]) == 0
    assert load(tmp_path / "to" / "small").classes is None


def test_mistakes_of_the_commands_are_named(saved, tmp_path, capsys):
    assert main(["models", "--stac"]) == 5 and "omnifuse models NAME --stac" in capsys.readouterr().err
    assert main(["models", "tiny-landscap"]) == 5 and "no such folder" in capsys.readouterr().err
    assert main(["export", str(saved), str(tmp_path / "model.pt2")]) == 4 and "Try: " in capsys.readouterr().err
    (tmp_path / "model.onnx").touch()
    assert main(["export", str(saved), str(tmp_path / "model.onnx")]) == 4 and "--overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_export_writes_the_file_and_its_description(saved, tmp_path, capsys):
    out = tmp_path / "model.pt2"
    assert main(["export", str(saved), str(out), "--sensors", "s2", "--dates", "2", "--size", "160", "--format", "torch"]) == 0
    assert "[2, 10, 16, 16]" in capsys.readouterr().out
    assert json.loads((tmp_path / "model.pt2.json").read_text(encoding="utf-8"))["place"]["size in metres"] == 160.0
