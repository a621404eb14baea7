"""`omnifuse data check|show|stats|split|subset`, as one types them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # the made-up data sets that readers are tested on

from fake_source import FakeSource

from omnifuse.cli import main
from omnifuse.data.problems import Problem
from omnifuse.data.store import Store, write_store
from omnifuse.data.subset import split
from omnifuse.errors import ConfigError, InputError
from omnifuse.runs.checking import kinds_of_problem
from omnifuse.runs.opening import find


@pytest.fixture
def path(tmp_path) -> str:
    write_store(FakeSource(24), tmp_path / "s.zarr")
    return str(tmp_path / "s.zarr")


def test_a_sound_store_is_checked(path, capsys, tmp_path):
    assert main(["data", "check", path, "--workers", "0", "--json", str(tmp_path / "c.json")]) == 0
    said = capsys.readouterr().out
    assert "No problem in 24 places" in said and "optical" in said
    document = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert (document["kind"], document["places"], document["problems"], document["affected"]) == ("store", 24, [], [])
    assert document["read"]["sensors"]["optical"]["places"] == 20


def test_a_damaged_store_gives_every_problem_a_line_and_the_exit_code_of_bad_input(path, capsys, tmp_path):
    for index in (0, 3):
        next(Path(path, "optical", "pixels").glob(f"c.{index}.*")).write_bytes(b"short")
    assert main(["data", "check", path, "--workers", "0", "--json", str(tmp_path / "c.json")]) == InputError.exit_code
    said = capsys.readouterr().out
    assert said.count(" (place place-") == 2 and said.count("Try: copy this file again") == 2
    assert "2 problem(s); 2 of 24 places affected, 22 can be read." in said
    document = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert [problem["place"] for problem in document["problems"]] == document["affected"] == ["place-0", "place-3"]
    assert list(document["kinds"].values()) == [2]  # they read alike


def test_a_folder_that_cannot_be_opened_is_a_problem_of_its_own(tmp_path, capsys):
    (tmp_path / "metadata.geojson").write_text("{", encoding="utf-8")
    assert main(["data", "check", str(tmp_path)]) == InputError.exit_code
    assert "metadata.geojson: " in capsys.readouterr().out


def test_problems_that_read_alike_are_counted_together():
    problems = [Problem("f", text, "r") for text in ("label 9 at 64 pixels", "label 11 at 3 pixels", "'a' is 2×3", "'bc' is 12×3", "gone")]
    assert kinds_of_problem(tuple(problems)) == {"label … at … pixels": 2, "… is …": 2, "gone": 1}


def test_statistics_are_kept_in_the_store_with_what_they_are_of(path, capsys, tmp_path):
    before = Store(Path(path)).modalities["optical"]
    assert main(["data", "stats", path, "--no-write"]) == 0
    assert Store(Path(path)).modalities["optical"] == before
    assert main(["data", "stats", path, "--split", "fold", "--values", "1", "2", "--json", str(tmp_path / "s.json")]) == 0
    said = capsys.readouterr().out
    assert "places with fold 1, 2: 16 of 24" in said and "mean and standard deviation are now" in said
    store = Store(Path(path))
    inside = [store[int(i)].series["optical"].pixels for i in split(store.info, "fold", (1, 2))]
    mean = np.concatenate(inside).astype(np.float64).mean((0, 2, 3))
    np.testing.assert_allclose(store.modalities["optical"].mean, mean, rtol=1e-12)
    np.testing.assert_allclose(json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["sensors"]["optical"]["mean"], mean)
    document = json.loads(Path(path, "optical", "pixels", "zarr.json").read_text(encoding="utf-8"))
    assert document["attributes"]["statistics"] == {"places": 16, "split": "fold", "values": ["1", "2"]}
    assert main(["data", "stats", path, "--split", "fold"]) == ConfigError.exit_code


def test_splits_are_kept_with_how_they_were_made_and_make_smaller_stores(path, capsys, tmp_path):
    assert main(["data", "split", path, "labels", "--by", "fraction", "--among", "fold", "--values", "1", "2", "--seed", "3"]) == 0
    assert main(["data", "split", path, "cv", "--by", "kfold", "--folds", "4"]) == 0
    assert main(["data", "split", path, "geo", "--by", "region", "--test", "é"]) == 0
    store = Store(Path(path))
    assert {row["labels"] for row in store.info} <= {1, 5, 10, 25, 50, 100, "fold 3"}
    assert [row["labels"] == "fold 3" for row in store.info] == [row["fold"] == 3 for row in store.info]
    assert sorted(row["cv"] for row in store.info) == [1] * 6 + [2] * 6 + [3] * 6 + [4] * 6
    assert all((row["geo"] == "test") == (row["region"] == "é") for row in store.info)
    about = json.loads(Path(path, "place", "zarr.json").read_text(encoding="utf-8"))["attributes"]["splits"]["labels"]
    assert (about["by"], about["seed"], about["among"], about["values"]) == ("fraction", 3, "fold", ["1", "2"])
    small = str(tmp_path / "small.zarr")
    assert main(["data", "subset", path, small, "--split", "cv", "--values", "1", "3", "--workers", "1"]) == 0
    wanted = [row for row in store.info if row["cv"] in (1, 3)]
    assert Store(Path(small)).info == wanted
    assert Store(Path(small)).provenance["subset"] == "places with cv 1, 3"
    assert main(["data", "check", small, "--workers", "0"]) == 0
    assert main(["data", "split", path, "cv", "--by", "kfold"]) == InputError.exit_code
    assert main(["data", "subset", path, small + "2", "--split", "cv", "--values", "9"]) == InputError.exit_code
    said = capsys.readouterr().err
    assert "have 'cv' already" in said and "no place has cv = '9'" in said


def test_blocks_leave_a_buffer(tmp_path):
    class Grid(FakeSource):
        def __init__(self) -> None:
            super().__init__(36)
            self.info = [
                {"id": f"{i}", "crs": "EPSG:2154", "left": 6e5 + 1000.0 * (i % 6), "top": 6e6 + 1000.0 * (i // 6)} for i in range(36)
            ]

    path = tmp_path / "g.zarr"
    write_store(Grid(), path)
    assert main(["data", "split", str(path), "b", "--by", "blocks", "--block", "2000", "--buffer", "900", "--val-share", "0"]) == 0
    parts = {part: [row for row in Store(path).info if row["b"] == part] for part in ("train", "test", "buffer")}
    assert all(parts.values())
    apart = [np.hypot(a["left"] - b["left"], a["top"] - b["top"]) for a in parts["train"] for b in parts["test"]]
    assert min(apart) > 1000
    about = json.loads((path / "place" / "zarr.json").read_text(encoding="utf-8"))["attributes"]["splits"]["b"]
    assert (about["coordinates"], about["buffer"]) == ("EPSG:2154", 900.0)


def test_a_place_becomes_a_picture(path, tmp_path, capsys):
    out = tmp_path / "p.png"
    assert main(["data", "show", path, "place-3", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main(["data", "show", path, "plase-3", "--out", str(out)]) == InputError.exit_code
    assert "place-3" in capsys.readouterr().err


def test_the_kind_is_told_from_the_layout(tmp_path):
    layouts = {
        "pastis": ("metadata.geojson", "DATA_S2/"),
        "pastis-r": ("metadata.geojson", "DATA_S1A/", "DATA_S2/"),
        "pastis-hd": ("metadata.geojson", "DATA_S1A/", "DATA_SPOT/"),
        "flair1": ("flair_aerial_train/",),
        "flair2": ("flair_aerial_train/", "flair_sen_train/"),
        "flair-hub": ("data/D006-2020_AERIAL_RGBI/",),
        "treesatai-ts": ("aerial/", "sentinel-ts/"),
        "ombria": ("OmbriaS1/",),
        "worldcereal-patches": ("site/", "site/OUTPUT_POLY-110_10m_site_1.nc"),
        "worldcereal-pixels": ("region_long.parquet", "croptype_legend.csv"),
        "algae-blooms": ("npy/", "npy/s1_s2_era5_srtm.npy", "npy/target.npy"),
        "rasters": (),
    }
    for kind, names in layouts.items():
        folder = tmp_path / kind
        folder.mkdir()
        for name in names:
            if name.endswith("/"):
                (folder / name).mkdir(parents=True)
            else:
                (folder / name).touch()
        (folder / "table.csv").touch()
        found = find(str(folder / "table.csv" if kind == "rasters" else folder))
        assert (found.kind, found.guessed) == (kind, True)
    assert find(str(tmp_path), "ombria").guessed is False
    with pytest.raises(InputError, match="neither a store nor"):
        find(str(tmp_path))
    with pytest.raises(ConfigError, match="--kind pastis"):
        find(str(tmp_path), "pastiss")


def test_options_of_the_kind_are_flags(tmp_path, capsys):
    from PIL import Image

    for sensor, mode in (("S1", "L"), ("S2", "RGB")):
        for when in ("before", "after", "mask"):
            folder = tmp_path / f"Ombria{sensor}" / "train" / when.upper()
            folder.mkdir(parents=True)
            Image.new("L" if when == "mask" else mode, (256, 256)).save(folder / f"{sensor}_{when}_0001.png")
    (tmp_path / "scene_groups.csv").write_text("patch_id,scene_group\n0001,0\n", encoding="utf-8")
    for flags, places in (([], 16), (["--tile", "128"], 4), (["--kind", "ombria", "--tile", "256"], 1)):
        assert main(["data", "stats", str(tmp_path), "--workers", "0", *flags]) == 0
        assert f"{places} of {places}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["data", "stats", str(tmp_path), "--window", "40"])  # an option of another kind
    for task in ("check", "show", "stats", "split", "subset"):
        with pytest.raises(SystemExit) as left:
            main(["data", task, "--help"])
        assert left.value.code == 0


def test_native_data_keep_no_splits(tmp_path, capsys):
    (tmp_path / "OmbriaS1").mkdir()
    assert main(["data", "split", str(tmp_path), "x"]) == InputError.exit_code
    assert "Try: omnifuse data convert ombria" in capsys.readouterr().err
