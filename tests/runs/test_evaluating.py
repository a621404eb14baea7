"""`omnifuse evaluate`: folds pooled, nothing scored unsaid that was trained on, the same on any number of processes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_models import contrast, fusion_model

from omnifuse.classes import ClassTable, Quantities
from omnifuse.cli import main
from omnifuse.config import to_dict
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS
from omnifuse.data.sources.pastis_layout import CLASSES as PASTIS
from omnifuse.data.stacked import Stack
from omnifuse.data.store import Store, write_store
from omnifuse.data.targets import SharesConfig, retargeted
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.metrics import Confusion, Multilabel, Regression
from omnifuse.evals.protocols import PROTOCOLS
from omnifuse.models.heads import PlaceConfig
from omnifuse.models.model import FusionModel
from omnifuse.runs.evaluating import EvaluateCommand, metric_for
from omnifuse.runs.evaluating_plan import Entrant, Training, check_labels, entrants, missing_rows, plan, scored_labels, stacked_alike
from omnifuse.runs.places import SplitConfig
from omnifuse.runs.probing import probed_places
from omnifuse.runs.results import read_results
from omnifuse.runs.sources import FlairData
from omnifuse.zoo import save_model, save_pretrained

NAMES = ("s2", "s1_asc", "spot")
INFO = [{"id": f"p{i}", "fold": i % 5 + 1} for i in range(10)]


def split(row: int) -> dict[str, object]:
    one = PROTOCOLS["pastis"].rows[row]
    return {"key": "fold", "train": list(one.train), "val": list(one.val), "test": list(one.test)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of ten places in five folds, two models of two rows of the cross-validation, and a pretrained one."""
    folder = tmp_path_factory.mktemp("evaluating")
    landscape = Landscape(LandscapeConfig(places=10, size=16, hr=4, sensors=NAMES))
    landscape.info = [row | {"fold": i % 5 + 1} for i, row in enumerate(landscape.info)]
    landscape.classes = PASTIS  # for its protocols
    write_store(landscape, folder / "store", workers=1)
    for row in (0, 1):
        save_model(folder / f"fold{row}" / "model", fusion_model(row, landscape.classes), {"title": "random", "split": split(row)})
    save_pretrained(folder / "pretrained", contrast(), {"title": "pretrained", "split": split(0)})
    return folder


def run(made: Path, model: str, *flags: str) -> int:
    return main(["evaluate", str(made / model), str(made / "store"), "--device", "cpu", *flags])


@pytest.fixture(scope="module")
def found(made: Path) -> Path:
    assert run(made, "fold[01]", "--protocol", "pastis", "--subsets", "full", "--out", str(made / "out")) == 0
    return made / "out"


def entrant(values: tuple[int, ...] | None, key: str = "fold", **facts: object) -> Entrant:
    content = SimpleNamespace(facts=facts)
    known = None if values is None else SplitConfig(key=key, train=values, val=(), test=(5,))
    one = object.__new__(Entrant)
    for name, value in (("name", "mine"), ("content", content), ("training", Training(split=known))):
        object.__setattr__(one, name, value)
    return one


def test_each_fold_is_scored_by_the_model_that_did_not_see_it_and_the_tables_are_summed(found, made):
    results = read_results(found)
    (view,) = results.scored
    assert results.about.facts["parts"] == ["fold 5", "fold 1"] and len(results.scored[view].place) == 4
    assert results.about.protocol == "pastis"
    alone = []
    for row in (0, 1):
        assert run(made, f"fold{row}", "--subsets", "full", "--out", str(made / f"alone{row}")) == 0
        alone.append(read_results(made / f"alone{row}").scored[view])
    assert torch.equal(alone[0].joined(alone[1]).total, results.scored[view].total)
    assert alone[0].place.tolist() == [4, 9] and alone[1].place.tolist() == [0, 5]


