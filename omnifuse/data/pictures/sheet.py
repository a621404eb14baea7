"""Everything about one place on one sheet: what each sensor saw over time, the labels, the predictions, the errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omnifuse.classes import ClassTable
from omnifuse.data.pictures.lines import dates_part, line_part, scene_part, value_part
from omnifuse.data.pictures.look import (
    EMPTY,
    INK,
    LEGEND_ROW,
    MUTED,
    bare,
    draw_legend,
    fit,
    legend_step,
    look,
    new_figure,
    place_axes,
    write,
)
from omnifuse.data.pictures.parts import CAPTION, GAP, HEADER, INSIDE, MARGIN, PAUSE, WIDTH, Part, date_text, head, side_by_side
from omnifuse.data.pictures.pixels import (
    ERROR_KEY,
    accuracy_note,
    class_shares,
    error_picture,
    label_picture,
    nearest_dates,
    occurring,
    stretch_limits,
    to_picture,
    with_something_to_see,
)
from omnifuse.data.place import Place, Series, is_date
from omnifuse.errors import InputError
from omnifuse.modalities import Modality


@dataclass(frozen=True)
class _Tile:
    """A square of the sheet; `picture` None leaves room for `key`."""

    title: str
    picture: np.ndarray | None
    caption: str = ""
    context: float = 0.0  # share of the side on each side that lies outside the place
    smooth: bool = False
    key: tuple[tuple[str, str], ...] = ()


def draw_place(
    place: Place,
    modalities: dict[str, Modality],
    classes: ClassTable | None = None,
    predictions: dict[str, Integer[np.ndarray, "h w"]] | None = None,
    num_dates: int = 6,
    title: str = "",
    about: str = "",
    dates: bool = False,
) -> Figure:
    """Draw one place.

    A series is shown at dates near `num_dates` days spread evenly over all series, with one stretch for all its dates; a date
    of nothing but cloud is passed over for its neighbor. A sensor that is missing here is said to be missing. Only classes that
    occur stand in the legend.

    Args:
        place: What was seen.
        modalities: Sensors to show, in this order.
        classes: Names and colors of the labels; needed as soon as there are labels or predictions to show.
        predictions: Label maps by the name that stands above them.
        num_dates: Dates per series, at most.
        title: Heading of the sheet.
        about: A line below it.
        dates: Whether to draw all dates of all sensors on one axis.
    """
    predictions = predictions or {}
    for name, prediction in predictions.items():
        if place.target is not None and prediction.shape != place.target.shape:
            raise InputError(
                f"sheet: prediction {name!r} is {prediction.shape}, the labels are {place.target.shape}. Try: one grid for both."
            )
    empty = {name: name not in place.series or not len(place.series[name].pixels) for name in modalities}
    days = [place.series[name].day for name, m in modalities.items() if m.series and not m.per_place and not empty[name]]
    first, last = (min(int(d[0]) for d in days), max(int(d[-1]) for d in days)) if days else (0, 0)
    targets = np.linspace(first, last, num_dates) if num_dates > 1 else np.array([(first + last) / 2])
    parts = [Part(0.42, lambda figure, top: write(figure, MARGIN, top, title, fontsize=13, fontweight="bold"))] if title else []
    if about:
        parts.append(Part(0.36, lambda figure, top: write(figure, MARGIN, top - 0.1, fit(about, INSIDE, 9.5), fontsize=9.5, color=MUTED)))
    singles: list[_Tile] = []
    seen = {
        name: with_something_to_see(place.series[name], m)
        for name, m in modalities.items()
        if m.series and not (m.per_place or empty[name])
    }
    shown = {name: [int(seen[name][i]) for i in nearest_dates(place.series[name].day[seen[name]], targets)] for name in seen}
    columns = max([len(frames) for frames in shown.values()], default=1)
    for name, modality in modalities.items():
        if empty[name]:
            parts.append(_missing(modality))
        elif modality.per_place:
            parts.append((line_part if modality.series else value_part)(place.series[name], modality))
        elif modality.series:
            parts.append(_strip(place.series[name], modality, shown[name], columns))
        else:
            singles.append(_single(place.series[name], modality))
            shown[name] = [len(place.series[name].day) - 1]
    if dates and (axis := dates_part(place, modalities, shown)) is not None:
        parts.append(axis)
    if classes is None and (place.target is not None or predictions):
        raise InputError("sheet: labels or predictions without a class table. Try: pass `classes`.")
    scene = place.target if place.target is not None and place.target.ndim == 1 else None
    target = place.target if scene is None else None
    if singles or target is not None or predictions:
        parts.append(_maps(singles, target, predictions, classes or ClassTable((), ())))
    if scene is not None and classes is not None:
        left = len(singles) * (INSIDE / 4 + 0.1)
        fits = 0 < len(singles) <= 2 and not predictions
        labels = scene_part(scene, classes, left if fits else 0.0)
        parts.append(side_by_side(parts.pop(), labels) if fits else labels)
    with look():
        figure = new_figure(WIDTH, 0.25 + sum(part.height for part in parts) + 0.1)
        top = 0.25
        for part in parts:
            part.draw(figure, top)
            top += part.height
        return figure


def _bands(modality: Modality) -> str:
    return ", ".join(modality.bands[i] for i in modality.rgb)


def _missing(modality: Modality) -> Part:
    def draw(figure: Figure, top: float) -> None:
        head(figure, top, modality, "")
        axes = place_axes(figure, MARGIN, top + HEADER, INSIDE, 0.4)
        bare(axes)
        axes.set_facecolor(EMPTY)
        axes.text(0.5, 0.5, "missing at this place", ha="center", va="center", color=MUTED, fontsize=9)

    return Part(HEADER + 0.4 + PAUSE, draw)


def _strip(series: Series, modality: Modality, frames: Sequence[int], columns: int) -> Part:
    side = min((INSIDE - (columns - 1) * GAP) / columns, 2.8)
    limits = stretch_limits(series.pixels, modality)
    context = _context(modality, series)

    def draw(figure: Figure, top: float) -> None:
        shown = f"{len(frames)} of {len(series.day)} dates" if len(frames) < len(series.day) else f"{len(series.day)} dates"
        known = "" if all(is_date(int(day)) for day in series.day) else " · dates not published"
        head(
            figure, top, modality, f"{_bands(modality)} at {modality.gsd:g} m · {shown if len(series.day) > 1 else 'a single date'}{known}"
        )
        for column, frame in enumerate(frames):
            picture = to_picture(series.pixels[frame], modality.rgb, limits)
            tile = _Tile("", picture, date_text(int(series.day[frame])), context)
            _tile(figure, MARGIN + column * (side + GAP), top + HEADER, side, tile)

    return Part(HEADER + side + CAPTION + PAUSE, draw)


def _single(series: Series, modality: Modality) -> _Tile:
    limits = stretch_limits(series.pixels, modality)
    picture = to_picture(series.pixels[-1], modality.rgb, limits)
    if len(modality.rgb) == 1:
        unit = modality.units[modality.rgb[0]]
        note = f"{modality.bands[modality.rgb[0]]}, {limits[0, 0]:.0f} (black) to {limits[0, 1]:.0f} {unit} (white)"
    else:
        note = f"{_bands(modality)} at {modality.gsd:g} m, {date_text(int(series.day[-1]))}"
    return _Tile(modality.title, picture, note, _context(modality, series), smooth=True)


def _maps(singles: list[_Tile], target: np.ndarray | None, predictions: dict[str, Integer[np.ndarray, "h w"]], classes: ClassTable) -> Part:
    """Columns of two: images; labels and the key of the errors; each prediction above its errors. One row where nothing is predicted."""
    deep = 2 if predictions else 1
    columns: list[list[_Tile]] = [singles[i : i + deep] for i in range(0, len(singles), deep)]
    maps = [*([target] if target is not None else []), *predictions.values()]
    if target is not None:
        columns.append([_Tile("Labels", label_picture(target, classes)), *([_Tile("", None, key=ERROR_KEY)] if predictions else [])])
    for name, prediction in predictions.items():
        column = [_Tile(name, label_picture(prediction, classes))]
        if target is not None:
            note = accuracy_note(prediction, target, classes.ignore)
            column.append(_Tile("Errors", error_picture(prediction, target, classes.ignore), note))
        columns.append(column)
    entries = occurring(maps, classes)
    if target is not None and not predictions:
        entries = [(f"{name}, {100 * shares[name]:.1f} %", color) for shares in [class_shares(target, classes)] for name, color in entries]
    per_row = math.ceil(len(columns) / math.ceil(len(columns) / 5))  # rows of at most five, equally long
    side = (INSIDE - (max(per_row, 4) - 1) * 0.2) / max(per_row, 4)
    blocks = [columns[i : i + per_row] for i in range(0, len(columns), per_row)]
    tall = HEADER + side + CAPTION + 0.06
    heights = [tall * max(len(column) for column in block) for block in blocks]
    free = INSIDE - per_row * (side + 0.2) - 0.1
    beside = legend_step(entries) - 0.25 <= free and len(entries) * LEGEND_ROW <= sum(heights) - HEADER
    across = max(1, int(INSIDE / legend_step(entries)))
    below = 0.0 if beside else 0.12 + LEGEND_ROW * math.ceil(len(entries) / across)

    def draw(figure: Figure, top: float) -> None:
        if beside:
            draw_legend(figure, MARGIN + per_row * (side + 0.2) + 0.1, top + HEADER, entries, 1)
        else:
            draw_legend(figure, MARGIN, top + sum(heights) + 0.12, entries, across)
        for block, height in zip(blocks, heights, strict=True):
            for x, column in enumerate(block):
                for y, tile in enumerate(column):
                    _tile(figure, MARGIN + x * (side + 0.2), top + y * tall + HEADER, side, tile)
            top += height

    return Part(sum(heights) + below + 0.1, draw)


def _tile(figure: Figure, left: float, top: float, side: float, tile: _Tile) -> None:
    if tile.picture is None:
        draw_legend(figure, left, top, tile.key, 1)
        return
    axes = place_axes(figure, left, top, side, side)
    # A picture with more pixels than the tile is averaged, one with fewer keeps its square pixels.
    axes.imshow(tile.picture, interpolation="antialiased" if tile.smooth else "nearest", aspect="auto")
    bare(axes)
    if tile.context:
        _frame(axes, tile)
    write(figure, left, top - 0.07, fit(tile.title, side, 10, bold=True), fontsize=10, fontweight="bold", va="bottom")
    write(figure, left, top + side + 0.05, fit(tile.caption, side, 8.5), fontsize=8.5, color=MUTED)


def _frame(axes: Axes, tile: _Tile) -> None:
    """Mark the place inside its surroundings."""
    assert tile.picture is not None
    width = len(tile.picture)
    inner = width * (1 - 2 * tile.context)
    axes.add_patch(Rectangle((width * tile.context - 0.5,) * 2, inner, inner, fill=False, edgecolor="white", linewidth=2.2))
    axes.add_patch(Rectangle((width * tile.context - 0.5,) * 2, inner, inner, fill=False, edgecolor=INK, linewidth=1.0))


def _context(modality: Modality, series: Series) -> float:
    return modality.context / (modality.gsd * series.pixels.shape[2])
