"""From the command line to a source and a store."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from omnifuse.config import from_dict, to_dict
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.store import Store, write_store
from omnifuse.data.subset import Subset
from omnifuse.errors import ConfigError, InputError, StoppedError
from omnifuse.runs.conversion import ConvertOptions, conversion, convert, summary
from omnifuse.runs.sources import DataConfig, StoreData, kinds

KINDS = (
    *("pastis", "pastis-r", "pastis-hd", "flair1", "flair2", "flair-hub", "treesatai-ts"),
    *("rasters", "store", "ombria", "worldcereal-patches", "worldcereal-pixels", "algae-blooms"),
)


@dataclass(frozen=True)
class Holder:
    data: DataConfig


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_configuration_which_survives_json(kind):
    command = conversion(kind, "somewhere", ["--profile", "archive", "--workers", "3"])
    assert command.data.path == "somewhere" and command.options == ConvertOptions(profile="archive", workers=3)
    assert command.data.kind.replace("_", "-") == kind
    assert from_dict(Holder, to_dict(Holder(command.data)), "test").data == command.data
    names = {one.name for one in fields(type(command.data))}
    assert not names & {one.name for one in fields(ConvertOptions)}  # they share a command line
    with pytest.raises((InputError, ConfigError), match="somewhere"):
        command.data.open()


def test_no_kind_is_left_out_and_the_options_of_one_reach_it():
    assert set(kinds()) == set(KINDS)
    assert conversion("ombria", "a", ["--tile", "128"]).data.tile == 128
    assert conversion("flair-hub", "a", ["--sensors", "s2", "dem", "--labels", "lpis"]).data.sensors == ("s2", "dem")
    assert conversion("pastis", "a", ["--monthly"]).data.monthly


def test_the_summary_says_what_is_missing_where(tmp_path):
    source = Landscape(LandscapeConfig(places=3, size=16, sensors=("s2", "spot")))

    class Without(Subset):
        def __getitem__(self, index):
            place = super().__getitem__(index)
            return place.only(("s2",)) if index == 1 else place

    write_store(Without(source, np.arange(3)), tmp_path / "a")
    convert(conversion("store", str(tmp_path / "a"), ["--profile", "archive", "--workers", "1"]), tmp_path / "b")
    text = summary(tmp_path / "b")
    assert "3 places of 160 m" in text and f"spot: 2 places, missing at 1: {source.info[1]['id']}" in text and "s2: 3 places" in text
    assert StoreData(path=str(tmp_path / "b")).open().info == Store(tmp_path / "a").info


def test_an_interrupted_conversion_says_that_it_goes_on(tmp_path, monkeypatch):
    write_store(Landscape(LandscapeConfig(places=3, size=16, sensors=("s2",))), tmp_path / "a")
    command, real = conversion("store", str(tmp_path / "a"), ["--workers", "1"]), Store.__getitem__

    def interrupted(store, index):
        if index == 1:
            raise KeyboardInterrupt
        return real(store, index)

    with monkeypatch.context() as patched, pytest.raises(StoppedError, match="goes on"):
        patched.setattr(Store, "__getitem__", interrupted)
        convert(command, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    convert(command, tmp_path / "b")
    assert len(Store(tmp_path / "b")) == 3


def test_what_a_reader_resamples_is_said_once_whoever_reads(tmp_path, capfd):
    pytest.importorskip("rasterio", reason="SPOT images are read with rasterio")
    from fake_pastis import NO_SPOT, SMALL_SPOT, write_fake_pastis

    folder = write_fake_pastis(tmp_path / "PASTIS", side=128)
    convert(conversion("pastis-hd", str(folder), ["--workers", "1"]), tmp_path / "store")
    said = capfd.readouterr()
    lines = [f"  spot: 4 places, missing at 1: {NO_SPOT}", f"  spot: not 1280×1280 pixels, so resampled, at 1: {SMALL_SPOT}"]
    assert said.out.splitlines()[-2:] == lines and not said.err
    convert(conversion("pastis", str(folder), ["--workers", "1"]), tmp_path / "s2")
    assert "resampled" not in capfd.readouterr().out


def test_a_scheduler_that_does_not_answer_is_told(tmp_path):
    write_store(Landscape(LandscapeConfig(places=1, size=16, sensors=("s2",))), tmp_path / "a")
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match=r"nothing answers at 'nosuch://x'"):
        convert(conversion("store", str(tmp_path / "a"), ["--scheduler", "nosuch://x"]), tmp_path / "b")
