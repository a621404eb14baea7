"""One model under every subset of sensors."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from omnifuse.errors import InputError
from omnifuse.evals.metrics import Confusion
from omnifuse.evals.segmentation import confusion_matrix
from omnifuse.evals.subsets import all_subsets, evaluate_subsets
from omnifuse.frames import Batch, Frames

CLASSES, SIDE = 4, 6
METRIC = Confusion(("a", "b", "c", "d"), 9)
PRESENT = {"s2": [2, 0, 3, 1], "s1_asc": [1, 1, 0, 0]}


def make_batch(places: list[int], void: int = 9) -> Batch:
    """Every frame holds the label map of its place plus noise per frame; s1_asc is right at class 0 and 1 only."""
    parts = []
    for place in places:
        label = torch.randint(CLASSES, (1, SIDE, SIDE), generator=torch.Generator().manual_seed(place))
        frames = {}
        for name, counts in PRESENT.items():
            picture = label if name == "s2" else label.clamp(max=1)
            pixels = picture[None].float().expand(counts[place], 1, SIDE, SIDE)
            frames[name] = Frames(pixels, torch.arange(counts[place]), torch.tensor([counts[place]]))
        label = label.clone()
        label[0, 0] = void
        parts.append(Batch(frames, 60.0, torch.tensor([place]), torch.tensor([0]), label))
    return Batch.cat(parts)


class Mean(nn.Module):
    """Reads the label off the mean of the frames; dropout ruins it unless it is switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.frozen = nn.Dropout(0.9).eval()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> torch.Tensor:
        assert not torch.is_grad_enabled() and bool(batch.present.any(0).all())
        sums, count = torch.zeros(batch.num_places, SIDE, SIDE), torch.zeros(batch.num_places)
        for frames in batch.frames.values():
            sums = sums.index_add(0, frames.place, frames.pixels[:, 0])
            count = count + frames.count
        label = (sums / count[:, None, None]).round().long()
        return self.dropout(nn.functional.one_hot(label, CLASSES).movedim(-1, 1).float() * self.weight)


def batches() -> Iterator[Batch]:
    yield make_batch([0, 1])
    yield make_batch([2, 3])


def evaluate(model: nn.Module | None = None):
    return evaluate_subsets(model or Mean(), batches, all_subsets(["s2", "s1_asc"]), METRIC)


def test_subsets_are_all_of_them_singles_first():
    assert all_subsets(["a", "b", "c"]) == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    assert all_subsets([]) == []


def test_a_perfect_sensor_scores_one_and_void_counts_for_nothing():
    result = evaluate()[("s2",)]
    assert result.score == 1 and result.total.sum() == 3 * (SIDE - 1) * SIDE


def test_each_subset_sees_its_sensors_only():
    result = evaluate()[("s1_asc",)]
    labels = torch.cat([make_batch([0]).target, make_batch([1]).target])
    expected = confusion_matrix(labels.clamp(max=1), labels, CLASSES, 9)
    assert torch.equal(result.total, expected) and 0 < result.score < 1


def test_places_without_any_sensor_of_the_subset_are_skipped_and_counted():
    results = evaluate()
    assert {subset: result.skipped for subset, result in results.items()} == {("s2",): 1, ("s1_asc",): 2, ("s2", "s1_asc"): 0}
    assert results[("s2",)].place.tolist() == [0, 2, 3] and results[("s1_asc",)].place.tolist() == [0, 1]
    assert torch.equal(results[("s2",)].total, results[("s2",)].statistics.sum(0))


def test_how_places_are_batched_does_not_matter():
    one_by_one = evaluate_subsets(Mean(), lambda: (make_batch([i]) for i in range(4)), all_subsets(["s2", "s1_asc"]), METRIC)
    for subset, result in evaluate().items():
        assert torch.equal(result.statistics, one_by_one[subset].statistics)


def test_evaluation_is_deterministic_and_restores_the_mode_of_every_module():
    model = Mean().train()
    model.frozen.eval()
    state = torch.get_rng_state()
    first, second = evaluate(model), evaluate(model)
    assert torch.equal(first[("s2",)].statistics, second[("s2",)].statistics)
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.training, model.dropout.training, model.frozen.training) == (True, True, False)


def test_the_mode_is_restored_when_the_model_fails():
    class Fails(Mean):
        def forward(self, batch: Batch) -> torch.Tensor:
            raise RuntimeError("out of memory")

    model = Fails().train()
    with pytest.raises(RuntimeError):
        evaluate(model)
    assert model.training


def test_void_among_the_classes_is_left_out_of_the_scores():
    class SaysVoid(Mean):
        def forward(self, batch: Batch) -> torch.Tensor:
            logits = nn.functional.pad(super().forward(batch), (0, 0, 0, 0, 0, 1))
            logits[:, CLASSES, 1, 0] = 5.0
            return logits

    result = evaluate_subsets(
        SaysVoid(), lambda: [make_batch([0], void=CLASSES)], [("s2",)], Confusion((*METRIC.classes, "void"), CLASSES)
    )[("s2",)]
    assert result.total[:, CLASSES].sum() == 1
    assert result.score == 1 and result.interval(0) == (1.0, 1.0)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="unknown modality 's3'"):
        evaluate_subsets(Mean(), batches, [("s3",)], METRIC)
    with pytest.raises(InputError, match=r"logits have shape \(2, 4, 6, 6\), expected \(2, 7, 6, 6\)"):
        evaluate_subsets(Mean(), batches, [("s2", "s1_asc")], Confusion(tuple("abcdefg"), 9))
    with pytest.raises(InputError, match="label 9"):
        evaluate_subsets(Mean(), batches, [("s2",)], Confusion(METRIC.classes))
    with pytest.raises(InputError, match="without labels"):
        evaluate_subsets(Mean(), lambda: [Batch(make_batch([0]).frames, 60.0, torch.tensor([0]), torch.tensor([0]))], [("s2",)], METRIC)


def test_a_subset_that_is_present_nowhere_has_no_places():
    result = evaluate_subsets(Mean(), lambda: [make_batch([2])], [("s1_asc",)], METRIC)[("s1_asc",)]
    assert result.skipped == 1 and len(result.statistics) == 0 and result.total.shape == (CLASSES, CLASSES)
