"""Dropout of sensors and dates: selection, with the chances it says."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnifuse.dropout import band_dropout, date_dropout, limit_dates, modality_dropout, ramp
from omnifuse.frames import Batch, Frames

counts = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=4)


def make(table: list[list[int]]) -> Batch:
    """Rows are places, columns sensors; a frame's single pixel is its number."""
    frames = {}
    for m, name in enumerate("abc"):
        count = torch.tensor([row[m] for row in table])
        n = int(count.sum())
        frames[name] = Frames(torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1), torch.arange(n), count)
    ids = torch.arange(len(table))
    return Batch(frames, 10.0, ids, ids)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(counts, st.floats(0, 0.99), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_at_least_one_sensor_stays_and_none_appears(table, rate, seed):
    before = make(table)
    after = modality_dropout(before, rate, generator(seed))
    assert torch.equal(after.present.any(0), before.present.any(0))
    for name in before.frames:
        pairs = zip(before.frames[name].count.tolist(), after.frames[name].count.tolist(), strict=True)
        assert all(new in (0, old) for old, new in pairs)


@given(counts, st.floats(0, 0.99), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_dates_that_stay_are_in_order_and_one_always_does(table, rate, most, seed):
    before = make(table)
    for after in (date_dropout(before, rate, generator(seed)), limit_dates(before, most, generator(seed))):
        assert torch.equal(after.present, before.present)
        for name, frames in after.frames.items():
            assert torch.equal(frames.day, frames.pixels.flatten().long())  # dates went with their images
            assert (frames.day.diff() > 0).all()
            assert torch.equal(before.frames[name].place[frames.day], frames.place)
    assert all(int(frames.count.max()) <= most for frames in after.frames.values())
    expected = {name: frames.count.clamp(max=most).tolist() for name, frames in before.frames.items()}
    assert {name: frames.count.tolist() for name, frames in after.frames.items()} == expected


def test_sensors_are_kept_with_the_stated_chance():
    after = modality_dropout(make([[1, 1, 1]] * 20000), 0.5, generator())
    seen = Counter(tuple(row) for row in after.present.T.tolist())
    # Each of the 8 outcomes has chance 1/8; the empty one is shared equally among the three single sensors.
    for outcome, number in seen.items():
        expected = 1 / 8 + (1 / 24 if sum(outcome) == 1 else 0)
        assert number / 20000 == pytest.approx(expected, abs=0.01)
    assert len(seen) == 7


def test_dates_are_kept_with_the_stated_chance():
    after = date_dropout(make([[400, 0, 0]] * 50), 0.3, generator())
    assert int(after.frames["a"].count.sum()) / 20000 == pytest.approx(0.7, abs=0.015)
    limited = limit_dates(make([[4, 0, 0]] * 8000), 1, generator())
    share = Counter((limited.frames["a"].day % 4).tolist())
    assert all(number / 8000 == pytest.approx(0.25, abs=0.02) for number in share.values())


def test_the_same_generator_gives_the_same_batch():
    before = make([[3, 1, 2], [4, 4, 4]])
    for function, argument in ((modality_dropout, 0.5), (date_dropout, 0.5), (limit_dates, 2)):
        one, two = (function(before, argument, generator(5)) for _ in range(2))
        assert all(torch.equal(one.frames[name].day, two.frames[name].day) for name in "abc")


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_would_drop_everything_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        modality_dropout(make([[1, 1, 1]]), rate, generator())
    with pytest.raises(ValueError, match="rate"):
        date_dropout(make([[1, 1, 1]]), rate, generator())


def test_sensors_have_rates_of_their_own():
    after = modality_dropout(make([[1, 1, 1]] * 20000), {"a": 0.8, "c": 0.2}, generator())
    a, b, c = after.present.double().mean(1).tolist()
    assert b == 1  # no rate: never dropped
    assert a == pytest.approx(0.2, abs=0.015) and c == pytest.approx(0.8, abs=0.015)


def test_what_stays_at_a_rate_stays_at_every_lower_one():
    before = make([[1, 1, 1]] * 500)
    low, high = (modality_dropout(before, rate, generator(3)).present for rate in (0.2, 0.6))
    assert bool((low | ~high).all()) and high.sum() < low.sum()


def test_a_rate_rises_linearly_and_then_stays():
    assert [ramp(fraction, 0.5) for fraction in (0.0, 0.25, 0.5, 1.0)] == [0, 0.5, 1, 1]
    assert ramp(0.0, 0.0) == 1  # no ramp: whole from the start


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint16], ids=str)
def test_a_dropped_band_is_its_mean_on_all_dates_and_one_band_stays(dtype):
    pixels = (torch.arange(6 * 4 * 4).view(6, 4, 2, 2) + 50).to(dtype)
    batch = Batch({"a": Frames(pixels, torch.arange(6), torch.tensor([3, 0, 3]))}, 10.0, torch.arange(3), torch.arange(3))
    means = {"a": (1.2, 2.2, 3.2, 4.2)}
    shares = []
    for seed in range(300):
        after = band_dropout(batch, 0.5, means, generator(seed)).frames["a"].pixels
        assert after.dtype == dtype
        filled = torch.tensor(means["a"]).to(dtype)[None, :, None, None]
        dropped = (after == filled).flatten(2).all(2)
        assert torch.equal(after.float(), torch.where(dropped[:, :, None, None], filled.float(), pixels.float()))
        assert torch.equal(dropped[0], dropped[2]) and not bool(dropped.all(1).any())  # one place is one draw
        shares.append(dropped.float().mean().item())
    assert sum(shares) / 300 == pytest.approx(0.5 - 0.5**4 / 4, abs=0.03)


def test_band_rates_out_of_range_are_refused():
    with pytest.raises(ValueError, match="rate"):
        band_dropout(make([[1, 1, 1]]), 1.0, dict.fromkeys("abc", (0.0,)), generator())
