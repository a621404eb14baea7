"""What stands on the page of a map: areas of the true ground, honest reduction, names that stay text, imagery where it lies."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rasterio import Affine
from rasterio.warp import transform
from small_maps import COLORS, NAMES, NODATA, rgb, small_map, write, write_classes

from omnifuse.classes import ClassTable
from omnifuse.config import write_json
from omnifuse.data.raster_file import Header, read_header
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.cog import write_cog
from omnifuse.inference.layers import layers_of, stored
from omnifuse.inference.plan import Unit
from omnifuse.inference.scene import Grid
from omnifuse.inference.web_map import read_classified, read_confidence, read_picture, read_probabilities
from omnifuse.inference.web_map.ground import lattice, pixel_areas, pixel_metres, true_north
from omnifuse.inference.web_map.page import area_text
from omnifuse.inference.web_map.png import indexed_png
from omnifuse.inference.web_map.reducing import block_means, most_frequent
from omnifuse.runs.mapping import MapCommand, map_page

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def header(crs: str, left: float, top: float, pixel: float, height: int = 100, width: int = 100, metric: float = 1.0) -> Header:
    return Header("a.tif", crs, left, top, width, height, pixel, pixel, "uint8", ("",), ("",), (1.0,), (0.0,), None, metric)


@pytest.mark.parametrize(
    ("found", "square_metres"),
    [
        (header("EPSG:32631", 500_000, 5_000_000, 10), 100 / 0.9996**2),  # scale of UTM on its central meridian
        (header("EPSG:3035", 4_321_000, 3_210_000, 10), 100.0),  # an equal-area system
        (header("EPSG:3857", 0, 5_621_521.5 + 500, 10), 50.0),  # Web Mercator at 45° north: cos² of the latitude
        (header("EPSG:4326", 10, 0.05, 0.001, metric=0), 110.574 * 111.320),  # a degree on the equator
    ],
)
def test_areas_are_those_of_the_ground(found: Header, square_metres: float) -> None:
    assert pixel_areas(found)[50] == pytest.approx(square_metres, rel=2e-3)
    across, down = pixel_metres(found)
    assert across * down == pytest.approx(square_metres, rel=2e-3)


def test_longitudes_between_the_points_of_the_lattice_are_right_to_a_tenth_of_a_pixel() -> None:
    found = header("EPSG:32633", 300_000, 6_700_000, 10, 10_000, 10_000)  # 100 km a side, at 60° north
    longitude, latitude = lattice(found, 33)
    column, row = 4_843.75, 5_156.25  # in the middle of a mesh, where a straight line is worst
    between = [grid[16:18, 15:17].mean() for grid in (longitude, latitude)]
    x, y = transform("EPSG:4326", found.crs, [between[0]], [between[1]])
    assert np.hypot(x[0] - (300_000 + 10 * column), y[0] - (6_700_000 - 10 * row)) < 1.0  # metres


def test_longitudes_do_not_jump_at_the_date_line() -> None:
    longitude, _ = lattice(header("EPSG:32660", 750_000, 1_000_000, 100, 1000, 1000), 9)  # 177° east and beyond 180
    assert np.all(np.diff(longitude, axis=1) > 0) and longitude.max() > 180


def test_north_is_up_on_the_central_meridian_and_leans_beside_it() -> None:
    assert true_north(header("EPSG:32631", 499_500, 5_000_000, 10)) == pytest.approx(0, abs=0.01)
    east = header("EPSG:32631", 700_000, 6_600_000, 10)
    longitude, latitude = (grid[1, 1] for grid in lattice(east, 3))
    convergence = np.degrees(np.arctan(np.tan(np.radians(longitude - 3)) * np.sin(np.radians(latitude))))
    assert true_north(east) == pytest.approx(-convergence, abs=0.01)


def test_a_block_becomes_its_most_frequent_class() -> None:
    random = np.random.default_rng(0)
    classes = random.choice([0, 1, 2, NODATA], (23, 17)).astype(np.uint8)
    reduced = most_frequent(classes, 3, 5)
    for row, column in np.ndindex(5, 4):
        block = classes[5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
        values, counts = np.unique(block, return_counts=True)
        assert reduced[row, column] == values[counts.argmax()]  # the lower number first, no data last
    assert np.array_equal(most_frequent(classes, 3, 1), classes)


def test_means_leave_out_what_is_not_there() -> None:
    values, valid = np.array([[1.0, 3.0], [99.0, 99.0]]), np.array([[True, True], [False, False]])
    assert block_means(values, valid, 2).tolist() == [[2.0]]
    assert np.isnan(block_means(values, ~valid & False, 2)).all()


def test_an_indexed_png_is_what_any_reader_sees_and_can_be_inflated_as_it_is() -> None:
    index = np.random.default_rng(0).integers(0, 4, (13, 29)).astype(np.uint8)
    index[0, 0] = NODATA
    content = indexed_png(index, [rgb(color) for color in COLORS])
    image = Image.open(io.BytesIO(content))
    assert np.array_equal(np.asarray(image), index)
    shown = np.asarray(image.convert("RGBA"))
    assert shown[0, 0, 3] == 0 and tuple(shown[5, 5]) == (*rgb(COLORS[index[5, 5]]), 255)
    assert content == indexed_png(index, [rgb(color) for color in COLORS])


def test_areas_are_counted_at_full_resolution_whatever_is_shown(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    whole, reduced = (read_classified(str(made.map), most) for most in (1000, 16))
    assert (whole.factor, reduced.factor) == (1, 3) and reduced.classes.shape == (10, 14)
    np.testing.assert_allclose(reduced.hectares, whole.hectares)
    counts = [np.count_nonzero(made.classes == number) for number in (0, 1, 2, 3, NODATA)]
    np.testing.assert_allclose(whole.hectares, np.array(counts) * 0.01, rtol=2e-3)
    assert np.array_equal(whole.classes, made.classes)


def test_names_come_from_the_tags_the_file_beside_or_the_one_asked_for(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    assert read_classified(str(made.map), 100).names == NAMES
    beside = tmp_path / "map.tif.aux.xml"
    beside.write_text("".join(f"<Category>c{i} &amp; d</Category>" for i in range(4)), encoding="utf-8")
    assert read_classified(str(made.map), 100).names[2] == "c2 & d"
    asked = tmp_path / "classes.json"
    write_json(asked, {"names": ["a", "b", "c", "d"], "colors": ["#000001"] * 4, "unlabelled": [NODATA]})
    found = read_classified(str(made.map), 100, asked)
    assert found.names == ("a", "b", "c", "d") and found.colors[3] == "#000001"


def test_confidence_is_read_as_percent_or_as_shares(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    shown = read_classified(str(made.map), 100)
    assert np.array_equal(read_confidence(str(made.confidence), shown), made.percent)
    shares = np.where(made.percent == NODATA, np.nan, made.percent / 100).astype(np.float32)
    as_shares = write(tmp_path / "shares.tif", shares[None], made.transform)
    assert np.array_equal(read_confidence(str(as_shares), shown), made.percent)
    reduced = read_classified(str(made.map), 20)
    block = made.percent[:2, :2][made.percent[:2, :2] != NODATA]
    assert read_confidence(str(as_shares), reduced)[0, 0] == (np.rint(block.mean()) if block.size else NODATA)


def test_probabilities_are_told_with_their_classes(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    steps = np.random.default_rng(0).integers(0, 251, (4, 30, 40)).astype(np.uint8)
    path = write(tmp_path / "map_probabilities.tif", steps, made.transform, nodata=NODATA)
    import rasterio

    with rasterio.open(path, "r+") as file:
        file.scales = (1 / 250,) * 4
    found = read_probabilities(str(path), read_classified(str(made.map), 100))
    assert np.array_equal(found[2], np.rint(steps[2] / 2.5))
    page = map_page(str(made.map), MapCommand()).read_text(encoding="utf-8")
    assert len(json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])["probabilities"]) == 4


def test_imagery_lies_on_the_map_whatever_its_system_and_pixels(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    ground = read_header(str(made.map))
    bright = np.zeros((3, 60, 80), np.uint8)
    bright[:, 20:30, 40:60] = 200  # in pixels of 5 m: rows 10 to 15 and columns 20 to 30 of the map
    same = read_picture(str(write(tmp_path / "fine.tif", bright, Affine(5, 0, 500_000, 0, -5, 5_000_000))), ground, 100)
    assert same.pixels.shape == (60, 80, 4) and np.array_equal(same.pixels[..., 0] > 100, bright[0] > 100)
    assert "pixels of 5 m" in same.note and (same.pixels[..., 3] == 255).all()
    other = np.zeros((1, 80, 80), np.uint8)
    x, y = transform("EPSG:32631", "EPSG:4326", [500_250], [4_999_875])
    left, top = x[0] - 0.0004, y[0] + 0.0004
    other[0, 30:50, 30:50] = 250
    turned = read_picture(str(write(tmp_path / "degrees.tif", other, Affine(1e-5, 0, left, 0, -1e-5, top), "EPSG:4326")), ground, 400)
    rows, columns = np.nonzero(turned.pixels[..., 0] > 200)
    assert rows.mean() / turned.pixels.shape[0] * 30 == pytest.approx(12.5, abs=0.1)
    assert columns.mean() / turned.pixels.shape[1] * 40 == pytest.approx(25, abs=0.1)
    assert 0 < (turned.pixels[..., 3] == 255).mean() < 0.1  # the rest of the map has no imagery


def test_bands_of_the_picture_are_told_from_their_names_or_asked_for(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    ground = read_header(str(made.map))
    assert read_picture(str(made.image), ground, 100).note.startswith("B04, B03, B02;")
    assert read_picture(str(made.image), ground, 100, ("b8", "3", "2")).note.startswith("B08, B04, B03;")
    grey = read_picture(str(made.image), ground, 100, ("1",)).pixels
    assert np.array_equal(grey[..., 0], grey[..., 2])
    nameless = write(tmp_path / "nameless.tif", np.ones((5, 30, 40), np.uint16), UTM)
    for bands, words in (((), "none are known"), (("B4", "B3", "B2"), "no band 'B4'"), (("1", "2"), "a picture of 2 bands")):
        with pytest.raises(InputError, match=words):
            read_picture(str(nameless), ground, 100, bands)


def test_what_is_no_map_is_refused_by_name(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    shown = read_classified(str(made.map), 100)
    floats = write(tmp_path / "floats.tif", np.ones((1, 5, 5), np.float32), UTM)
    unknown = write_classes(tmp_path / "unknown.tif", np.full((5, 5), 77, np.uint8), UTM)
    nowhere = write(tmp_path / "nowhere.tif", np.ones((1, 5, 5), np.uint8), UTM, crs=None)
    plain = write(tmp_path / "plain.tif", np.ones((1, 5, 5), np.uint8), UTM)
    for path, words in ((floats, "whole numbers"), (unknown, r"\[77\] are no class"), (nowhere, "no coordinate"), (plain, "color|colour")):
        with pytest.raises(InputError, match=words):
            read_classified(str(path), 100)
    with pytest.raises(InputError, match=r"no way from|not on the Earth"):
        read_classified(str(write_classes(tmp_path / "space.tif", made.classes, replace_left(UTM, 1e12))), 100)
    with pytest.raises(InputError, match="no such file"):
        map_page(str(tmp_path / "absent.tif"), MapCommand())
    shifted = write(tmp_path / "shifted.tif", np.ones((1, 30, 40), np.uint8), replace_left(UTM, 500_010))
    wrong = write(tmp_path / "wrong.tif", np.full((1, 30, 40), 101, np.uint8), UTM)
    for path, words in ((shifted, "but the map has"), (wrong, "expected 0 to 100")):
        with pytest.raises(InputError, match=words):
            read_confidence(str(path), shown)
    with pytest.raises(InputError, match="classes"):
        read_probabilities(str(made.confidence), shown)
    far = write(tmp_path / "far.tif", np.ones((3, 5, 5), np.uint8), replace_left(UTM, 900_000))
    with pytest.raises(InputError, match="nothing of the map"):
        read_picture(str(far), shown.header, 100)
    with pytest.raises(ConfigError, match="pixels"):
        map_page(str(made.map), MapCommand(pixels=100_000))
    with pytest.raises(ConfigError, match="no such file"):
        map_page(str(made.map), MapCommand(classes=str(tmp_path / "absent.json")))


def replace_left(affine: Affine, left: float) -> Affine:
    return Affine(affine.a, 0, left, 0, affine.e, affine.f)


def test_the_page_is_inert_whole_and_the_same_each_time(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    command = MapCommand(image=(str(made.image),), title="</script><script>window.hacked = 2</script>", out=str(tmp_path / "a.html"))
    page = map_page(str(made.map), command).read_text(encoding="utf-8")
    assert "<script>window" not in page and "&lt;script&gt;window.hacked = 1" in page
    assert page.count("<script") == 2 and page.count("</script>") == 2
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page.replace("http-equiv", "")
    assert "s2, s1_asc" in page and "tiny (0123456789ab)" in page and "no data" in page
    again = map_page(str(made.map), replace(command, out=str(tmp_path / "b.html"))).read_text(encoding="utf-8")
    assert again == page


def test_images_of_the_same_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    made = small_map(tmp_path)
    (tmp_path / "june").mkdir()
    other = tmp_path / "june" / made.image.name
    other.write_bytes(made.image.read_bytes())
    page = map_page(str(made.map), MapCommand(image=(str(made.image), str(other)))).read_text(encoding="utf-8")
    assert ">june/scene.tif</option>" in page


def test_areas_are_written_so_that_people_read_them() -> None:
    assert [area_text(value) for value in (0.0, 0.01, 2.34, 123.4, 12_345_678.0)] == ["–", "100 m²", "2.3 ha", "123 ha", "123,457 km²"]


def test_what_predict_writes_is_what_the_page_shows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    probability = random.dirichlet(np.ones(4), (24, 32)).transpose(2, 0, 1).astype(np.float32)
    seen = random.random((24, 32)) > 0.1
    grid, unit = Grid("EPSG:32631", 500_000, 5_000_000, 10, 24, 32), Unit(0, 0, 24, 32)
    layers = {layer.what: layer for layer in layers_of(ClassTable(NAMES, COLORS), confidence=True, probabilities=True)}
    for what, name in (("classes", "m.tif"), ("confidence", "m_confidence.tif"), ("probabilities", "m_probabilities.tif")):
        block = stored(layers[what], probability, seen)
        write_cog(tmp_path / name, grid, layers[what], [(unit, block)], {"sensors": "s2 spot", "model": "m"}, tmp_path / "scratch")
    for lost in (False, True):  # the names are in the file, too
        shown = read_classified(str(tmp_path / "m.tif"), 100)
        assert shown.names == NAMES and shown.colors == COLORS
        assert np.array_equal(shown.classes, np.where(seen, probability.argmax(0), NODATA))
        (tmp_path / "m.tif.aux.xml").unlink(missing_ok=lost)
    percent = read_confidence(str(tmp_path / "m_confidence.tif"), shown)
    assert np.array_equal(percent, np.where(seen, np.rint(100 * probability.max(0)), NODATA))
    shares = read_probabilities(str(tmp_path / "m_probabilities.tif"), shown)
    assert np.abs(shares[1][seen] - 100 * probability[1][seen]).max() < 0.8 and (shares[1][~seen] == NODATA).all()
    assert "s2, spot" in map_page(str(tmp_path / "m.tif"), MapCommand()).read_text(encoding="utf-8")
