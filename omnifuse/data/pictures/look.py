"""One look for every picture: ink, colors that the color-blind tell apart, fonts, and how a picture becomes a file.

Pictures are `Figure` objects without pyplot: no global state, no window, nothing to close.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

INK = "#1d2733"  # text
MUTED = "#667382"  # captions, ticks
RULE = "#d5dbe1"  # grid lines, frames
EMPTY = "#eef1f4"  # where there is nothing
RIGHT = "#e3e8ec"  # a right pixel in an error map
WRONG = "#c8452b"
# Okabe and Ito's set, darkened where white paper asks for it; the order keeps neighbors apart.
SERIES = ("#0b63a5", "#d9700a", "#0f8a63", "#a3457f", "#5aa9d6", "#8c6d1f")
DPI = 150
LEGEND_ROW = 0.235  # inches

_STYLE: dict[str, object] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib: the same picture everywhere
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a class name is a dollar
    "text.usetex": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "image.interpolation": "nearest",
}


@contextmanager
def look() -> Iterator[None]:
    """Apply the style to what is drawn inside, and to nothing else."""
    with rc_context(_STYLE):  # type: ignore[arg-type]
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty picture of the given inches."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def place_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a position in inches from the upper left corner."""
    total_width, total_height = figure.get_size_inches()
    return figure.add_axes((left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height))


def write(figure: Figure, left: float, top: float, text: str, **style: object) -> None:
    """Write at a position in inches from the upper left corner; the text hangs from there."""
    total_width, total_height = figure.get_size_inches()
    figure.text(left / total_width, 1 - top / total_height, text, **{"va": "top", **style})  # type: ignore[arg-type]


def bare(axes: Axes) -> None:
    """Take ticks away and leave a hairline frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.6)
        spine.set_color(RULE)


def color_of(index: int) -> str:
    """Return the color of a run or model by its position."""
    return SERIES[index % len(SERIES)]


def tint(color: str, white: float = 0.15) -> tuple[float, float, float]:
    """Return a color with a share of white in it, so that ink on top stays readable."""
    red, green, blue = ((1 - white) * part + white for part in to_rgb(color))
    return red, green, blue


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a line of text in inches."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def legend_step(entries: Sequence[tuple[str, str]]) -> float:
    """Return the inches from one column of a legend to the next."""
    return max([text_width(shorten(name, 46), 9) for name, _ in entries], default=1.0) + 0.55


def draw_legend(figure: Figure, left: float, top: float, entries: Sequence[tuple[str, str]], across: int) -> None:
    """Draw (name, color) swatches in rows of `across`, `LEGEND_ROW` inches apart."""
    step = legend_step(entries)
    for index, (name, color) in enumerate(entries):
        x, y = left + index % across * step, top + index // across * LEGEND_ROW
        swatch = place_axes(figure, x, y, 0.2, 0.14)
        bare(swatch)
        swatch.set_facecolor(color)
        write(figure, x + 0.28, y + 0.07, shorten(name, 46), fontsize=9, va="center_baseline")


def shorten(text: str, length: int) -> str:
    """Cut a name to at most `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def fit(text: str, width: float, size: float, bold: bool = False) -> str:
    """Cut a line of text to a width in inches."""
    for length in range(len(text), 0, -1):
        if text_width(shorten(text, length), size, bold) <= width:
            return shorten(text, length)
    return ""


def sensor_label(names: Sequence[str]) -> str:
    """Return modality names for people: `("s2", "s1_asc")` becomes `S2 + S1 asc`."""
    return " + ".join(_sensor(name) for name in names)


def _sensor(name: str) -> str:
    first, *rest = name.split("_")
    return " ".join([first.upper() if len(first) <= 4 else first.capitalize(), *rest])


def save_png(figure: Figure, path: Path | io.BytesIO) -> None:
    """Write a picture; the same picture gives the same bytes."""
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
