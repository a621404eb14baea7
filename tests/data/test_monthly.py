import numpy as np
import pytest

from omnifuse.data.monthly import monthly
from omnifuse.data.place import Series


def series(values: list, dates: list[str], dtype=np.int16) -> Series:
    pixels = np.array(values, dtype).reshape(len(values), 1, 1, -1)
    return Series(pixels, np.array(dates, "datetime64[D]").astype(np.int32))


def test_a_month_is_the_mean_of_its_valid_values_dated_the_15th():
    dates = ["2018-09-01", "2018-09-30", "2018-10-01", "2018-12-31", "2019-09-02"]
    seen = monthly(series([[10, -9], [13, 4], [-9, -9], [7, 8], [100, 1]], dates), nodata=-9)
    assert seen.pixels[:, 0, 0].tolist() == [[12, 4], [-9, -9], [7, 8], [100, 1]]  # 11.5 is rounded to even
    assert np.array_equal(
        seen.day.astype("datetime64[D]"), np.array(["2018-09-15", "2018-10-15", "2018-12-15", "2019-09-15"], "datetime64[D]")
    )
    assert (seen.pixels.dtype, seen.day.dtype) == (np.int16, np.int32)


def test_without_a_no_data_value_all_values_count():
    assert monthly(series([[-9], [-5]], ["2019-02-01", "2019-02-28"]), nodata=None).pixels.item() == -7


def test_radar_keeps_the_difference_of_its_bands_and_its_type():
    rng = np.random.default_rng(0)
    values = rng.normal(-12, 3, (20, 3, 4, 4))
    values[:, 2] = values[:, 0] - values[:, 1]
    seen = monthly(Series(values.astype(np.float16), np.arange(17_900, 18_000, 5, dtype=np.int32)), nodata=None)
    assert seen.pixels.dtype == np.float16
    assert np.abs(seen.pixels[:, 0] - seen.pixels[:, 1] - seen.pixels[:, 2]).max() < 0.03


def test_not_a_number_can_be_the_no_data_value():
    seen = monthly(series([[1, np.nan], [2, np.nan]], ["2019-02-01", "2019-02-28"], np.float32), nodata=float("nan"))
    assert seen.pixels[0, 0, 0] == pytest.approx([1.5, np.nan], nan_ok=True)


def test_no_frames_stay_none():
    seen = monthly(Series(np.zeros((0, 2, 4, 4), np.int16), np.zeros(0, np.int32)), nodata=None)
    assert seen.pixels.shape == (0, 2, 4, 4)
    assert len(seen.day) == 0
