"""The page of a map in headless Chromium: what is clicked is what the raster has there, and nothing is asked of a network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser, browser
from small_maps import COLORS, NAMES, NODATA, SmallMap, rgb, small_map, write, write_classes

from omnifuse.runs.mapping import MapCommand, map_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page with")
ACROSS = 1200, 800


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SmallMap:
    return small_map(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def page(scene: SmallMap) -> Path:
    return map_page(str(scene.map), MapCommand(image=(str(scene.image),)))


def screen(tab: Browser, scene: SmallMap, row: float, column: float) -> tuple[float, float]:
    """Return where a pixel's position lies when the whole map is shown; computed anew, pixels of 10 m are near enough square."""
    left, top, width, height = tab.box("viewer")
    rows, columns = scene.classes.shape
    scale = 0.96 * min(width / columns, height / rows)
    return left + width / 2 + (column - columns / 2) * scale, top + height / 2 + (row - rows / 2) * scale


def scale(tab: Browser) -> float:
    """Return the screen pixels that the scale bar gives a metre."""
    text, width = tab.text("scale").split(), tab.evaluate("document.querySelector('#scale span').getBoundingClientRect().width")
    return width / (float(text[0]) * {"km": 1000, "m": 1, "cm": 0.01}[text[1]])


def clicked(tab: Browser, x: float, y: float) -> tuple[int, list[str]]:
    tab.click(x, y)
    return int(tab.evaluate("document.getElementById('readout').dataset.class")), tab.text("readout").splitlines()[:5]


def test_a_click_tells_class_confidence_and_place(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, *ACROSS)
    tab.drag((tab.box("viewer")[2] / 2, 450), (tab.box("viewer")[2] / 2 - 30, 450))  # its handle is no map
    random = np.random.default_rng(1)
    for row, column in [(0, 0), (29, 39), (3, 18), *random.integers(0, (30, 40), (6, 2)).tolist()]:
        found, lines = clicked(tab, *screen(tab, scene, row + 0.5, column + 0.5))
        expected = int(scene.classes[row, column])
        assert found == expected
        assert lines[0] == ("no data" if expected == NODATA else NAMES[expected])
        percent = scene.percent[row, column]
        told = "\n".join(lines)
        assert ("none" if percent == NODATA else f"{percent} %") in told
        x, y = (float(part) for part in next(line for line in lines if "EPSG:32631" in line).split("\t")[1].split(","))
        assert abs(x - (500_005 + 10 * column)) < 1 and abs(y - (4_999_995 - 10 * row)) < 1
        assert "\t3.00" in tab.text("readout")  # the central meridian of zone 31
    assert not tab.complaints()


def test_nothing_is_asked_of_a_network_and_names_stay_text(tab: Browser, page: Path) -> None:
    tab.open(page, *ACROSS)
    asked = [url for url in tab.requests() if not url.startswith("data:")]
    assert asked == [page.as_uri()]
    assert tab.evaluate("window.hacked") is None
    assert all(name in tab.text("legend") for name in NAMES)
    assert not tab.complaints()


def test_the_divider_uncovers_imagery_and_map(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, *ACROSS)
    tab.evaluate("(o => { o.value = 100; o.dispatchEvent(new Event('input')); })(document.getElementById('opacity'))")
    left, top, width, height = tab.box("viewer")
    row, column = next((r, c) for r in range(2, 28) for c in range(2, 12) if scene.classes[r, c] != NODATA)
    x, y = (round(at) for at in screen(tab, scene, row + 0.5, column + 0.5))
    before = tab.screenshot()[y, x]
    tab.drag((left + width / 2, top + height / 2), (left + 4, top + height / 2))
    after = tab.screenshot()[y, x]
    assert tuple(after) == rgb(COLORS[scene.classes[row, column]])  # the map, exactly
    assert tuple(before) != tuple(after)
    tab.key("End")  # the divider has the focus
    assert tab.evaluate("document.getElementById('divider').getAttribute('aria-valuenow')") == "100"
    assert tuple(tab.screenshot()[y, x]) == tuple(before)


def test_zooming_holds_the_ground_under_the_pointer(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, *ACROSS)
    x, y = screen(tab, scene, 7.5, 31.5)
    before = clicked(tab, x, y)
    wide = scale(tab)
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-700)
    tab.settle()
    assert clicked(tab, x, y) == before
    assert scale(tab) > 1.4 * wide
    one_pixel_on = clicked(tab, x + 60, y)  # 60 screen pixels are less ground than before, so it is a near neighbor
    assert one_pixel_on[1] != before[1]
    tab.evaluate("document.getElementById('all').click()")
    tab.settle()
    assert scale(tab) == pytest.approx(wide)


