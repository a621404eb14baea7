"""Bars with intervals: models compared over subsets of sensors, or over label budgets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from omnifuse.data.pictures.look import (
    INK,
    LEGEND_ROW,
    MUTED,
    RULE,
    bare,
    color_of,
    draw_legend,
    legend_step,
    look,
    new_figure,
    place_axes,
    shorten,
    text_width,
    tint,
    write,
)
from omnifuse.errors import InputError


@dataclass(frozen=True)
class Bar:
    """One measured value.

    Attributes:
        group: What is compared along the axis, such as `S2 + SPOT` or `10 % of the labels`.
        model: Whose value it is; models keep one color.
        value: Share in 0..1; NaN where it could not be measured.
        interval: Lower and upper end of its 95 % interval; None without one.
    """

    group: str
    model: str
    value: float
    interval: tuple[float, float] | None = None


def draw_bars(bars: Sequence[Bar], title: str, unit: str = "mIoU, %") -> Figure:
    """Draw horizontal bars by group in the given order, one bar per model, with whiskers and printed values.

    The axis starts at zero. A model without a value in a group leaves a dash there.
    """
    if not bars:
        raise InputError("bars: found none, expected at least one value. Try: evaluate a subset of sensors first.")
    groups, models = list(dict.fromkeys(bar.group for bar in bars)), list(dict.fromkeys(bar.model for bar in bars))
    by_key = {(bar.group, bar.model): bar for bar in bars}
    if len(by_key) != len(bars):
        raise InputError("bars: two values for the same group and model, expected one. Try: give each run its own name.")
    with look():
        thickness, pause = (0.2, 0.2) if len(models) > 1 else (0.27, 0.14)
        block = thickness * len(models) + pause
        labels = [shorten(group, 44) for group in groups]
        left = max(1.1, max(text_width(label, 9.5) for label in labels) + 0.35)
        width, height = 9.4, block * len(groups) + pause / 2
        entries = [(model, to_hex(tint(color_of(index)))) for index, model in enumerate(models)]
        across = max(1, int((width - left) / legend_step(entries)))
        top = 0.6 + (LEGEND_ROW * math.ceil(len(models) / across) if len(models) > 1 else -0.05)
        figure = new_figure(width, top + height + 0.65)
        write(figure, 0.2, 0.16, title, fontsize=11, fontweight="bold")
        axes = place_axes(figure, left, top, width - left - 0.75, height)
        ends = [100 * max(bar.value, *(bar.interval or (0,))) for bar in bars if math.isfinite(bar.value)]
        limit = min(100.0, math.ceil(max([*ends, 1]) / 10) * 10)
        for row, group in enumerate(groups):
            for index, model in enumerate(models):
                y = row * block + pause * 0.75 + (index + 0.5) * thickness
                bar = by_key.get((group, model))
                if bar is None or not math.isfinite(bar.value):
                    axes.annotate("–", (0, y), (4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8.5)
                    continue
                value = 100 * bar.value
                axes.barh(y, value, height=thickness * 0.86, color=tint(color_of(index)), linewidth=0)
                end = value
                if bar.interval is not None:
                    low, high = (100 * edge for edge in bar.interval)
                    axes.plot([low, high], [y, y], color=INK, linewidth=1.1, solid_capstyle="butt")
                    axes.plot([low, high], [y, y], "|", color=INK, markersize=5, markeredgewidth=1.1)
                    end = min(max(value, high), limit)
                axes.annotate(
                    f"{value:.1f}", (end, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5, annotation_clip=False
                )
            if row:
                axes.axhline(row * block + pause * 0.25, color=RULE, linewidth=0.6, xmin=0)
        axes.set_ylim(height, 0)
        axes.set_xlim(0, limit)
        bare(axes)
        for side in ("top", "right", "bottom"):
            axes.spines[side].set_visible(False)
        axes.spines["left"].set_color(MUTED)
        axes.set_yticks([row * block + pause * 0.75 + thickness * len(models) / 2 for row in range(len(groups))], labels)
        axes.tick_params(axis="y", length=0, labelsize=9.5, labelcolor=INK, pad=6)
        axes.set_xticks(range(0, int(limit) + 1, 10 if limit <= 60 else 20))
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x")
        whiskers = " · whiskers: 95 % interval" if any(bar.interval for bar in bars) else ""
        axes.set_xlabel(unit + whiskers)
        if len(models) > 1:
            draw_legend(figure, left, 0.52, entries, across)
        return figure
