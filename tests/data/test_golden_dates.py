"""Dates as each data set writes them, and what the published codes make of them; one true date is kept of all.

PASTIS, FLAIR#2 and FLAIR-HUB are held to their golden days where their readers are tested.
"""

import numpy as np
import pytest

from omnifuse.data.arrays import days_since_1970
from omnifuse.data.sources.flair_series import flair2_day, flair_hub_day
from omnifuse.data.sources.flair_series import product_days as flair_days
from omnifuse.data.sources.treesatai_layout import product_days

S1 = b"S1A_IW_GRDH_1SDV_20190705T170754_20190705T170819_027990_032945_4FC1"
S2 = b"S2B_MSIL2A_20201231T103329_N0214_R108_T32UNC_20201231T123456"


@pytest.mark.parametrize(("name", "field", "date"), [(S1, 4, "2019-07-05"), (S2, 2, "2020-12-31")])
def test_the_date_of_a_product_name_is_its_start(name, field, date):
    found = product_days([name, str(name), name.decode()], field, "x")  # bytes, bytes printed as text, text
    assert found.tolist() == days_since_1970([date] * 3, "x").tolist()
    fifth_from_the_end = name.decode().split("_")[-5][:8]  # as MAESTRO takes it
    assert np.datetime64(f"{fifth_from_the_end[:4]}-{fifth_from_the_end[4:6]}-{fifth_from_the_end[6:]}") == np.datetime64(date)


@pytest.mark.parametrize(("date", "of_year"), [("2019-01-01", 1), ("2019-12-31", 365), ("2020-12-31", 366), ("2020-02-29", 60)])
def test_days_of_the_year_count_from_one(date, of_year):
    """OmniSat counts from 1 to 366, AnySat documents 0 to 365."""
    day = int(days_since_1970([date], "x")[0])
    assert day - int(np.datetime64(date[:4], "D").astype(int)) + 1 == of_year


def test_two_generations_of_flair_count_from_the_fifteenth_of_may_with_opposite_signs():
    day = flair_days(["S2A_MSIL2A_20210301T105031_N0214_R051_T31TDL_20210301T000000"], "x")
    assert (flair2_day(day).tolist(), flair_hub_day(day).tolist()) == ([75], [-75])


def test_seasons_of_omnisat_are_windows_of_92_days():
    start = np.datetime64("2018-09-01").astype(int)
    days = days_since_1970(["2018-09-01", "2018-12-01", "2018-12-02", "2019-03-03", "2019-03-04", "2019-06-03", "2019-06-04"], "x") - start
    assert (days // 92).tolist() == [0, 0, 1, 1, 2, 2, 3]
