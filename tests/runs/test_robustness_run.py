"""`omnifuse robustness`: from a model folder and a store to a table, a picture and a page; wrong input in one sentence."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import contrast, fusion_model

from omnifuse.cli import main
from omnifuse.config import to_dict
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.store import write_store
from omnifuse.data.targets import SharesConfig
from omnifuse.evals.metrics import Regression
from omnifuse.evals.report import Table
from omnifuse.evals.subsets import all_subsets
from omnifuse.models.heads import PlaceConfig
from omnifuse.models.model import FusionModel
from omnifuse.runs.opening import Found, command_line
from omnifuse.runs.repeating import again
from omnifuse.runs.results import read_results
from omnifuse.runs.robustness import RobustnessCommand
from omnifuse.runs.robustness_report import markdown
from omnifuse.runs.sources import FlairData
from omnifuse.zoo import save_model, save_pretrained

NAMES = ("s2", "s1_asc", "spot")
NO_HARMS = [f"--harms.{name}" for name in ("rates", "looks", "clouds", "drift", "noise", "shifts", "dates", "gaps")]  # subsets alone


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with random weights, and a store of four places of which two are in fold 5."""
    folder = tmp_path_factory.mktemp("robustness")
    landscape = Landscape(LandscapeConfig(places=4, size=16, hr=4, sensors=NAMES))
    landscape.info = [row | {"fold": 5 if i % 2 else 1} for i, row in enumerate(landscape.info)]
    write_store(landscape, folder / "store", workers=1)
    facts = {"title": "random", "split": {"key": "fold", "train": [1], "val": [], "test": [5]}}
    save_model(folder / "model", fusion_model(classes=landscape.classes), facts)
    return folder / "model", folder / "store"


