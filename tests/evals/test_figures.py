"""Pictures: what they must show, that colors mean the same on all dates, and that no text hides another."""

import io
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from omnifuse.classes import ClassTable
from omnifuse.data.pictures.pixels import (
    error_picture,
    label_picture,
    nearest_dates,
    occurring,
    stretch_limits,
    to_picture,
    with_something_to_see,
)
from omnifuse.data.place import Place, Series
from omnifuse.errors import InputError
from omnifuse.evals.figures import (
    Bar,
    Curve,
    Panel,
    draw_bars,
    draw_confusion,
    draw_curves,
    draw_place,
    pretraining_panels,
    save_png,
    sensor_label,
)
from omnifuse.evals.figures.curves import running_median
from omnifuse.modalities import MODALITIES, Modality

SIZE = 160.0
CLASSES = ClassTable(
    ("meadow", "winter durum wheat", "<script>$\\x_1$", "leguminous fodder and more"),
    ("#00ff00", "#ffcc00", "#ff00ff", "#0000ff"),
    ignore=9,
)


def make_series(modality: Modality, dates: int) -> Series:
    rng = np.random.default_rng(len(modality.name))
    side = modality.pixels(SIZE)
    values = rng.normal(
        np.array(modality.mean)[:, None, None], np.array(modality.std)[:, None, None] / 4, (dates, len(modality.bands), side, side)
    )
    return Series(values.astype(np.float32), (17_800 + np.arange(dates) * 5).astype(np.int32))


def make_place(dates: int = 12, **changes: object) -> Place:
    series = {name: make_series(m, dates if m.series else 1) for name, m in MODALITIES.items()}
    target = np.random.default_rng(0).integers(0, 2, (16, 16))
    target[0] = 9
    return replace(Place(series, SIZE, target), **changes)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def assert_legible(figure: Figure) -> None:
    """No text leaves the picture, none covers another."""
    figure.draw_without_rendering()
    outside = set()  # labels of ticks beyond the axis exist but are never drawn
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        outside |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and id(text) not in outside]
    boxes = [text.get_window_extent() for text in shown]
    for text, box in zip(shown, boxes, strict=True):
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.width + 1 and box.y1 < figure.bbox.height + 1, text
    level = [i for i, text in enumerate(shown) if not text.get_rotation() % 90]
    low, high = (np.array([getattr(boxes[i], side) for i in level]).reshape(-1, 2) for side in ("min", "max"))
    shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    overlap = np.triu((shared > 1).all(2), 1)
    assert not overlap.any(), [(shown[level[i]].get_text(), shown[level[j]].get_text()) for i, j in np.argwhere(overlap)]


def test_a_sheet_shows_every_modality_of_the_catalogue():
    guess = np.zeros((16, 16), int)
    figure = draw_place(make_place(), MODALITIES, CLASSES, {"All sensors": guess, "S1 only": guess + 1}, title="Place 7")
    shown = texts(figure)
    assert all(modality.title in shown for modality in MODALITIES.values()) and "missing at this place" not in shown
    assert {"Place 7", "Labels", "All sensors", "S1 only", "meadow", "winter durum wheat", "not scored"} <= set(shown)
    assert "leguminous fodder and more" not in shown  # occurs nowhere
    right = (make_place().target[1:] == 0).mean()
    assert f"{100 * right:.1f} % right" in shown and f"{100 - 100 * right:.1f} % right" in shown
    assert_legible(figure)


@pytest.mark.parametrize("how", ["no frames", "not in the place"])
def test_a_missing_sensor_is_said_to_be_missing(how):
    place = make_place()
    series = {name: s if name != "s1_asc" else Series(s.pixels[:0], s.day[:0]) for name, s in place.series.items()}
    if how == "not in the place":
        series.pop("s1_asc")
    figure = draw_place(replace(place, series=series), MODALITIES, CLASSES)
    assert texts(figure).count("missing at this place") == 1
    assert_legible(figure)


def test_a_place_without_any_sensor_still_has_a_sheet():
    figure = draw_place(Place({}, SIZE), MODALITIES)
    assert texts(figure).count("missing at this place") == len(MODALITIES)


@pytest.mark.parametrize("num_dates", [1, 3, 8])
def test_a_series_of_a_single_date(num_dates):
    figure = draw_place(make_place(dates=1), MODALITIES, CLASSES, num_dates=num_dates)
    assert any("a single date" in text for text in texts(figure)) and "2018-09-26" in texts(figure)
    assert_legible(figure)


@pytest.mark.parametrize("predictions", [1, 2, 3, 4, 5, 9])
def test_any_number_of_predictions_and_many_long_class_names(predictions):
    classes = ClassTable(tuple(f"class number {i} with a very long name indeed, {i}" for i in range(30)), ("#123456",) * 30)
    target = (np.arange(16 * 16).reshape(16, 16)) % 30
    place = make_place(target=target).only(("spot",))
    guesses = {f"Model {i} with a name that is far too long for its tile": target for i in range(predictions)}
    figure = draw_place(place, {"spot": MODALITIES["spot"]}, classes, guesses)
    assert sum(text == "100.0 % right" for text in texts(figure)) == predictions
    assert_legible(figure)


