"""Whatever is given to `predict`: an `InputError` with a remedy, or a finite map; never another exception."""

import warnings
from collections.abc import Callable
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

CASES = 240
NAMES = ("s2", "s1_asc", "spot")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    path = tmp_path_factory.mktemp("models") / "small"
    save_model(path, fusion_model(), FACTS)
    return load(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Rasters of every kind that go wrong somewhere."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    dn = rng.integers(1, 6000, (12, 20, 20))
    made = [
        write_tif(folder / "a_2018-10-01.tif", dn[:10].astype(np.uint16), names=SENSORS.modalities["s2"].bands),
        write_tif(folder / "b_2018-10-01.tif", dn[:10].astype(np.float64) / 1e4, names=SENSORS.modalities["s2"].bands),
        write_tif(folder / "c.tif", dn.astype(np.int32)),
        write_tif(folder / "d_2018-12-01.tif", np.full((2, 16, 16), np.nan, np.float32), names=["VV", "VH"]),
        write_tif(folder / "e_2018-12-01.tif", -dn[:2].astype(np.float32) / 400, names=["VV", "VH"], crs="EPSG:32632"),
        write_tif(folder / "f.tif", dn[:3, :1, :1].astype(np.uint8), 2.5, names="RGB"),
        write_tif(folder / "g.tif", dn[:3].astype(np.uint8), 7.3, names="RGB"),
        write_tif(folder / "h_2018-10-01.tif", dn[:10].astype(np.uint16), 1e-4, left=3.0, top=45.0, crs="EPSG:4326"),
        write_tif(folder / "i_2018-10-01.tif", dn[:10].astype(np.uint16), left=8e5, top=-3e6, crs="EPSG:3857"),
        write_tif(folder / "j_2018-10-01.tif", dn[:10].astype(np.uint16), 1e-7, names=SENSORS.modalities["s2"].bands),
        write_tif(folder / "k_9999-12-31.tif", dn[:10].astype(np.int16) * 0, names=SENSORS.modalities["s2"].bands, nodata=0),
        write_tif(folder / "l.tif", dn[:2].astype(np.complex64)),
        write_tif(folder / "m_2018-10-01.tif", dn[:10].astype(np.uint16), 1e6, names=SENSORS.modalities["s2"].bands),
        write_tif(folder / "n_2018-10-01.tif", dn[:1].astype(np.uint16), names=["B02"]),
        folder / "missing.tif",
        folder,
    ]
    cut = folder / "cut_2018-10-01.tif"
    cut.write_bytes(made[0].read_bytes()[:700])
    html = folder / "page.tif"
    html.write_text("<html>404</html>", encoding="utf-8")
    empty = folder / "empty.tif"
    empty.touch()
    return [*made, cut, html, empty]


def choose(rng: np.random.Generator, options: list):
    return options[int(rng.integers(len(options)))]


def array(rng: np.random.Generator, name: str):
    """Return an array that is wrong in several ways at random."""
    good = arrays()[name]
    if rng.random() < 0.4:
        return good.isel(band=slice(None, None, -1))
    values = good.to_numpy().astype(choose(rng, [np.float32, np.float64, np.float16, np.int16, np.int64, np.uint16, np.uint32, np.int8]))
    change: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda a: a,
        lambda a: a[:, :1],
        lambda a: a[..., :7],
        lambda a: a[0],
        lambda a: a[0, 0],
        lambda a: a[:0],
        lambda a: a[..., :0, :0],
        lambda a: np.where(rng.random(a.shape) < 0.01, np.nan, a),
        lambda a: np.where(rng.random(a.shape) < 0.01, np.inf, a),
        lambda a: a * np.nan,
        lambda a: a.astype(np.float32) * 1e30,
        lambda a: a.astype(np.float32) * 1e-9,
        lambda a: np.abs(a),
        lambda a: a.astype(str),
        lambda a: a.astype(object),
        lambda a: a.astype(complex),
        lambda a: a > 0,
        lambda a: a[..., ::-1],
        lambda a: a.T,
        lambda a: np.concatenate([a, a], 1),
        lambda a: a[:, :, :1, :1],
        lambda a: np.ma.masked_less(a, 0),
        lambda a: a.astype(">f4"),
        lambda a: a[..., None],
        lambda a: a[:, ::-1],
    ]
    values = choose(rng, change)(values)
    kind = rng.integers(8)
    if kind == 0:
        return values.tolist()
    if kind == 1 and values.dtype.kind in "iuf" and values.dtype.isnative:
        return torch.from_numpy(np.ascontiguousarray(values))
    if kind == 2:
        return torch.zeros(values.shape, dtype=choose(rng, [torch.bfloat16, torch.bool, torch.complex64, torch.uint8]))
    if kind == 3:
        return torch.zeros(4, 10, 16, 16).to_sparse()
    if kind in (4, 5, 6):
        dims = choose(
            rng,
            [
                ("time", "band", "y", "x"),
                ("t", "c", "lat", "lon"),
                ("band", "time", "x", "y"),
                ("a", "b", "c", "d"),
                ("time", "t", "y", "x"),
            ],
        )
        made = xr.DataArray(np.asarray(values), dims=dims[: values.ndim] if values.ndim <= 4 else None)
        for axis in made.dims:
            if rng.random() < 0.4:
                coordinate = choose(
                    rng,
                    [
                        np.arange(made.sizes[axis]),
                        np.linspace(0, 1, made.sizes[axis]) * np.nan,
                        [f"B{i:02d}" for i in range(made.sizes[axis])],
                        np.full(made.sizes[axis], np.datetime64("NaT", "ns")),
                        np.datetime64("2018-10-01", "ns") + np.arange(made.sizes[axis]) * np.timedelta64(24, "h"),
                    ],
                )
                made = made.assign_coords({axis: coordinate})
        unit = choose(rng, [None, "1", "dB", "furlong", 5, ["1"], "", "reflectance", np.float32(3), {}])
        made.attrs = choose(
            rng, [{}, {"units": unit}, {"scale_factor": "x"}, {"scale_factor": 1e-4, "add_offset": -0.1}, {"_FillValue": "none"}]
        )
        return made if kind < 6 else made.to_dataset(name="B02")
    return values


