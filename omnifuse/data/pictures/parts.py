"""What the parts of a sheet have in common: measures in inches, headings, and how a date is written."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from omnifuse.data.pictures.look import MUTED, text_width, write
from omnifuse.data.place import is_date
from omnifuse.modalities import Modality

WIDTH, MARGIN, GAP = 12.0, 0.3, 0.1
INSIDE = WIDTH - 2 * MARGIN
HEADER, CAPTION, PAUSE = 0.3, 0.24, 0.26


@dataclass(frozen=True)
class Part:
    """A strip of the sheet: its height, and what draws it at a distance from the top."""

    height: float
    draw: Callable[[Figure, float], None]


def head(figure: Figure, top: float, modality: Modality, note: str) -> None:
    """Write the sensor's title and a note beside it."""
    write(figure, MARGIN, top, modality.title, fontsize=10.5, fontweight="bold")
    write(figure, MARGIN + text_width(modality.title, 10.5, bold=True) + 0.15, top + 0.025, note, fontsize=8.5, color=MUTED)


def side_by_side(left: Part, right: Part) -> Part:
    """Draw two parts at one height; the second one has to keep clear of the first."""

    def draw(figure: Figure, top: float) -> None:
        left.draw(figure, top)
        right.draw(figure, top)

    return Part(max(left.height, right.height), draw)


def date_text(day: int) -> str:
    """Return a date for people."""
    return str(np.datetime64(day, "D")) if is_date(day) else f"day {day}"
