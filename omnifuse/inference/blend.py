"""Overlapping tiles as one map: every tile fades into its neighbours by a raised cosine (Hann), and the weights sum to one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float

from omnifuse.data.place import Place
from omnifuse.errors import InputError
from omnifuse.inference.plan import Tiling, Unit
from omnifuse.inference.scene import Scene

Predict = Callable[[Sequence[Place]], Float[np.ndarray, "n k cells cells"]]


def blended(
    scene: Scene, predict: Predict, unit: Unit, tiling: Tiling, at_once: int = 1
) -> tuple[Float[np.ndarray, "k h w"], Bool[np.ndarray, "h w"]] | None:
    """Return the values of a unit's cells, and which of them any sensor saw (the others are 0); None where none was seen at all.

    A cell is the weighted mean of the tiles over it, added up in the order of the lattice: it does not depend on the unit, to the bit
    where `at_once` is 1 (convolutions may round otherwise for other numbers of images). Memory grows with the unit and the tile alone.

    Args:
        scene: The area.
        predict: Values on the cells of places; the same number of values for all.
        unit: The window of the area.
        tiling: The lattice of tiles.
        at_once: Places given to `predict` at a time.
    """
    seen = scene.valid(unit.row, unit.col, unit.height, unit.width)
    total: Float[np.ndarray, "k h w"] | None = None
    weight = np.zeros(seen.shape, np.float32)
    ramp = fading(tiling)
    places = _places(scene, unit, tiling, seen)
    while group := list(islice(places, at_once)):
        values = predict([place for _, _, place in group])
        if values.shape[2:] != (tiling.tile, tiling.tile):
            raise InputError(f"predict: {values.shape[2]} cells along a tile of {tiling.tile}. Try: the cells of the model's labels.")
        for (row, col, _), one in zip(group, values, strict=True):
            if total is None:
                total = np.zeros((one.shape[0], *seen.shape), np.float32)
            within, inside = _common(row, col, tiling.tile, unit)
            share = ramp[inside[0], None] * ramp[None, inside[1]]
            total[:, within[0], within[1]] += share * one[:, inside[0], inside[1]]
            weight[within] += share
    if total is None:
        return None
    seen = seen & (weight > 0)
    return np.where(seen, total / np.where(seen, weight, 1), 0).astype(np.float32), seen


def fading(tiling: Tiling) -> Float[np.ndarray, " tile"]:
    """Return the weight of a tile's cells along one side: 1 in the middle, sin² over the cells that a neighbour shares.

    Two neighbours' weights sum to one. Where one of them is missing, or the lattice ends, `blended` divides by what is there.
    """
    overlap = 2 * tiling.halo
    rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2 if overlap else np.zeros(0)
    return np.concatenate([rise, np.ones(tiling.tile - 2 * overlap), rise[::-1]]).astype(np.float32)


def _places(scene: Scene, unit: Unit, tiling: Tiling, seen: Bool[np.ndarray, "h w"]) -> Iterator[tuple[int, int, Place]]:
    """Yield the tiles that have a part in the unit, row by row of the lattice, but for those over none of its seen cells."""
    grid = scene.grid
    for row in tiling.over(grid.height, unit.row, unit.row + unit.height).tolist():
        for col in tiling.over(grid.width, unit.col, unit.col + unit.width).tolist():
            within, _ = _common(row, col, tiling.tile, unit)
            if seen[within].any() and (place := scene.read(row, col, tiling.tile)) is not None:
                yield row, col, place


def _common(row: int, col: int, tile: int, unit: Unit) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the cells that a tile and a unit share, as slices of the unit and of the tile."""
    top, bottom = max(row, unit.row), min(row + tile, unit.row + unit.height)
    left, right = max(col, unit.col), min(col + tile, unit.col + unit.width)
    return (
        (slice(top - unit.row, bottom - unit.row), slice(left - unit.col, right - unit.col)),
        (slice(top - row, bottom - row), slice(left - col, right - col)),
    )
