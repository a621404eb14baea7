"""The command line: help, exit codes, and making data."""

import json

import numpy as np
import pytest

from omnifuse.cli import main
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.store import Store


def test_the_landscape_is_written_as_a_store(tmp_path):
    flags = ["--places", "3", "--size", "16", "--seed", "5", "--sensors", "s2", "spot", "--workers", "0"]
    assert main(["data", "landscape", str(tmp_path / "store"), *flags]) == 0
    written, made = Store(tmp_path / "store"), Landscape(LandscapeConfig(places=3, size=16, seed=5, sensors=("s2", "spot")))
    assert written.info == made.info and list(written.modalities) == ["s2", "spot"]
    for index in range(3):
        assert all(np.array_equal(written[index].series[k].pixels, v.pixels) for k, v in made[index].series.items())


def test_the_landscape_is_written_in_the_layout_of_pastis(tmp_path):
    flags = ["--places", "2", "--size", "16", "--sensors", "s2", "s1_asc", "climate", "--native", "pastis-hd"]
    assert main(["data", "landscape", str(tmp_path / "pastis"), *flags]) == 0
    features = json.loads((tmp_path / "pastis" / "metadata.geojson").read_text(encoding="utf-8"))["features"]
    number = features[0]["properties"]["ID_PATCH"]
    series = np.load(tmp_path / "pastis" / "DATA_S2" / f"S2_{number}.npy")
    assert series.shape[1:] == (10, 16, 16) and len(features[0]["properties"]["dates-S2"]) == len(series)


def test_help_and_mistakes(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0 and "quickstart" in capsys.readouterr().out
    assert main(["pretrain", "--help"]) == 0 and "RECIPE" in capsys.readouterr().out
    assert main(["pretrain"]) == 2
    with pytest.raises(SystemExit) as stop:
        main(["pretrian"])
    assert stop.value.code == 2 and "pretrain" in capsys.readouterr().err
    (tmp_path / "store").mkdir()
    assert main(["data", "landscape", str(tmp_path / "store"), "--places", "1", "--size", "16", "--sensors", "s2"]) != 0
    assert str(tmp_path / "store") in capsys.readouterr().err


def test_a_store_is_written_again_from_a_store(tmp_path, capsys):
    flags = ["--places", "2", "--size", "16", "--sensors", "s2", "--workers", "1"]
    assert main(["data", "landscape", str(tmp_path / "a"), *flags]) == 0
    assert main(["data", "convert", "store", str(tmp_path / "a"), str(tmp_path / "b"), "--workers", "1"]) == 0
    assert "2 places of 160 m" in capsys.readouterr().out
    assert Store(tmp_path / "b").info == Store(tmp_path / "a").info


def test_converting_names_the_nearest_kind_and_lists_its_flags(capsys):
    assert main(["data", "convert", "pastsi-hd", "a", "b"]) == 4
    assert "Try: pastis-hd" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["data", "convert", "worldcereal-patches", "--help"])
    assert stop.value.code == 0 and "--tile" in capsys.readouterr().out
    assert main(["data", "convert", "ombria", "only-a-path"]) == 2
    assert main(["data", "convert", "--help"]) == 0 and "KIND" in capsys.readouterr().out
