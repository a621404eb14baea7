"""Bands in any order and spelling are found by name; one that is missing is named."""

import re

import pytest

from omnifuse.data.band_names import named, positions
from omnifuse.errors import InputError
from omnifuse.modalities import MODALITIES

S2, S1, SPOT = (MODALITIES[name] for name in ("s2", "s1_asc", "spot"))
ORDER = {band: number for number, band in enumerate(S2.bands)}


@pytest.mark.parametrize(
    "found",
    [
        list(S2.bands),
        ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"],
        ["b2", "b3", "b4", "b5", "b6", "b7", "b8", "b8a", "b11", "b12"],
        ["blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22"],
        ["Blue", "Green", "Red", "Red Edge 1", "Red Edge 2", "Red Edge 3", "NIR", "Narrow NIR", "SWIR 1", "SWIR 2"],
        [f"S2A_T31UDS_{band}_10m" for band in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")],
        [f"{band}, central wavelength {wave:.0f} nm" for band, wave in zip(S2.bands, S2.wavelengths, strict=True)],
        [""] * 10,
    ],
    ids=["own", "two digits", "lower case", "common", "with words", "in file names", "GDAL's", "none"],
)
def test_every_spelling_is_understood(found):
    assert positions(found, S2, "x") == ORDER


def test_another_order_and_more_bands_do_not_matter():
    found = ["SCL", "B12", "B11", "B8A", "B08", "B07", "B06", "B05", "B04", "B03", "B02", "B01", "B09"]
    at = positions(found, S2, "x")
    assert [found[at[band]].replace("B0", "B") for band in S2.bands] == list(S2.bands)


def test_near_infrared_is_the_broad_band_where_there_are_two():
    assert named(["nir"], S2, "x") == {"B8": 0}
    assert named(["nir08", "nir"], S2, "x") == {"B8A": 0, "B8": 1}
    assert named(["r", "g", "b"], SPOT, "x") == {"R": 0, "G": 1, "B": 2}
    assert named(["Red", "nir"], SPOT, "x") == {"R": 0}  # there is none near 833 nm


@pytest.mark.parametrize("found", [["VV", "VH"], ["Sigma0_VV_db", "Sigma0_VH_db"], ["", ""], ["vv", "vh", "angle"]])
def test_a_difference_of_two_bands_may_be_lacking(found):
    assert positions(found, S1, "x") == {"VV": 0, "VH": 1}


def test_a_ratio_of_both_is_neither():
    assert positions(["VV/VH", "VH", "VV"], S1, "x") == {"VH": 1, "VV": 2}
    assert positions(["VH", "VV-VH", "VV"], S1, "x") == {"VH": 0, "VV-VH": 1, "VV": 2}


@pytest.mark.parametrize(
    ("found", "modality", "message"),
    [
        (
            ["B02", "B03"],
            S2,
            r"x: band B4 (reflectance*10000) is missing among B02, B03. Try: add it, state the names as bands={'s2': [...]}",
        ),
        (["VV"], S1, "x: band VH (dB) is missing among VV"),
        (["VV-VH"], S1, "x: band VV (dB) is missing"),
        ([""] * 12, S2, "x: 12 bands, without names; expected B2 (reflectance*10000), B3"),
        (["foo", "bar"], S2, "x: 2 bands, foo, bar; expected"),
        (["VV", "VH", "vv"], S1, "x: bands 'VV' and 'vv' are both VV"),
        (["B02", "S2_B2"], S2, "x: bands 'B02' and 'S2_B2' are both B2"),
        ([], S2, "x: 0 bands, without names"),
    ],
)
def test_what_does_not_fit_is_named(found, modality, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        positions(found, modality, "x")
    assert "Try: " in str(error.value)
