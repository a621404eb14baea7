"""Metrics as sums over places, against worked examples and slow references."""

import math

import pytest
import torch

from omnifuse.classes import ClassTable, Quantities
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.metrics import Confusion, Multilabel, Regression, metric_of
from omnifuse.evals.scoring import Scored
from omnifuse.evals.segmentation import SegmentationScores

TRUTH = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 3], [0, 1, 2, 3]])
GUESS = torch.tensor([[0, 1, 1, 3], [2, 2, 0, 3], [0, 1, 1, 2]])
GENUS = ClassTable(("Abies", "Acer", "Alnus"), ("#111111", "#222222", "#333333"), exclusive=False, present_above=0.07)
BOTH = Quantities(("height", "cover"), ("m", ""), (10.0, 0.5), (4.0, 0.2))


def logits_of(guess: torch.Tensor, num_classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(guess, num_classes).movedim(-1, 1).float()


def test_both_void_rules_of_the_worked_example():
    """Void id 3 of 4 classes: mIoU 61.1111 and 57.7778, OA 75 and 66.6667 (the reference's and PANGAEA's rule)."""
    metric = Confusion(("a", "b", "c", "void"), void=3)
    counts = metric.statistics(logits_of(GUESS[:, None], 4), TRUTH[:, None])
    # The truth's void is left out when counting; the other rule counts predictions of void as errors.
    assert counts.sum(0).tolist() == [[2, 1, 0, 0], [0, 2, 0, 1], [0, 1, 2, 0], [0, 0, 0, 0]]
    scores = {name: 100 * value.item() for name, value in metric.scores(counts.sum(0)).items()}
    assert scores["miou"] == pytest.approx(61.1111, abs=1e-4) and scores["accuracy"] == pytest.approx(75.0)
    assert scores["miou_void_error"] == pytest.approx(57.7778, abs=1e-4)
    assert scores["accuracy_void_error"] == pytest.approx(66.6667, abs=1e-4)


def test_scores_of_many_tables_are_those_of_each():
    metric = Confusion(tuple("abcde"), void=4)
    tables = torch.randint(30, (6, 5, 5), generator=torch.Generator().manual_seed(0))
    together = metric.scores(tables)
    for i, table in enumerate(tables):
        reference = SegmentationScores.from_matrix(table, 4)
        assert together["miou"][i].item() == pytest.approx(reference.miou, rel=1e-12)
        assert together["macro_f1"][i].item() == pytest.approx(reference.macro_f1, rel=1e-12)
        strict = SegmentationScores.from_matrix_pangaea(table, 4)
        assert together["miou_void_error"][i].item() == pytest.approx(strict.miou, rel=1e-12)
        assert together["accuracy_void_error"][i].item() == pytest.approx(strict.accuracy, rel=1e-12)


def test_a_class_that_is_not_scored_still_costs_and_a_dropped_one_does_not():
    table = torch.tensor([[5, 0, 0], [0, 5, 0], [5, 0, 0]])  # the third is taken for the first
    assert Confusion(tuple("abc"), scored=(0, 1)).scores(table)["miou"] == pytest.approx(0.75)  # 5 / 10 and 1
    assert Confusion(tuple("abc"), drop=(2,)).scores(table)["miou"] == pytest.approx(1.0)


def test_a_class_that_occurs_nowhere_is_left_out_or_given_a_score():
    table = torch.tensor([[4, 0, 0], [0, 4, 0], [0, 0, 0]])
    assert Confusion(tuple("abc")).scores(table)["miou"] == pytest.approx(1.0)
    assert Confusion(tuple("abc"), absent=0.0).scores(table)["miou"] == pytest.approx(2 / 3)


def test_one_class_per_place_is_a_confusion_of_places():
    guess, truth = torch.tensor([0, 1, 1]), torch.tensor([[[0]], [[1]], [[9]]])
    counts = Confusion(("a", "b"), void=9).statistics(logits_of(guess, 2), truth)
    assert counts.tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]]
    with pytest.raises(InputError, match="one prediction per place"):
        Confusion(("a", "b")).statistics(logits_of(guess, 2), torch.zeros(3, 4, 4, dtype=torch.long))


def slow_f1(said: torch.Tensor, present: torch.Tensor) -> list[float]:
    found = []
    for c in range(said.shape[1]):
        hit = sum(bool(said[i, c] and present[i, c]) for i in range(len(said)))
        wrong = sum(bool(said[i, c] != present[i, c]) for i in range(len(said)))
        found.append(2 * hit / (2 * hit + wrong) if hit + wrong else 0.0)
    return found


def test_multilabel_f1_is_that_of_a_loop_over_places():
    generator = torch.Generator().manual_seed(3)
    prediction, shares = torch.randn(40, 3, generator=generator), torch.rand(40, 3, generator=generator) * 0.2
    metric = Multilabel(GENUS)
    total = metric.statistics(prediction, shares).sum(0)
    expected = slow_f1(prediction > 0, shares > 0.07)
    assert metric.each(total).tolist() == pytest.approx(expected)
    weight = (shares > 0.07).double().sum(0)
    scores = {name: value.item() for name, value in metric.scores(total).items()}
    assert scores["macro_f1"] == pytest.approx(sum(expected) / 3)
    assert scores["weighted_f1"] == pytest.approx(((torch.tensor(expected) * weight).sum() / weight.sum()).item())


