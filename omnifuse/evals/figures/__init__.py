"""Pictures of runs, places and scores: each function returns a `matplotlib.figure.Figure`."""

from omnifuse.data.pictures.look import save_png, sensor_label
from omnifuse.data.pictures.sheet import draw_place
from omnifuse.evals.figures.bars import Bar, draw_bars
from omnifuse.evals.figures.confusion import draw_confusion
from omnifuse.evals.figures.curves import Curve, Panel, draw_curves, pretraining_panels

__all__ = [
    "Bar",
    "Curve",
    "Panel",
    "draw_bars",
    "draw_confusion",
    "draw_curves",
    "draw_place",
    "pretraining_panels",
    "save_png",
    "sensor_label",
]
