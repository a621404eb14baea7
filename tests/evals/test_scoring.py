"""Scores place by place: intervals, paired differences, folds, and the same result from any number of processes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import debug_launcher
from torch import nn

from omnifuse.classes import Quantities
from omnifuse.errors import InputError
from omnifuse.evals.metrics import Confusion, Regression
from omnifuse.evals.scoring import Difference, Scored, drawn_again, paired_difference, score_views
from omnifuse.frames import Batch, Frames
from omnifuse.nn.exchange import Processes
from omnifuse.randomness import torch_generator

METRIC = Confusion(("a", "b"))


def scored(hits: list[int], places: list[int] | None = None, pixels: int = 100) -> Scored:
    """Class a alone in truth: so many pixels right, the rest taken for b."""
    tables = torch.zeros(len(hits), 2, 2, dtype=torch.long)
    tables[:, 0, 0] = torch.tensor(hits)
    tables[:, 0, 1] = pixels - torch.tensor(hits)
    tables[:, 1, 1] = pixels
    return Scored(tables, torch.tensor(places or list(range(len(hits)))), 0, METRIC)


def test_a_model_that_is_better_at_every_place_is_clearly_better_though_intervals_overlap():
    generator = torch.Generator().manual_seed(0)
    base = torch.randint(20, 80, (60,), generator=generator)
    better, worse = scored((base + 5).tolist()), scored(base.tolist())
    low, high = better.interval(0), worse.interval(0)
    assert low[0] < high[1]  # the intervals overlap
    found = paired_difference(better, worse, 0)
    assert found.clear and found.low > 0 and found.low <= found.value <= found.high and found.places == 60
    assert found.high - found.low < (low[1] - low[0]) / 3
    swapped = paired_difference(worse, better, 0)
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_a_model_is_no_better_than_itself():
    same = scored([10, 50, 90])
    found = paired_difference(same, same, 0)
    assert (found.value, found.low, found.high) == (0, 0, 0) and not found.clear


def test_a_class_that_never_occurs_is_neither_better_nor_worse():
    assert not Difference(math.nan, math.nan, math.nan, 3).clear
    assert Difference(1.0, 0.5, 2.0, 3).clear and Difference(-1.0, -2.0, -0.5, 3).clear
    assert not Difference(0.1, -0.5, 2.0, 3).clear and not Difference(0.0, 0.0, 1.0, 3).clear


@pytest.mark.parametrize("kind", [torch.long, torch.float64])
def test_draws_come_in_blocks_and_are_those_of_one_piece(kind, monkeypatch):
    tables = (1000 * torch.randn(70, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).to(kind)
    picked = torch.randint(70, (120, 70), generator=torch_generator(3, "bootstrap"))
    expected = torch.stack([tables[draw].double().sum(0) for draw in picked])
    held, draw = [], torch.randint
    monkeypatch.setattr(torch, "randint", lambda high, shape, **options: held.append(shape) or draw(high, shape, **options))
    torch.testing.assert_close(drawn_again(tables, 3, 120), expected, rtol=1e-12, atol=1e-9)
    assert held == [(50, 70), (50, 70), (20, 70)]  # memory grows with the places, and not a thousand times so


def test_several_scores_have_the_intervals_that_each_has_alone():
    found = scored([10, 50, 90, 35])
    assert found.intervals(2, ("miou", "accuracy")) == {name: found.interval(2, name) for name in ("miou", "accuracy")}


def test_only_places_that_both_were_scored_at_are_compared():
    first, second = scored([100, 100, 0], [1, 2, 3]), scored([100, 100, 50], [1, 2, 4])
    found = paired_difference(first, second, 0)
    assert found.places == 2 and found.value == 0
    with pytest.raises(InputError, match="no place in common"):
        paired_difference(scored([1], [1]), scored([1], [2]), 0)
    with pytest.raises(InputError, match="scored as"):
        paired_difference(first, Scored(second.statistics, second.place, 0, Confusion(("a", "b"), void=0)), 0)


def test_folds_are_joined_by_summing_their_tables():
    first, second = scored([90], [7]), scored([30], [2])
    whole = first.joined(second)
    assert whole.place.tolist() == [2, 7] and torch.equal(whole.total, first.total + second.total)
    assert whole.score != pytest.approx((first.score + second.score) / 2)
    with pytest.raises(InputError, match="scored twice"):
        first.joined(scored([5], [7]))


class Threshold(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> torch.Tensor:
        value = torch.zeros(batch.num_places, 4, 4).index_add(0, batch.frames["s2"].place, batch.frames["s2"].pixels[:, 0])
        return torch.stack([-value, value], 1) * self.weight


def place(number: int) -> Batch:
    generator = torch.Generator().manual_seed(number)
    frames = Frames(
        torch.randn(int(number % 5 > 0), 1, 4, 4, generator=generator),
        torch.zeros(int(number % 5 > 0)).int(),
        torch.tensor([int(number % 5 > 0)]),
    )
    return Batch({"s2": frames}, 40.0, torch.tensor([number]), torch.tensor([0]), torch.randint(2, (1, 4, 4), generator=generator))


VIEWS = {"all": lambda batch: batch, "none": lambda batch: batch.drop("s2")}


def share(rank: int, world: int) -> list[Batch]:
    return [place(number) for number in range(11 * rank // world, 11 * (rank + 1) // world)]


def test_a_view_that_leaves_nothing_has_no_places():
    found = score_views(Threshold(), lambda: share(0, 1), VIEWS, METRIC)
    assert found["all"].place.tolist() == [1, 2, 3, 4, 6, 7, 8, 9] and found["all"].skipped == 3
    assert found["none"].skipped == 11 and found["none"].total.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(InputError, match="no places"):
        found["none"].interval(0)


class Value(Threshold):
    def forward(self, batch: Batch) -> torch.Tensor:
        return super().forward(batch)[:, 1:]


def test_quantities_are_scored_over_all_places_whatever_level_they_are_counted_about():
    generator = torch.Generator().manual_seed(1)
    places = [replace(one, target=100 + torch.randn(1, 4, 4, generator=generator)) for one in share(0, 1) if one.present.any()]
    metric = Regression(Quantities(("height",), ("m",), (90.0,), (1.0,)))
    found = score_views(Value(), lambda: places, {"all": VIEWS["all"]}, metric)["all"]
    truth = torch.cat([one.target for one in places]).double()
    error = torch.cat([Value()(one)[:, 0] for one in places]).double() - truth
    r2 = 1 - error.square().sum() / (truth - truth.mean()).square().sum()
    assert found.score == pytest.approx(r2.item(), rel=1e-9) and found.each == {"height": found.score}
    assert found.scores["mae height [m]"] == pytest.approx(error.abs().mean().item())
    low, high = found.interval(0)
    assert low < found.score < high


def in_processes(folder: str) -> None:
    processes = Processes.joined()
    found = score_views(Threshold(), lambda: share(processes.rank, processes.world), VIEWS, METRIC, processes=processes)
    torch.save([(s.statistics, s.place, s.skipped) for s in found.values()], Path(folder) / f"{processes.rank}.pt")


def test_several_processes_find_what_one_finds(tmp_path: Path):
    debug_launcher(in_processes, (str(tmp_path),), num_processes=3)
    alone = list(score_views(Threshold(), lambda: share(0, 1), VIEWS, METRIC).values())
    for rank in range(3):
        for (statistics, places, skipped), expected in zip(torch.load(tmp_path / f"{rank}.pt", weights_only=True), alone, strict=True):
            assert torch.equal(statistics, expected.statistics) and torch.equal(places, expected.place) and skipped == expected.skipped
