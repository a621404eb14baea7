"""Parts of a sheet that are lines and bars: values over time, the dates of all sensors, labels of a whole scene."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from omnifuse.classes import ClassTable
from omnifuse.data.pictures.look import EMPTY, MUTED, SERIES, bare, color_of, fit, place_axes, write
from omnifuse.data.pictures.parts import HEADER, INSIDE, MARGIN, PAUSE, Part, head
from omnifuse.data.place import Place, Series, is_date
from omnifuse.modalities import Modality

ROW = 0.27  # inches of a sensor on the time axis
NAMES = 2.1  # inches for the names before it
COUNTS = 0.95  # inches for the counts after it


def line_part(series: Series, modality: Modality) -> Part:
    """One pixel for the whole place: its first picture band over time, in the order of its images where their dates are not published."""
    band = modality.rgb[0]
    dated = _dated(series)

    def draw(figure: Figure, top: float) -> None:
        known = "" if dated else " · dates not published"
        head(figure, top, modality, f"{modality.bands[band]}, {modality.units[band]}; one value for the whole place{known}")
        axes = place_axes(figure, MARGIN + 0.35, top + HEADER, INSIDE - 0.35, 0.85)
        value = series.pixels[:, band].reshape(len(series.day), -1).mean(1, dtype=np.float64)
        axes.plot(series.day.astype("datetime64[D]") if dated else np.arange(len(value)), value, marker="o", markersize=3, color=SERIES[0])
        axes.grid(axis="y")
        axes.locator_params(axis="y", nbins=4)
        if dated:
            _date_axis(axes)
        else:
            axes.set_xticks([])

    return Part(HEADER + 0.85 + 0.24 + PAUSE, draw)


def value_part(series: Series, modality: Modality) -> Part:
    """One pixel for the whole place that has no dates: the value of every band, in words."""
    values = series.pixels[-1].reshape(len(modality.bands), -1).mean(1, dtype=np.float64)
    words = [f"{name} {value:.4g} {unit}" for name, value, unit in zip(modality.bands, values, modality.units, strict=True)]

    def draw(figure: Figure, top: float) -> None:
        head(figure, top, modality, "one value for the whole place, without a date")
        write(figure, MARGIN, top + HEADER, fit(" · ".join(words), INSIDE, 9.5), fontsize=9.5)

    return Part(HEADER + 0.2 + PAUSE, draw)


def dates_part(place: Place, modalities: dict[str, Modality], shown: Mapping[str, list[int]]) -> Part | None:
    """A row per sensor with a tick at every date, dots where an image is `shown` (frames by sensor); None where nothing has a date."""
    rows = {}
    for name, modality in modalities.items():
        series = place.series.get(name)
        timeless = modality.per_place and not modality.series  # its day is a filler
        if series is not None and len(series.day) and not timeless and _dated(series):
            rows[name] = (modality.title, series.day)
    if not rows:
        return None
    first, last = min(int(day[0]) for _, day in rows.values()), max(int(day[-1]) for _, day in rows.values())
    pause = max(5.0, 0.02 * (last - first))  # days before the first date and after the last one
    height = ROW * len(rows)

    def draw(figure: Figure, top: float) -> None:
        write(figure, MARGIN, top, "Dates", fontsize=10.5, fontweight="bold")
        axes = place_axes(figure, MARGIN + NAMES, top + HEADER, INSIDE - NAMES - COUNTS, height)
        for number, (name, (title, day)) in enumerate(rows.items()):
            color, when = color_of(number), day.astype("datetime64[D]")
            axes.vlines(when, number - 0.26, number + 0.26, color=color, linewidth=1.0, alpha=0.75)
            dots = when[shown.get(name, [])]
            axes.plot(dots, np.full(len(dots), number), "o", color=color, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8)
            middle = top + HEADER + (number + 0.5) * ROW
            write(figure, MARGIN, middle, fit(title, NAMES - 0.15, 9), fontsize=9, va="center")
            count = f"{len(day)} date{'s' * (len(day) > 1)}"
            write(figure, MARGIN + INSIDE - COUNTS + 0.1, middle, count, fontsize=8.5, color=MUTED, va="center")
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(np.datetime64(int(first - pause), "D"), np.datetime64(int(last + pause), "D"))  # type: ignore[arg-type]
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        _date_axis(axes)

    return Part(HEADER + height + 0.24 + PAUSE, draw)


def scene_part(target: Num[np.ndarray, " k"], classes: ClassTable, indent: float = 0.0) -> Part:
    """Labels of a whole scene: a bar for each class that has a share, the largest first; `indent` inches from the margin."""
    found = [int(k) for k in np.argsort(-target, kind="stable") if target[k] > 0 and k != classes.ignore]
    name, share = 1.6, 0.6  # inches
    left, bar = MARGIN + indent, min(4.0, INSIDE - indent - name - share)

    def draw(figure: Figure, top: float) -> None:
        write(figure, left, top + HEADER - 0.07, "Labels", fontsize=10, fontweight="bold", va="bottom")
        if not found:
            write(figure, left, top + HEADER, "no class", fontsize=9, color=MUTED)
        for row, k in enumerate(found):
            y = top + HEADER + 0.06 + row * ROW
            write(figure, left, y + 0.09, fit(classes.names[k], name - 0.1, 9), fontsize=9, va="center")
            axes = place_axes(figure, left + name, y, bar, 0.18)
            bare(axes)
            axes.set_xlim(0, max(1.0, float(target.max())))
            axes.set_facecolor(EMPTY)
            axes.barh(0.5, float(target[k]), height=1, color=classes.colors[k])
            axes.set_ylim(0, 1)
            percent = f"{100 * float(target[k]):.1f} %"
            write(figure, left + name + bar + 0.1, y + 0.09, percent, fontsize=8.5, color=MUTED, va="center")

    return Part(HEADER + 0.06 + ROW * max(len(found), 1) + PAUSE, draw)


def _dated(series: Series) -> bool:
    return all(is_date(int(day)) for day in series.day)


def _date_axis(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.tick_params(length=0, labelsize=8)
