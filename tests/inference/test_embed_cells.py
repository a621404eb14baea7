"""Embeddings of the cells of an area: those of the model, the same whatever the units, on the right ground, in every format."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from area_scenes import DAYS, Coarser, small_scene
from small_models import contrast, fusion_model

from omnifuse import zoo
from omnifuse.cli import main
from omnifuse.errors import InputError
from omnifuse.inference.area import AreaOptions
from omnifuse.inference.embedding_cells import cells_of, embed_cells
from omnifuse.inference.embedding_reader import open_table
from omnifuse.inference.footprint import outlines, wkb
from omnifuse.inference.scene_squares import SceneSquares

rasterio = pytest.importorskip("rasterio")
OPTIONS = AreaOptions(tile=8, halo=1, unit=8)
ROWS, COLS, HOLE = 14, 20, (6, 7)  # cells of the area, and of the corner that nobody saw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models") / "small"
    zoo.save_model(made, fusion_model(), {})
    return made


@pytest.fixture
def scene():
    return Coarser(small_scene(height=2 * ROWS, width=2 * COLS, hole=(0, 0, 2 * HOLE[0], 2 * HOLE[1])))


def embedded(folder, scene, out, **rest):
    options = rest.pop("options", OPTIONS)
    return embed_cells(folder, scene, out, options, **{"dtype": "float32", "picture": False, **rest})


def test_cells_know_their_size_before_anything_is_read(folder, tmp_path):
    assert cells_of(zoo.load(folder)) == (20.0, 16)
    zoo.save_pretrained(tmp_path / "pretrained", contrast(), {})
    assert cells_of(zoo.load(tmp_path / "pretrained")) == (20.0, 8)


def test_an_area_of_one_tile_is_the_model_s_own_answer(folder, tmp_path):
    scene = Coarser(small_scene(height=16, width=16))
    made = embedded(folder, scene, tmp_path / "e.zarr")
    _, expected = zoo.load(folder).features(scene.read(0, 0, 8).to_batch())
    with xr.open_zarr(made.path, consolidated=False) as store:
        np.testing.assert_allclose(store["embedding"].to_numpy(), expected[0].numpy(), rtol=1e-6)
    assert made.vectors.dimensions == 16 and made.vectors.gsd == 20.0 and made.seen == 1


def test_units_make_no_difference_and_unseen_ground_stays_empty(folder, scene, tmp_path):
    one, other = (embedded(folder, scene, tmp_path / f"{unit}.zarr", options=replace(OPTIONS, unit=unit)) for unit in (8, 64))
    with xr.open_zarr(one.path, consolidated=False) as a, xr.open_zarr(other.path, consolidated=False) as b:
        np.testing.assert_array_equal(a["embedding"].to_numpy(), b["embedding"].to_numpy())
        empty = np.isnan(a["embedding"].to_numpy())
        assert (
            (empty == ~scene.valid(0, 0, ROWS, COLS)).all()
            and empty[:, : HOLE[0], : HOLE[1]].all()
            and empty.sum() == 16 * HOLE[0] * HOLE[1]
        )
        np.testing.assert_allclose(a["x"], 600_010 + 20 * np.arange(COLS))
        np.testing.assert_allclose(a["y"], 4_999_990 - 20 * np.arange(ROWS))
        assert a["spatial_ref"].attrs["crs_wkt"].startswith("PROJCS") and a["embedding"].attrs["grid_mapping"] == "spatial_ref"
        assert (a.attrs["geoemb:type"], a.attrs["geoemb:dimensions"], a.attrs["proj:code"]) == ("pixel", 16, "EPSG:32631")
        assert a.attrs["spatial:transform"] == [20.0, 0.0, 600_000.0, 0.0, -20.0, 5_000_000.0]
    assert one.seen == 1 - HOLE[0] * HOLE[1] / (ROWS * COLS)


def test_bytes_and_halves_are_as_near_as_they_say_in_both_formats(folder, scene, tmp_path):
    with rasterio.open(embedded(folder, scene, tmp_path / "true.tif").path) as file:
        true = file.read()
    seen = scene.valid(0, 0, ROWS, COLS)
    half, eight = (embedded(folder, scene, tmp_path / f"{dtype}.tif", dtype=dtype) for dtype in ("float16", "int8"))
    with rasterio.open(half.path) as file:
        assert abs(file.read() - true)[:, seen].max() <= abs(true[:, seen]).max() * 2**-11
        assert file.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16" and np.isnan(file.nodata)
    with rasterio.open(eight.path) as file:
        stored, steps = file.read(), np.array(file.scales)
        assert file.nodata == -128 and file.dtypes[0] == "int8" and file.crs.to_epsg() == 32631 and file.descriptions[0] == "e000"
    np.testing.assert_allclose(steps, eight.vectors.scale)
    assert (abs(stored * steps[:, None, None] - true)[:, seen] <= (steps / 2 * (1 + 1e-5))[:, None]).all()
    assert ((stored == -128).all(0) == ~seen).all()
    store = embedded(folder, scene, tmp_path / "eight.zarr", dtype="int8")
    with xr.open_zarr(store.path, consolidated=False, mask_and_scale=False) as found:
        np.testing.assert_array_equal(found["embedding"].to_numpy(), stored)
        assert found.attrs["emb:quantization"]["scale"] == list(eight.vectors.scale)


def test_a_stopped_run_goes_on_to_the_same_bytes(folder, scene, tmp_path, monkeypatch):
    from omnifuse.inference import embedding_cells as module

    whole = embedded(folder, scene, tmp_path / "whole.tif", picture=True)
    job, done = module.CellJob.__call__, []

    def stops(self, unit):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(unit)
        job(self, unit)

    monkeypatch.setattr(module.CellJob, "__call__", stops)
    out = tmp_path / "e.tif"
    with pytest.raises(KeyboardInterrupt):
        embedded(folder, scene, out, picture=True)
    monkeypatch.setattr(module.CellJob, "__call__", job)
    with pytest.raises(InputError, match="differs in options"):
        embedded(folder, scene, out, picture=True, normalize=True)
    again = embedded(folder, scene, out, picture=True)
    assert out.read_bytes() == whole.path.read_bytes() and again.picture.read_bytes() == whole.picture.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.tif", "e.tif.colors.tif", "whole.tif", "whole.tif.colors.tif"]


WHOLE = {"dtype": "int8", "picture": True}  # of which the step per dimension and the colors are known at the end only


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> dict[str, bytes]:
    home = tmp_path_factory.mktemp("whole")
    embedded(folder, Coarser(small_scene(hole=(0, 0, 12, 14))), home / "e.tif", **WHOLE)
    return content(home)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_writes_the_same_bytes(folder, whole, tmp_path, dask_address):
    embedded(folder, Coarser(small_scene(hole=(0, 0, 12, 14))), tmp_path / "e.tif", executor=f"dask={dask_address}", **WHOLE)
    assert content(tmp_path) == whole and list(whole) == ["e.tif", "e.tif.colors.tif"]


@pytest.mark.slow
def test_processes_write_the_same_bytes(folder, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATHS)
    embedded(folder, Coarser(small_scene(hole=(0, 0, 12, 14))), tmp_path / "e.tif", executor="processes=2", **WHOLE)
    assert content(tmp_path) == whole


SCRIPT = """
import sys
from pathlib import Path
from area_scenes import Coarser, small_scene
from omnifuse.inference.area import AreaOptions
from omnifuse.inference.embedding_cells import embed_cells

