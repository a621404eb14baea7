"""Units are converted where they are stated, and refused where the values cannot be in them."""

import re

import numpy as np
import pytest

from omnifuse.data.calibration import Calibration, calibration, check_values
from omnifuse.errors import InputError
from omnifuse.modalities import MODALITIES, Modality

S2, S1, SPOT, DEM, CLIMATE = (MODALITIES[name] for name in ("s2", "s1_asc", "spot", "dem", "climate"))
DN = np.array([200, 1234, 8000], np.uint16)
SIGMA = np.array([0.001, 0.08, 1.5])


def one(modality: Modality, band: int = 0, **said: object) -> Calibration:
    return calibration(modality.bands[band], modality, "x", **said)


@pytest.mark.parametrize(
    ("modality", "said", "stored", "expected"),
    [
        (S2, {}, DN, DN),
        (S2, {"unit": "reflectance"}, DN / 10_000, DN),
        (S2, {"own_unit": "1"}, DN / 10_000, DN),
        (S2, {"own_unit": "DN"}, DN, DN),
        (S2, {"own_unit": "1", "unit": "reflectance*10000"}, DN, DN),  # what is stated goes before what the file says
        (S2, {"scale": 1e-4}, DN, DN),  # the factor tells the unit
        (S2, {"scale": 1e-4, "offset": -0.1}, DN + 1000, DN),  # as Earth Search writes baseline 04.00
        (S2, {"add": -1000}, DN + 1000, DN),
        (S2, {"add": "baseline 04.00"}, DN + 1000, DN),
        (S2, {"add": "N0400", "unit": "reflectance"}, (DN + 1000) / 10_000, DN),
        (S2, {"add": "baseline 04.00", "scale": 1e-4}, DN + 1000, DN),
        (S1, {"unit": "linear"}, SIGMA, 10 * np.log10(SIGMA)),
        (S1, {"unit": "power"}, SIGMA, 10 * np.log10(SIGMA)),
        (S1, {"scale": 1e-4}, np.array([-120_000, -80_000], np.int32), [-12, -8]),
        (SPOT, {"unit": "1"}, np.array([0.2, 0.9]), [51, 229.5]),
        (CLIMATE, {"unit": "K"}, np.array([280.0, 290.0]), [6.85, 16.85]),
        (DEM, {"own_unit": "metre"}, np.array([12.0]), [12.0]),
    ],
)
def test_what_is_stated_is_converted(modality, said, stored, expected):
    np.testing.assert_allclose(one(modality, **said).apply(stored), expected, rtol=1e-5)


def test_stored_values_are_left_as_they_are():
    assert one(S2).apply(DN) is DN
    assert one(S2).trivial
    assert not one(S2, unit="reflectance").trivial


@pytest.mark.parametrize(
    ("modality", "said", "message"),
    [
        (S2, {"unit": "dB"}, "band B2 of 's2': unit 'dB' does not become 'reflectance*10000'"),
        (S1, {"unit": "reflectance"}, "unit 'reflectance' does not become 'dB'. Try: 'dB', or what converts to it: linear"),
        (S2, {"add": -1000, "offset": -0.1}, "has its own offset -0.1, which is applied. Try: leave out offset={'s2': -1000}"),
        (S2, {"add": "yes"}, "offset 'yes' of 's2'. Try: a number, or 'baseline 04.00'"),
        (S1, {"add": "baseline 04.00"}, "offset 'baseline 04.00' of 's1_asc'"),
        (S2, {"add": float("nan")}, "offset nan of 's2'"),
        (S2, {"add": True}, "offset True of 's2'"),
    ],
)
def test_what_cannot_be_converted_is_refused(modality, said, message):
    with pytest.raises(InputError, match=re.escape(message)):
        one(modality, **said)


