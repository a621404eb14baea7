"""Tiles on one lattice: every cell is the mean of what covers it, whatever the units are."""

import numpy as np
import pytest
from area_scenes import MemoryScene, own_values
from hypothesis import given, settings
from hypothesis import strategies as st

from omnifuse.errors import ConfigError
from omnifuse.inference.blend import blended, fading
from omnifuse.inference.executors import run_units
from omnifuse.inference.plan import Tiling, Unit, WorkFolder, units_of


@settings(max_examples=60, deadline=None)
@given(cells=st.integers(1, 700), align=st.sampled_from([1, 2, 8]), times=st.integers(1, 8), part=st.integers(0, 4))
def test_tiles_cover_a_side_and_start_on_coarse_cells(cells, align, times, part):
    tile = 4 * align * times
    tiling = Tiling(tile, part * align // 2 if (part * align) % 2 == 0 and 2 * part * align <= tile else 0, align)
    starts = tiling.starts(cells)
    assert (starts % align == 0).all() and (np.diff(starts) > 0).all() and (np.diff(starts) <= tiling.stride).all()
    assert starts[0] == 0 and cells <= starts[-1] + tile and (starts[-1] + tile < cells + max(align, tile) and starts[-1] < cells)


@pytest.mark.parametrize("halo", [0, 1, 4, 8])
def test_weights_of_neighbors_sum_to_one(halo):
    tiling = Tiling(32, halo)
    total = np.zeros(32 + 5 * tiling.stride)
    for start in range(0, len(total) - 31, tiling.stride):
        total[start : start + 32] += fading(tiling)
    inner = total[2 * halo : len(total) - 2 * halo]
    np.testing.assert_allclose(inner, 1, atol=1e-6)


def test_a_value_of_each_cell_alone_comes_out_as_it_went_in():
    scene, tiling = MemoryScene(50, 70, hole=(10, 20, 8, 5)), Tiling.of(16, 8)
    values, seen = blended(scene, own_values, Unit(0, 0, 50, 70), tiling)
    whole = own_values([scene.read(0, 0, 70)])[0][:, :50]
    np.testing.assert_allclose(values[:, seen], whole[:, seen], rtol=1e-6)
    assert (values[:, ~seen] == 0).all() and (seen == scene.valid(0, 0, 50, 70)).all()


@pytest.mark.parametrize("side", [1000, 32, 25, 7])
def test_no_bit_depends_on_the_units(side):
    def mixing(places):  # a cell depends on where in its tile it lies, so that seams would be seen
        found = own_values(places)
        return found * np.linspace(1, 2, found.shape[-1], dtype=np.float32)

    scene, tiling = MemoryScene(50, 70, hole=(30, 0, 20, 40)), Tiling.of(16, 8)
    whole, _ = blended(scene, mixing, Unit(0, 0, 50, 70), tiling)
    parts = np.zeros_like(whole)
    for unit in units_of(50, 70, side):
        found = blended(scene, mixing, unit, tiling)
        if found is not None:
            parts[:, unit.row : unit.row + unit.height, unit.col : unit.col + unit.width] = found[0]
    np.testing.assert_array_equal(parts, whole)


def test_units_cover_the_area_once():
    count = np.zeros((50, 70), int)
    for unit in units_of(50, 70, 32):
        count[unit.row : unit.row + unit.height, unit.col : unit.col + unit.width] += 1
    assert (count == 1).all() and len({unit.name for unit in units_of(50, 70, 32)}) == 6


@pytest.mark.parametrize("arguments", [(0, 0), (16, 5), (12, 0, 8), (32, 2, 8), (16, -1)])
def test_impossible_lattices_are_refused_with_a_remedy(arguments):
    with pytest.raises(ConfigError, match="Try: "):
        Tiling(*arguments)


def test_ground_that_nobody_saw_is_not_read():
    class Blind(MemoryScene):
        def read(self, row, col, cells):
            raise AssertionError("read")

    assert blended(Blind(50, 70, hole=(0, 0, 50, 70)), own_values, Unit(0, 0, 50, 70), Tiling(16, 2)) is None


def test_a_unit_whose_job_failed_is_not_done(tmp_path):
    def job(unit):
        if unit.row:
            raise RuntimeError("no")

    units = units_of(4, 2, 2)
    with WorkFolder(tmp_path / "work", {}) as work:
        with pytest.raises(RuntimeError):
            run_units(units, job, "local", work)
        assert work.left(units) == units[1:]
        run_units(units, lambda unit: None, "local", work)
        assert not work.left(units)