if __name__ == "__main__":
    scene = Coarser(small_scene(hole=(0, 0, 12, 14)))
    options = AreaOptions(tile=8, halo=1, unit=8)
    embed_cells(sys.argv[1], scene, Path(sys.argv[2]), options, dtype="int8", progress=lambda *at: print(*at, flush=True))
"""
PATHS = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])


@pytest.mark.slow
def test_a_run_killed_at_five_moments_ends_in_the_same_bytes(folder, whole, tmp_path):
    """Killed as soon as it says that more is done than the run before, and a little later each time."""
    script, out, draw, told = tmp_path / "embed.py", tmp_path / "out", np.random.default_rng(3), []
    script.write_text(SCRIPT, encoding="utf-8")
    out.mkdir()
    command = [sys.executable, str(script), str(folder), str(out / "e.tif")]
    for kill in range(6):
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE)
        for line in process.stdout if kill < 5 else ():
            done = int(line.split()[0])
            if done > max(told, default=0) + 1:
                told.append(done)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(draw.uniform(0, 0.05))
                process.kill()
        assert process.wait() == (0 if kill == 5 else -9)
        process.stdout.close()
        if kill < 5:
            assert not (out / "e.tif").exists() and (out / "e.tif.work").is_dir()
    assert content(out) == whole and len(told) == 5


def test_the_picture_has_colors_where_there_is_data(folder, scene, tmp_path):
    made = embedded(folder, scene, tmp_path / "e.tif", picture=True)
    with rasterio.open(made.picture) as file:
        colors = file.read()
        assert file.crs.to_epsg() == 32631 and file.nodata == 0 and file.transform.a == 20
        assert [one.name for one in file.colorinterp] == ["red", "green", "blue"]
    seen = scene.valid(0, 0, ROWS, COLS)
    assert (colors[:, ~seen] == 0).all() and (colors[:, seen] > 0).all() and (colors[:, seen].std(1) > 30).all()


def test_what_will_not_do_is_said(folder, tmp_path):
    scene = Coarser(small_scene(hole=(0, 0, 50, 70)))
    with pytest.raises(InputError, match=r"no sensor saw anything of the area"):
        embedded(folder, scene, tmp_path / "e.zarr")
    with pytest.raises(InputError, match=r"neither a Zarr store, a GeoTIFF nor a table"):
        embedded(folder, scene, tmp_path / "e.npy")


def test_squares_of_an_area_lie_side_by_side_within_it():
    scene = Coarser(small_scene(hole=(0, 0, 24, 30)))
    squares = SceneSquares(scene, 8, 8)
    assert (len(squares), squares.size) == (3 * 4, 160.0)
    assert [row["id"] for row in squares.info[:5]] == ["0_0", "0_8", "0_16", "0_24", "8_0"]
    assert squares.info[5]["left"] == 600_160.0 and squares.info[5]["top"] == 4_999_840.0
    assert not squares[0].series and squares[2].series["s2"].pixels.shape[2:] == (16, 16)
    assert len(SceneSquares(scene, 8, 4)) == 5 * 7 and len(SceneSquares(scene, 100, 100)) == 1


@pytest.fixture
def rasters(tmp_path):
    """Write two dates of S2 and one of SPOT as GeoTIFFs, and return the flags that name them."""
    scene, models = small_scene(height=32, width=48, sensors=("s2", "spot")), fusion_model().config.sensors.modalities
    place = scene.read(0, 0, 48)
    (tmp_path / "in").mkdir()
    for name, series in place.series.items():
        for day, pixels in zip(series.day.tolist(), series.pixels, strict=True):
            when = date.fromordinal(date(1970, 1, 1).toordinal() + day)
            gsd = models[name].gsd
            profile = {"driver": "GTiff", "crs": "EPSG:32631", "transform": rasterio.Affine(gsd, 0, 600_000, 0, -gsd, 5_000_000)}
            with rasterio.open(
                tmp_path / "in" / f"{name}_{when}.tif",
                "w",
                width=int(480 / gsd),
                height=int(320 / gsd),
                count=len(pixels),
                dtype="float32",
                **profile,
            ) as file:
                file.write(np.clip(pixels, 0.0, 255.0 if name == "spot" else None)[:, : int(320 / gsd)])
                file.descriptions = models[name].bands
    return ["--s2", str(tmp_path / "in" / "s2*.tif"), "--spot", str(tmp_path / "in" / "spot*.tif")]


def test_the_command_embeds_rasters_in_every_format(folder, rasters, tmp_path, capsys):
    flags = [*rasters, "--device", "cpu", "--tile", "8", "--halo", "0", "--season_start", "2019-04-14"]
    assert main(["embed", str(folder), *flags, "--out", str(tmp_path / "e.zarr")]) == 0
    item = json.loads((tmp_path / "e.zarr.stac.json").read_text())
    first, last = (date(1970, 1, 1).toordinal() + int(day) for day in (DAYS[0], DAYS[-1]))
    assert item["properties"]["start_datetime"].startswith(str(date.fromordinal(first)))
    assert item["properties"]["end_datetime"].startswith(str(date.fromordinal(last)))
    assert item["properties"]["proj:shape"] == [16, 24] and set(item["assets"]) == {"embeddings", "colors", "overview"}
    assert (tmp_path / "e.zarr.png").is_file() and "16 numbers per cell (float16)" in capsys.readouterr().out
    assert main(["embed", str(folder), *flags, "--out", str(tmp_path / "e.parquet"), "--dtype", "int8"]) == 0
    rows = open_table(tmp_path / "e.parquet")
    assert rows.rows == 2 * 3 and rows.about["emb:chip_layout"] == {"layout_type": "regular_grid", "chip_size": [8, 8], "stride": [8, 8]}
    _, piece = rows.take([4], ["id", "geometry", "sensors", "source"])
    assert piece.drop_columns(["embedding"]).to_pylist()[0] == {
        "id": "8_8",
        "geometry": wkb(outlines("EPSG:32631", [600_160.0], [4_999_840.0], 160.0, 160.0)[0]),
        "sensors": ["s2", "spot"],
        "source": "s2*.tif spot*.tif",
    }
    assert main(["embed", str(folder), *flags, "--out", str(tmp_path / "e.tif"), "--stride", "4"]) > 1
    assert "--stride" in capsys.readouterr().err


def test_the_command_embeds_a_store_and_finds_its_places(folder, tmp_path, capsys):
    from few_places import FewPlaces

    from omnifuse.data.store import write_store

    write_store(FewPlaces(), tmp_path / "places.zarr")
    out = tmp_path / "e.parquet"
    assert main(["embed", str(folder), str(tmp_path / "places.zarr"), "--out", str(out), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "18 places, 16 numbers each (float32), from s2, s1_asc, spot" in said and "left out: 2 places" in said
    assert (tmp_path / "e.parquet.png").is_file()
    item = json.loads((tmp_path / "e.parquet.stac.json").read_text())
    assert item["properties"]["emb:type"] == "chip" and [link["href"] for link in item["links"]][1] == "places.zarr"
    assert main(["search", str(out), "--like", "p003", "-k", "4"]) == 0
    longitude, latitude = (f"{value:.6f}" for value in np.mean(outlines("EPSG:32631", [600_960.0], [5_000_000.0], 160, 160)[0][0][:4], 0))
    assert main(["search", str(out), "--at", longitude, latitude, "-k", "4"]) == 0
    by_id, at = capsys.readouterr().out.split("Most similar")[1:]
    assert by_id.split("\n")[3:7] == at.split("\n")[3:7]
    assert main(["embed", str(folder), str(tmp_path / "places.zarr"), "--out", "e.zarr"]) > 1
    assert "vectors of places are a table" in capsys.readouterr().err
