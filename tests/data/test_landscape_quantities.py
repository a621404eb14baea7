"""Numbers of the landscape's plants: truths of the state, in their units, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.landscape.climate import DOY
from omnifuse.data.landscape.covers import COVERS
from omnifuse.data.landscape.quantities import QUANTITIES
from omnifuse.data.pictures.showing import quantity_images, show
from omnifuse.data.place import labels_of
from omnifuse.data.targets import AverageConfig, MergeConfig, SharesConfig, label_statistics, retargeted
from omnifuse.errors import InputError

CONFIG = LandscapeConfig(places=10, size=16)
PLAIN, MEASURED = Landscape(CONFIG), Landscape(replace(CONFIG, target="quantities"))
NAMES = [cover.name for cover in COVERS]


def test_images_do_not_know_what_is_asked():
    for index in (0, 3):
        plain, measured = PLAIN[index], MEASURED[index]
        for name, series in plain.series.items():
            np.testing.assert_array_equal(series.pixels, measured.series[name].pixels)
    assert labels_of(PLAIN) == PLAIN.classes and labels_of(MEASURED) == QUANTITIES
    assert PLAIN[0].target.dtype == np.uint8 and PLAIN[0].target.shape == (16, 16)


def test_every_pixel_has_the_numbers_of_its_largest_component():
    for index in range(10):
        parcels = MEASURED.parcels(index)
        state = MEASURED.state(index, parcels)
        target = MEASURED.read(index, ()).target
        for row, column in ((0, 0), (3, 11), (15, 7), (8, 8)):
            component = max(range(len(parcels.cover)), key=lambda one: parcels.count[one, 16 * row + column])
            name = NAMES[parcels.cover[component]]
            days = {int(day): state.green[component, i] for i, day in enumerate(DOY) if day >= 1}
            assert max(days) == len(days) == 328  # 24 November
            expected = (max(days, key=lambda day: days[day]), max(days.values()), sum(days.values()))
            found = target[:, row, column]
            if name in {"built", "water", "road"}:
                assert np.isnan(found).all()
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_crops_peak_in_their_season():
    peaks: dict[str, list[float]] = {}
    for index in range(len(MEASURED)):
        parcels = MEASURED.parcels(index)
        cover = parcels.cover[parcels.count.argmax(0)]
        day = MEASURED.read(index, ()).target[0].ravel()
        for name in ("winter wheat", "corn", "meadow"):
            peaks.setdefault(name, []).extend(day[cover == NAMES.index(name)].tolist())
    assert 100 < np.median(peaks["winter wheat"]) < 165 < 195 < np.median(peaks["corn"]) < 250


def test_the_stated_statistics_are_those_of_the_labels():
    found = label_statistics(Landscape(LandscapeConfig(places=60, size=16, target="quantities")), np.arange(60))
    for stated, measured, spread in zip(QUANTITIES.mean, found.mean, QUANTITIES.std, strict=True):
        assert abs(stated - measured) < 0.25 * spread
    np.testing.assert_allclose(found.std, QUANTITIES.std, rtol=0.25)


def test_a_place_has_means_and_shares():
    target = MEASURED.read(1, ()).target
    np.testing.assert_allclose(retargeted(MEASURED, [AverageConfig()]).read(1, ()).target, np.nanmean(target, (1, 2)), rtol=1e-5)
    crops = PLAIN.classes.names[1:-1] if PLAIN.classes.names[-1] == "void" else PLAIN.classes.names[1:]
    farmed = retargeted(PLAIN, [MergeConfig(groups={"background": ("background",), "farmed": crops}), SharesConfig(classes=("farmed",))])
    labels = PLAIN.read(1, ()).target
    known = labels[labels != PLAIN.classes.ignore]
    assert farmed.read(1, ()).target == pytest.approx([(known > 0).mean()])


def test_sensors_that_are_not_asked_for_are_not_rendered(monkeypatch):
    from omnifuse.data.landscape import source

    monkeypatch.setattr(source.radar, "render", lambda *_: pytest.fail("rendered"))
    assert list(MEASURED.read(0, ("s2", "dem")).series) == ["s2", "dem"]
    with pytest.raises(InputError, match="s3"):
        MEASURED.read(0, ("s3",))


def test_quantities_are_drawn_as_images_of_their_own():
    target = MEASURED.read(2, ()).target
    images, modalities = quantity_images(target, QUANTITIES, MEASURED.size)
    assert list(images) == [f"label {name}" for name in QUANTITIES.names] == list(modalities)
    for values, series in zip(target, images.values(), strict=True):
        known = np.isfinite(values)
        np.testing.assert_array_equal(series.pixels[0, 0][known], values[known])
        assert series.pixels[0, 0][~known].tolist() == [np.nanmin(values)] * int((~known).sum())
    assert show(MEASURED, 2, 2).png.startswith(b"\x89PNG")
    assert show(retargeted(MEASURED, [AverageConfig()]), 2, 2).png.startswith(b"\x89PNG")
