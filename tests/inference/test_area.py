"""Maps of whole areas: right, complete, the same from everybody, and never half."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from area_scenes import Dying, MemoryScene, small_scene
from small_models import CLASSES, fusion_model

import omnifuse.inference.area as area
from omnifuse.classes import Quantities
from omnifuse.errors import ConfigError, InputError, StoppedError
from omnifuse.inference.area import AreaOptions, predict_area
from omnifuse.inference.plan import Tiling, WorkFolder, units_of
from omnifuse.models.model import FusionModel
from omnifuse.zoo import load, save_model

OPTIONS = AreaOptions(tile=16, unit=32)
SCENE = small_scene(hole=(10, 20, 30, 30))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    save_model(path, fusion_model(), {})
    return path


@pytest.fixture(scope="module")
def mapped(model, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("maps") / "map.tif"
    assert predict_area(model, SCENE, out, OPTIONS, confidence=True, probabilities=True) is not None
    return content(out.parent)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read(file: Path) -> np.ndarray:
    with rasterio.open(file) as opened:
        return opened.read()


def test_a_map_of_one_tile_is_the_prediction_of_a_place(model, tmp_path):
    scene = small_scene(height=16, width=16)
    predict_area(model, scene, tmp_path / "map.tif", OPTIONS, confidence=True, probabilities=True)
    expected = load(model).predict(scene.read(0, 0, 16).to_batch())
    assert np.array_equal(read(tmp_path / "map.tif")[0], expected.labels)
    np.testing.assert_allclose(read(tmp_path / "map_probabilities.tif") / 250, expected.probability, atol=0.0021)
    np.testing.assert_allclose(read(tmp_path / "map_confidence.tif")[0] / 100, expected.probability.max(0), atol=0.0051)


def test_layers_say_what_they_are(mapped, tmp_path):
    for name, raw in mapped.items():
        (tmp_path / name).write_bytes(raw)
    assert list(mapped) == ["map.qml", "map.tif", "map.tif.aux.xml", "map_confidence.tif", "map_probabilities.tif"]
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.crs == rasterio.CRS.from_epsg(32631) and file.transform == rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000)
        assert file.dtypes == ("uint8",) and file.nodata == 255 and file.shape == (50, 70)
        assert file.colormap(1)[1] == (0x55, 0xAA, 0x33, 255) and file.colormap(1)[255] == (0, 0, 0, 0)
        assert file.tags(1)["CLASS_2"] == "winter wheat"
        tags = file.tags()
        assert (
            tags["sensors"] == "s2 s1_asc"
            and tags["tile_cells"] == "16"
            and tags["halo_cells"] == "2"
            and len(tags["weights_sha256"]) == 64
        )
    with rasterio.open(tmp_path / "map_probabilities.tif") as file:
        assert file.descriptions == CLASSES.names and file.scales == (0.004,) * 3 and file.nodata == 255


def test_files_are_valid_cloud_optimized_geotiffs(mapped, tmp_path):
    validate = pytest.importorskip("rio_cogeo.cogeo").cog_validate
    for name, raw in mapped.items():
        (tmp_path / name).write_bytes(raw)
    for name in mapped:
        if name.endswith(".tif"):
            assert validate(tmp_path / name, strict=True) == (True, [], [])


def test_ground_that_nobody_saw_stays_without_data(mapped, tmp_path):
    for name, raw in mapped.items():
        (tmp_path / name).write_bytes(raw)
    hole = ~SCENE.valid(0, 0, 50, 70)
    for name in ("map.tif", "map_confidence.tif", "map_probabilities.tif"):
        assert ((read(tmp_path / name) == 255) == hole).all()
    assert (read(tmp_path / "map.tif")[0][~hole] != CLASSES.ignore).all()


@pytest.mark.parametrize("sensors", [("s2",), ("s1_asc",), ("spot",), ("s2", "spot"), ("s2", "s1_asc", "spot")])
def test_any_subset_of_sensors(model, tmp_path, sensors):
    made = predict_area(model, small_scene(height=20, width=24, sensors=sensors), tmp_path / "map.tif", OPTIONS)
    assert made.seen == 1 and (read(tmp_path / "map.tif") < 3).all() and sum(made.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (17, 1), (16, 33), (37, 51)])
def test_areas_of_any_size(model, tmp_path, height, width):
    made = predict_area(model, small_scene(height=height, width=width), tmp_path / "map.tif", OPTIONS)
    assert read(tmp_path / "map.tif").shape == (1, height, width) and made.seen == 1


def test_an_area_that_nobody_saw_is_a_map_without_data(model, tmp_path):
    made = predict_area(model, small_scene(hole=(0, 0, 50, 70)), tmp_path / "map.tif", OPTIONS)
    assert (read(tmp_path / "map.tif") == 255).all() and made.seen == 0


def test_quantities_are_mapped_as_floats(tmp_path):
    torch.manual_seed(0)
    labels = Quantities(("height", "cover"), ("m", "1"), (10.0, 0.5), (5.0, 0.2))
    save_model(tmp_path / "model", FusionModel(replace(fusion_model().config, labels=labels)).eval(), {})
    made = predict_area(tmp_path / "model", SCENE, tmp_path / "map.tif", OPTIONS)
    with rasterio.open(tmp_path / "map.tif") as file:
        values = file.read()
        assert file.descriptions == ("height", "cover") and file.units == ("m", "1") and np.isnan(file.nodata)
    assert list(made.files) == ["quantities"] and made.seen == SCENE.valid(0, 0, 50, 70).mean() and not made.shares
    assert (np.isnan(values) == ~SCENE.valid(0, 0, 50, 70)).all() and 0 < np.nanmean(values[0]) < 20
    with pytest.raises(InputError, match="neither confidence"):
        predict_area(tmp_path / "model", SCENE, tmp_path / "map2.tif", OPTIONS, confidence=True)


def test_no_byte_of_a_map_depends_on_the_units(model, mapped, tmp_path):
    predict_area(model, SCENE, tmp_path / "map.tif", replace(OPTIONS, unit=20), confidence=True, probabilities=True)
    assert content(tmp_path) == mapped


def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(model, mapped, tmp_path, monkeypatch):
    done = []

    def stop(found: int, total: int) -> None:
        done.append(found)
        if len(done) in (2, 4):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, confidence=True, probabilities=True, progress=stop)
        assert not (tmp_path / "map.tif").exists()
    predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, confidence=True, probabilities=True, progress=stop)
    assert done == [1, 2, 3, 4, 5, 6]  # no unit was done twice
    assert content(tmp_path) == mapped


def test_another_run_does_not_go_on_where_one_was_begun(model, mapped, tmp_path, monkeypatch):
    def stop(found: int, total: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt):
        predict_area(model, replace(SCENE, fingerprint="other"), out, OPTIONS, progress=stop)
    with pytest.raises(InputError, match=r"differs in scene, layers .*Try: .*--overwrite"):
        predict_area(model, SCENE, out, OPTIONS, confidence=True, probabilities=True)
    predict_area(model, SCENE, out, OPTIONS, confidence=True, probabilities=True, overwrite=True)
    assert content(tmp_path) == mapped


def test_what_is_there_is_not_replaced_unasked(model, tmp_path):
    out = tmp_path / "map.tif"
    (tmp_path / "map_confidence.tif").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"map_confidence.tif: exists\. Try: --overwrite"):
        predict_area(model, SCENE, out, OPTIONS, confidence=True)
    assert list(content(tmp_path)) == ["map_confidence.tif"]
    predict_area(model, SCENE, out, OPTIONS, confidence=True, overwrite=True)
    assert (read(tmp_path / "map_confidence.tif") <= 255).all()


def test_two_runs_do_not_write_one_map(tmp_path):
    with WorkFolder(tmp_path / "work", {"a": 1}) as work:
        with pytest.raises(InputError, match="another run is at work"), WorkFolder(tmp_path / "work", {"a": 1}):
            pass
        assert work.left(units_of(2, 2, 1)) == units_of(2, 2, 1)


def test_impossible_wishes_are_refused_before_anything_is_done(model, tmp_path):
    for name, match in (("map.png", "Try: map.tif"), ("no/folder/map.tif", "there is no folder")):
        with pytest.raises(InputError, match=match):
            predict_area(model, SCENE, tmp_path / name, OPTIONS)
    for executor in ("processes", "processes=0", "dask", "local=2", "spark", "ranks"):
        with pytest.raises(ConfigError, match="executor"):
            predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, executor=executor)
    with pytest.raises(ConfigError, match="Try: a tile of 18"):
        predict_area(model, SCENE, tmp_path / "map.tif", replace(OPTIONS, tile=17))
    assert not list(tmp_path.iterdir())


def test_tiles_share_the_coarse_grid_of_the_model(model):
    assert area.coarsest(load(model).config.architecture, 10.0) == 2
    assert area.tiling_of(load(model), 10.0, AreaOptions()) == Tiling(64, 8, 2)
    assert area.tiling_of(load(model), 10.0, AreaOptions(tile=16, halo=4)) == Tiling(16, 4, 2)


def test_a_zarr_store_holds_the_same_map(model, mapped, tmp_path):
    for name, raw in mapped.items():
        (tmp_path / name).write_bytes(raw)
    out = tmp_path / "map.zarr"
    predict_area(model, SCENE, out, OPTIONS, confidence=True, probabilities=True)
    with xr.open_zarr(out, consolidated=False, mask_and_scale=False) as opened:
        for layer in ("classes", "confidence", "probabilities"):
            tif = tmp_path / ("map.tif" if layer == "classes" else f"map_{layer}.tif")
            found = opened[layer].to_numpy()
            assert np.array_equal(found if found.ndim == 3 else found[None], read(tif))
        assert opened.x.to_numpy()[0] == 600_005 and opened.y.to_numpy()[0] == 4_999_995
        assert opened["classes"].attrs["flag_meanings"] == "void meadow winter_wheat"
        assert opened["classes"].attrs["class_names"] == list(CLASSES.names)
        assert opened["spatial_ref"].attrs["crs_wkt"].startswith('PROJCS["WGS 84 / UTM zone 31N"')
    with xr.open_zarr(out, consolidated=False) as opened:
        assert float(opened["probabilities"].max()) <= 1 and bool(opened["classes"].isnull()[15, 25])
    assert len(list((out / "classes" / "c").rglob("*"))) == 2 + 6  # a shard of each unit
    with pytest.raises(InputError, match="exists"):
        predict_area(model, SCENE, out, OPTIONS, confidence=True, probabilities=True)
    before = content(out)
    predict_area(model, SCENE, out, OPTIONS, confidence=True, probabilities=True, overwrite=True)
    assert content(out) == before


@pytest.mark.slow
def test_processes_write_the_same_bytes(model, mapped, tmp_path):
    predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, confidence=True, probabilities=True, executor="processes=2")
    assert content(tmp_path) == mapped


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_writes_the_same_bytes(model, mapped, tmp_path, dask_address):
    predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, confidence=True, probabilities=True, executor=f"dask={dask_address}")
    assert content(tmp_path) == mapped


@pytest.mark.filterwarnings("ignore")
def test_an_array_of_jobs_writes_the_same_bytes(model, mapped, tmp_path):
    """In this process: what a SLURM cluster adds is not tested here."""
    pytest.importorskip("submitit")
    wishes = {"confidence": True, "probabilities": True, "executor": "slurm=2"}
    predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, **wishes, slurm={"cluster": "debug"})
    assert content(tmp_path) == mapped
    with pytest.raises(ConfigError, match=r"SLURM takes no jobs here .*Try: "):
        predict_area(model, SCENE, tmp_path / "map.tif", OPTIONS, **wishes, overwrite=True)


SCRIPT = """
import sys
from pathlib import Path
from area_scenes import small_scene
from omnifuse.inference.area import AreaOptions, predict_area