def test_dragging_moves_the_map_and_is_no_click(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, *ACROSS)
    x, y = screen(tab, scene, 15.5, 20.5)
    ground = clicked(tab, x, y + 60)
    said = tab.text("readout")
    tab.drag((x, y + 60), (x - 150, y))
    assert tab.text("readout") == said
    assert clicked(tab, x - 150, y) == ground


def test_two_fingers_zoom(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, 390, 800)
    before = scale(tab)
    left, top, width, height = tab.box("viewer")
    x, y = left + width / 4, top + height / 3
    tab.touch("touchStart", (x - 20, y), (x + 20, y))
    for spread in (30, 50, 70):
        tab.touch("touchMove", (x - spread, y), (x + spread, y))
    tab.touch("touchEnd")
    tab.settle()
    assert scale(tab) > 2 * before


def test_keys_do_what_the_mouse_does(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, *ACROSS)
    tab.evaluate("document.getElementById('canvas').focus()")
    tab.key("Enter", "\r")
    assert int(tab.evaluate("document.getElementById('readout').dataset.class")) == scene.classes[15, 20]
    tab.key("ArrowRight")
    moved = 60 / (0.96 * min(tab.box("viewer")[2] / 40, tab.box("viewer")[3] / 30))  # pixels of the map
    tab.key("Enter", "\r")
    assert int(tab.evaluate("document.getElementById('readout').dataset.class")) == scene.classes[15, int(20 + moved)]
    wide = scale(tab)
    tab.key("+", "+")
    assert scale(tab) > 1.4 * wide
    tab.key("0", "0")
    assert scale(tab) == pytest.approx(wide)


def test_classes_and_what_is_unsure_can_be_hidden(tab: Browser, scene: SmallMap, page: Path) -> None:
    tab.open(page, *ACROSS)
    tab.evaluate("(o => { o.value = 100; o.dispatchEvent(new Event('input')); })(document.getElementById('opacity'))")
    row, column = next((r, c) for r in range(2, 28) for c in range(25, 38) if scene.percent[r, c] < 90)
    x, y = (round(at) for at in screen(tab, scene, row + 0.5, column + 0.5))
    color = rgb(COLORS[scene.classes[row, column]])
    tab.settle()
    assert tuple(tab.screenshot()[y, x]) == color
    divider = "document.getElementById('divider').dispatchEvent(new KeyboardEvent('keydown', {key: '%s'}))"
    tab.evaluate(divider % "End")
    tab.settle()
    imagery = tuple(tab.screenshot()[y, x])
    assert imagery != color
    tab.evaluate(divider % "Home")
    box = f"document.querySelector('[data-class=\"{scene.classes[row, column]}\"]')"
    tab.evaluate(f"{box}.click()")
    tab.settle()
    assert tuple(tab.screenshot()[y, x]) == imagery
    tab.evaluate(f"{box}.click()")
    threshold = "(o => { o.value = %d; o.dispatchEvent(new Event('input')); })(document.getElementById('threshold'))"
    tab.evaluate(threshold % scene.percent[row, column])
    tab.settle()
    assert tuple(tab.screenshot()[y, x]) == color  # as sure as asked for
    tab.evaluate(threshold % (scene.percent[row, column] + 1))
    tab.settle()
    assert tuple(tab.screenshot()[y, x]) == imagery


def test_a_reduced_map_tells_the_most_frequent_class(tab: Browser, tmp_path: Path) -> None:
    made = small_map(tmp_path)
    large = np.kron(made.classes, np.ones((4, 4), np.uint8))[:118, :157]  # blocks at the edges are cut
    large[1::4, 1::4] = 0  # one of 16 pixels
    path = write_classes(tmp_path / "large.tif", large, made.transform)
    write(tmp_path / "large_confidence.tif", np.full((1, 118, 157), 50, np.uint8), made.transform)
    tab.open(map_page(str(path), MapCommand(pixels=40)), *ACROSS)
    assert "1/4 of its resolution" in tab.evaluate("document.body.innerText")
    left, top, width, height = tab.box("viewer")
    scale = 0.96 * min(width / 157, height / 118)
    for row, column in ((0, 0), (117, 156), (50, 30), (77, 101)):
        x, y = left + width / 2 + (column + 0.5 - 157 / 2) * scale, top + height / 2 + (row + 0.5 - 118 / 2) * scale
        assert clicked(tab, x, y)[0] == made.classes[row // 4, column // 4]
