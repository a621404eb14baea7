"""`omnifuse report` tells what kind of run a folder holds and writes its page, however far the run is; it harms nothing that is there."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from omnifuse.classes import ClassTable, Quantities
from omnifuse.cli import main
from omnifuse.config import write_json
from omnifuse.errors import InputError, OmnifuseError
from omnifuse.evals.metrics import Confusion, Metric, Multilabel, Regression
from omnifuse.evals.scoring import Scored
from omnifuse.runs.finetuning_facts import read_facts
from omnifuse.runs.finetuning_report import key_figures
from omnifuse.runs.finetuning_warnings import warnings
from omnifuse.runs.reporting import report_run
from omnifuse.runs.results import write_results

HOSTILE = "<script>alert(1)</script>"
NAMES = ("forest", HOSTILE, "water")
TRAIN = {"steps": 40, "seed": 3, "clip_norm": 1.0}
CONFIG = {
    "train": TRAIN,
    "head": {},
    "encoders": {"s2": {}, "s1_asc": {}},
    "data": {"kind": "store"},
    "init": "a/pretrained",
    "label_fraction": 0.1,
}


def write_log(folder: Path, steps: int = 10, **changes: Any) -> Path:
    """Write a healthy log: the loss falls, the score on held-out places rises."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for step in range(1, steps + 1):
        row = {"step": step, "loss": 3 / step, "lr": 1e-3, "grad_norm": 2.0, "cross_entropy": 2 / step, "dice": 1 / step, "accuracy": 0.5}
        rows.append({**row, "places_per_second": 60.0, "frames_per_second": 900.0, "data_share": 0.1, **changes})
        if step % 5 == 0:
            rows.append({"step": step, "eval/miou": 0.3 + step / 100})
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def counted(metric: Metric, seed: int, places: int = 6, skipped: int = 0) -> Scored:
    """Return counts at places as a middling model leaves them."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(metric, Confusion):
        shape = torch.randint(0, 20, (places, 3, 3), generator=generator) + (30 + 5 * seed) * torch.eye(3, dtype=torch.long)
    elif isinstance(metric, Multilabel):
        shape = torch.randint(1, 9, (places, 3, 3), generator=generator)
    else:
        y, error = (torch.randn(places, 2, 50, generator=generator, dtype=torch.float64) for _ in range(2))
        error = 2 * error  # worse than the mean: R² below zero
        shape = torch.stack([x.sum(-1) for x in (torch.ones_like(y), y, y.square(), error, error.abs(), error.square())], 1)
    return Scored(shape, torch.arange(places), skipped, metric)


def write_scores(folder: Path, metric: Metric | None = None, **changed: Scored) -> Path:
    metric = metric or Confusion(classes=NAMES)
    scored = {name: counted(metric, seed) for seed, name in enumerate(("s1_asc", "s2", "s2+s1_asc"))} | changed
    write_results(folder, scored, {i: f"place {i}" for i in range(6)}, {"data": "store"})
    return folder


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_a_run_that_goes_on_or_was_stopped_gets_a_page_of_what_there_is(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run")
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 11, "lo')  # torn by a kill
    (run / "checkpoints" / "step_000000010").mkdir(parents=True)
    write_json(run / "checkpoints" / "step_000000010" / "state.json", {"about": {**TRAIN, "torch": "2.99", "world_size": 4}, "step": 10})
    (page,) = report_run(run)
    text = text_of(page)
    assert page == run / "report" / "report.html"
    assert "has not ended: 10 of 40 updates" in text and "mIoU so far" in text and "40.0 %" in text
    assert "Every subset" not in text and "2.99" in text and "Nothing looks wrong" in text


def test_a_finished_run_shows_scores_intervals_and_classes_and_keeps_its_counts(tmp_path: Path) -> None:
    run = write_scores(write_log(tmp_path / "run", 40))
    write_json(run / "config.json", CONFIG)
    before = {name: (run / name).read_bytes() for name in ("results.json", "counts.safetensors", "log.jsonl")}
    (page,) = report_run(run)
    text = text_of(page)
    views = json.loads(before["results.json"])["views"]
    whole = views["s2+s1_asc"]
    assert f"{100 * whole['score']:.1f} %" in text
    assert f"95 % interval over places {100 * whole['interval'][0]:.1f} % to {100 * whole['interval'][1]:.1f} %" in text
    for view in views.values():
        assert f">{100 * view['score']:.1f}<" in text
    assert f">{100 * views['s2']['each']['water']:.1f}<" in text
    assert HOSTILE not in text and "&lt;script&gt;alert(1)" in text
    assert "from pretrained" in text and "10 % of the labels" in text and "The run has ended after 40 updates" in text
    assert before == {name: (run / name).read_bytes() for name in before}


def test_fusion_gain_and_the_loss_of_a_sensor_are_of_the_same_places(tmp_path: Path) -> None:
    run = write_scores(write_log(tmp_path / "run"))
    figures = {figure.label: figure for figure in key_figures(read_facts(run))}
    scores = read_facts(run).scores
    gain, loss = (100 * (scores["s2+s1_asc"] - scores[other]) for other in ("s2", "s1_asc"))
    assert gain > 0 and figures["fusion gain"].value == f"{gain:+.1f} points" and "over S2 alone" in figures["fusion gain"].note
    assert figures["one sensor gone, at worst"].value == f"{-loss:+.1f} points"
    assert "without S2" in figures["one sensor gone, at worst"].note  # S1 is what is left


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": 1.0}, "The loss has not fallen"),
        ({"grad_norm": 50.0}, "cut to a tenth"),
        ({"data_share": 0.5}, "waits for data 50 %"),
    ],
)
def test_what_looks_wrong_in_a_log_is_said(tmp_path: Path, changes: dict[str, float], said: str) -> None:
    run = write_log(tmp_path / "run", **changes)
    write_json(run / "config.json", CONFIG)
    assert [said in note for note in warnings(read_facts(run))] == [True]
    assert warnings(read_facts(write_log(tmp_path / "healthy"))) == []


def test_what_looks_wrong_in_scores_is_said(tmp_path: Path) -> None:
    metric = Confusion(classes=NAMES)
    never = counted(metric, 1)
    never.statistics[:, 1, 1] = 0
    run = write_scores(write_log(tmp_path / "run"), **{"s2+s1_asc": never, "s1_asc": counted(metric, 9, skipped=4)})
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"step": 11, "eval/miou": 0.1}) + "\n")
    fallen, better, lost, skipped = warnings(read_facts(run))
    assert "was 40.0 % at step 10 and is 10.0 % now" in fallen
    assert "S1 asc without the others" in better
    assert f"Never right: {HOSTILE}" in lost
    assert "of S1 asc 4" in skipped


@pytest.mark.parametrize(
    "metric",
    [
        Multilabel(classes=ClassTable(NAMES, ("#000000",) * 3, exclusive=False)),
        Regression(quantities=Quantities(("height", "biomass"), ("m", "t/ha"), (0.0, 0.0), (1.0, 1.0))),
    ],
    ids=["several classes at once", "quantities"],
)
def test_other_tasks_have_pages_too(tmp_path: Path, metric: Metric) -> None:
    run = write_scores(write_log(tmp_path / "run"), metric)
    text = text_of(report_run(run)[0])
    assert ("macro F1, %" if isinstance(metric, Multilabel) else "rmse height [m]") in text
    assert f">{read_facts(run).scores['s2']:.3f}<" in text or isinstance(metric, Multilabel)


def test_an_evaluation_without_a_training_has_a_page(tmp_path: Path) -> None:
    text = text_of(report_run(write_scores(tmp_path / "evaluation"))[0])
    assert "<title>Evaluation</title>" in text and "nothing was trained here" in text and "How it was learned" not in text


def test_a_model_without_counts_shows_the_scores_it_knows(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run")
    (run / "model").mkdir()
    write_json(run / "model" / "config.json", {"facts": {"data": "store", "miou": {"s2": 0.25, "spot": 0.5, "s2+spot": 0.75}}})
    text = text_of(report_run(run)[0])
    assert "75.0 %" in text and "no intervals" in text and "+25.0 points" in text


@pytest.mark.parametrize("configured", [True, False])
def test_a_pretraining_is_told_by_its_configuration_or_its_log(tmp_path: Path, configured: bool) -> None:
    run = write_log(tmp_path / "run", **{"loss_cell/s2-spot": 2.0})
    if configured:
        write_json(run / "config.json", {"train": TRAIN, "objective": {"dim": 8}, "encoders": {"s2": {}, "spot": {}}})
    (page,) = report_run(run)
    assert page == run / "report.html" and "<title>Pretraining</title>" in text_of(page)
    assert ("s2, spot; 10 of 40 updates" if configured else "10 updates") in text_of(page)


def test_a_quickstart_gets_the_pages_of_its_runs_and_its_own_first(tmp_path: Path) -> None:
    write_json(tmp_path / "quickstart.json", {})
    with pytest.raises(InputError, match="not begun to train"):
        report_run(tmp_path)
    write_log(tmp_path / "finetune-pretrained")
    write_log(tmp_path / "pretrain", **{"loss_cell/s2-spot": 2.0})
    runs = [tmp_path / "finetune-pretrained" / "report" / "report.html", tmp_path / "pretrain" / "report.html"]
    assert report_run(tmp_path) == runs
    (tmp_path / "report.html").touch()
    assert report_run(tmp_path) == [tmp_path / "report.html", *runs]


def test_a_folder_that_is_no_run_is_an_error_that_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"neither log.jsonl nor results.json, found notes.txt"):
        report_run(tmp_path)
    write_log(tmp_path / "first")
    with pytest.raises(InputError, match=r"Try: one of its runs: .*first"):
        report_run(tmp_path)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "log.jsonl").touch()
    with pytest.raises(InputError, match="recorded nothing yet"):
        report_run(begun)
    assert main(["report", str(tmp_path / "absent")]) == InputError.exit_code
    assert "no such folder" in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run")
    (run / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(OmnifuseError, match=r"config\.json"):
        report_run(run)
    (run / "config.json").unlink()
    (write_scores(run) / "counts.safetensors").write_bytes(b"nothing")
    with pytest.raises(OmnifuseError, match=r"counts\.safetensors"):
        report_run(run)
