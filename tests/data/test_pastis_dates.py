import json

import numpy as np
import pytest
from fake_pastis import GOLDEN, PATCHES, RADAR, change, dates, pixels, read_metadata

from omnifuse.data.monthly import monthly
from omnifuse.data.sources.pastis import Pastis
from omnifuse.data.sources.pastis_metadata import parse_dates
from omnifuse.errors import InputError

DAY0 = 17775  # 2018-09-01


def test_golden_dates(pastis):
    seen = Pastis(pastis)[0].series["s2"].day - DAY0
    assert GOLDEN == (20180901, 20180924, 20190101, 20190228)
    assert seen[[0, 1, 2, 3, -1]].tolist() == [0, 23, 122, 180, 421]


def test_dates_are_read_in_all_three_encodings_in_order_of_their_numbers():
    mapping = {str(i): 20190101 + i for i in range(12)}
    backwards = dict(sorted(mapping.items()))  # "0", "1", "10", "11", "2", ...
    assert list(backwards)[2] == "10"
    for value in (backwards, json.dumps(backwards), repr(backwards)):
        assert parse_dates(value, "x").tolist() == [17897 + i for i in range(12)]


def test_the_made_up_files_have_all_three_encodings(pastis):
    columns = [feature["properties"]["dates-S2"] for feature in read_metadata(pastis)["features"]]
    assert [column if isinstance(column, dict) else column[1] for column in columns[:3]] == [columns[0], '"', "'"]


def test_frames_are_sorted_with_their_dates_and_two_on_a_day_stay_two(small_pastis):
    held = dates(PATCHES[0], "S2")
    mixed = [held[1], held[0], held[3], held[3], *held[4:]]
    change(small_pastis, 10000, dates_S2={str(i): day for i, day in enumerate(mixed)})
    seen = Pastis(small_pastis)[0].series["s2"]
    stored = pixels(PATCHES[0], "S2", 16)
    assert np.array_equal(seen.pixels, stored[[1, 0, *range(2, len(stored))]])
    assert (np.diff(seen.day) >= 0).all() and len(seen.day) == len(mixed)
    what = {problem.what for problem in Pastis(small_pastis).problems()}
    assert any("not in order" in one for one in what) and any("a date twice" in one for one in what)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"0": 20180924}, "12 frames, but `dates-S2` in metadata.geojson has 1 dates"),
        ({"0": 20180924, "2": 20180926}, "keys are not 0 to 1"),
        ({"0": 20180931}, "date 0: 20180931 is not a date YYYYMMDD"),
        ({"a": 20180924}, "key 'a'"),
        ("{'0': 20180924,", "neither JSON nor a Python literal"),
        ("__import__('os').getcwd()", "neither JSON nor a Python literal"),
        ([20180924], "found list, expected a mapping"),
        (None, "no `dates-S2`"),
    ],
)
def test_wrong_dates_are_an_error_that_names_the_patch(small_pastis, value, message):
    change(small_pastis, 10000, dates_S2=value)
    with pytest.raises(InputError, match="10000") as caught:
        source = Pastis(small_pastis)
        [source[index] for index in range(len(source))]
    assert message in str(caught.value) and "Try: " in str(caught.value)


def test_monthly_composites_are_those_of_the_series(pastis):
    plain, composed = Pastis(pastis, RADAR), Pastis(pastis, RADAR, monthly=True)
    for name, nodata in (("s2", -10_000), ("s1_asc", None)):
        expected, seen = monthly(plain[0].series[name], nodata), composed[0].series[name]
        assert np.array_equal(expected.pixels, seen.pixels) and np.array_equal(expected.day, seen.day)
        assert len(seen.day) < len(plain[0].series[name].day)
        assert {str(day)[-2:] for day in seen.day.astype("datetime64[D]")} == {"15"}
    april = composed[0].series["s2"].day.astype("datetime64[D]").astype("datetime64[M]") == np.datetime64("2019-04")
    assert (composed[0].series["s2"].pixels[april] > 0).all()  # one of its images has a gap, the others fill it
    assert composed.provenance["dates"].startswith("monthly means")
