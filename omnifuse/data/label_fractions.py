"""A share of the labels, so that studies with few of them speak of the same places."""

import numpy as np
from jaxtyping import Float, Int

from omnifuse.classes import ClassTable
from omnifuse.data.place import PlaceSource, labels_of, read_sensors
from omnifuse.data.splits import FRACTIONS, fraction_column, next_in_proportion
from omnifuse.data.target_rules import class_shares
from omnifuse.errors import ConfigError


def stratified_fraction(source: PlaceSource, indices: Int[np.ndarray, " n"], fraction: float, seed: int) -> Int[np.ndarray, " m"]:
    """Return a share of places in ascending order, at least one; smaller shares lie within larger ones.

    The smallest share covers the classes first, the rarest first; what follows keeps them in proportion (`fraction_column`).
    Quantities are not stratified. Only labels are read, and none where all are taken. Any share, such as 20 %, has all places of the
    next smaller one of 1, 5, 10, 25 and 50 %, and those of the next larger that come first in proportion (`next_in_proportion`).

    Raises:
        ConfigError: for a share that is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"label fraction {fraction} is not in (0, 1]. Try: 0.1 for ten percent.")
    if fraction == 1:
        return np.sort(indices)
    ids = [str(source.info[int(index)]["id"]) for index in indices]
    weights = class_weights(source, indices)
    column = np.array(fraction_column(ids, weights, seed))
    within = next(step for step in FRACTIONS if 100 * fraction <= step + 1e-9)
    taken = np.flatnonzero(column <= within)
    wanted = max(1, round(fraction * len(indices)))
    if wanted < len(taken):  # a share of its own: the smaller steps whole, then the first of the next one
        smaller = column < within
        more = next_in_proportion(ids, weights, seed, smaller, column == within, wanted - int(smaller.sum()))
        taken = np.concatenate([np.flatnonzero(smaller), more])
    return np.sort(indices[taken])


def class_weights(source: PlaceSource, indices: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """Return the share of each class at each place; zeros where labels are missing or quantities."""
    table = labels_of(source)
    if not isinstance(table, ClassTable):
        return np.zeros((len(indices), 1))
    weights = np.zeros((len(indices), len(table.names)))
    for row, index in enumerate(indices):
        target = read_sensors(source, int(index), ()).target
        if target is not None:
            weights[row] = np.nan_to_num(class_shares(target, table))
    return weights