def test_the_page_has_the_rule_the_folds_and_maps_beside_the_truth(found):
    page = (found / "report" / "report.html").read_text(encoding="utf-8")
    for what in ("protocol pastis (2 of 5 rows)", "a crop predicted as void is no error", "utae-paps", "Fold by fold", "Maps beside"):
        assert what in page, what
    assert (found / "report" / "place-0.png").stat().st_size > 10_000 and (found / "report" / "confusion.png").is_file()
    figures = json.loads((found / "results.json").read_text(encoding="utf-8"))
    assert "--protocol pastis" in figures["facts"]["command"]


def test_some_rows_of_a_cross_validation_are_not_its_figure(found):
    assert missing_rows(PROTOCOLS["pastis"], 5) == missing_rows(PROTOCOLS["pastis_fold1"], 1) == missing_rows(None, 1) == []
    (note,) = missing_rows(PROTOCOLS["pastis"], 2)
    assert note.startswith("2 of 5 rows of protocol pastis: not the published figure")
    assert read_results(found).about.facts["notes"] == [note]


def test_what_a_model_was_trained_on_is_not_scored_unless_it_is_said(made, capsys):
    known = [entrant((1, 2, 3))]
    with pytest.raises(InputError, match=r"mine: was trained on places.*4 of the 6 places, such as 'p0' \(fold 1\).*--values 5"):
        plan(known, INFO, None, (), ("fold", ("1", "2", "4")), "refuse")
    (allowed,) = plan(known, INFO, None, (), ("fold", ("1", "2", "4")), "allowed")
    assert len(allowed.places) == 6 and "no score of unseen places" in allowed.notes[0]
    # The well-known mistake: the weights called `Fold_1` are of row 1, which tests fold 5, and have seen fold 1.
    assert run(made, "fold0", "--split", "fold", "--values", "1", "--out", str(made / "never")) == 3
    assert "was trained on places" in capsys.readouterr().err and not (made / "never").exists()


def test_where_a_model_says_nothing_the_places_have_to_be_named_and_a_note_says_so():
    with pytest.raises(ConfigError, match="does not say what it was tested on"):
        plan([entrant(None)], INFO, None, (), None, "refuse")
    with pytest.raises(ConfigError, match=r"does not say what it was trained on.*--rows 1"):
        plan([entrant(None)], INFO, PROTOCOLS["pastis"], (), None, "refuse")
    (one,) = plan([entrant(None)], INFO, PROTOCOLS["pastis"], (2,), None, "refuse")
    assert one.part == "fold 1" and "is not known" in one.notes[0]
    (own,) = plan([entrant((1, 2, 3))], INFO, None, (), None, "refuse")
    assert own.places.tolist() == [4, 9] and own.notes == ()


@pytest.mark.parametrize(("earlier", "told"), [((5, 1), 2), ((1, 2, 3), 0)])
def test_images_that_the_pretraining_has_seen_are_told_again_at_an_evaluation(earlier, told):
    """A model fine-tuned on one row from weights that were pretrained on another is scored at places whose images it knows."""
    before = {"data": "pastis", "split": {"key": "fold", "train": list(earlier)}}
    (one,) = plan([entrant((1, 2, 3), data="pastis", **{"pretrained on": before})], INFO, None, (), None, "refuse")
    said = [f"mine: {told} of the 2 tested places are of fold 5, 1, which the weights to start from were trained on"] if told else []
    assert [note.split(":")[0] + ":" + note.split(":")[1] for note in one.notes] == said


def test_a_model_of_another_division_is_no_row_of_the_protocol():
    with pytest.raises(ConfigError, match="trained on fold 1, 2, its rows train on"):
        plan([entrant((1, 2))], INFO, PROTOCOLS["pastis"], (), None, "refuse")
    with pytest.raises(ConfigError, match="split by region, not fold"):
        plan([entrant((1, 2), "region")], INFO, PROTOCOLS["pastis"], (), None, "refuse")


GENERA = ClassTable(("Abies", "Acer"), ("#111111", "#222222"), exclusive=False, present_above=0.07)
HEIGHT = Quantities(("height",), ("m",), (10.0,), (4.0,))


