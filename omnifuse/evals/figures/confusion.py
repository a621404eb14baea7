"""The confusion matrix, readable: shares of the truth by row, IoU of each class beside it."""

import numpy as np
from jaxtyping import Int
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from omnifuse.classes import ClassTable
from omnifuse.data.pictures.look import EMPTY, INK, MUTED, SERIES, bare, look, new_figure, place_axes, shorten, text_width, tint, write
from omnifuse.errors import InputError
from omnifuse.evals.segmentation import SegmentationScores, without_void

_SHADES = LinearSegmentedColormap.from_list("omnifuse", ["#ffffff", "#d3e3f0", "#7fb0d6", SERIES[0], "#062f52"])


def draw_confusion(matrix: Int[Tensor, "k k"], classes: ClassTable, title: str = "Confusion matrix") -> Figure:
    """Draw truth by row and prediction by column in percent of the row, for the classes that occur."""
    if len(classes.names) != len(matrix):
        raise InputError(
            f"confusion matrix: {len(matrix)} classes, the class table has {len(classes.names)}. Try: the table of the labels."
        )
    kept = without_void(matrix, classes.ignore)
    occurs = ((kept.sum(0) + kept.sum(1)) > 0).nonzero()[:, 0]
    iou = SegmentationScores.from_matrix(kept).iou[occurs].tolist()
    counts = kept[occurs][:, occurs].double().numpy()
    total = counts.sum(1, keepdims=True)
    share = 100 * np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    names = [shorten(classes.names[i], 30) for i in occurs.tolist()]
    with look():
        return _draw(share, total[:, 0], names, iou, title)


def _draw(share: np.ndarray, total: np.ndarray, names: list[str], iou: list[float], title: str) -> Figure:
    k = len(names)
    cell = min(0.52, max(0.32, 6.4 / max(k, 1)))
    left = max([text_width(name, 9) for name in names], default=1.0) + 0.55
    top = 0.9 + max([text_width(name, 9) for name in names], default=1.0) * 0.71  # written at 45 degrees
    side, bar_width = cell * max(k, 1), 1.5
    figure = new_figure(max(left + side + bar_width + 1.25, 5.5), top + side + 0.3)
    write(figure, 0.2, 0.16, title, fontsize=11, fontweight="bold")
    write(figure, 0.2, 0.4, "rows: truth, columns: prediction, numbers: % of the truth", fontsize=8.5, color=MUTED)
    if not k:
        write(figure, 0.2, 0.8, "No pixel was scored.", color=MUTED)
        return figure
    axes = place_axes(figure, left, top, side, side)
    axes.imshow(share, cmap=_SHADES, vmin=0, vmax=100, aspect="auto")
    for row in range(k):
        for column in range(k):
            if share[row, column] >= 0.5:
                color = "white" if share[row, column] > 52 else INK if row == column or share[row, column] >= 5 else MUTED
                axes.text(
                    column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=8 if cell >= 0.36 else 7, color=color
                )
    bare(axes)
    axes.set_yticks(range(k), names)
    axes.set_xticks(range(k), names, rotation=45, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=INK, labelsize=9, pad=4)
    bars = place_axes(figure, left + side + 0.25, top, bar_width, side)
    score = np.nan_to_num(np.array(iou)) * 100
    bars.barh(range(k), 100, height=0.56, color=EMPTY)
    bars.barh(range(k), score, height=0.56, color=tint(SERIES[0]))
    for row in range(k):
        note = "" if total[row] else "  not in truth"
        bars.text(104, row, f"{score[row]:.0f}{note}", va="center", fontsize=8.5)
    bars.set_ylim(k - 0.5, -0.5)
    bars.set_xlim(0, 100)
    bars.set_axis_off()
    write(figure, left + side + 0.25, top - 0.06, "IoU, %", fontsize=9, color=MUTED, va="bottom")
    return figure
