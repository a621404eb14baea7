"""Pictures are looked at by people; what can be tested is what stands on them."""

from dataclasses import replace

import numpy as np
import pytest
from fake_source import FakeSource
from PIL import Image

import omnifuse.data
from omnifuse.classes import ClassTable
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.pictures.sheet import draw_place
from omnifuse.data.pictures.showing import PlacePicture, about_place, find_place, show
from omnifuse.data.place import Place, Series
from omnifuse.errors import InputError
from omnifuse.modalities import Modality


class Scenes(FakeSource):
    """Labels of whole scenes, and the first year of all days, in which nothing flew."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = ClassTable(("fir", "beech", "oak"), ("#004400", "#00aa00", "#88aa00"))

    def __getitem__(self, index):
        place = super().__getitem__(index)
        series = {name: replace(one, day=np.arange(len(one.day), dtype=np.int32)) for name, one in place.series.items()}
        return replace(place, series=series, target=np.array([0.25, 0, 0.75]))


def texts(picture: PlacePicture) -> list[str]:
    figure = picture.figure
    return [text.get_text() for text in [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]]


def test_a_place_of_the_landscape_is_shown_with_all_that_is_known_of_it(tmp_path):
    source = Landscape(LandscapeConfig(places=2, size=16, seed=1, sensors=("s2", "s1_asc", "spot")))
    picture = show(source, 1)
    found = texts(picture)
    place = source[1]
    assert "Place 00001" in found
    assert any(f"fold {place.info['fold']}" in text and "° N" in text and "160 m" in text for text in found)
    assert f"{len(place.series['s2'].day)} dates" in found and f"{len(place.series['s1_asc'].day)} dates" in found
    values, counts = np.unique(place.target, return_counts=True)
    legend = [text for text in found if text.endswith(" %")]
    assert len(legend) == len(values)  # those that occur, and no other
    for value, count in zip(values, counts, strict=True):
        name = "not scored" if value == source.classes.ignore else source.classes.names[value]
        assert f"{name}, {100 * count / place.target.size:.1f} %" in legend
    ticks = [len(lines.get_segments()) for axes in picture.figure.axes for lines in axes.collections]
    assert sorted(ticks) == sorted(len(series.day) for series in place.series.values())  # every date of every sensor
    dots = [len(line.get_xdata()) for axes in picture.figure.axes for line in axes.lines]
    assert dots == [8, 8, 1]  # those that are shown
    picture.save(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes() == picture._repr_png_() == omnifuse.data.show(source, "00001").png
    with Image.open(tmp_path / "p.png") as image:
        assert image.size[0] == 1800


def test_missing_sensors_and_scene_labels_are_said():
    found = texts(show(Scenes(), "place-1"))
    assert found.count("missing at this place") == 1
    assert [text for text in found if text.endswith(" %")] == ["75.0 %", "25.0 %"]
    assert "oak" in found and "beech" not in found
    assert any("dates not published" in text for text in found) and "Dates" not in found


def test_a_place_is_found_by_id_or_position_and_the_nearest_named():
    info = FakeSource().info
    assert find_place(info, "place-5") == 5
    assert find_place(info, "3") == 3
    assert find_place([{"id": "3"}, {"id": "0"}], "0") == 1  # an id comes first
    with pytest.raises(InputError, match=r"'plase-5'.*Try: place-5"):
        find_place(info, "plase-5")
    with pytest.raises(InputError, match="7 places"):
        show(FakeSource(), 7)


def test_where_a_place_lies_is_one_line():
    info = {
        "id": "x",
        "longitude": -70.5,
        "latitude": -33.25,
        "crs": "EPSG:32719",
        "left": 1.0,
        "top": 2.0,
        "fold": 3,
        "climate_cell": "a 1",
    }
    assert about_place(info, 1280.0) == "33.2500° S, 70.5000° W · 1280 m · fold 3 · climate cell a 1"
    assert about_place({"crs": "EPSG:2154", "left": 650000.4, "top": 2.0}, 20480.0) == "EPSG:2154 650000, 2 · 20.48 km"


def pixel_of(name: str, series: bool, values: list[list[float]], first: int) -> PlacePicture:
    """Draw a place that one sensor sees as a single pixel: values by image and band."""
    source = FakeSource()
    bands = tuple(f"{name} {i}" for i in range(len(values[0])))
    zeros, ones = (0.0,) * len(bands), (1.0,) * len(bands)
    modality = Modality(
        name=name, title="Pixel", bands=bands, gsd=9000.0, units=("m",) * len(bands), mean=zeros, std=ones, series=series, per_place=True
    )
    day = first + 30 * np.arange(len(values), dtype=np.int32)
    seen = Series(np.array(values, np.float32)[:, :, None, None], day)
    return PlacePicture(source[0], draw_place(Place({name: seen}, 60.0), {name: modality}, dates=True))


def test_a_value_without_a_date_is_words_and_never_on_an_axis_of_time():
    picture = pixel_of("dem", False, [[211.0, 0.75]], first=17167)
    assert "dem 0 211 m · dem 1 0.75 m" in texts(picture) and "Dates" not in texts(picture)
    assert not picture.figure.axes


def test_values_over_time_stand_at_their_dates_and_in_their_order_where_these_are_not_published():
    values = [[3.0], [5.0], [4.0]]
    for first, known in ((17167, True), (0, False)):
        picture = pixel_of("weather", True, values, first)
        line = picture.figure.axes[0].lines[0]
        assert line.get_ydata().tolist() == [3, 5, 4]
        assert (line.get_xdata().dtype.kind == "M") == known == ("Dates" in texts(picture))
        assert any("dates not published" in text for text in texts(picture)) != known
        assert (len(picture.figure.axes[0].get_xticks()) > 0) == known