if __name__ == "__main__":
    options = AreaOptions(tile=16, unit=int(sys.argv[4]))
    scene = small_scene(hole=(10, 20, 30, 30))
    made = predict_area(sys.argv[1], scene, Path(sys.argv[2]), options, confidence=True, probabilities=True, executor=sys.argv[3])
    print("made" if made else "done")
"""
PATHS = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])


def started(tmp_path: Path, model: Path, executor: str, *launcher: str, unit: int = 32) -> "subprocess.Popen[bytes]":
    script = tmp_path.parent / f"{tmp_path.name}.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, *launcher, str(script), str(model), str(tmp_path / "map.tif"), executor, str(unit)]
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.slow
def test_two_ranks_write_the_same_bytes(model, mapped, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    output, _ = started(tmp_path, model, "ranks", *launcher).communicate(timeout=120)
    assert sorted(line for line in output.decode().splitlines() if line in ("made", "done")) == ["done", "made"], output.decode()
    assert content(tmp_path) == mapped


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "processes=2"])
def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(model, tmp_path, mapped, executor):
    draw, kills, length = np.random.default_rng(7), 0, 12.0  # seconds that a run may take; start-up of processes is most of it
    for _ in range(200):
        process = started(tmp_path, model, executor, unit=16)
        try:
            output, _ = process.communicate(timeout=draw.uniform(0.3, 1.0) * length if kills < 10 else 120)
            assert process.returncode == 0 or (kills and b"exists" in output), output.decode()
            assert {name: raw for name, raw in content(tmp_path).items() if ".work" not in name} == mapped
            if kills >= 10:
                break
            length *= 0.8
            for file in tmp_path.iterdir():
                file.unlink()
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert kills == 10


@pytest.mark.slow
@pytest.mark.parametrize(("executor", "slurm"), [("processes=2", {}), ("slurm=2", {"cluster": "local"})])
def test_a_worker_that_dies_is_told_and_the_next_run_goes_on(model, mapped, tmp_path, monkeypatch, executor, slurm):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    trap = tmp_path / "trap"
    trap.touch()
    scene, out = Dying(trap=str(trap), **vars(SCENE)), tmp_path / "maps" / "map.tif"
    out.parent.mkdir()
    wishes = {"confidence": True, "probabilities": True}
    with pytest.raises(StoppedError, match="Try: the same command again"):
        predict_area(model, scene, out, OPTIONS, **wishes, executor=executor, slurm=slurm)
    assert len(list((tmp_path / "maps" / "map.tif.work" / "done").iterdir())) in range(1, 6)
    trap.unlink()
    predict_area(model, scene, out, OPTIONS, **wishes, executor=executor, slurm=slurm)
    assert content(out.parent) == mapped


def test_a_tiled_map_is_that_of_the_whole_image_where_the_model_looks_no_farther_than_the_halo(tmp_path):
    scene = MemoryScene(64, 64, sensors=("s2",))

    def smoothed(places):  # sees two cells far, and the border of its tile as zeros
        values = np.stack([place.series["s2"].pixels.mean(0)[:2] for place in places])
        padded = np.pad(values, ((0, 0), (0, 0), (2, 2), (2, 2)))
        return np.mean([padded[:, :, i : i + values.shape[2], j : j + values.shape[3]] for i in range(5) for j in range(5)], 0)

    unit = units_of(64, 64, 64)[0]
    whole, _ = area.blended(scene, smoothed, unit, Tiling(64, 0))
    tiled, _ = area.blended(scene, smoothed, unit, Tiling(16, 4))
    apart = np.abs(tiled - whole) / np.abs(whole)
    border = np.ones((64, 64), bool)
    border[2:-2, 2:-2] = False
    assert apart[:, ~border].max() < 0.05  # what is left: the faded cells next to the border of a tile
