"""Series of pixels: the right ground, dates of even spacing, and nothing that depends on other places."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_source import MODALITIES, FakeSource

from omnifuse.data.loading import evaluation_batches
from omnifuse.evals.pixel_series import day_of_year, first_and_last, interpolated, on_grid, pixel_series, with_means
from omnifuse.frames import Batch
from omnifuse.modalities import Modality

SOURCE = FakeSource()


def batch_of(*places: int) -> Batch:
    return next(evaluation_batches(SOURCE, np.array(places), len(places)))


def without_optical(place: int) -> Batch:
    batch = batch_of(place)
    return replace(batch, frames={"radar": batch.frames["radar"]})


def test_series_are_interpolated_as_numpy_does():
    grid = np.arange(16900, 18200, 37)
    (place,) = pixel_series(batch_of(3), MODALITIES, 8)
    rows = interpolated(place, MODALITIES, grid)
    frames = SOURCE[3].series["optical"]
    assert len(frames.day) == 4 and rows.shape == (64, len(grid) * (3 + 2 + 4) + 1)
    for band, row, column in ((0, 0, 0), (2, 5, 1)):
        expected = np.interp(grid, frames.day, frames.pixels[:, band, row, column].astype(float))
        np.testing.assert_allclose(rows[8 * row + column, band : 3 * len(grid) : 3], expected, rtol=1e-5)


def test_images_of_one_day_do_not_divide_by_zero():
    (place,) = pixel_series(batch_of(3), MODALITIES, 8)
    place.day["optical"][:] = 17500
    assert np.isfinite(interpolated(place, MODALITIES, np.array([17400, 17500, 17600]))).all()


def test_every_sensor_lies_on_the_labels_grid():
    ground = torch.arange(16.0).view(1, 1, 4, 4)
    fine = Modality(name="f", title="f", bands=("x",), gsd=5.0, units=("1",), mean=(0.0,), std=(1.0,))
    assert on_grid(ground, fine, 20.0, 2)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert on_grid(ground, fine, 20.0, 8)[0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    around = Modality(name="f", title="f", bands=("x",), gsd=5.0, units=("1",), mean=(0.0,), std=(1.0,), context=5.0)
    assert on_grid(ground, around, 10.0, 2)[0, 0].tolist() == [[5, 6], [9, 10]]


def test_means_around_a_pixel_are_of_the_place():
    ground = torch.arange(16.0).view(1, 1, 4, 4)
    around = with_means(ground, 3)
    assert around[:, :1].equal(ground) and around[0, 1, 1, 2] == ground[0, 0, 0:3, 1:4].mean()
    assert around[0, 1, 0, 0] == ground[0, 0, :2, :2].mean()  # nothing is made up beyond the edge
    (place,) = pixel_series(batch_of(3), MODALITIES, 8, around=3)
    (without,) = pixel_series(without_optical(3), MODALITIES, 8, around=3)
    assert place.values["optical"].shape[1] == without.values["optical"].shape[1] == 6


def test_a_place_is_the_same_among_others():
    together = pixel_series(batch_of(0, 1, 4, 5), MODALITIES, 8)
    for position, index in enumerate((0, 1, 4, 5)):
        (alone,) = pixel_series(batch_of(index), MODALITIES, 8)
        for name in MODALITIES:
            np.testing.assert_array_equal(together[position].values[name], alone.values[name])
            np.testing.assert_array_equal(together[position].day[name], alone.day[name])
    assert len(together[1].day["radar"]) == 0 and len(together[2].day["optical"]) == 0


def test_a_missing_sensor_is_unknown():
    grid = np.array([17500])
    optical = {"optical": MODALITIES["optical"]}
    (place,) = pixel_series(batch_of(4), optical, 8)
    assert np.isnan(interpolated(place, optical, grid)).all()
    (never,) = pixel_series(without_optical(3), optical, 8)
    assert np.isnan(interpolated(never, optical, grid)).all()


def test_days_of_the_year_come_in_order():
    days = (np.array(["2016-12-31", "2017-01-01", "2017-12-31"], "datetime64[D]")).astype(np.int64)
    assert day_of_year(days).tolist() == [365, 0, 364]
    (place,) = pixel_series(batch_of(3), MODALITIES, 8, season=True)
    frames = SOURCE[3].series["optical"]
    order = np.argsort(day_of_year(frames.day.astype(np.int64)), kind="stable")
    np.testing.assert_array_equal(place.values["optical"][:, 1, 0], frames.pixels[order, 1, 0, 0])
    assert all(day[0] >= 0 and day[-1] <= 365 for name, day in place.day.items() if MODALITIES[name].series)


def test_the_span_is_that_of_the_series():
    places = pixel_series(batch_of(0, 1, 2, 3), MODALITIES, 8)
    days = [SOURCE[i].series[name].day for i in range(4) for name in ("optical", "radar", "weather")]
    assert first_and_last(places) == (np.concatenate(days).min(), np.concatenate(days).max())
    assert first_and_last([]) == (0, 0)


@pytest.mark.parametrize("side", [1, 3, 8])
def test_any_grid_will_do(side):
    for place in pixel_series(batch_of(0, 3), MODALITIES, side):
        assert interpolated(place, MODALITIES, np.array([17500])).shape == (side**2, 3 + 2 + 1 + 4)
