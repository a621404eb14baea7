import pickle

import numpy as np
import pytest
from fake_pastis import ALL_NODATA, RADAR, SORTED, days, pixels, target

from omnifuse.data.loading import read_place
from omnifuse.data.place import PlaceSource, Series
from omnifuse.data.sources.pastis import Pastis
from omnifuse.data.sources.pastis_layout import CLASSES
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError

NATIVE = {"s2": "S2", "s1_asc": "S1A", "s1_desc": "S1D"}


def test_every_sensor_is_what_its_file_holds_on_true_dates(pastis):
    source = Pastis(pastis, RADAR)
    assert isinstance(source, PlaceSource)
    assert source.size == 1280.0
    assert [info["id"] for info in source.info] == ["10000", "10001", "20000", "30000", "40000"]  # as numbers, not as in the file
    for index, patch in enumerate(SORTED):
        place = source[index]
        place.check(source.modalities, "test")
        for name, native in NATIVE.items():
            kept = np.arange(patch.frames[native]) != (ALL_NODATA[1] if (name, patch.number) == ("s2", ALL_NODATA[0]) else -1)
            seen = place.series[name]
            assert seen.pixels.dtype == (np.int16 if name == "s2" else np.float16)
            assert np.array_equal(seen.pixels, pixels(patch, native)[kept])
            assert np.array_equal(seen.day, days(patch, native)[kept])
            assert len(seen.day) != len(place.series["s2"].day) or name == "s2"  # sensors have their own dates


def test_labels_are_the_first_channel_and_only_void_is_ignored(pastis):
    source = Pastis(pastis)
    assert source.classes == CLASSES
    assert (len(CLASSES.names), CLASSES.ignore, CLASSES.names[0], CLASSES.names[19]) == (20, 19, "background", "void")
    # Matplotlib's tab20 as published, with 0 black and 19 white
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    assert CLASSES.colors == ("#000000", *(to_hex(colormaps["tab20"](i)) for i in range(1, 19)), "#ffffff")
    for index, patch in enumerate(SORTED):
        place = read_place(source, index)
        assert place.target.shape == (128, 128)
        assert place.target.dtype == np.uint8
        assert np.array_equal(place.target, target(patch)[0])
        assert {0, 19} < set(np.unique(place.target).tolist())


def test_a_frame_without_data_is_left_out_and_gaps_and_negative_values_stay(pastis):
    source = Pastis(pastis)
    emptied, gappy = source[2].series["s2"], source[0].series["s2"]
    assert len(emptied.day) == 10
    assert days(SORTED[2], "S2")[ALL_NODATA[1]] not in emptied.day
    assert (gappy.pixels[6, :, :10] == -10_000).all() and (gappy.pixels[6, :, 10:] > -10_000).all()
    assert gappy.pixels[0, 3, 5, 7] == -450
    assert "-10000 are left out" in source.provenance["no data"]


def test_reading_is_deterministic_and_survives_pickling(pastis):
    one = Pastis(pastis, RADAR)
    other = pickle.loads(pickle.dumps(one))  # noqa: S301 our own bytes
    assert len(pickle.dumps(one)) < 60_000  # no pixels
    for index in (4, 0, 2):
        a, b = one[index], other[index]
        assert a.info == b.info and np.array_equal(a.target, b.target)
        for name in RADAR:
            assert np.array_equal(a.series[name].pixels, b.series[name].pixels)
            assert np.array_equal(a.series[name].day, b.series[name].day)


def test_a_store_holds_the_same_places(pastis, tmp_path):
    pytest.importorskip("rasterio")
    source = Pastis(pastis, (*RADAR, "spot"))
    write_store(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.classes == source.classes and store.size == source.size and store.modalities == source.modalities
    assert store.info == source.info
    assert store.provenance.items() >= source.provenance.items()
    for index in range(len(source)):
        a, b = source[index], store[index]
        assert np.array_equal(a.target, b.target)
        for name in source.modalities:
            there = a.series.get(name, Series(np.zeros((0, 1, 1, 1)), np.zeros(0, np.int32)))
            found = b.series.get(name, there)
            assert np.array_equal(there.day, found.day)
            if len(there.day):
                assert np.array_equal(there.pixels, found.pixels) and there.pixels.dtype == found.pixels.dtype


def test_published_statistics_are_those_of_the_folds_that_were_asked_for(pastis):
    source = Pastis(pastis, ("s2", "s1_asc"))
    mean, std = source.published_statistics()["s2"]
    assert mean == pytest.approx([200.0 + b for b in range(10)])  # folds 1, 2, 3: training, whatever is evaluated
    assert std == pytest.approx([20.0 + b for b in range(10)])
    assert source.published_statistics((5,))["s1_asc"][0] == pytest.approx((500.0, 501.0, 502.0))
    assert source.modalities["s2"].mean[0] == 1165.94  # the catalogue's stay
    with pytest.raises(ConfigError, match="folds"):
        source.published_statistics((0,))


@pytest.mark.parametrize("sensors", [(), ("s2", "s2"), ("S2",), ("s2", "aerial")])
def test_sensors_that_are_not_there_are_refused(small_pastis, sensors):
    with pytest.raises(ConfigError, match="PASTIS: sensors"):
        Pastis(small_pastis, sensors)