def test_a_single_class_and_predictions_without_labels():
    one = ClassTable(("crop",), ("#00aa00",))
    figure = draw_place(make_place(target=np.zeros((16, 16), int)), MODALITIES, one, {"Map": np.zeros((16, 16), int)})
    assert "crop" in texts(figure)
    figure = draw_place(make_place(target=None), MODALITIES, one, {"Map": np.zeros((16, 16), int)})
    assert "Map" in texts(figure) and "Errors" not in texts(figure) and "Labels" not in texts(figure)


def test_a_sheet_refuses_what_it_cannot_show_truthfully():
    with pytest.raises(InputError, match="class table"):
        draw_place(make_place(), MODALITIES)
    with pytest.raises(InputError, match=r"'Map' is \(8, 8\), the labels are \(16, 16\)"):
        draw_place(make_place(), MODALITIES, CLASSES, {"Map": np.zeros((8, 8), int)})


def test_the_surroundings_of_a_place_are_marked():
    wide = replace(MODALITIES["s2"], context=80.0)
    place = Place({"s2": make_series(wide, 3)}, SIZE)
    place = replace(place, series={"s2": Series(np.random.default_rng(0).random((3, 10, 32, 32)), place.series["s2"].day)})
    axes = draw_place(place, {"s2": wide}).axes[0]
    assert axes.patches[0].get_bbox().bounds == (7.5, 7.5, 16, 16)


def test_the_picture_bands_become_red_green_and_blue():
    pixels = np.zeros((1, 10, 4, 4), np.int16)
    pixels[0, 2] = np.arange(16).reshape(4, 4) * 100
    picture = to_picture(pixels[0], (2, 1, 0), np.array([[0.0, 1500.0]] * 3))
    np.testing.assert_allclose(picture[..., 0], np.arange(16).reshape(4, 4) / 15)
    assert not picture[..., 1:].any()
    grey = to_picture(pixels[0], (2,), np.array([[0.0, 1500.0]]))
    np.testing.assert_allclose(grey[..., 2], np.arange(16).reshape(4, 4) / 15)


def test_clouds_saturate_and_leave_the_ground_as_it_is():
    rng = np.random.default_rng(0)
    clear = rng.uniform(300, 2500, (1, 10, 16, 16)) + rng.normal(0, 20, (15, 10, 16, 16))
    cloudy = clear.copy()
    cloudy[:9] = 12_000  # more often than not
    rgb = MODALITIES["s2"].rgb
    with_clouds, without = stretch_limits(cloudy, MODALITIES["s2"]), stretch_limits(clear, MODALITIES["s2"])
    np.testing.assert_allclose(with_clouds, without, atol=60)
    assert (to_picture(cloudy[0], rgb, with_clouds) == 1).all()
    assert 0.2 < to_picture(cloudy[9], rgb, with_clouds).mean() < 0.7


def test_visible_bands_keep_their_hue_and_radar_bands_have_their_own_range():
    limits = stretch_limits(make_series(MODALITIES["s2"], 4).pixels, MODALITIES["s2"])
    assert (limits == limits[0]).all()
    radar = stretch_limits(make_series(MODALITIES["s1_asc"], 4).pixels, MODALITIES["s1_asc"])
    assert radar[0, 1] < 0 < radar[2, 0]


def test_a_constant_image_has_a_stretch():
    assert np.isfinite(to_picture(np.full((1, 4, 4), 7.0), (0,), stretch_limits(np.full((2, 1, 4, 4), 7.0), MODALITIES["dem"]))).all()


def test_dates_are_those_nearest_to_evenly_spaced_days():
    day = np.array([0, 1, 2, 50, 90, 100])
    assert nearest_dates(day, np.linspace(0, 100, 3)) == [0, 3, 5]
    assert nearest_dates(day[:2], np.linspace(0, 100, 5)) == [0, 1]


def test_labels_and_errors_have_the_colors_of_the_legend():
    labels = np.array([[0, 1], [9, 3]], np.uint8)
    colors = (label_picture(labels, CLASSES) * 255).round().astype(int).reshape(4, 3).tolist()
    assert colors[:2] == [[0, 255, 0], [255, 204, 0]] and colors[3] == [0, 0, 255]
    assert [name for name, _ in occurring([labels], CLASSES)] == [
        "meadow",
        "winter durum wheat",
        "leguminous fodder and more",
        "not scored",
    ]
    errors = error_picture(np.array([[0, 0], [0, 3]]), labels, 9).reshape(4, 3)
    assert len(np.unique(errors, axis=0)) == 3 and (errors[0] == errors[3]).all() and (errors[1] != errors[2]).any()


def test_a_label_that_is_negative_is_not_painted_as_the_last_class():
    assert not (label_picture(np.array([[-1]]), CLASSES) == label_picture(np.array([[3]]), CLASSES)).all()


