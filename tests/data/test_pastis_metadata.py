import json

import pytest
from fake_pastis import SORTED, read_metadata, write_metadata

from omnifuse.config import to_dict
from omnifuse.data.sources.pastis import Pastis
from omnifuse.errors import InputError, OmnifuseError
from omnifuse.modalities import MODALITIES


def test_a_place_knows_fold_tile_and_where_it_is_in_its_utm_zone(pastis):
    source = Pastis(pastis)
    assert [info["fold"] for info in source.info] == [1, 5, 2, 3, 4]
    for info, patch in zip(source.info, SORTED, strict=True):
        assert (info["tile"], info["crs"], info["left"], info["top"]) == (patch.tile, f"EPSG:326{patch.tile[1:3]}", patch.left, patch.top)
        assert json.loads(json.dumps(info)) == info
    warp = pytest.importorskip("rasterio.warp")
    for info in source.info:
        x, y = warp.transform(info["crs"], "EPSG:4326", [info["left"] + 640], [info["top"] - 640])
        assert (info["longitude"], info["latitude"]) == pytest.approx((x[0], y[0]), abs=2e-6)


def test_the_outline_is_taken_for_lambert93_also_in_a_file_of_degrees(small_pastis):
    from omnifuse.data.projections import from_lambert93

    before = Pastis(small_pastis).info
    whole = read_metadata(small_pastis)
    del whole["crs"]
    write_metadata(small_pastis, whole)
    assert Pastis(small_pastis).info == before
    for feature in whole["features"]:
        ring = feature["geometry"]["coordinates"][0][0]
        feature["geometry"]["coordinates"][0][0] = [list(from_lambert93(*point)) for point in ring]
    write_metadata(small_pastis, whole)
    with pytest.raises(InputError, match="not in France; Lambert-93"):
        Pastis(small_pastis)
    write_metadata(small_pastis, {**whole, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}})
    assert Pastis(small_pastis).info == before
    write_metadata(small_pastis, {**whole, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}})
    with pytest.raises(InputError, match=r"EPSG::3857.*expected EPSG:2154"):
        Pastis(small_pastis)


def test_what_the_metadata_do_not_say_is_left_out(small_pastis):
    whole = read_metadata(small_pastis)
    for feature in whole["features"]:
        properties = feature["properties"]
        feature["properties"] = {key: properties[key] for key in ("ID_PATCH", "dates-S2")}
        feature["geometry"] = None
    write_metadata(small_pastis, whole)
    source = Pastis(small_pastis)
    assert source.info[0] == {"id": "10000"}
    assert {problem.what.split(":")[0] for problem in source.problems()} == {"no `Fold`", "no outline", "no `TILE` with a UTM zone"}


def test_the_folder_that_is_meant_is_named(small_pastis, tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}: no metadata.geojson here, but there is one in {small_pastis}"):
        Pastis(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        Pastis(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no metadata.geojson; some early downloads lack it"):
        Pastis(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no readable JSON"),
        (b'{"type": "FeatureCollection", "features": [', "no readable JSON"),
        (b"\xff\xfe", "no readable JSON"),
        (b"[]", "no features"),
        (b'{"features": []}', "no features"),
        (b'{"features": [3]}', "feature 0 has no `properties`"),
        (b'{"features": [{"properties": {"ID_PATCH": "x"}}]}', "`ID_PATCH`: 'x' is not a whole number"),
        (b'{"features": [{"properties": {"ID_PATCH": 1.5}}]}', "not a whole number"),
        (b'{"features": [{"properties": {"ID_PATCH": 1e308}}]}', "not a whole number"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "dates-S2": {"0": 99999999999}}}]}', "date 0: 99999999999 is not"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "Fold": 0, "dates-S2": {}}}]}', "`Fold` is 0, expected 1 to 5"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "ID_PATCH": 2}}]}', "a field stands twice"),
        (b'{"features": [{"properties": {"ID_PATCH": 1, "dates-S2": {}}, "geometry": {"coordinates": []}}]}', "without coordinates"),
    ],
)
def test_a_broken_metadata_file_is_named(small_pastis, content, message):
    (small_pastis / "metadata.geojson").write_bytes(content)
    with pytest.raises(InputError, match=r"metadata\.geojson") as caught:
        Pastis(small_pastis)
    assert message in str(caught.value) and "Try: " in str(caught.value)


def test_a_patch_that_stands_twice_is_an_error(small_pastis):
    whole = read_metadata(small_pastis)
    whole["features"].append(whole["features"][0])
    write_metadata(small_pastis, whole)
    with pytest.raises(InputError, match="patch 10000 stands twice"):
        Pastis(small_pastis)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 165.0}, "`size` is 165.0"),
        ({"size": float("inf")}, "`size` is inf"),
        ({"labels": [0, 1, 25]}, "`labels`"),
        ({"modalities": [{**to_dict(MODALITIES["spot"]), "gsd": 0.0}]}, "`gsd` of spot is 0.0"),
        ({"modalities": [{**to_dict(MODALITIES["spot"]), "name": "aerial"}]}, "modalities"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_a_folder_says_of_itself_is_checked(small_pastis, change, message):
    (small_pastis / "about.json").write_text(json.dumps({"source": "made up", "licence": "CC0", "size": 160.0}), encoding="utf-8")
    assert Pastis(small_pastis).provenance["source"] == "made up"
    (small_pastis / "about.json").write_text(json.dumps({"source": "made up", "licence": "CC0", **change}), encoding="utf-8")
    with pytest.raises(OmnifuseError, match=r"about\.json") as caught:
        Pastis(small_pastis)
    assert message in str(caught.value)
