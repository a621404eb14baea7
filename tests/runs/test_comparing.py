"""`omnifuse compare`: runs are matched by place, differences are paired, and what cannot be compared is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omnifuse.classes import Quantities
from omnifuse.cli import main
from omnifuse.errors import InputError
from omnifuse.evals.comparison import Measured, class_differences, differences, matched
from omnifuse.evals.metrics import Confusion, Regression
from omnifuse.evals.scoring import Scored
from omnifuse.runs.comparing import Comparison, class_tables, names
from omnifuse.runs.results import write_results

METRIC = Confusion(("field", "forest"))


def scored(hits: list[int], places: list[int], pixels: int = 100) -> Scored:
    """Two classes, half of the pixels each: `hits` percent are right at each place."""
    right = torch.tensor(hits) * pixels // 200
    wrong = pixels // 2 - right
    table = torch.stack([torch.stack([right, wrong], -1), torch.stack([wrong, right], -1)], 1)
    return Scored(table, torch.tensor(places), 0, METRIC)


def measured(name: str, hits: list[int], places: list[int], ids: dict[int, str], **views: Scored) -> Measured:
    return Measured(name, {"s2": scored(hits, places), **views}, ids, METRIC)


def test_places_are_matched_by_id_in_whatever_order_the_runs_have_them():
    first = measured("a", [50, 60, 70], [0, 1, 2], {0: "x", 1: "y", 2: "z"})
    other = measured("b", [70, 50, 90], [4, 7, 9], {4: "z", 7: "x", 9: "w"})  # as good as `first` at both that they share
    found = differences(matched([first, other]), 0)["b", "s2"]
    assert found.places == 2 and found.value == pytest.approx(0) and not found.clear


def test_a_run_that_is_better_everywhere_is_clearly_better_by_class_too():
    ids = {i: f"p{i}" for i in range(30)}
    first = measured("a", [50 + i for i in range(30)], list(ids), ids)
    other = measured("b", [60 + i for i in range(30)], list(ids), ids)
    runs = matched([first, other])
    found = differences(runs, 0)["b", ""]
    assert found.clear and found.value > 0.05
    classes = class_differences(runs[1].scored["s2"], runs[0].scored["s2"], 0)
    assert set(classes) == {"field", "forest"} and all(by.clear and by.low <= by.value <= by.high for by in classes.values())


def test_a_class_that_never_occurs_is_neither_better_nor_worse():
    metric = Confusion(("field", "forest", "water"))

    def padded(of: Scored) -> Scored:
        return Scored(torch.nn.functional.pad(of.statistics, (0, 1, 0, 1)), of.place, 0, metric)

    better, worse = (padded(scored([hits] * 10, list(range(10)))) for hits in (80, 60))
    clear = {name: by.clear for name, by in class_differences(better, worse, 0).items()}
    assert clear == {"field": True, "forest": True, "water": False}


def test_other_metrics_protocols_and_labels_are_refused():
    ids = {0: "x", 1: "y"}
    first = measured("a", [50, 60], [0, 1], ids)
    with pytest.raises(InputError, match="b: scores 3 of field, forest, water; a 2 of field, forest"):
        matched([first, replace(first, name="b", metric=Confusion(("field", "forest", "water")))])
    with pytest.raises(InputError, match=r"b: was scored as .*void=1"):
        matched([first, replace(first, name="b", metric=replace(METRIC, void=1))])
    with pytest.raises(InputError, match="b: followed 'pastis_fold1', a 'pastis'"):
        matched([replace(first, protocol="pastis"), replace(first, name="b", protocol="pastis_fold1")])
    with pytest.raises(InputError, match="b: shares no place with a"):
        matched([first, measured("b", [50, 60], [0, 1], {0: "u", 1: "v"})])
    fewer = Measured("b", {"s2": scored([50, 60], [0, 1], pixels=80)}, ids, METRIC)
    with pytest.raises(InputError, match="b: has other labels than a at place 'x', which has the same id"):
        matched([first, fewer])


def test_quantities_are_compared_though_each_run_measured_its_own_mean():
    truth, guess = torch.randn(6, 1, dtype=torch.float64) + 5, torch.randn(6, 1, dtype=torch.float64) + 5
    ids = {i: f"p{i}" for i in range(6)}
    runs = []
    for name, mean in (("a", 0.0), ("b", 4.0)):
        metric = Regression(Quantities(("height",), ("m",), (mean,), (1.0,)))
        runs.append(Measured(name, {"s2": Scored(metric.statistics(guess, truth), torch.arange(6), 0, metric)}, ids, metric))
    found = differences(matched(runs), 0)["b", "s2"]
    assert abs(found.value) < 1e-12


def test_quantities_are_written_as_they_are_and_classes_in_percent():
    ids = {i: f"p{i}" for i in range(6)}
    metric = Regression(Quantities(("height",), ("m",), (0.0,), (1.0,)))
    truth = torch.arange(6.0)[:, None]
    runs = [
        Measured(name, {"s2": Scored(metric.statistics(truth + off, truth), torch.arange(6), 0, metric)}, ids, metric)
        for name, off in (("a", 1.0), ("b", 0.0))
    ]
    (table,) = class_tables(Comparison(runs, differences(runs, 0)))
    assert table.caption == "b beside a, R²" and table.decimals == 3
    assert table.rows[0][:4] == pytest.approx(("height", 1 - 6 / 17.5, 1.0, 6 / 17.5))
    runs = [measured(name, [hits] * 6, list(ids), ids) for name, hits in (("a", 50), ("b", 100))]
    (table,) = class_tables(Comparison(runs, differences(runs, 0)))
    assert table.caption == "b beside a, class by class, in percent" and table.rows[0][2] == pytest.approx(100.0)


def test_one_command_leaves_words_a_table_figures_and_a_page(tmp_path: Path, capsys):
    ids = {i: f"p{i}" for i in range(20)}
    for name, hits in (("a", 50), ("b", 70)):
        views = {"s2": scored([hits + i for i in ids], list(ids)), "s2+s1": scored([hits + 5 + i for i in ids], list(ids))}
        write_results(tmp_path / name, views, ids, {"data": "fields"})
    start = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert main([*start, "--out", str(tmp_path / "out")]) == 0
    assert "b (S2 + S1) is clearly better than a (S2 + S1): +" in capsys.readouterr().out
    lines = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("| b | all of its sensors |") and "| better | 20 |" in line for line in lines)
    known = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert [row["view"] for row in known["differences"]] == ["all of its sensors", "s2", "s2+s1"]
    assert (tmp_path / "out" / "report" / "comparison.png").stat().st_size > 10_000
    assert main([*start[:2], str(tmp_path / "a")]) == 4 and "two runs or more" in capsys.readouterr().err
    assert main([*start, str(tmp_path / "none")]) == 3 and "no results.json" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "a")]) == 2


def test_names_are_as_short_as_tells_them_apart():
    assert names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert names(["one/out", "two/out"]) == ["one/out", "two/out"]
