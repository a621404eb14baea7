import datetime

import numpy as np
import pytest
import torch
import xarray

from omnifuse.data.arrays import days_since_1970, place_from_arrays, series_from_xarray
from omnifuse.errors import InputError
from omnifuse.modalities import MODALITIES

S2 = MODALITIES["s2"]
DAYS = [17500, 17510, 17520]


def stack(count: int = 3, side: int = 4) -> np.ndarray:
    """Every value tells its date, band, row and column."""
    t, c, y, x = np.ogrid[:count, :10, :side, :side]
    return (1000 * t + 100 * c + 10 * y + x).astype(np.int16)


def labelled(values: np.ndarray | None = None, **coords) -> xarray.DataArray:
    coords = {"time": np.array(DAYS, "datetime64[D]").astype("datetime64[ns]"), "band": list(S2.bands)} | coords
    return xarray.DataArray(stack() if values is None else values, dims=("time", "band", "y", "x"), coords=coords)


def test_axes_and_bands_and_dates_come_in_any_order():
    for axes in (("time", "band", "y", "x"), ("y", "x", "band", "time"), ("band", "time", "x", "y")):
        shuffled = labelled().isel(band=[3, 9, 0, 1, 2, 8, 7, 6, 5, 4], time=[2, 0, 1]).transpose(*axes)
        series = series_from_xarray(shuffled, S2)
        assert np.array_equal(series.pixels, stack())
        assert series.pixels.dtype == np.int16
        assert series.day.tolist() == DAYS


def test_common_synonyms_are_understood():
    names = {"time": "t", "band": "Channel", "y": "lat", "x": "lon"}
    bands = ["b02", "b03", "B04", "b05", "B06", "B07", "b08", "b8a", "b11", "b12"]
    series = series_from_xarray(labelled(band=bands).rename(names), S2)
    assert np.array_equal(series.pixels, stack())
    assert series.day.tolist() == DAYS


def test_a_band_too_many_is_left_out_and_a_missing_one_named_with_its_unit():
    values = np.concatenate([stack(), stack()[:, :1]], 1)
    series = series_from_xarray(labelled(values, band=[*S2.bands, "SCL"]), S2)
    assert np.array_equal(series.pixels, stack())
    with pytest.raises(InputError, match=r"band B8A \(reflectance\*10000\) is missing among .*B12"):
        series_from_xarray(labelled().sel(band=[band for band in S2.bands if band != "B8A"]), S2)


def test_an_image_without_time_is_a_series_of_one():
    series = series_from_xarray(labelled().isel(time=0), S2)
    assert series.pixels.shape == (1, 10, 4, 4)
    assert series.day.tolist() == [DAYS[0]]
    grey = xarray.DataArray(np.ones((4, 4), np.float32), dims=("y", "x"))
    assert series_from_xarray(grey, MODALITIES["dem"]).day.tolist() == [0]


@pytest.mark.parametrize(
    "dates",
    [
        np.array(DAYS, "datetime64[D]"),
        np.array(DAYS, "datetime64[D]").astype("datetime64[ns]") + np.timedelta64(23, "h"),
        [datetime.date(1970, 1, 1) + datetime.timedelta(day) for day in DAYS],
        [datetime.datetime(1970, 1, 1, 11) + datetime.timedelta(day) for day in DAYS],
        ["2017-11-30", "2017-12-10", "2017-12-20T10:50:22"],
        DAYS,
        np.array(DAYS),
    ],
    ids=["days", "nanoseconds", "date", "datetime", "text", "int", "numpy int"],
)
def test_dates_of_any_kind_are_days_since_1970(dates):
    assert days_since_1970(dates, "s2").tolist() == DAYS


@pytest.mark.parametrize("date", ["June", None, np.datetime64("NaT"), 1.5, 10**12])
def test_what_is_not_a_date_is_refused(date):
    with pytest.raises(InputError, match=r"s2: .* is not a date"):
        days_since_1970([date], "s2")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, lambda a: xarray.DataArray(a, dims=("time", "band", "y", "x"))])
def test_arrays_of_every_kind_become_the_same_place(kind):
    order = [2, 0, 1]
    dem = np.ones((1, 4, 4), np.float32)
    place = place_from_arrays({"s2": kind(stack()[order]), "dem": dem}, {"s2": [DAYS[i] for i in order]}, MODALITIES)
    assert np.array_equal(place.series["s2"].pixels, stack())
    assert place.series["s2"].day.tolist() == DAYS
    assert place.size == 40.0
    assert place.to_batch().frames["dem"].count.tolist() == [1]


def test_given_dates_win_over_coordinates():
    assert place_from_arrays({"s2": labelled()}, {"s2": [1, 2, 3]}, MODALITIES).series["s2"].day.tolist() == [1, 2, 3]
    assert place_from_arrays({"s2": labelled()}, None, MODALITIES).series["s2"].day.tolist() == DAYS


def nan_in_second() -> np.ndarray:
    values = np.ones((2, 3, 4, 4), np.float32)
    values[1, 0, 0, 0] = np.nan
    return values


@pytest.mark.parametrize(
    ("arrays", "days", "message"),
    [
        ({"s2": stack()}, {"s2": DAYS[:2]}, "3 images but 2 dates"),
        ({"s2": stack()}, None, r"3 image\(s\) without dates\. Try: `days="),
        ({"s2": stack()[0]}, None, r"1 image\(s\) without dates"),
        ({"s2": stack()[:, :9]}, {"s2": DAYS}, r"\(3, 9, 4, 4\).*B12 \(reflectance\*10000\)"),
        ({"s2": stack()[0, 0]}, {"s2": DAYS[:1]}, r"\(4, 4\)"),
        ({"s1_asc": nan_in_second()}, {"s1_asc": [1, 2]}, "not finite, first in image 1"),
        ({"s2x": stack()}, None, "unknown modality 's2x'.*Try: `s2`"),
        ({"s2": stack()}, {"s2": DAYS, "dem": [1]}, "dates for 'dem' but no images"),
        ({}, None, "no sensor has an image"),
        ({"s2": stack()[:0]}, {"s2": []}, "no sensor has an image"),
        ({"s2": stack(), "spot": np.ones((3, 30, 30), np.uint8)}, {"s2": DAYS}, "'spot' covers 30 m of ground, 's2' covers 40 m"),
        ({"s2": stack()[..., :3]}, {"s2": DAYS}, "4×3 pixels"),
        ({"s2": stack().swapaxes(1, 2)}, {"s2": DAYS}, "expected"),
    ],
)
def test_input_that_does_not_fit_is_refused_with_a_remedy(arrays, days, message):
    with pytest.raises(InputError, match=message) as error:
        place_from_arrays(arrays, days, MODALITIES)
    assert "Try: " in str(error.value)


def test_a_sensor_without_images_is_missing():
    place = place_from_arrays({"s2": stack(), "s1_asc": np.zeros((0, 3, 4, 4))}, {"s2": DAYS, "s1_asc": []}, MODALITIES)
    assert place.to_batch().frames["s1_asc"].present.tolist() == [False]


def test_a_sensor_of_the_whole_place_does_not_set_its_size():
    climate = np.ones((12, 4, 1, 1), np.float32)
    place = place_from_arrays({"climate": climate, "s2": stack()}, {"climate": range(12), "s2": DAYS}, MODALITIES)
    assert place.size == 40.0