def labeled(labels: ClassTable | Quantities) -> Landscape:
    """Places of which nothing but the labels is asked."""
    source = Landscape(LandscapeConfig(places=1, size=16, hr=4))
    source.classes, source.quantities = (labels, None) if isinstance(labels, ClassTable) else (None, labels)
    return source


@pytest.mark.parametrize(
    ("trained", "changes", "words"),
    [
        (HEIGHT, {"units": ("dm",)}, r"`units` of the labels is \('dm',\); mine was trained on \('m',\)\. Try"),
        (GENERA, {"present_above": 0.5}, r"`present_above` of the labels is 0.5; mine was trained on 0.07"),
        (GENERA, {"exclusive": True}, "`exclusive` of the labels is True"),
        (replace(GENERA, exclusive=True), {"ignore": 0}, "`ignore` of the labels is 0; mine was trained on no class"),
    ],
)
def test_labels_of_the_same_names_that_mean_something_else_are_refused(trained, changes, words):
    check_labels(trained, labeled(trained), "mine", "there")
    with pytest.raises(InputError, match=words):
        check_labels(trained, labeled(replace(trained, **changes)), "mine", "there")


def test_labels_are_scored_as_the_places_have_them():
    """A protocol says above which share a genus is there, not the model; labels beyond the classes are void by any number."""
    taught = replace(GENERA, present_above=0.5)
    check_labels(taught, labeled(GENERA), "mine", "there", PROTOCOLS["treesatai"])
    metric = metric_for(PROTOCOLS["treesatai"], scored_labels(taught, labeled(GENERA)))
    assert isinstance(metric, Multilabel) and metric.classes.present_above == 0.07
    taught, there = (replace(GENERA, exclusive=True, ignore=void) for void in (-1, 2))
    check_labels(taught, labeled(there), "mine", "there")
    assert metric_for(None, scored_labels(taught, labeled(there))) == Confusion(GENERA.names, void=2)
    measured = replace(HEIGHT, mean=(7.0,))  # what the truth is counted about, as in the model's own results
    assert metric_for(None, scored_labels(measured, labeled(HEIGHT))) == Regression(measured)


def test_places_are_stacked_as_in_training_and_models_of_other_stacks_are_not_scored_together(made):
    source = Landscape(LandscapeConfig(places=2, size=8, sensors=("s2", "s1_asc")))
    [plain] = entrants(str(made / "fold0"))
    other = replace(plain, training=Training(stacks=(Stack(),)))
    assert stacked_alike(source, [plain]) is source
    assert list(stacked_alike(source, [other]).modalities) == ["s2_s1"]
    with pytest.raises(ConfigError, match=r"was trained on other stacked sensors than .*fold0\S*\. Try: one evaluation"):
        stacked_alike(source, [plain, other])


def test_wrong_input_is_one_sentence(made, tmp_path, capsys):
    out = ("--out", str(tmp_path / "out"))
    cases = {
        ("fold0", "--split", "fold"): "--values",
        ("fold0", "--protocol", "pastis_"): "Try: --protocol pastis",
        ("fold*x",): "no such folder",
        ("pretrained", "--split", "fold", "--values", "5"): "only embeds",
        ("fold0", "--probe", "knn", "--split", "fold", "--values", "5"): "is fine-tuned",
        ("fold0", "--taught", "1"): "--probe linear",
        ("pretrained", "--probe", "knn", "--protocol", "pastis", "--taught", "1"): "neither `--split` nor `--taught`",
        ("fold0", "--protocol", "pastis", "--split", "fold", "--values", "5"): "one of them",
        ("fold0", "--protocol", "flair_12"): "expected those of flair13",
    }
    for (model, *flags), words in cases.items():
        assert run(made, model, *flags, *out) in (3, 4), model
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("probe", ["linear", "knn"])
def test_a_pretraining_is_probed_by_the_same_metrics(made, probe):
    out = made / probe
    assert run(made, "pretrained", "--probe", probe, "--split", "fold", "--values", "4", "5", "--out", str(out)) == 0
    results = read_results(out)
    assert set(results.scored) == {*NAMES, "+".join(NAMES)}
    whole = results.scored["+".join(NAMES)]
    assert whole.place.tolist() == [3, 4, 8, 9] and 0 < whole.total.sum() <= 4 * 16
    low, high = whole.interval(0)
    assert low <= whole.score <= high and probe in results.about.protocol
    assert any("taught by 6 places (fold 1, 2, 3)" in note for note in results.about.facts["notes"])
    assert any("saw the images of fold 1, 2, 3 of its own data" in note for note in results.about.facts["notes"])


