"""The land-cover prior of the landscape: coarse, wrong in the stated share of cells, and silent on crops."""

from dataclasses import replace

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.landscape.config import PRIORS, SENSORS
from omnifuse.data.landscape.covers import COVERS, CROPS
from omnifuse.data.landscape.landcover import CLASS_OF, CLASSES, WRONG
from omnifuse.data.place import Place
from omnifuse.errors import ConfigError

SMALL = LandscapeConfig(places=40, size=32, hr=2, sensors=PRIORS)


def same(a: Place, b: Place, name: str) -> bool:
    return a.series[name].pixels.tobytes() == b.series[name].pixels.tobytes() and np.array_equal(a.series[name].day, b.series[name].day)


def test_it_changes_no_other_sensor_and_has_the_same_bytes_alone():
    config = replace(SMALL, places=2, size=16)
    plain, more, alone = (Landscape(replace(config, sensors=names))[1] for names in (SENSORS, (*SENSORS, *PRIORS), PRIORS))
    assert all(same(plain, more, name) for name in SENSORS)
    assert same(more, alone, "landcover")
    assert not same(alone, Landscape(replace(config, sensors=PRIORS, seed=1))[1], "landcover")
    assert LandscapeConfig().sensors == SENSORS


def test_it_shows_one_class_per_cell_and_is_wrong_in_the_stated_share():
    source, right, cells = Landscape(SMALL), 0, 0
    for index in range(len(source)):
        place, parcels = source[index], source.parcels(index)
        place.check(source.modalities, "test")
        shown = place.series["landcover"].pixels[0]
        assert shown.shape == (7, 4, 4) and shown.dtype == np.uint8 and (shown.sum(0) == 1).all()
        kind = CLASS_OF[parcels.cover][parcels.component].reshape(4, 16, 4, 16).swapaxes(1, 2).reshape(4, 4, 256)
        for row, column in np.ndindex(4, 4):
            counts = np.bincount(kind[row, column], minlength=7)
            right += int(counts[shown[:, row, column].argmax()] == counts.max())
            cells += 1
    assert abs(1 - right / cells - WRONG) < 3 * np.sqrt(WRONG * (1 - WRONG) / cells)


def test_it_knows_no_annual_crop():
    arable = {cover.name for cover, number in zip(COVERS, CLASS_OF, strict=True) if CLASSES[number] == "arable"}
    assert {"winter wheat", "corn", "beet", "rice", "sunflower"} < arable < {crop.name for crop in CROPS}
    assert set(CLASS_OF) == set(range(len(CLASSES)))
    assert Landscape(SMALL).modalities["landcover"].bands == CLASSES


def test_a_place_must_be_whole_cells():
    with pytest.raises(ConfigError, match=r"`size` is 12, land cover has cells of 8 pixels"):
        replace(SMALL, size=12)
    replace(SMALL, size=12, sensors=("s2",))
