"""What the reports of runs share: curves out of a log, and how pairs of sensors and shares are written."""

import math
from collections.abc import Sequence

import numpy as np

from omnifuse.evals.figures import Curve, sensor_label
from omnifuse.train.log import Row


def keys_of(log: Sequence[Row], prefix: str) -> list[str]:
    """Return the names in a log that begin with a prefix, in order of appearance."""
    return list(dict.fromkeys(key for row in log for key in row if key.startswith(prefix)))


def curve(log: Sequence[Row], key: str, name: str) -> Curve:
    """Return one value of a log over its steps, where it is finite."""
    rows = [(row["step"], row[key]) for row in log if key in row and math.isfinite(row[key])]
    return Curve(name, np.array([step for step, _ in rows]), np.array([value for _, value in rows], dtype=float))


def pair_label(key: str) -> str:
    """Return the legend of a pair of sensors from a name such as `loss_cell/s2-spot`."""
    return " – ".join(sensor_label((name,)) for name in key.rsplit("/", 1)[-1].split("-"))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
