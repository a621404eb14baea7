"""One map, however its inputs are held: tensors, arrays, xarray, files, in other units, orders and names."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from input_files import write_tif
from small_models import FACTS, SENSORS, arrays, fusion_model

from omnifuse.errors import InputError
from omnifuse.inference.predictor import Predictor
from omnifuse.zoo import load, save_model

S2, S1 = SENSORS.modalities["s2"], SENSORS.modalities["s1_asc"]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    path = tmp_path_factory.mktemp("models") / "small"
    save_model(path, fusion_model(), FACTS)
    return load(path)


@pytest.fixture(scope="module")
def given() -> dict[str, xr.DataArray]:
    """Digital numbers and decibels to the hundredth, so that other units hold them exactly enough."""
    made = arrays()
    made["s2"] = made["s2"].clip(1, 12_000).round().astype("uint16")
    made["s1_asc"] = made["s1_asc"].round(2)
    made["s1_asc"][:, 2] = made["s1_asc"][:, 0] - made["s1_asc"][:, 1]
    return made


@pytest.fixture(scope="module")
def expected(predictor, given) -> np.ndarray:
    return predictor.predict(given).probability


def days(given) -> dict[str, np.ndarray]:
    return {name: array["time"].to_numpy() for name, array in given.items()}


def close(found, expected, rtol=1e-5) -> None:
    np.testing.assert_allclose(found.probability, expected, rtol=rtol, atol=1e-6)


def test_tensors_and_arrays_and_their_dates(predictor, given, expected):
    plain = {name: array.to_numpy() for name, array in given.items()}
    close(predictor.predict(plain, days(given)), expected)
    close(predictor.predict({name: torch.from_numpy(array) for name, array in plain.items()}, days(given)), expected)
    lists = {name: [str(day)[:10] for day in one] for name, one in days(given).items()}
    close(predictor.predict({name: array.astype(np.float64) for name, array in plain.items()}, lists), expected)


def test_reflectance_and_power_are_converted_where_they_are_stated(predictor, given, expected):
    changed = {"s2": given["s2"] / 10_000, "s1_asc": 10 ** (given["s1_asc"][:, :2].astype("float64") / 10), "spot": given["spot"]}
    close(predictor.predict(changed, units={"s2": "reflectance", "s1_asc": "linear"}), expected, 1e-3)
    changed["s2"].attrs["units"], changed["s1_asc"].attrs["units"] = "1", "linear power"
    close(predictor.predict(changed), expected, 1e-3)
    with pytest.raises(InputError, match=r"not plausible.*units=\{'s2': 'reflectance'\}"):
        predictor.predict({"s2": given["s2"] / 10_000})
    with pytest.raises(InputError, match=r"not plausible.*units=\{'s1_asc': 'linear'\}"):
        predictor.predict({"s1_asc": 10 ** (given["s1_asc"] / 10)})
    with pytest.raises(InputError, match=r"above 6.6, not plausible in its unit 'reflectance'"):
        predictor.predict({"s2": given["s2"]}, units={"s2": "reflectance"})


def test_the_offset_is_taken_off_where_it_is_stated(predictor, given, expected):
    changed = given | {"s2": given["s2"] + np.uint16(1000)}
    with pytest.warns(UserWarning, match=r"offset=\{'s2': -1000\}"):
        assert np.abs(predictor.predict(changed).probability - expected).max() > 1e-3
    close(predictor.predict(changed, offset={"s2": -1000}), expected)
    close(predictor.predict(changed, offset={"s2": "baseline 04.00"}), expected)


def test_a_band_that_is_a_difference_is_computed(predictor, given, expected):
    close(predictor.predict(given | {"s1_asc": given["s1_asc"].isel(band=[1, 0])}), expected)
    plain = given["s1_asc"].to_numpy()[:, :2]
    close(predictor.predict(given | {"s1_asc": plain}, {"s1_asc": days(given)["s1_asc"]}), expected)


def test_bands_are_brought_in_order_by_name(predictor, given, expected):
    turned = given["s2"].isel(band=slice(None, None, -1))
    common = ["swir22", "swir16", "nir08", "nir", "rededge3", "rededge2", "rededge1", "red", "green", "blue"]
    close(predictor.predict(given | {"s2": turned}), expected)
    close(predictor.predict(given | {"s2": turned.assign_coords(band=common)}), expected)
    named = {"s2": [band.lower() for band in S2.bands[::-1]]}
    close(predictor.predict(given | {"s2": turned.to_numpy()}, {"s2": days(given)["s2"]}, bands=named), expected)
    dataset = turned.assign_coords(band=common).to_dataset("band")
    close(predictor.predict(given | {"s2": dataset}), expected)
    with pytest.raises(InputError, match=r"bands: 's2': 9 names for 10 bands"):
        predictor.predict(given, bands={"s2": list(S2.bands[:9])})


def test_declared_gaps_are_filled_and_others_refused(predictor, given):
    holes = given["s2"].astype("float32")
    holes[1] = np.nan
    holes[2, :, :, 8:] = np.nan
    with pytest.raises(InputError, match=r"not finite, first in image 1.*nodata="):
        predictor.predict({"s2": holes})
    found = predictor.predict({"s2": holes}, nodata={"s2": float("nan")}).probability
    same = holes.isel(time=[0, 2, 3]).copy()
    same.values[1, :, :, 8:] = same.values[1, :, :, 7:8]
    np.testing.assert_allclose(found, predictor.predict({"s2": same}).probability, rtol=1e-5)
    zeros = holes.fillna(0).astype("uint16").assign_attrs(_FillValue=0)
    np.testing.assert_allclose(predictor.predict({"s2": zeros}).probability, found, rtol=1e-5)


def test_images_without_dates_are_spread_with_a_warning(predictor, given):
    plain = given["s2"].to_numpy()
    with pytest.warns(UserWarning, match=r"4 image\(s\) of 's2' without dates.*Try: days="):
        found = predictor.predict({"s2": plain}).probability
    spread = np.datetime64("2018-09-01") + 30 + (390 * (2 * np.arange(4) + 1)) // 8  # the season of UTAEConfig
    np.testing.assert_array_equal(found, predictor.predict({"s2": plain}, {"s2": spread}).probability)
    with pytest.warns(UserWarning, match="2023-"):
        np.testing.assert_array_equal(predictor.predict({"s2": plain}, season_start="2023-09-01").probability, found)


def test_cf_time_is_decoded(predictor, given, expected):
    numbers = (given["s2"]["time"].to_numpy() - np.datetime64("2018-01-01", "ns")) / np.timedelta64(1, "D")
    cf = given["s2"].assign_coords(time=("time", numbers, {"units": "days since 2018-01-01"}))
    close(predictor.predict(given | {"s2": cf}), expected)


def test_coordinates_of_another_resolution_are_refused(predictor, given):
    wide = given["s2"].assign_coords(x=600_010 + 20 * np.arange(16), y=4_999_990 - 20 * np.arange(16))
    with pytest.raises(InputError, match=r"coordinates `x` are 20 apart, the model's pixels are 10 m"):
        predictor.predict({"s2": wide})


def s2_files(folder: Path, array: xr.DataArray) -> list[Path]:
    return [
        write_tif(folder / f"S2_{str(image['time'].to_numpy())[:10]}.tif", image.to_numpy(), names=[f"B{b[1:]:0>2}" for b in S2.bands])
        for image in array
    ]


def test_files_are_the_same_as_arrays(predictor, given, expected, tmp_path):
    s2_files(tmp_path / "s2", given["s2"])
    s1 = []
    for image in given["s1_asc"]:  # in power, a file per band, two bands in the other order
        date = str(image["time"].to_numpy())[:10].replace("-", "")
        power = 10 ** (image.to_numpy()[:2].astype(np.float64) / 10)
        s1 += [write_tif(tmp_path / "s1" / f"S1A_{date}T055012_{name}.tif", power[i : i + 1]) for i, name in ((1, "VH"), (0, "VV"))]
    spot = write_tif(tmp_path / "spot.tif", given["spot"].to_numpy()[0][::-1], 2.5, names=["blue", "green", "red"])
    inputs = {"s2": str(tmp_path / "s2" / "*.tif"), "s1_asc": s1, "spot": spot}
    prediction = predictor.predict(inputs, units={"s1_asc": "linear"})
    close(prediction, expected, 1e-3)
    dataset = prediction.to_xarray()
    np.testing.assert_allclose(dataset["x"], 600_005 + 10 * np.arange(16))
    np.testing.assert_allclose(dataset["y"], 4_999_995 - 10 * np.arange(16))
    assert "UTM zone 31N" in dataset["spatial_ref"].attrs["crs_wkt"]
    mixed = inputs | {"s1_asc": given["s1_asc"]}  # files and arrays
    close(predictor.predict(mixed), expected, 1e-3)
    with pytest.raises(InputError, match=r"the files of 's2' show .*Try: crop both"):
        predictor.predict(mixed | {"s1_asc": given["s1_asc"].assign_coords(x=given["s1_asc"]["x"] + 40)})


def test_a_stack_of_dates_in_one_file(predictor, given, expected, tmp_path):
    values = given["s2"].to_numpy()[:, ::-1]
    stack = write_tif(tmp_path / "stack.tif", values.reshape(-1, 16, 16), names=list(S2.bands[::-1]) * 4)
    close(predictor.predict(given | {"s2": stack}, {"s2": days(given)["s2"]}), expected)


def test_reflectance_in_files_is_told_by_scale_or_unit(predictor, given, expected, tmp_path):
    inputs = dict(given)
    for number, said in enumerate([{"scale": 1e-4, "offset": -0.1}, {"units": ["reflectance"] * 10}]):
        files = []
        for image in given["s2"]:
            values = image.to_numpy() + np.uint16(1000) if "scale" in said else (image.to_numpy() / 10_000).astype(np.float32)
            date = str(image["time"].to_numpy())[:10]
            files.append(write_tif(tmp_path / str(number) / f"{date}.tif", values, names=S2.bands, **said))
        close(predictor.predict(inputs | {"s2": files}), expected, 1e-3)


BAD_FILES = {
    "no file": (lambda f: {"s2": f / "none.tif"}, "none.tif: no such file, for 's2'"),
    "no match": (lambda f: {"s2": str(f / "*.xyz")}, r"no such file, for 's2'. Try: .*pattern"),
    "a folder": (lambda f: {"s2": f}, r"is a folder, for 's2'. Try: .*\*\.tif"),
    "an empty path": (lambda f: {"s2": ""}, "is not a path"),
    "no raster": (lambda f: {"s2": f / "text.tif"}, "text.tif: cannot be read"),
    "no system": (lambda f: {"s2": f / "nowhere.tif"}, "no coordinate reference system"),
    "one pixel": (lambda f: {"s2": f / "pixel.tif"}, "."),
    "no data at all": (lambda f: {"s2": f / "empty.tif"}, "no sensor has an image"),
    "unnamed bands": (lambda f: {"s2": f / "unnamed.tif"}, r"12 bands, without names.*bands=\{'s2'"),
    "a band is missing": (lambda f: {"s2": f / "nine.tif"}, r"nine.tif: band B12 \(reflectance\*10000\) is missing"),
    "not square": (lambda f: {"s2": f / "long.tif"}, "covers 640 × 160 m.*Try: .*omnifuse predict"),
    "far apart": (lambda f: {"s2": f / "good_2018-10-01.tif", "spot": f / "elsewhere.tif"}, "no square of ground in common"),
    "too many dates": (lambda f: ({"s2": f / "good_2018-10-01.tif"}, {"s2": ["2018-10-01"] * 3}), "10 bands are not a whole number"),
    "too few dates": (lambda f: ({"s2": [f / "good_2018-10-01.tif"] * 2}, {"s2": ["2018-10-01"]}), "2 images but 1 dates"),
    "complex": (lambda f: {"s1_asc": f / "complex.tif"}, "pixels of type complex64"),
}


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    dn = np.random.default_rng(0).integers(200, 4000, (12, 16, 64)).astype(np.uint16)
    square = dn[:, :, :16]
    (folder / "text.tif").write_text("<html>not found</html>", encoding="utf-8")
    write_tif(folder / "nowhere.tif", square[:10], crs=None, names=S2.bands)
    write_tif(folder / "pixel.tif", square[:10, :1, :1] // 20, names=S2.bands, tags={"datetime": "2018-10-01"})
    write_tif(folder / "empty.tif", square[:10] * 0, names=S2.bands, nodata=0, tags={"datetime": "2018-10-01"})
    write_tif(folder / "unnamed.tif", square)
    write_tif(folder / "nine.tif", square[:9], names=S2.bands[:9])
    write_tif(folder / "long.tif", dn[:10], names=S2.bands, tags={"datetime": "2018-10-01"})
    write_tif(folder / "good_2018-10-01.tif", square[:10], names=S2.bands)
    write_tif(folder / "elsewhere.tif", (square[:3] // 20).astype(np.uint8), left=700_000.0, names="RGB")
    write_tif(folder / "complex.tif", square[:2].astype(np.complex64), names=["VV", "VH"])
    return folder


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_named(predictor, bad_files, case):
    make, message = BAD_FILES[case]
    made = make(bad_files)
    inputs, said = made if isinstance(made, tuple) else (made, None)
    with pytest.raises(InputError, match=message) as caught:
        predictor.predict(inputs, said)
    assert "Try: " in str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"units": {"s2": "furlong"}}, "unit 'furlong' does not become 'reflectance*10000'"),
        ({"units": {"s2": 5}}, "units: 's2': 5. Try: a text"),
        ({"units": {"s2": {"B99": "dB"}}}, "units: 's2': 'B99'"),
        ({"units": {"s1": "dB"}}, "units: unknown modality 's1'"),
        ({"offset": {"spot": 1}}, "`offset` for 'spot' but no images"),
        ({"offset": {"s2": "lots"}}, "offset 'lots' of 's2'"),
        ({"bands": {"s2": "B2"}}, "bands: 's2': 'B2'. Try: a list of names"),
        ({"nodata": {"s2": "none"}}, "nodata: 's2': 'none'. Try: the number"),
        ({"days": {"s2": ["June"] * 4}}, "'June' is not a date"),
        ({"days": {"s2": [["2018-10-01"]] * 4}}, "is not a date"),
    ],
)
def test_what_is_said_wrongly_is_named(predictor, given, said, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        predictor.predict({"s2": given["s2"]}, **said)
    assert "Try: " in str(caught.value)