def test_multilabel_leaves_out_what_is_not_known_and_counts_an_absent_class_as_zero():
    metric = Multilabel(GENUS)
    counts = metric.statistics(torch.tensor([[1.0, -1.0, -1.0]]), torch.tensor([[0.5, torch.nan, 0.0]]))
    assert counts.tolist() == [[[1, 0, 0], [0, 0, 0], [0, 0, 0]]]
    assert metric.scores(counts.sum(0))["macro_f1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", [(7, 2), (7, 2, 3, 3)])
def test_regression_is_that_of_all_values_at_once(shape):
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(shape, generator=generator) * 4 + 10
    guess = truth + torch.randn(shape, generator=generator)
    truth[2, 1] = torch.nan
    metric = Regression(BOTH)
    scores = {name: value.item() for name, value in metric.scores(metric.statistics(guess, truth).sum(0)).items()}
    for i, name in enumerate(("height", "cover")):
        y, e = truth[:, i].double(), (guess - truth)[:, i].double()
        e, y = e[y.isfinite()], y[y.isfinite()]
        unit = " [m]" if name == "height" else ""
        assert scores[f"r2 {name}"] == pytest.approx((1 - e.square().sum() / (y - y.mean()).square().sum()).item())
        assert scores[f"rmse {name}{unit}"] == pytest.approx(e.square().mean().sqrt().item())
        assert scores[f"mae {name}{unit}"] == pytest.approx(e.abs().mean().item())
        assert scores[f"bias {name}{unit}"] == pytest.approx(e.mean().item())
    assert scores["r2"] == pytest.approx((scores["r2 height"] + scores["r2 cover"]) / 2)


@pytest.mark.parametrize("level", [0.1, 0.7, 250.3])
def test_a_quantity_that_does_not_vary_has_no_r2_and_leaves_that_of_the_others_alone(level):
    generator = torch.Generator().manual_seed(2)
    truth = torch.randn(30, 2, 8, 8, generator=generator)
    truth[:, 1] = level
    guess = truth + 0.5 * torch.randn(truth.shape, generator=generator)
    metric = Regression(BOTH)
    found = Scored(metric.statistics(guess, truth), torch.arange(30), 0, metric)
    assert math.isnan(found.each["cover"]) and found.score == found.each["height"] == pytest.approx(0.75, abs=0.02)
    low, high = found.interval(0)
    assert 0.7 < low < found.score < high < 0.8


def test_the_interval_of_a_rare_quantity_is_of_the_draws_that_have_it():
    generator = torch.Generator().manual_seed(4)
    truth = torch.zeros(20, 1, 8, 8)
    truth[3] = 0.8
    guess = truth + 0.03 * torch.randn(truth.shape, generator=generator)
    metric = Regression(Quantities(("water",), ("",), (0.04,), (0.17,)))
    found = Scored(metric.statistics(guess, truth), torch.arange(20), 0, metric)
    low, high = found.interval(0)
    assert 0.9 < low < found.score < high < 1


def test_a_single_quantity_may_come_without_its_axis_and_another_shape_is_named():
    one = Regression(Quantities(("height",), ("m",), (0.0,), (1.0,)))
    map_ = torch.rand(2, 4, 4)
    assert torch.equal(one.statistics(map_[:, None], map_), one.statistics(map_[:, None], map_[:, None]))
    with pytest.raises(InputError, match=r"labels are \(2, 4, 4\), predictions \(2, 2, 4, 4\)"):
        Regression(BOTH).statistics(torch.zeros(2, 2, 4, 4), map_)


def test_labels_choose_their_metric_and_quantities_need_a_spread():
    assert isinstance(metric_of(GENUS), Multilabel) and isinstance(metric_of(BOTH), Regression)
    assert metric_of(ClassTable(("a",), ("#000000",), ignore=7)) == Confusion(("a",), 7)
    with pytest.raises(ConfigError, match="`std` must be positive"):
        Quantities(("height",), ("m",), (0.0,), (0.0,))
    for metric in (metric_of(GENUS), metric_of(BOTH), Confusion(("a", "b"))):
        assert len(metric.blank()) == 0 and set(metric.scores(metric.blank().sum(0))) >= {metric.headline}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("metric", [Confusion(("a", "b", "c")), Multilabel(GENUS), Regression(BOTH)])
def test_what_is_no_number_is_not_scored_in_silence(metric, value):
    width = 2 if isinstance(metric, Regression) else 3
    prediction, truth = torch.zeros(4, width), torch.zeros(4, 1 if isinstance(metric, Confusion) else width)
    metric.statistics(prediction, truth)
    prediction[2, 1] = value
    with pytest.raises(InputError, match=r"at 1 of 4 places .* NaN or infinity\. Try: `omnifuse data check`"):
        metric.statistics(prediction, truth)
