r"""No raster, however made, does more to `omnifuse predict` than end it with a clear error, at once and in little memory.

Everything hostile that is thrown at `load` and `predict`, some 800 inputs:

    python -m pytest -m "slow or not slow" tests/test_zoo_hostile.py tests/inference/test_fuzzed_inputs.py \
        tests/inference/test_hostile_areas.py
"""

import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from hostile_rasters import BANDS, DAY, listed
from input_files import write_tif
from small_models import fusion_model

from omnifuse.cli import main
from omnifuse.zoo import save_model

SECONDS = 20  # of the clock: others load the machine


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A model and a raster that it maps, mapped once: what is imported is, before memory and time are measured."""
    folder = tmp_path_factory.mktemp("home")
    save_model(folder / "model", fusion_model(), {})
    values = np.random.default_rng(0).integers(1, 6000, (10, 16, 16)).astype(np.uint16)
    write_tif(folder / f"good_{DAY}.tif", values, names=BANDS)
    assert mapped(folder, folder / f"good_{DAY}.tif", folder / "map.tif") == 0
    return folder


def mapped(home: Path, raster: Path, out: Path) -> int:
    flags = ["--tile", "16", "--device", "cpu", "--season_start", "2018-09-01", "--out", str(out)]
    return main(["predict", str(home / "model"), "--s2", str(raster), *flags])


def attack(home: Path, folder: Path, capsys: pytest.CaptureFixture[str], every: int) -> int:
    """Map every so-manieth hostile raster; return how many were refused."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"no end after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    try:
        for name, (file, make) in list(listed(home / f"good_{DAY}.tif").items())[::every]:
            shutil.rmtree(folder / "in", ignore_errors=True)
            shutil.rmtree(folder / "out", ignore_errors=True)
            for made in ("in", "out"):
                (folder / made).mkdir(parents=True)
            make(folder / "in" / file)
            capsys.readouterr()
            began = time.process_time()
            left = signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                code = mapped(home, folder / "in" / file, folder / "out" / "map.tif")
            except BaseException as error:
                raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
            finally:
                signal.setitimer(signal.ITIMER_REAL, *left)
            said = capsys.readouterr().err
            assert time.process_time() - began < 5, name
            assert code in (0, 3), f"{name}: {said}"
            if code:
                assert "Try: " in said and len(said) < 3000 and "Traceback" not in said and "\x1b" not in said, f"{name}: {said}"
                assert not list((folder / "out").glob("map.tif*")), name
            refused += code == 3
            more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) // 1024
            assert more < 500, f"{name}: {more} MB"
    finally:
        signal.signal(signal.SIGALRM, before)
    return refused


@pytest.mark.filterwarnings("ignore")
def test_some_hostile_rasters_are_refused(home, tmp_path, capsys):
    assert attack(home, tmp_path, capsys, 9) >= 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_hostile_raster_is_refused_or_mapped(home, tmp_path, capsys):
    assert attack(home, tmp_path, capsys, 1) >= 80
