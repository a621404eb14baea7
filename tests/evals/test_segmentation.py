"""Confusion matrices, the two rules for void, and the interval over places."""

import math

import pytest
import torch

from omnifuse.errors import InputError
from omnifuse.evals.metrics import Confusion
from omnifuse.evals.scoring import Scored
from omnifuse.evals.segmentation import SegmentationScores, class_iou, confusion_matrices, confusion_matrix

TRUTH = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 3], [0, 1, 2, 3]])
GUESS = torch.tensor([[0, 1, 1, 3], [2, 2, 0, 3], [0, 1, 1, 2]])
EXAMPLE = torch.tensor([[2, 1, 0, 0], [0, 2, 0, 1], [0, 1, 2, 0], [1, 0, 1, 1]])


def test_rows_are_truth_and_columns_prediction():
    assert torch.equal(confusion_matrix(GUESS, TRUTH, 4), EXAMPLE)


def test_the_worked_example_under_both_rules():
    reference = SegmentationScores.from_matrix(EXAMPLE, void=3)
    assert reference.miou == pytest.approx(0.611111, abs=1e-6)
    assert reference.accuracy == pytest.approx(0.75)
    pangaea = SegmentationScores.from_matrix_pangaea(EXAMPLE, void=3)
    torch.testing.assert_close(pangaea.iou[:3], torch.tensor([2 / 3, 0.4, 2 / 3], dtype=torch.float64))
    assert pangaea.miou == pytest.approx(0.577778, abs=1e-6)
    assert pangaea.accuracy == pytest.approx(0.666667, abs=1e-6)


def test_ignored_truth_counts_for_nothing_whatever_was_predicted_there():
    matrix = confusion_matrix(GUESS, TRUTH, 4, ignore=3)
    assert torch.equal(matrix[:3], EXAMPLE[:3]) and not matrix[3].any()
    elsewhere = torch.where(TRUTH == 3, (GUESS + 1) % 4, GUESS)
    assert torch.equal(confusion_matrix(elsewhere, TRUTH, 4, ignore=3), matrix)
    outside = torch.where(TRUTH == 3, 255, TRUTH)
    assert torch.equal(confusion_matrix(GUESS, outside, 4, ignore=255), matrix)


def test_a_perfect_prediction_scores_one_and_absent_classes_are_not_a_number():
    truth = torch.tensor([0, 0, 2, 2, 9])
    scores = SegmentationScores.from_matrix(confusion_matrix(torch.tensor([0, 0, 2, 2, 1]), truth, 4, ignore=9))
    assert (scores.miou, scores.accuracy, scores.macro_f1) == (1.0, 1.0, 1.0)
    assert scores.iou.isnan().tolist() == [False, True, False, True]
    assert SegmentationScores.from_matrix_pangaea(confusion_matrix(truth[:4], truth[:4], 4)).miou == 0.5  # absent is zero there


def test_a_class_that_is_only_predicted_scores_zero():
    scores = SegmentationScores.from_matrix(confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 0]), 3))
    assert scores.iou[1] == 0 and scores.miou == 0.25


def test_nothing_to_score_is_not_a_number():
    scores = SegmentationScores.from_matrix(torch.zeros(3, 3, dtype=torch.long))
    assert math.isnan(scores.miou) and math.isnan(scores.accuracy) and math.isnan(scores.macro_f1)


def test_scores_come_from_the_sum_and_a_split_changes_no_bit():
    generator = torch.Generator().manual_seed(0)
    truth, guess = torch.randint(5, (2, 6, 8, 8), generator=generator)
    places = confusion_matrices(guess, truth, 5)
    assert torch.equal(places.sum(0), confusion_matrix(guess, truth, 5))
    assert all(torch.equal(places[i], confusion_matrix(guess[i], truth[i], 5)) for i in range(6))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_type(dtype):
    assert torch.equal(confusion_matrix(GUESS.to(dtype), TRUTH.to(dtype), 4, ignore=255), EXAMPLE)


def test_many_classes_in_bytes_do_not_overflow():
    labels = torch.arange(40, dtype=torch.uint8)
    assert torch.equal(confusion_matrix(labels, labels, 40), torch.eye(40, dtype=torch.long))


def test_labels_outside_the_classes_are_named():
    with pytest.raises(InputError, match=r"label 19 found 2 times, expected 0\.\.3 or 255 \(ignored\)"):
        confusion_matrix(torch.tensor([0, 0, 0]), torch.tensor([19, 255, 19]), 4, ignore=255)
    with pytest.raises(InputError, match="label -1"):
        confusion_matrix(torch.tensor([0]), torch.tensor([-1]), 4, ignore=3)
    with pytest.raises(InputError, match="prediction 4"):
        confusion_matrix(torch.tensor([4]), torch.tensor([0]), 4)


def bootstrap_interval(matrices: torch.Tensor, seed: int, draws: int = 1000, void: int = -1) -> tuple[float, float]:
    names = tuple(map(str, range(matrices.shape[-1])))
    return Scored(matrices, torch.arange(len(matrices)), 0, Confusion(names, void)).interval(seed, draws=draws)


def test_the_interval_is_that_of_a_slow_bootstrap():
    matrices = torch.randint(20, (15, 3, 3), generator=torch.Generator().manual_seed(1)) + torch.eye(3, dtype=torch.long) * 20
    low, high = bootstrap_interval(matrices, seed=3, draws=4000)
    generator = torch.Generator().manual_seed(5)
    slow = [class_iou(matrices[torch.randint(15, (15,), generator=generator)].sum(0)).nanmean().item() for _ in range(4000)]
    expected = torch.tensor(slow).quantile(torch.tensor([0.025, 0.975])).tolist()
    assert (low, high) == pytest.approx(expected, abs=0.0015)
    assert (low, high) == bootstrap_interval(matrices, seed=3, draws=4000)
    assert (low, high) != bootstrap_interval(matrices, seed=4, draws=4000)


def _places(num: int, generator: torch.Generator) -> torch.Tensor:
    """Two classes, 100 pixels a place, a hit rate of its own for each place."""
    hits = (60 + 40 * torch.rand(num, 2, generator=generator)).round().long()
    return torch.stack([torch.stack([hits[:, 0], 100 - hits[:, 0]], 1), torch.stack([100 - hits[:, 1], hits[:, 1]], 1)], 1)


def test_the_interval_covers_the_population_and_shrinks_with_places():
    generator = torch.Generator().manual_seed(0)
    truth = class_iou(_places(100_000, generator).sum(0)).nanmean().item()
    intervals = [bootstrap_interval(_places(40, generator), seed, draws=300) for seed in range(200)]
    assert 0.88 < sum(low <= truth <= high for low, high in intervals) / 200 <= 1
    width = sum(high - low for low, high in intervals) / 200
    low, high = bootstrap_interval(_places(640, generator), 0)
    assert (high - low) == pytest.approx(width / 4, rel=0.25)  # 1 / sqrt(16)


def test_the_interval_leaves_void_out_and_needs_places():
    generator = torch.Generator().manual_seed(2)
    plain = torch.randint(30, (9, 3, 3), generator=generator)
    with_void = torch.zeros(9, 4, 4, dtype=torch.long)
    with_void[:, :3, :3] = plain
    with_void[:, :, 3] = 50
    assert bootstrap_interval(with_void, 0, void=3) == bootstrap_interval(plain, 0)
    with pytest.raises(InputError, match="no places"):
        bootstrap_interval(plain[:0], 0)
