"""The report: one page that needs nothing else, hostile names stay text, JSON that any reader takes."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from omnifuse.errors import InputError
from omnifuse.evals.figures import Bar, draw_bars
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, format_cell, to_plain, write_report

HOSTILE = "<script>alert('x')</script> & \"quoted\""


def make_report() -> Report:
    figure = draw_bars([Bar(HOSTILE, "model", 0.5)], HOSTILE)
    return Report(
        title=HOSTILE,
        subtitle=HOSTILE,
        seed=7,
        key_figures=(KeyFigure(HOSTILE, "50 %", HOSTILE),),
        sections=(
            Section(
                HOSTILE,
                (HOSTILE,),
                (Picture("first", figure, HOSTILE),),
                (Table((HOSTILE, "IoU"), ((HOSTILE, 0.5), ("b", float("nan")), ("c", None))),),
            ),
            Section("Second", pictures=(Picture("second-2", figure, "", alt="Bars of one model."),)),
            Section("Third", tables=(Table(("class", "places"), (("a", 12),), caption="Places"),)),
        ),
        results={
            ("s2", "spot"): {"miou": torch.tensor(0.5), "iou": torch.tensor([0.25, torch.nan])},
            "n": np.int64(3),
            "loss": np.float32("inf"),
        },
        configuration={"model": {"name": HOSTILE, "widths": (1, 2)}, "resume": None},
        environment={HOSTILE: HOSTILE},
        commands=(HOSTILE,),
    )


class Page(HTMLParser):
    """Every tag with its attributes, and the visible text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "new" / "report"
    assert write_report(folder, make_report()) == folder / "report.html"
    return folder


def test_the_page_is_complete_in_itself(folder):
    page = Page(folder / "report.html")
    assert not page.open  # every tag is closed
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "poster", "data", "action"):
                assert value is not None and value.startswith("data:image/png;base64," if tag == "img" else "#")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)


def test_links_lead_somewhere(folder):
    tags = Page(folder / "report.html").tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = {attributes["href"] for tag, attributes in tags if tag == "a"}
    assert links == {"#s1", "#s2", "#s3"} and {link[1:] for link in links if link} <= ids


def test_pictures_are_in_the_page_and_beside_it(folder):
    images = [attributes for tag, attributes in Page(folder / "report.html").tags if tag == "img"]
    for image, name in zip(images, ("first", "second-2"), strict=True):
        assert base64.b64decode(image["src"].split(",")[1]) == (folder / f"{name}.png").read_bytes()
    assert [image["alt"] for image in images] == [HOSTILE, "Bars of one model."]


def test_hostile_names_stay_text(folder):
    text = Page(folder / "report.html").text
    # title twice, subtitle, key figure twice, link and heading, paragraph, caption, table head and cell, configuration,
    # environment twice, command; the picture's alternative text is an attribute
    assert text.count(HOSTILE) == 15


def test_tables_show_a_dash_for_what_is_not_there(folder):
    text = Page(folder / "report.html").text
    assert text.count("–") == 2 and "nan" not in text and "0.5" in text
    assert [format_cell(value, 2) for value in (0.125, 3, "x", None, float("inf"))] == ["0.12", "3", "x", "–", "–"]


def test_the_json_is_strict_and_complete(folder):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    value = json.loads((folder / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert value["seed"] == 7
    assert value["results"] == {"s2+spot": {"miou": 0.5, "iou": [0.25, None]}, "n": 3, "loss": None}
    assert value["configuration"] == {"model": {"name": HOSTILE, "widths": [1, 2]}, "resume": None}
    assert value["key_figures"] == [{"label": HOSTILE, "value": "50 %", "note": HOSTILE}]
    assert value["tables"]["Third / Places"] == [{"class": "a", "places": 12}]
    assert value["tables"][f"{HOSTILE} / 0"][1] == {HOSTILE: "b", "IoU": None}


def test_writing_again_gives_the_same_bytes(folder, tmp_path):
    write_report(tmp_path, make_report())
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert {path.name for path in folder.iterdir()} == {"report.html", "results.json", "first.png", "second-2.png"}


def test_an_almost_empty_report_can_be_written(tmp_path):
    page = Page(write_report(tmp_path, Report("Title", "Subtitle", 0)))
    assert "Title" in page.text and not page.open


@pytest.mark.parametrize("name", ["../up", "a/b", "Upper", "", "two words", "first"])
def test_picture_names_are_file_names_and_unique(tmp_path, name):
    report = make_report()
    twice = replace(report.sections[1], pictures=(replace(report.sections[1].pictures[0], name=name),))
    with pytest.raises(InputError, match="picture name"):
        write_report(tmp_path, replace(report, sections=(report.sections[0], twice)))
    assert not list(tmp_path.iterdir())


def test_a_row_of_the_wrong_length_is_named(tmp_path):
    with pytest.raises(InputError, match="a row of 1 cells under a header of 2"):
        write_report(tmp_path, Report("", "", 0, sections=(Section("", tables=(Table(("a", "b"), (("x",),)),)),)))


def test_what_is_no_plain_value_is_refused():
    assert to_plain({"a": (1, True, None, "x"), 3: np.arange(2)}) == {"a": [1, True, None, "x"], "3": [0, 1]}
    with pytest.raises(InputError, match="no plain value"):
        to_plain({"a": object()})
