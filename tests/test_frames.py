"""Ragged data against direct indexing."""

import pytest
import torch

from omnifuse.errors import InputError
from omnifuse.frames import Batch, Frames


def frames(*counts: int) -> Frames:
    total = sum(counts)
    pixels = torch.arange(total * 2 * 3 * 3, dtype=torch.float32).view(total, 2, 3, 3)
    return Frames(pixels, torch.arange(100, 100 + total), torch.tensor(counts))


def batch(**counts: tuple[int, ...]) -> Batch:
    num_places = len(next(iter(counts.values())))
    target = torch.arange(num_places * 9).view(num_places, 3, 3)
    ids = torch.arange(num_places)
    return Batch({name: frames(*count) for name, count in counts.items()}, 30.0, ids, ids * 7, target)


def test_the_place_of_each_frame():
    assert frames(2, 0, 3).place.tolist() == [0, 0, 2, 2, 2]
    assert frames(2, 0, 3).present.tolist() == [True, False, True]


def test_select_is_direct_indexing():
    chosen = frames(2, 0, 3, 1).select(torch.tensor([3, 0, 1, 0]))
    assert chosen.day.tolist() == [105, 100, 101, 100, 101]
    assert chosen.count.tolist() == [1, 2, 0, 2]
    torch.testing.assert_close(chosen.pixels, frames(2, 0, 3, 1).pixels[[5, 0, 1, 0, 1]])


def test_keep_and_without():
    kept = frames(2, 0, 3).keep(torch.tensor([False, True, True, False, True]))
    assert kept.day.tolist() == [101, 102, 104]
    assert kept.count.tolist() == [1, 0, 2]
    assert frames(2, 0, 3).without(torch.tensor([True, True, False])).count.tolist() == [0, 0, 3]


def test_collating_the_split_places_gives_the_batch():
    whole = batch(a=(2, 0, 3), b=(1, 1, 0))
    again = Batch.cat(whole.split())
    for name in whole.frames:
        torch.testing.assert_close(again.frames[name].pixels, whole.frames[name].pixels)
        assert again.frames[name].count.tolist() == whole.frames[name].count.tolist()
    assert torch.equal(again.place, whole.place) and torch.equal(again.draw, whole.draw)
    assert torch.equal(again.target, whole.target)


def test_a_sensor_that_one_part_does_not_know_is_missing_there():
    joined = Batch.cat([batch(a=(2,)), batch(a=(1,), b=(3,))])
    assert joined.frames["b"].count.tolist() == [0, 3]
    assert joined.present.tolist() == [[True, True], [False, True]]


def test_counts_and_draws_stay_on_the_cpu():
    away = batch(a=(2, 0, 3)).to("meta")
    assert away.place.device.type == away.frames["a"].pixels.device.type == "meta"
    assert away.frames["a"].count.tolist() == [2, 0, 3] and away.draw.tolist() == [0, 7, 14]
    assert away.select(torch.tensor([2, 0])).draw.tolist() == [14, 0]


def test_drop_and_only_are_counts_of_zero():
    whole = batch(a=(2, 1), b=(1, 0))
    assert whole.drop("a").frames["a"].count.tolist() == [0, 0]
    assert whole.drop("a").frames["b"].count.tolist() == [1, 0]
    assert whole.only(["a"]).frames["b"].count.tolist() == [0, 0]
    assert len(whole.only(["a"]).frames["b"].pixels) == 0


def test_counts_that_do_not_add_up_are_refused():
    # (Images and dates of different number meet the same check; under the test run's shape checks they do not get that far.)
    with pytest.raises(InputError, match=r"5 images, 5 dates and counts that add up to 3"):
        Frames(torch.zeros(5, 2, 3, 3), torch.arange(5), torch.tensor([1, 2]))


def test_places_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="'b' counts 1 places"):
        Batch({"a": frames(1, 1), "b": frames(1)}, 30.0, torch.arange(2), torch.arange(2))
    other = Batch({"a": frames(1)}, 60.0, torch.arange(1), torch.arange(1))
    with pytest.raises(InputError, match="different sizes"):
        Batch.cat([batch(a=(1,)), other])
    unlabelled = Batch({"a": frames(1)}, 30.0, torch.arange(1), torch.arange(1))
    with pytest.raises(InputError, match=r"place .* has no labels, others beside it have"):
        Batch.cat([batch(a=(1,)), unlabelled])
