"""STAC items: pystac reads them, they say where, when, what and by which model, and nothing of when they were written."""

import json
import re
from datetime import date

import pytest

from omnifuse.classes import ClassTable
from omnifuse.inference.footprint import outline_around
from omnifuse.inference.scene import Grid
from omnifuse.inference.stac import Made, Vectors, stac_item_for_embeddings, stac_item_for_map, write_item

GRID = Grid("EPSG:32631", 600_000.0, 5_000_000.0, 10.0, 300, 200)
CLASSES = ClassTable(names=("void", "winter wheat", "Übergang / 3"), colors=("#000000", "#ddbb55", "#11aa33"), ignore=0)
SHA = "ab" * 32


@pytest.fixture
def made(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "s2.tif").touch()
    return Made(
        str(tmp_path / "model"), SHA, ("s2", "spot"), date(2021, 3, 4), date(2021, 9, 30), (str(tmp_path / "s2.tif"), "nowhere.tif")
    )


def test_a_map_s_item_has_what_the_specification_asks_for(made, tmp_path):
    path = tmp_path / "out" / "map.tif"
    item = stac_item_for_map(path, GRID, made, CLASSES, others={"confidence": path.with_name("confidence.tif")})
    assert item["type"] == "Feature" and item["stac_version"] == "1.1.0" and item["id"] == "map.tif"
    properties = item["properties"]
    assert properties["datetime"] is None
    assert (properties["start_datetime"], properties["end_datetime"]) == ("2021-03-04T00:00:00Z", "2021-09-30T23:59:59Z")
    assert properties["proj:code"] == "EPSG:32631" and properties["proj:shape"] == [300, 200]
    assert properties["proj:bbox"] == [600_000.0, 4_997_000.0, 602_000.0, 5_000_000.0]
    assert properties["proj:transform"] == [10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_000.0]
    west, south, east, north = item["bbox"]
    ring = item["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] and len(ring) == 33
    assert min(x for x, _ in ring) == west and max(y for _, y in ring) == north
    assert 4.2 < west < east < 4.4 and 45.1 < south < north < 45.2
    assert properties["omnifuse:weights_sha256"] == SHA and properties["omnifuse:model"] == "model"
    assert [link["href"] for link in item["links"]] == ["../model", "../s2.tif"]
    assert {asset["href"] for asset in item["assets"].values()} == {"./map.tif", "./confidence.tif"}


def test_class_names_are_as_the_extension_wants_them(made, tmp_path):
    found = stac_item_for_map(tmp_path / "map.tif", GRID, made, CLASSES)["assets"]["classes"]["classification:classes"]
    assert [one["value"] for one in found] == [0, 1, 2, 255]
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", one["name"]) for one in found)
    assert all(re.fullmatch(r"[0-9A-F]{6}", one["color_hint"]) for one in found[:3])
    assert found[1] == {"value": 1, "name": "winter_wheat", "title": "winter wheat", "color_hint": "DDBB55"}
    assert found[-1]["nodata"] is True


def test_embeddings_have_the_names_of_their_extension(made, tmp_path):
    vectors = Vectors(dimensions=3, dtype="int8", gsd=320.0, chips=True, scale=(0.1, 0.2, 0.3), chip=32, stride=16)
    item = stac_item_for_embeddings(tmp_path / "e.parquet", outline_around(3.0, 46.0, 1e4), made, vectors, picture=tmp_path / "e.png")
    properties = item["properties"]
    assert (properties["emb:type"], properties["emb:dimensions"], properties["data_type"]) == ("chip", 3, "int8")
    assert properties["emb:chip_layout"] == {"layout_type": "regular_grid", "chip_size": [32, 32], "stride": [16, 16]}
    assert properties["emb:quantization"]["method"] == "linear" and properties["emb:quantization"]["scale"] == [0.1, 0.2, 0.3]
    assert {link["rel"] for link in item["links"]} == {"emb:model", "emb:source-data"}
    assert item["assets"]["embeddings"]["type"] == "application/vnd.apache.parquet"
    assert "proj:code" not in properties
    pixels = stac_item_for_embeddings(tmp_path / "e.zarr", GRID, made, Vectors(dimensions=3, dtype="float16", gsd=10.0, chips=False))
    assert pixels["properties"]["emb:type"] == "pixel" and pixels["properties"]["proj:code"] == "EPSG:32631"
    assert "emb:quantization" not in pixels["properties"] and "emb:chip_layout" not in pixels["properties"]


def test_a_hub_model_is_linked_to_and_a_system_without_code_is_spelled_out(tmp_path):
    made = Made("org/name@0123abc", SHA, ("s2",), date(2020, 1, 1), date(2020, 1, 1))
    grid = Grid("+proj=laea +lat_0=46 +lon_0=3 +datum=WGS84 +units=m", 0.0, 0.0, 10.0, 5, 5)
    item = stac_item_for_map(tmp_path / "map.tif", grid, made, CLASSES, nodata=None)
    assert item["links"][0]["href"] == "https://huggingface.co/org/name/tree/0123abc"
    assert item["properties"]["proj:code"] is None and "Lambert Azimuthal" in item["properties"]["proj:wkt2"]
    assert len(item["assets"]["classes"]["classification:classes"]) == 3


def test_an_item_is_read_by_pystac_and_is_the_same_every_time(made, tmp_path):
    pystac = pytest.importorskip("pystac")
    path = tmp_path / "map.tif"
    beside = write_item(path, stac_item_for_map(path, GRID, made, CLASSES))
    first = beside.read_bytes()
    assert write_item(path, stac_item_for_map(path, GRID, made, CLASSES)).read_bytes() == first
    assert beside.name == "map.tif.stac.json" and str(tmp_path) not in first.decode()
    item = pystac.Item.from_file(str(beside))
    assert item.id == "map.tif" and item.common_metadata.start_datetime.year == 2021
    assert item.assets["classes"].media_type == pystac.MediaType.COG
    assert json.loads(first)["assets"] == {key: asset.to_dict() for key, asset in item.assets.items()}
