"""`omnifuse predict`: from rasters on disk to a map, with the flags of the model's sensors."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from small_models import CLASSES, SENSORS, arrays, fusion_model

from omnifuse.cli import main
from omnifuse.errors import ConfigError
from omnifuse.models.heads import PlaceConfig
from omnifuse.models.model import FusionModel
from omnifuse.models.utae_reference import ReferenceUTAE
from omnifuse.runs.scene_flags import as_flags, whole_names
from omnifuse.zoo import load, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model, and what two sensors saw of 160 m as a GeoTIFF per date."""
    path = tmp_path_factory.mktemp("rasters")
    save_model(path / "model", fusion_model(), {})
    for name in ("s2", "s1_asc"):
        array, modality = arrays()[name], SENSORS.modalities[name]
        (path / name).mkdir()
        for number, day in enumerate(array.time.to_numpy()):
            profile = {"driver": "GTiff", "width": 16, "height": 16, "count": len(modality.bands), "dtype": "float32", "crs": "EPSG:32631"}
            transform = rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000)
            with rasterio.open(path / name / f"{np.datetime_as_string(day, 'D')}.tif", "w", **profile, transform=transform) as file:
                file.write(array.to_numpy()[number])
                file.descriptions = modality.bands
    return path


def test_rasters_become_the_map_that_arrays_become(folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    flags = ["--s2", str(folder / "s2" / "*.tif"), "--s1", str(folder / "s1_asc" / "*.tif"), "--s1.units=dB", "--tile", "16"]
    assert main(["predict", str(folder / "model"), *flags, "--s2.units", "reflectance*10000", "--out", str(out), "--confidence"]) == 0
    expected = load(folder / "model").predict({name: arrays()[name] for name in ("s2", "s1_asc")})
    with rasterio.open(out) as file:
        assert np.array_equal(file.read(1), expected.labels) and file.bounds[:2] == (600_000, 4_999_840)
    said = capsys.readouterr().out
    assert "s2, s1_asc: 16 × 16 cells of 10 m, 0.0256 km² (EPSG:32631)" in said and "tiles of 16 cells with a halo of 2" in said
    item = json.loads((tmp_path / "map.tif.stac.json").read_text(encoding="utf-8"))
    assert item["properties"]["start_datetime"].startswith("2018-09-01") and set(item["assets"]) >= {"classes", "confidence"}
    assert main(["predict", str(folder / "model"), *flags, "--out", str(out)]) == 3
    assert "exists. Try: --overwrite" in capsys.readouterr().err


def test_bounds_cut_the_area(folder, tmp_path):
    flags = ["--s2", str(folder / "s2" / "*.tif"), "--bounds", "600020", "4999900", "600100", "4999990", "--tile", "8"]
    assert main(["predict", str(folder / "model"), *flags, "--out", str(tmp_path / "map.tif")]) == 0
    with rasterio.open(tmp_path / "map.tif") as file:
        assert tuple(file.bounds) == (600_020, 4_999_900, 600_100, 4_999_990)


def test_mistakes_are_told_in_flags(folder, tmp_path, capsys):
    model, out = str(folder / "model"), str(tmp_path / "map.tif")
    assert main(["predict", model, "--out", out]) == 3
    assert "Try: --s2 'folder/*.tif'; sensors are s2, s1_asc, spot" in capsys.readouterr().err
    assert main(["predict", model, "--s2", str(folder / "s2" / "*.tif"), "--s2.bands", "B2", "B3", "--out", out]) == 3
    assert "Try: " in capsys.readouterr().err
    assert main(["predict", model, "--s2", str(folder / "none" / "*.tif"), "--out", out]) == 3
    assert "none" in capsys.readouterr().err
    assert main(["predict", model, "--s2", str(folder / "s2" / "*.tif"), "--executor", "spark", "--out", out]) == 4
    assert "Try: local" in capsys.readouterr().err
    assert main(["predict", model, "--s2", str(folder / "s2" / "*.tif"), "--out", str(tmp_path / "map.png")]) == 3
    with pytest.raises(SystemExit) as stop:
        main(["predict", model, "--help"])
    assert stop.value.code == 0 and "--s1-asc.units" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_start_of_a_sensors_name_will_do():
    sensors = ["s2", "s1_asc", "s1_desc", "aerial"]
    given = ["--s2", "a.tif", "--aer.units=8-bit", "--s1-d.days", "2020-01-01", "--out", "map.tif", "--s1-asc", "b.tif"]
    whole = ["--s2", "a.tif", "--aerial.units=8-bit", "--s1_desc.days", "2020-01-01", "--out", "map.tif", "--s1-asc", "b.tif"]
    assert whole_names(given, sensors, ["out"]) == whole
    with pytest.raises(ConfigError, match=r"--s1: may mean s1_asc, s1_desc\. Try: --s1_asc"):
        whole_names(["--s1", "a.tif"], sensors)
    with pytest.raises(
        ConfigError, match=r"--spot: not a sensor of this model, which reads s2, s1_asc, s1_desc, aerial\. Try: leave it out"
    ):
        whole_names(["--spot.units", "8-bit"], sensors, ["out", "season_start"])
    assert whole_names(["--s", "2022-09-01", "--nonsense"], ["aerial"], ["season_start"]) == ["--s", "2022-09-01", "--nonsense"]


def test_models_without_maps_of_one_class_are_refused_before_work_begins(folder, tmp_path, capsys):
    config, s2 = fusion_model().config, str(folder / "s2" / "*.tif")
    kinds = {
        "one thing of a whole place": {"head": PlaceConfig()},
        "classes that exclude each other": {"labels": replace(CLASSES, exclusive=False, ignore=-1)},
    }
    for told, changes in kinds.items():
        model = tmp_path / told.replace(" ", "_")
        save_model(model, FusionModel(replace(config, **changes)), {})
        for out in ("map.tif", "map.zarr"):
            assert main(["predict", str(model), "--s2", s2, "--tile", "16", "--out", str(tmp_path / out)]) == 3
            assert told in (said := capsys.readouterr().err) and "Try: " in said
    assert not list(tmp_path.glob("map*"))


def test_a_published_utae_maps_rasters(folder, tmp_path):
    """One sensor, normalized per batch: it maps as others do, and says what it does not read."""
    torch.manual_seed(0)
    sizes = {"widths": (16, 16, 32), "decoder": (8, 8, 32), "out": (8, 4), "bands": 10, "stride": 2, "heads": 16, "key_dim": 4, "dim": 64}
    torch.save({"state_dict": ReferenceUTAE(**sizes).state_dict()}, tmp_path / "model.pth.tar")
    names = ["--classes", "void", "meadow", "corn", "beet", "--ignore", "0"]
    assert main(["import", "utae", str(tmp_path), str(tmp_path / "utae"), *names]) == 0
    flags = ["--s2", str(folder / "s2" / "*.tif"), "--tile", "16", "--confidence"]
    assert main(["predict", str(tmp_path / "utae"), *flags, "--out", str(tmp_path / "map.tif")]) == 0
    with rasterio.open(tmp_path / "map.tif") as file:
        assert np.array_equal(file.read(1), load(tmp_path / "utae").predict({"s2": arrays()["s2"]}).labels)
        assert file.tags(1)["CLASS_2"] == "corn" and len(np.unique(file.read(1))) > 1
    assert main(["predict", str(tmp_path / "utae"), "--s1", "a.tif", "--out", str(tmp_path / "other.tif")]) == 4


def test_dates_that_are_unknown_or_of_another_year_are_told_in_flags_before_work_begins(folder, tmp_path, capsys):
    model, s2 = str(folder / "model"), sorted((folder / "s2").glob("*.tif"))
    command = ["predict", model, "--out", str(tmp_path / "map.tif"), "--tile", "16", "--s2"]
    assert main([*command, *map(str, s2), "--s2.days", *(f"2023-0{n}-10" for n in range(3, 3 + len(s2)))]) == 3
    assert "Try: --season_start the day of your season" in (said := capsys.readouterr().err) and "such as '2022-09-01'" in said
    assert not list(tmp_path.iterdir())  # so that the next try is not another run in the same folder
    undated = tmp_path / "image.tif"
    shutil.copy(s2[0], undated)
    assert main([*command, str(undated)]) == 0
    said = capsys.readouterr().err
    assert said.startswith("warning: input: 1 image(s) of 's2' without dates") and "Try: --s2.days ... for a better map" in said


def test_remedies_of_python_become_flags():
    assert as_flags("Try: units={'s2': 'reflectance'}.") == "Try: --s2.units 'reflectance'."
    assert as_flags("Try: bands={'s2': ['B2', 'B3']}, or crs=EPSG:32631.") == "Try: --s2.bands 'B2' 'B3', or --crs EPSG:32631."