@pytest.fixture(scope="module")
def found(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "robustness"
    model, store = made
    assert (
        main(["robustness", str(model), str(store), "--split", "fold", "--values", "5", "--quick", "--device", "cpu", "--out", str(out)])
        == 0
    )
    return out


def test_one_command_leaves_a_table_a_picture_and_a_page(found):
    page = (found / "report" / "report.html").read_text(encoding="utf-8")
    assert "Fusion gain" in page and "Worst-case loss" in page and (found / "report" / "robustness.png").stat().st_size > 10_000
    lines = (found / "robustness.md").read_text(encoding="utf-8").splitlines()
    for what in ("all sensors", "fusion gain over", "worst-case loss, without", "S2 + S1 asc + SPOT", "misregistration of SPOT", "gap"):
        assert any(line.startswith(f"| {what}") for line in lines), what
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {6, 11}  # every row of a table is as wide as its header


def test_the_json_holds_every_setting_and_the_summary(found):
    known = json.loads((found / "robustness.json").read_text(encoding="utf-8"))
    assert known["summary"]["places"] == 2 and {row["places"] for row in known["rows"]} == {2}
    subsets = [tuple(row["setting"]["sensors"]) for row in known["rows"] if row["setting"]["protocol"] == "EMM"]
    assert subsets == all_subsets(NAMES)
    assert set(known["summary"]["mean"]) == {"EMM", "RMM", "NM", "dates"} and "value" in known["summary"]["worst-case loss"]
    whole = next(row for row in known["rows"] if row["setting"]["sensors"] == list(NAMES))
    assert whole["score"] == known["summary"]["all sensors"] and whole["change"]["value"] == 0


def test_what_was_counted_can_be_compared_with_other_models(found):
    results = read_results(found)
    assert len(results.scored) == len(json.loads((found / "robustness.json").read_text(encoding="utf-8"))["rows"])
    assert results.scored["s2+s1_asc"].statistics.shape[0] == 2 and "clouds 0.3 of the image" in results.scored


def test_the_same_command_gives_the_same_numbers(found, made, tmp_path):
    model, store = made
    again = ["--split", "fold", "--values", "5", "--quick", "--device", "cpu", "--batch-size", "2", "--out", str(tmp_path / "again")]
    assert main(["robustness", str(model), str(store), *again]) == 0
    assert (tmp_path / "again" / "robustness.json").read_bytes() == (found / "robustness.json").read_bytes()


def test_wrong_input_is_one_sentence(made, tmp_path, capsys):
    model, store = made
    start = ["robustness", str(model), str(store), "--out", str(tmp_path / "out")]
    assert main([*start, "--split", "fold"]) == 4 and "--values" in capsys.readouterr().err
    assert main([*start, "--quick", "--harms.looks", "2"]) == 4 and "--harms" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*start, "--harms.clouds", "1.5"])
    assert "`clouds` is (1.5,)" in capsys.readouterr().err
    assert main([*start, "--sensors", "s3"]) == 3 and "s3" in capsys.readouterr().err
    save_model(tmp_path / "other", fusion_model(), {"title": "other classes"})
    assert main(["robustness", str(tmp_path / "other"), str(store)]) == 3 and "predicts void, meadow" in capsys.readouterr().err
    save_pretrained(tmp_path / "pretrained", contrast(), {"title": "pretrained"})
    assert main(["robustness", str(tmp_path / "pretrained"), str(store)]) == 4 and "only embeds" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_model_was_trained_on_is_not_measured_unsaid(made, tmp_path, capsys):
    model, store = made
    start = ["robustness", str(model), str(store), *NO_HARMS, "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main([*start, "--split", "fold", "--values", "1"]) == 3
    assert "was trained on places" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main(start) == 0  # by default where it was tested
    assert list(read_results(tmp_path / "out").about.places) == [1, 3]
    assert main([*start, "--split", "fold", "--values", "1", "--seen", "allowed"]) == 0
    for page in ("robustness.md", "report/report.html"):
        assert "This is no score of unseen places." in (tmp_path / "out" / page).read_text(encoding="utf-8")
    assert main([*start, "--protocol", "pastis_fold1"]) == 3 and "expected the 20 of PASTIS" in capsys.readouterr().err


def test_a_model_of_labels_made_by_rules_is_measured_on_those(made, tmp_path):
    """Shares of two classes, regressed; given as the folder of its run."""
    _, store = made
    rule = SharesConfig(classes=("meadow", "corn"))
    torch.manual_seed(0)
    config = replace(fusion_model().config, head=PlaceConfig(dim=8), labels=rule.labels(Landscape(LandscapeConfig(places=1)).classes))
    facts = {"split": {"key": "fold", "train": [1], "val": [], "test": [5]}, "target": [to_dict(rule)]}
    save_model(tmp_path / "run" / "model", FusionModel(config).eval(), {"title": "shares", **facts})
    out = ("--device", "cpu", "--out", str(tmp_path / "out"))
    assert main(["robustness", str(tmp_path / "run"), str(store), *NO_HARMS, *out]) == 0
    results = read_results(tmp_path / "out")
    assert isinstance(results.metric, Regression) and results.metric.names() == ("meadow", "corn")
    assert set(results.scored) == {"+".join(some) for some in all_subsets(NAMES)}
    table = (tmp_path / "out" / "robustness.md").read_text(encoding="utf-8")
    assert "| R² |" in table and "R², %" not in table  # no share: as it is
    value = results.scored["s2+s1_asc+spot"].score
    assert f"| all sensors | {value:.3f} |" in table


def test_the_command_that_is_written_down_asks_for_the_same_again(made):
    model, store = made
    flags = ["--sensors", "s2", "spot", "--harms.looks", "--harms.clouds", "0.2", "0.4", "--seed", "3", "--kind", "store", "--out", "a b"]
    command, found = command_line(RobustnessCommand, str(store), flags, "omnifuse robustness")
    words = shlex.split(again(("omnifuse", "robustness", str(model), str(store)), command, found))
    assert words[:4] == ["omnifuse", "robustness", str(model), str(store)]
    assert command_line(RobustnessCommand, str(store), words[4:], "omnifuse robustness") == (replace(command, out="robustness"), found)
    quick, found = command_line(RobustnessCommand, str(store), ["--quick"], "omnifuse robustness")
    assert again(("omnifuse",), quick, found) == "omnifuse --quick"
    data = FlairData(kind="flair1", path=str(store), keep_clouds=True, window=20)
    assert (
        again(("omnifuse",), quick, Found(str(store), "flair1", False, data)) == "omnifuse --kind flair1 --quick --window 20 --keep-clouds"
    )


def test_a_table_in_markdown_aligns_numbers_and_escapes_bars():
    lines = markdown(Table(("name", "value"), (("a|b", 1.25), ("c", None)), decimals=2))
    assert lines == ["| name | value |", "| --- | ---: |", "| a\\|b | 1.25 |", "| c | – |"]