@pytest.mark.parametrize(
    ("modality", "said", "values", "message"),
    [
        (
            S2,
            {},
            [0.02, 0.9],
            "band 'B2' of 's2' reaches 0.9, not plausible in its unit 'reflectance*10000'",
        ),
        (S2, {}, [0.02, 2.5], "Try: units={'s2': 'reflectance'} if they are that, or multiply by 10000"),
        (S2, {"unit": "reflectance"}, [200, 8000], "reaches 8000, above 6.6, not plausible in its unit 'reflectance'"),
        (S2, {"own_unit": "1"}, [200, 8000], "Try: units={'s2': 'reflectance*10000'}"),
        (S2, {"add": -1000, "unit": "reflectance"}, [0.1, 0.2], "reaches down to -999.9, below -2"),
        (S2, {}, [1e6], "above 66000"),
        (S1, {}, [0.001, 0.08], "band 'VV' of 's1_asc' is positive throughout, from 0.001, not plausible in its unit 'dB'"),
        (S1, {}, [1, 250, 4000], "above 60"),
        (S1, {"unit": "linear"}, [-12, -8], "has a median of -10, not plausible in its unit 'linear'"),
        (S1, {"unit": "linear"}, [150, 400], "has a median of 275"),
        (SPOT, {}, [0.1, 0.9], "not plausible in its unit '8-bit'"),
        (SPOT, {}, [10, 900], "reaches 900, above 255"),
        (CLIMATE, {}, [280, 290], "Try: units={'climate': 'K'}"),
        (CLIMATE, {"unit": "K"}, [12, 15], "below 150"),
    ],
)
def test_values_that_cannot_be_in_their_unit_are_refused(modality, said, values, message):
    own = one(modality, **said)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        check_values({own.band: np.array(values, np.float64)}, {own.band: own}, modality, "x")
    assert "Try: " in str(error.value)


@pytest.mark.parametrize(
    ("modality", "said", "values"),
    [
        (S2, {}, [0, 0, 0]),
        (S2, {}, [3, 20, 60]),  # deep water
        (S2, {}, [-30, 20, 60]),
        (S2, {"unit": "reflectance"}, [0.0, 0.001, 1.8]),  # clouds above 1
        (S1, {}, [-20, 4]),
        (S1, {}, [-0.1, 12]),  # bright city
        (S1, {"unit": "linear"}, [-1e-5, 0, 0.1, 900]),  # noise removed; a strong scatterer
        (SPOT, {}, [0, 255]),
        (S2, {}, []),
        (S1, {}, [np.nan, -12]),
    ],
)
def test_rare_but_right_values_pass(modality, said, values):
    own = one(modality, **said)
    check_values({own.band: np.array(values, np.float64)}, {own.band: own}, modality, "x")


def test_whole_numbers_below_two_are_as_stored():
    check_values({"R": np.array([0, 1], np.uint8)}, {"R": one(SPOT)}, SPOT, "x")


def test_one_dark_band_among_bright_ones_is_no_other_unit():
    values = {"R": np.array([0.4, 1.2]), "G": np.array([100.0, 120.0])}
    check_values(values, {"R": one(SPOT), "G": one(SPOT, 1)}, SPOT, "x")


def test_the_offset_of_newer_products_is_suspected_and_can_be_denied():
    values = {"B2": np.array([1080, 1900], np.uint16), "B8": np.array([1500, 4200], np.uint16)}
    said = {"B2": one(S2), "B8": one(S2, 6)}
    with pytest.warns(UserWarning, match=r"no value of 's2' lies below 1080.*Try: offset=\{'s2': -1000\}, or 0"):
        check_values(values, said, S2, "x")
    check_values(values, {"B2": one(S2, add=0), "B8": one(S2, 6, add=0)}, S2, "x")
    check_values(values, {"B2": one(S2, add=-1000), "B8": one(S2, 6, add=-1000)}, S2, "x")
    check_values(values | {"B2": np.array([300, 1900], np.uint16)}, said, S2, "x")  # a dark pixel
    check_values({"B2": np.array([5000, 9000])}, {"B2": one(S2)}, S2, "x")  # a cloud
