"""Curves over training: losses against their chance level, retrieval, several runs by name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from omnifuse.data.pictures.look import INK, MUTED, color_of, look, new_figure, shorten


@dataclass(frozen=True)
class Curve:
    """A value over steps; where it is not finite there is a gap.

    Attributes:
        name: Name of the run or of the metric, for the legend.
        step: Optimizer steps or epochs, ascending.
        value: Value at each step.
    """

    name: str
    step: Num[np.ndarray, " n"]
    value: Num[np.ndarray, " n"]


@dataclass(frozen=True)
class Panel:
    """Curves that share a vertical axis.

    Attributes:
        title: What is measured.
        unit: Label of the vertical axis, and what is better.
        curves: One line each.
        chance: A level to compare with; None for none.
        chance_name: What that level is.
        percent: Whether values are shares in 0..1 to be shown as percent.
    """

    title: str
    unit: str
    curves: tuple[Curve, ...]
    chance: float | None = None
    chance_name: str = "chance"
    percent: bool = False


def pretraining_panels(losses: Sequence[Curve], accuracies: Sequence[Curve], num_candidates: int) -> tuple[Panel, Panel]:
    """Return panels for InfoNCE and retrieval among `num_candidates`: log n and 1/n is what chance gives."""
    return (
        Panel("Pretraining loss", "InfoNCE, lower is better", tuple(losses), math.log(num_candidates), f"chance, ln {num_candidates}"),
        Panel("Retrieval across sensors", "top-1 %, higher is better", tuple(accuracies), 1 / num_candidates, "chance", percent=True),
    )


def draw_curves(panels: Sequence[Panel], step_name: str = "step") -> Figure:
    """Draw panels side by side; a long noisy curve is shown faint with its running median on top."""
    with look():
        rows = max(math.ceil(len(panel.curves) / 2) for panel in panels)
        figure = new_figure(5.2 * len(panels) + 0.2, 3.45 + 0.22 * rows)
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08, wspace=0.04)
        for index, panel in enumerate(panels):
            _draw_panel(figure.add_subplot(1, len(panels), index + 1), panel, step_name)
        return figure


def _draw_panel(axes: Axes, panel: Panel, step_name: str) -> None:
    scale = 100.0 if panel.percent else 1.0
    for index, curve in enumerate(panel.curves):
        color, value = color_of(index), np.where(np.isfinite(curve.value), curve.value, np.nan).astype(float) * scale
        name = shorten(curve.name, 34)
        line_style = ("-", "--", "-.", ":")[index // 6 % 4]
        if len(value) > 120:
            axes.plot(curve.step, value, color=color, alpha=0.22, linewidth=0.8)
            axes.plot(curve.step, running_median(value, len(value) // 40 * 2 + 1), line_style, color=color, label=name)
        else:
            marker = "o" if len(value) <= 30 else None
            axes.plot(curve.step, value, line_style, color=color, label=name, marker=marker, markersize=3.5)
    if panel.chance is not None:
        axes.axhline(panel.chance * scale, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            panel.chance_name,
            (1, panel.chance * scale),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=MUTED,
            fontsize=8.5,
        )
    axes.margins(x=0.02, y=0.1)
    if panel.percent:
        axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_xlabel(step_name)
    axes.set_ylabel(panel.unit, labelpad=7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    rows = math.ceil(len(panel.curves) / 2)
    axes.set_title(panel.title, color=INK, pad=8 + 14 * rows)
    if panel.curves:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(2, len(panel.curves)), borderaxespad=0.2, borderpad=0,
            handlelength=1.6, columnspacing=1.4, labelspacing=0.35, handletextpad=0.5,
        )  # fmt: skip


def running_median(value: Num[np.ndarray, " n"], width: int) -> Float[np.ndarray, " n"]:
    """Return the median over a centered window of odd `width`, shorter at the ends; gaps do not count."""
    half = width // 2
    padded = np.pad(value.astype(float), half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    empty = np.isnan(windows).all(1)
    result = np.full(len(value), np.nan)
    result[~empty] = np.nanmedian(windows[~empty], axis=1)
    return result
