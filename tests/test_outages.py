"""Missing acquisitions: how many go, which never do, and that a place loses the same in any batch."""

from collections import Counter

import pytest
import torch

from omnifuse.frames import Batch, Frames
from omnifuse.modalities import MODALITIES
from omnifuse.outages import fewer_dates, gap, missing_sensors

NAMES = ("s2", "s1_asc", "spot")
EVERY = {"s2": 5, "s1_asc": 12, "spot": 1}


def make(places: list[int], year: int = 360, absent: tuple[str, ...] = ()) -> Batch:
    """Series over a year, one image of `spot`; a pixel is its date."""
    parts = []
    for place in places:
        frames = {}
        for name in NAMES:
            days = torch.arange(0, year, EVERY[name]) if MODALITIES[name].series else torch.tensor([200])
            days = days[:0] if name in absent else days + 17000
            pixels = days.float().view(-1, 1, 1, 1).expand(-1, len(MODALITIES[name].bands), 2, 2)
            frames[name] = Frames(pixels, days, torch.tensor([len(days)]))
        parts.append(Batch(frames, 20.0, torch.tensor([place]), torch.tensor([0])))
    return Batch.cat(parts)


def days(batch: Batch, name: str, position: int = 0) -> list[int]:
    return batch.frames[name].select(torch.tensor([position])).day.tolist()


KINDS = {
    "sensors": lambda batch, seed=0: missing_sensors(batch, 0.5, seed),
    "dates": lambda batch, seed=0: fewer_dates(batch, 3, MODALITIES, seed),
    "gap": lambda batch, seed=0: gap(batch, 90, MODALITIES, seed),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_loses_the_same_in_any_batch_and_order(kind):
    places = [5, 2, 7, 11, 3]
    together = KINDS[kind](make(places))
    for position, place in enumerate(places):
        alone = KINDS[kind](make([place]))
        assert all(days(alone, name) == days(together, name, position) for name in NAMES)
    other = KINDS[kind](make(places), 1)
    assert any(days(other, name, i) != days(together, name, i) for name in NAMES for i in range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_images_go_with_their_dates(kind):
    for name, frames in KINDS[kind](make([1, 4])).frames.items():
        assert torch.equal(frames.pixels[:, 0, 0, 0].long(), frames.day), name


def test_sensors_go_with_the_stated_chance_and_one_stays():
    after = missing_sensors(make(list(range(1500)), year=1), 0.5, 3)
    seen = Counter(tuple(row) for row in after.present.T.tolist())
    assert len(seen) == 7
    for outcome, number in seen.items():  # the empty outcome is shared among the three single sensors
        assert number / 1500 == pytest.approx(1 / 8 + (1 / 24 if sum(outcome) == 1 else 0), abs=0.03)
    assert bool((missing_sensors(make([1, 2]), 1.0, 0).present.sum(0) == 1).all())


def test_what_is_missing_stays_missing_at_severer_settings_and_none_appears():
    batch = make(list(range(200)), absent=("s2",))
    assert torch.equal(missing_sensors(batch, 0.0, 0).present, batch.present)
    low, high = (missing_sensors(batch, rate, 0).present for rate in (0.25, 0.75))
    assert bool((low | ~high).all()) and not bool(low[0].any()) and bool(high.any(0).all())
    batch = make([1, 2, 3])
    dates = [fewer_dates(batch, number, MODALITIES, 0) for number in (8, 2)]
    gaps = [gap(batch, length, MODALITIES, 0) for length in (30, 120)]
    for more, less in (dates, gaps):
        assert all(set(days(less, name, i)) <= set(days(more, name, i)) for name in NAMES for i in range(3))


@pytest.mark.parametrize("keep", [1, 4, 1000])
def test_so_many_dates_stay_in_order_and_single_images_do(keep):
    after = fewer_dates(make([1, 2]), keep, MODALITIES, 0)
    assert after.frames["s2"].count.tolist() == [min(keep, 72)] * 2 and after.frames["s1_asc"].count.tolist() == [min(keep, 30)] * 2
    assert after.frames["spot"].count.tolist() == [1, 1]
    assert all(days(after, name, i) == sorted(days(after, name, i)) for name in NAMES for i in range(2))


def test_dates_are_drawn_evenly():
    after = fewer_dates(make(list(range(800)), year=20), 1, MODALITIES, 0)
    share = Counter(after.frames["s2"].day.tolist())
    assert len(share) == 4 and all(number / 800 == pytest.approx(0.25, abs=0.05) for number in share.values())


def test_a_gap_is_one_window_in_all_series_that_lies_within_the_dates():
    whole = make(list(range(30)))
    after = gap(whole, 90, MODALITIES, 0)
    starts = set()
    for i in range(30):
        gone = {name: sorted(set(days(whole, name, i)) - set(days(after, name, i))) for name in NAMES}
        assert not gone["spot"] and 17 <= len(gone["s2"]) <= 19  # 90 days of one every five
        assert gone["s2"] == list(range(gone["s2"][0], gone["s2"][-1] + 1, 5))
        assert abs(gone["s1_asc"][0] - gone["s2"][0]) <= 12 and gone["s2"][-1] - gone["s2"][0] <= 90
        starts.add(gone["s2"][0])
    assert len(starts) > 15


def test_a_gap_longer_than_the_series_leaves_one_date_of_each_sensor():
    after = gap(make([1, 2]), 4000, MODALITIES, 0)
    assert all(frames.count.tolist() == [1, 1] for frames in after.frames.values())
    assert gap(make([1], absent=NAMES), 90, MODALITIES, 0).frames["s2"].count.tolist() == [0]


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="rate"):
        missing_sensors(make([1]), 1.5, 0)
    with pytest.raises(ValueError, match="num_dates"):
        fewer_dates(make([1]), 0, MODALITIES, 0)
    with pytest.raises(ValueError, match="days"):
        gap(make([1]), -1, MODALITIES, 0)