def given(rng: np.random.Generator, name: str, files: list[Path]):
    kind = rng.integers(10)
    if kind < 3:
        one = choose(rng, files)
        return choose(
            rng, [one, str(one), [one], [one, choose(rng, files)], str(one.parent / "*_*.tif"), f"{one}\0", [one, 5], f"{one}.zarr"]
        )
    if kind == 3:
        return choose(
            rng, [None, 5, "", [], {}, object(), "s2/*.tif", b"x.tif", float("nan"), [[]], lambda: 0, "https://nowhere.invalid.tif", "*"]
        )
    return array(rng, name)


def said(rng: np.random.Generator, name: str) -> dict:
    made: dict = {}
    if rng.random() < 0.7:
        dates = ["2018-10-01", "2018-11-01", "2018-12-01", "2018-12-31"]
        options = [
            dates,
            dates[:1],
            dates[::-1],
            [0, 1, 2, 3],
            [17805.5] * 4,
            ["June"] * 4,
            [None] * 4,
            "2018-10-01",
            17805,
            [10**30] * 4,
            [],
        ]
        options += [
            np.array(dates, "datetime64[D]"),
            np.array([dates]),
            [["2018-10-01"]] * 4,
            [float("nan")] * 4,
            ["0001-01-01"] * 4,
            {1: 2},
        ]
        options += [["262000-01-01"] * 4, [-(2**40)] * 4, [True] * 4, dates * 3]
        made["days"] = {name: choose(rng, options)}
    if rng.random() < 0.3:
        made["units"] = {
            name: choose(rng, ["reflectance", "linear", "dB", "1", "", 5, None, {"B2": "reflectance"}, {"X": 1}, ["dB"], "K", "ü"])
        }
    if rng.random() < 0.3:
        made["bands"] = {
            name: choose(rng, [["VV", "VH"], ["B2"] * 10, [f"B{i}" for i in range(12)], "B2", [], [1, 2], None, ["", ""], ["R", "G", "B"]])
        }
    if rng.random() < 0.2:
        made["offset"] = {name: choose(rng, [-1000, "baseline 04.00", "x", float("inf"), None, True, [1], 1e300])}
    if rng.random() < 0.2:
        made["nodata"] = {name: choose(rng, [0, float("nan"), "x", None, 65535, [0], 1e300, True])}
    if rng.random() < 0.1:
        made["season_start"] = choose(rng, ["2018-09-01", "autumn", "", "9999-12-31", "0001-01-01", "2018-13-01"])
    return made


@pytest.mark.filterwarnings("ignore")
def test_anything_gives_an_input_error_or_a_finite_map(predictor, files):
    finite, messages = 0, set()
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        names = [name for name in NAMES if rng.random() < 0.5] or [choose(rng, list(NAMES))]
        inputs = {name: given(rng, name, files) for name in names}
        if rng.random() < 0.05:
            inputs[choose(rng, ["s3", "", "S2", "s2 "])] = inputs.pop(names[0])
        kept = said(rng, names[0]) if rng.random() < 0.8 else {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                prediction = getattr(predictor, choose(rng, ["predict", "predict", "embed"]))(inputs, **kept)
        except InputError as error:
            assert "Try: " in str(error), (seed, str(error))
            messages.add(str(error)[:60])
            continue
        except Exception as error:
            raise AssertionError(f"case {seed}: {inputs!r:.300}, {kept!r}") from error
        maps = prediction.probability if hasattr(prediction, "probability") else prediction.cells
        assert np.isfinite(maps).all(), seed
        finite += 1
    assert finite > 5
    assert len(messages) > 30
