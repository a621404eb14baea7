"""Dates are told from names and tags, or spread over a season with a warning."""

from datetime import UTC, datetime

import pytest

from omnifuse.data.dates import spread, time_in, time_of_file, undated_days
from omnifuse.modalities import MODALITIES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s2_2021-06-30.tif", (2021, 6, 30)),
        ("20210630.tif", (2021, 6, 30)),
        ("x_2021_06_30_y", (2021, 6, 30)),
        ("openEO_2021-06-30Z.tif", (2021, 6, 30)),
        ("T31UDS_20180630T105031_B02_10m.jp2", (2018, 6, 30, 10, 50, 31)),
        ("S2A_MSIL2A_20180630T105031_N0208_R051_T31UDS_20180701T125914", (2018, 6, 30, 10, 50, 31)),  # sensed, then processed
        ("S1A_IW_GRDH_1SDV_20180630T055012_20180630T055037_022582", (2018, 6, 30, 5, 50, 12)),
        ("LC08_L2SP_199025_20180630_20200831_02_T1_SR_B2", (2018, 6, 30)),
        ("HLS.S30.T31UDS.2018181T105031.v2.0.B02.tif", (2018, 6, 30)),
        ("2021-07-23T13:22:41.000000000", (2021, 7, 23, 13, 22, 41)),
        ("a_20210231_20210301", (2021, 3, 1)),  # there is no 31 February
        ("609U_541L_3_0", None),
        ("120210630", None),
        ("band_2021", None),
        ("20211399", None),
        ("", None),
    ],
)
def test_the_first_date_in_a_text_is_found(text, expected):
    assert time_in(text) == (None if expected is None else datetime(*expected, tzinfo=UTC))


def test_a_name_goes_before_a_folder_and_a_folder_before_a_tag():
    tags = {"datetime": "2020-01-01T00:00:00"}
    assert time_of_file("/data/2021-06-30/20210701_B02.tif", tags)[1] == "name"
    assert time_of_file("/data/2021-06-30/B02.tif", tags) == (datetime(2021, 6, 30, tzinfo=UTC), "folder")
    assert time_of_file("/data/downloads_of_2021-06-30_for_me/B02.tif", tags)[1] == "tag datetime"
    assert time_of_file("B02.tif", {"TIFFTAG_DATETIME": "2020:01:01 00:00:00", "AREA_OR_POINT": "Area"}) == (None, "")


def test_images_without_dates_are_spread_evenly():
    assert spread(1, (100, 200)).tolist() == [150]
    assert spread(4, (0, 400)).tolist() == [50, 150, 250, 350]
    with pytest.warns(UserWarning, match=r"2 image\(s\) of 's2' without dates.*2018-10-27 to 2019-04-27. Try: days=\{'s2'"):
        assert undated_days(2, MODALITIES["s2"], (17_740, 18_105)) == [17_831, 18_013]
    assert undated_days(2, MODALITIES["s2"], None) == [0, 0]
