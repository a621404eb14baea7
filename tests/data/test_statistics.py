import numpy as np
import pytest
from fake_source import MODALITIES, FakeSource

from omnifuse.data.sensors import SensorView
from omnifuse.data.statistics import Moments, band_statistics, with_statistics
from omnifuse.data.store import Store, write_store
from omnifuse.data.subset import Subset
from omnifuse.errors import InputError


def test_statistics_equal_those_of_all_pixels_at_once():
    source, indices = FakeSource(), np.array([0, 1, 4, 6])
    found = band_statistics(source, indices, workers=0)
    for name in MODALITIES:
        pixels = np.concatenate([source[i].series[name].pixels.astype(np.float64) for i in indices])
        np.testing.assert_allclose(found[name], (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))), rtol=1e-12)


def test_a_store_knows_the_statistics_of_any_places_without_reading_them(tmp_path, monkeypatch):
    source, indices = FakeSource(), np.array([6, 0, 1, 4])
    write_store(source, tmp_path / "s.zarr")
    store = Store(tmp_path / "s.zarr")
    expected = band_statistics(source, indices)
    monkeypatch.setattr(Store, "__getitem__", lambda *_: pytest.fail("read a place"))
    views = {
        "store": (store, indices),
        "subset": (Subset(store, indices), np.arange(4)),
        "sensors": (SensorView(Subset(store, np.arange(7)[::-1]), tuple(MODALITIES)), 6 - indices),
    }
    for name, (view, places) in views.items():
        found = band_statistics(view, places)
        assert found.keys() == expected.keys(), name
        for sensor in expected:
            np.testing.assert_allclose(found[sensor], expected[sensor], rtol=1e-12)
    assert "radar" not in band_statistics(store, np.array([1, 4]))


def test_views_of_a_source_that_knows_nothing_are_read():
    view = SensorView(Subset(FakeSource(), np.array([4, 2, 0])), ("optical",))
    assert view.moments("optical") is None
    assert band_statistics(view, np.arange(3)) == {"optical": band_statistics(FakeSource(), np.array([4, 2, 0]))["optical"]}


def test_merging_survives_a_mean_far_from_zero():
    rng = np.random.default_rng(0)
    parts = [rng.normal(1e8, 1.0, (n, 1, 4, 4)) for n in (1, 50, 7)]
    first, *rest = [Moments.of(part) for part in parts]
    for part in rest:
        first = first.merge(part)
    std = np.sqrt(first.deviation / first.count)
    np.testing.assert_allclose(std, np.concatenate(parts).std(), rtol=1e-6)


def test_modalities_take_the_statistics_and_missing_sensors_keep_theirs():
    found = with_statistics(MODALITIES, {"radar": ((1.0, 2.0), (3.0, 0.0))})
    assert found["radar"].mean == (1.0, 2.0)
    assert found["radar"].std == (3.0, 1.0)
    assert found["optical"] == MODALITIES["optical"]
    with pytest.raises(InputError, match="nosuch"):
        with_statistics(MODALITIES, {"nosuch": ((1.0,), (1.0,))})


def test_a_sensor_missing_everywhere_has_no_statistics():
    assert "radar" not in band_statistics(FakeSource(), np.array([1, 4]))
