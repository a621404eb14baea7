"""Robustness on one page: every subset of sensors on the left, every harm by severity on the right, all on the same scale."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnifuse.data.pictures.look import (
    INK,
    MUTED,
    RULE,
    bare,
    color_of,
    look,
    new_figure,
    place_axes,
    sensor_label,
    shorten,
    text_width,
    write,
)
from omnifuse.errors import InputError
from omnifuse.evals.robustness import RobustnessResult, Row

_MOST = 31  # subsets that fit below each other; of more, singles, pairs less one, and all
_PANEL, _GAP, _LINE = (2.15, 1.35), (0.62, 0.95), 0.26  # inches
_UNHARMED = {"dates kept": "all"}


def draw_robustness(result: RobustnessResult, title: str, unit: str, percent: bool = True) -> Figure:
    """Draw scores with 95 % intervals over places; the dashed line is the score with all sensors unharmed.

    Args:
        result: What was measured.
        title: Of the picture.
        unit: What the score is, as `mIoU, %`.
        percent: Whether scores are shares and written in percent, or as they are.
    """
    rows = result.table()
    subsets = [row for row in rows if row.setting.protocol == "EMM" and _shown(row.setting.sensors, result.sensors)]
    if not any(row.places for row in subsets):
        raise InputError("robustness: no scores to draw. Try: places that have a sensor.")
    [whole] = [row for row in subsets if row.setting.sensors == result.sensors]
    harms = {harm: [row for row in rows if row.setting.harm == harm] for harm in dict.fromkeys(row.setting.harm for row in rows)}
    del harms["sensors"]
    values = [edge for row in rows if row.places for edge in (row.score, *row.interval) if math.isfinite(edge)]
    low, high = (10 * edge for edge in (math.floor(10 * min(values, default=0)), math.ceil(10 * max(values, default=0))))
    limits = (max(-100.0, min(0.0, low)), max(10.0, high))  # some width, though all score alike or below zero
    across = 3 if len(harms) > 4 else 2
    with look():
        labels = [shorten(sensor_label(row.setting.sensors), 40) for row in subsets]
        left = max(text_width(label, 9) for label in labels) + 0.35
        panels = math.ceil(len(harms) / across) * (_PANEL[1] + _GAP[1]) - 0.35 if harms else 0.0
        height = max(panels, _LINE * len(subsets) + 1.1)
        start = left + 3.0 + 1.1
        figure = new_figure(start + across * (_PANEL[0] + _GAP[0]) if harms else start, 0.95 + height + 0.45)
        write(figure, 0.2, 0.16, title, fontsize=11, fontweight="bold")
        write(
            figure,
            0.2,
            0.4,
            f"{unit} · bars and bands: 95 % interval over places · dashed: all sensors, unharmed",
            fontsize=8.5,
            color=MUTED,
        )
        write(figure, 0.2, 0.72, "Only these sensors", fontsize=9.5, fontweight="bold")
        _draw_subsets(place_axes(figure, left, 0.98, 3.0, _LINE * len(subsets)), subsets, labels, whole, limits, percent)
        for index, line in enumerate(key_lines(result, percent)):
            write(figure, 0.2, 0.98 + _LINE * len(subsets) + 0.45 + 0.24 * index, line, fontsize=9)
        for index, (harm, found) in enumerate(harms.items()):
            x = start + index % across * (_PANEL[0] + _GAP[0])
            y = 0.72 + index // across * (_PANEL[1] + _GAP[1])
            write(figure, x - 0.05, y, harm[:1].upper() + harm[1:], fontsize=9.5, fontweight="bold")
            _draw_harm(place_axes(figure, x, y + 0.26, *_PANEL), harm, found, whole, limits, percent)
        return figure


def key_lines(result: RobustnessResult, percent: bool = True) -> list[str]:
    """Return what fusion gains and what is lost at worst, in points or as it is, with intervals, in two lines; none with one sensor."""
    lines = []
    for found, words in ((result.fusion_gain(), "Fusion gains over {} alone"), (result.worst_loss(), "Worst loss, without {}")):
        if found is not None:
            name, by = found
            value, low, high = (_written(edge, percent) for edge in (by.value, by.low, by.high))
            lines.append(f"{words.format(sensor_label((name,)))}: {value} ({low} to {high})")
    return lines


def _written(score: float, percent: bool) -> str:
    return f"{100 * score:.1f}" if percent else f"{score:.3f}"


def _shown(sensors: Sequence[str], everything: Sequence[str]) -> bool:
    return 2 ** len(everything) - 1 <= _MOST or len(sensors) in (1, len(everything) - 1, len(everything))


def _draw_subsets(axes: Axes, rows: list[Row], labels: list[str], whole: Row, limits: tuple[float, float], percent: bool) -> None:
    bare(axes)
    for y, row in enumerate(rows):
        if not row.places:
            axes.annotate("present nowhere", (limits[0], y), (4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8)
            continue
        low, high = (100 * edge for edge in row.interval)
        color = color_of(len(row.setting.sensors) - 1)
        axes.plot([low, high], [y, y], color=color, linewidth=1.6, alpha=0.5, solid_capstyle="butt")
        axes.plot([100 * row.score], [y], "o", color=color, markersize=5)
        axes.annotate(_written(row.score, percent), (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=INK)
    axes.axvline(100 * whole.score, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlim(*limits)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    axes.set_xticks(*_ticks(limits, percent))
    axes.tick_params(axis="x", length=0, labelsize=8.5)
    axes.grid(axis="x")


def _draw_harm(axes: Axes, harm: str, rows: list[Row], whole: Row, limits: tuple[float, float], percent: bool) -> None:
    """Draw scores by severity, from none on the left; one line per sensor where one sensor at a time is harmed."""
    lines = dict.fromkeys(row.setting.sensors for row in rows)
    for index, sensors in enumerate(lines):
        points = [whole, *(row for row in rows if row.setting.sensors == sensors)]
        x, color = range(len(points)), color_of(index if len(lines) > 1 else 0)
        low, high = zip(*((100 * edge for edge in row.interval) for row in points), strict=True)
        if len(lines) == 1:
            axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
        axes.plot(x, [100 * row.score for row in points], "o-", color=color, markersize=3.5, linewidth=1.5, label=sensor_label(sensors))
    if len(lines) > 1:
        axes.legend(loc="lower left", fontsize=7.5, handlelength=1.2, labelspacing=0.15, borderpad=0.1, ncols=2, columnspacing=0.8)
    axes.axhline(100 * whole.score, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    severities = [row.setting for row in rows if row.setting.sensors == rows[0].setting.sensors]
    names = [_UNHARMED.get(harm, "none"), *(f"{setting.severity:g}" for setting in severities)]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.25, len(names) - 0.75)
    axes.set_ylim(*limits)
    axes.set_yticks(*_ticks(limits, percent))
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel(severities[0].unit, fontsize=8.5, labelpad=2)
    axes.grid(axis="y")
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)


def _ticks(limits: tuple[float, float], percent: bool) -> tuple[list[int], list[str]]:
    """Return where ticks are, in hundredths, and what is written there."""
    step = 10 if limits[1] - limits[0] <= 60 else 20
    ticks = [value for value in range(-100, 101, step) if limits[0] <= value <= limits[1]]
    return ticks, [f"{value}" if percent else f"{value / 100:g}" for value in ticks]
