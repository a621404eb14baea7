"""`omnifuse map` on what `omnifuse predict` writes: GeoTIFFs and stores alike, with all layers that are there."""

import sys
from pathlib import Path

import pytest
from small_models import CLASSES, fusion_model

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
from area_scenes import small_scene

from omnifuse.cli import main
from omnifuse.inference.area import AreaOptions, predict_area
from omnifuse.inference.web_map import read_classified, read_facts
from omnifuse.zoo import save_model


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    save_model(folder / "small", fusion_model(), {})
    for name in ("map.tif", "map.zarr"):
        scene = small_scene(height=20, width=24, hole=(0, 0, 4, 6))
        predict_area(folder / "small", scene, folder / name, AreaOptions(tile=16), confidence=True, probabilities=True)
    return folder


def test_a_store_makes_the_page_that_a_geotiff_makes(maps):
    pages = []
    for name in ("map.tif", "map.zarr"):
        assert main(["map", str(maps / name), "--out", str(maps / "page.html"), "--title", "A map"]) == 0
        pages.append((maps / "page.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1] and "winter wheat" in pages[0] and "Confidence" in pages[0]
    assert read_facts(str(maps / "map.zarr")) == read_facts(str(maps / "map.tif"))
    assert read_facts(str(maps / "map.zarr"))["Sensors"] == "s2, s1_asc"


def test_a_store_says_names_and_colors_itself(maps):
    shown = read_classified(f"{maps / 'map.zarr'}#classes", 100)
    assert (shown.names, shown.colors) == (CLASSES.names, CLASSES.colors)


def test_an_array_that_is_named_is_the_one_shown(maps, capsys):
    assert main(["map", f"{maps / 'map.zarr'}#confidence"]) == 3
    assert "without a colour table" in capsys.readouterr().err
