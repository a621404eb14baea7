"""Gaps take the nearest pixel."""

import numpy as np

from omnifuse.data.filling import filled


def test_gaps_take_the_nearest_pixel_of_their_row():
    values = np.array([[9, 1, 9, 9, 9, 5, 9]])
    missing = values == 9
    assert filled(values, missing).tolist() == [[1, 1, 1, 1, 5, 5, 5]]  # the western of two at equal distance


def test_rows_without_any_take_the_nearest_row():
    values = np.array([[9, 9], [1, 9], [9, 9], [9, 9], [9, 9], [9, 5]])
    assert filled(values, values == 9).tolist() == [[1, 1], [1, 1], [1, 1], [1, 1], [5, 5], [5, 5]]


def test_nothing_else_changes():
    rng = np.random.default_rng(0)
    values, missing = rng.integers(0, 100, (12, 15)), rng.random((12, 15)) < 0.6
    found = filled(values, missing)
    assert (found[~missing] == values[~missing]).all()
    assert filled(values, np.zeros((12, 15), bool)) is values
    for row, col in np.argwhere(missing):  # against looking for it
        there = [(abs(c - col), c) for c in range(15) if not missing[row, c]]
        if there:
            assert found[row, col] == values[row, min(there)[1]]
