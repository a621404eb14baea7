"""A pretraining's page says in words what looks wrong, and nothing where nothing is."""

import json
from pathlib import Path

import numpy as np
import pytest

from omnifuse.runs.pretraining_report import loss_section, report, warnings
from omnifuse.train.log import read_log

CONFIGURATION = {"objective": {"dim": 128, "minimum_temperature": 0.02}}


def rows(**changes: float) -> list[dict[str, float]]:
    """Return the log of a healthy run: four updates, two evaluations."""
    evaluation = {
        "eval/retrieval_top1/s2-spot": 0.4,
        "eval/top1/s2>spot": 0.5,
        "eval/top1/spot>s2": 0.3,
        "eval/top5/s2>spot": 0.8,
        "eval/top5/spot>s2": 0.7,
        "eval/alignment/s2-spot": 0.6,
        "eval/candidates/s2-spot": 100.0,
        "eval/uniformity/s2": -2.4,
        "eval/uniformity/spot": -2.2,
        "eval/rank/s2": 40.0,
        "eval/rank/spot": 30.0,
        "eval/probe/s2": 0.6,
        "eval/probe_f1/s2": 0.5,
        "eval/knn/s2": 0.55,
    }
    step = {
        "loss": 2.0,
        "loss_cell/s2-spot": 2.1,
        "grad_norm": 0.5,
        "temperature_cell": 0.07,
        "data_share": 0.05,
        "frames_per_second": 90.0,
    }
    updates = [{"step": n, **step, **{k: v for k, v in changes.items() if not k.startswith("eval/")}} for n in (1, 2, 3, 4)]
    last = evaluation | {k: v for k, v in changes.items() if k.startswith("eval/")}
    return [*updates[:2], {"step": 2, **evaluation}, *updates[2:], {"step": 4, **last}]


def test_a_healthy_run_has_no_warnings():
    assert warnings(rows(), CONFIGURATION) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eval/rank/s2": 1.2}, "S2: the embeddings fill 1.2 of 100 directions"),
        ({"eval/rank/spot": 12.0}, "SPOT: the effective rank has fallen from 30.0 to 12.0"),
        ({"eval/uniformity/spot": -0.1}, "uniformity SPOT -0.10"),
        ({"eval/top1/spot>s2": 0.02}, "SPOT → S2"),
        ({"temperature_cell": 0.02}, "temperature_cell at the minimum of 0.02"),
        ({"data_share": 0.6}, "waits for data 60 %"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_what_looks_wrong_is_said_in_words(changes, said):
    found = warnings(rows(**changes), CONFIGURATION)
    assert len(found) == 1 and said in found[0]


def test_a_log_without_evaluations_or_labels_makes_a_page(tmp_path):
    log = [{"step": 1, "loss": 2.0, "grad_norm": 1.0, "places_per_second": 3.0, "data_share": 0.1, "memory_gb": 1.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in log), encoding="utf-8")
    page = report(tmp_path, "nothing much", {}, 0).read_text(encoding="utf-8")
    assert "Nothing looks wrong" in page and "Does one sensor find" not in page


def test_costs_are_medians_in_plain_numbers(tmp_path):
    log = [row | {"cells_per_second": 7330.4, "memory_gb": 1.5} for row in rows() if "loss" in row]
    log[-1]["frames_per_second"] = 1.0  # a pause at the end is not the speed of the run
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in log), encoding="utf-8")
    page = report(tmp_path, "places", CONFIGURATION, 0).read_text(encoding="utf-8")
    for text in ("7,330", "memory, GB", "1.50", "frames per second, median", ">90<"):
        assert text in page, text


def test_masked_modelling_beside_mil_nce_shows_both_losses(tmp_path):
    log = [{"step": n, "loss": 3.0, "loss_contrast": 2.0, "loss_cell": 2.0, "masked/s2": 0.5, "grad_norm": 1.0} for n in (1, 2)]
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in log), encoding="utf-8")
    section = loss_section(read_log(tmp_path / "log.jsonl"))
    assert len(section.pictures[0].figure.axes) == 2
    assert section.pictures[0].figure.axes[0].lines[0].get_ydata().tolist() == [2.0, 2.0]


def test_the_page_has_every_picture_and_warning(tmp_path):
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows(**{"eval/rank/s2": 1.2})), encoding="utf-8")
    page = report(tmp_path, "places", CONFIGURATION, 0).read_text(encoding="utf-8")
    for text in ("S2 → SPOT", "the embeddings fill 1.2 of 100", "What frozen features tell", "40.0 %"):
        assert text in page, text
    pictures = {path.stem for path in Path(tmp_path).glob("*.png")}
    assert pictures == {"retrieval", "loss", "updates", "collapse", "probes", "speed"}
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert np.isclose(results["results"]["last"]["eval/top1/s2>spot"], 0.5)