def test_a_regression_is_scored_as_it_is_and_about_the_level_of_its_training(made, tmp_path):
    rule = SharesConfig(classes=("meadow", "corn"))
    labels = replace(rule.labels(PASTIS), mean=(0.3, 0.2), std=(0.1, 0.1))
    torch.manual_seed(0)
    model = FusionModel(replace(fusion_model().config, head=PlaceConfig(dim=8), labels=labels)).eval()
    save_model(tmp_path / "run" / "model", model, {"title": "shares", "split": split(0), "target": [to_dict(rule)]})
    out = ("--subsets", "full", "--device", "cpu", "--out", str(tmp_path / "out"))
    assert main(["evaluate", str(tmp_path / "run"), str(made / "store"), *out]) == 0
    results = read_results(tmp_path / "out")
    (found,) = results.scored.values()
    assert found.metric == Regression(labels) and found.place.tolist() == [4, 9]
    source = retargeted(Store(made / "store"), (rule,))
    truth = torch.tensor([source[place].target.tolist() for place in (4, 9)], dtype=torch.float64)
    torch.testing.assert_close(found.statistics[:, 1], truth - torch.tensor([0.3, 0.2], dtype=torch.float64), atol=1e-7, rtol=0)
    page = (tmp_path / "out" / "report" / "report.html").read_text(encoding="utf-8")
    assert "R²" in page and "R², %" not in page


def test_flair_as_it_is_read_by_default_is_what_its_protocol_takes():
    labels = FLAIR_PROTOCOLS[FlairData(path="").protocol].classes
    assert PROTOCOLS["flair_12"].target(labels) == ()


def test_a_probe_learns_neither_from_what_is_held_back_nor_from_what_it_is_asked_about():
    source = Landscape(LandscapeConfig(places=5, size=16, hr=4))
    source.info = [row | {"geo": part} for row, part in zip(source.info, ("train", "val", "buffer", "test", "train"), strict=True)]

    def places(*taught: str, values: tuple[str, ...] = ("test",)) -> tuple[str, list[int], list[int]]:
        command = EvaluateCommand(probe="knn", split="geo", values=values, taught=taught)
        asked, lesson, *numbers = probed_places(source, entrant(None), None, command)
        assert asked == f"geo {', '.join(values)}"
        return lesson, *(some.tolist() for some in numbers)

    assert places() == ("geo train", [0, 4], [3])
    assert places(values=("val",)) == ("geo train", [0, 4], [1])
    assert places("train", "val") == ("geo train, val", [0, 1, 4], [3])
    with pytest.raises(ConfigError, match="learns from geo train, test and is asked about test"):
        places("train", "test")
    with pytest.raises(ConfigError, match=r"is left no geo to learn from.*--taught train"):
        places(values=("train",))


@pytest.mark.slow
def test_two_processes_write_the_same_numbers(made, tmp_path):
    command = ["evaluate", str(made / "fold0"), str(made / "store"), "--device", "cpu", "--out", str(tmp_path / "two")]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "omnifuse.cli"]
    done = subprocess.run([sys.executable, *launcher, *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert run(made, "fold0", "--out", str(tmp_path / "one")) == 0
    assert (tmp_path / "two" / "counts.safetensors").read_bytes() == (tmp_path / "one" / "counts.safetensors").read_bytes()
    known = [json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8")) for name in ("one", "two")]
    assert known[0] == known[1]