def test_the_confusion_matrix_shows_the_classes_that_occur():
    matrix = torch.zeros(4, 4, dtype=torch.long)
    matrix[0, 0], matrix[0, 2], matrix[1, 1] = 60, 40, 7
    figure = draw_confusion(matrix, CLASSES)
    shown = texts(figure)
    assert {"meadow", "winter durum wheat", "<script>$\\x_1$", "60", "40", "100"} <= set(
        shown
    ) and "leguminous fodder and more" not in shown
    assert "0  not in truth" in shown  # predicted only
    assert_legible(figure)


@pytest.mark.parametrize("num_classes", [1, 2, 32])
def test_confusion_matrices_of_any_size(num_classes):
    classes = ClassTable(tuple(f"class of a long name {i}" for i in range(num_classes)), ("#000000",) * num_classes)
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randint(1, 50, (num_classes, num_classes), generator=generator) + 400 * torch.eye(num_classes, dtype=torch.long)
    assert_legible(draw_confusion(matrix, classes))
    draw_confusion(torch.zeros_like(matrix), classes).draw_without_rendering()
    with pytest.raises(InputError, match="class table has"):
        draw_confusion(matrix, CLASSES)


def test_void_is_no_row_of_the_confusion_matrix():
    assert "meadow" not in texts(draw_confusion(torch.ones(4, 4, dtype=torch.long), replace(CLASSES, ignore=0)))


def test_bars_print_values_by_group_and_model():
    bars = [
        Bar("S2", "pretrained", 0.7, (0.65, 0.75)),
        Bar("S2", "from scratch", 0.6),
        Bar("S2 + SPOT", "pretrained", 0.999, (0.99, 1.0)),
        Bar("S1 asc", "from scratch", float("nan")),
    ]
    figure = draw_bars(bars, "Accuracy")
    shown = texts(figure)
    assert {"70.0", "60.0", "99.9", "S2", "S2 + SPOT", "S1 asc", "pretrained", "from scratch"} <= set(shown)
    assert shown.count("–") == 3 and any("whiskers" in text for text in shown)
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == pytest.approx([70, 60, 99.9])
    assert_legible(figure)


def test_bars_of_many_models_with_long_names():
    bars = [Bar(f"group {g} " * 9, f"model {m} with a name of some length", g / 9 + m / 90) for g in range(7) for m in range(6)]
    assert_legible(draw_bars(bars, "A title"))


def test_bars_refuse_what_is_ambiguous():
    with pytest.raises(InputError, match="two values"):
        draw_bars([Bar("S2", "a", 0.1), Bar("S2", "a", 0.2)], "")
    with pytest.raises(InputError, match="found none"):
        draw_bars([], "")


def test_curves_show_chance_and_leave_gaps():
    value = np.array([5.5, np.nan, 4.0, np.inf, 3.0])
    figure = draw_curves(pretraining_panels([Curve("s2 – s1", np.arange(5), value)], [Curve("s2 → s1", np.arange(5), value / 10)], 256))
    assert {"chance, ln 256", "s2 – s1", "s2 → s1", "Pretraining loss"} <= set(texts(figure))
    loss, share = figure.axes
    assert loss.lines[1].get_ydata()[0] == pytest.approx(np.log(256)) and share.lines[1].get_ydata()[0] == pytest.approx(100 / 256)
    assert np.isnan(loss.lines[0].get_ydata()).tolist() == [False, True, False, True, False]
    assert_legible(figure)


@pytest.mark.parametrize("length", [0, 1, 25, 5000])
def test_curves_of_any_length_and_number(length):
    curves = tuple(Curve(f"run {i} with a name", np.arange(length), np.cos(np.arange(length) / 99 + i)) for i in range(7))
    assert_legible(draw_curves([Panel("Loss", "nats", curves), Panel("Accuracy", "%", curves[:1], percent=True)], "epoch"))


def test_the_running_median_is_that_of_a_slow_loop():
    value = np.random.default_rng(0).normal(size=60)
    value[20:30] = np.nan
    expected = [np.nan if np.isnan(value[max(0, i - 2) : i + 3]).all() else np.nanmedian(value[max(0, i - 2) : i + 3]) for i in range(60)]
    np.testing.assert_array_equal(running_median(value, 5), expected)


def test_sensors_have_readable_names():
    assert sensor_label(("s2", "s1_asc", "spot", "aerial")) == "S2 + S1 asc + SPOT + Aerial"


def test_the_same_picture_is_the_same_file_and_nothing_global_changes(tmp_path):
    before = dict(matplotlib.rcParams)
    for name in ("a.png", "b.png"):
        save_png(draw_bars([Bar("S2", "a", 0.5)], "Title"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert dict(matplotlib.rcParams) == before
    assert "Software" not in Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).info


def test_a_date_of_nothing_but_cloud_is_passed_over():
    pixels = np.random.default_rng(0).integers(300, 1500, (5, 10, 8, 8)).astype(np.int16)
    pixels[[1, 3]] = 9000
    pixels[4, :, :4] = 9000  # half a cloud still shows the other half
    series = Series(pixels, np.arange(5))
    assert with_something_to_see(series, MODALITIES["s2"]).tolist() == [0, 2, 4]
    alone = Series(pixels[[1]], np.arange(1))
    assert with_something_to_see(alone, MODALITIES["s2"]).tolist() == [0]
