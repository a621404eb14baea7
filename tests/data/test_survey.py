import numpy as np
import pytest
from fake_source import MODALITIES, FakeSource

from omnifuse.data.facts import read_facts
from omnifuse.data.memory import InMemory
from omnifuse.data.statistics import band_statistics
from omnifuse.data.store import Store, write_store
from omnifuse.data.survey import survey


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    path = tmp_path_factory.mktemp("stores") / "s.zarr"
    write_store(FakeSource(), path)
    return Store(path)


def test_a_survey_counts_what_is_there(store):
    source = FakeSource()
    places = [source[i] for i in range(7)]
    found = survey(read_facts(store, range(7)), store.modalities, store.classes)
    assert (found.places, found.labelled, found.ignored) == (7, 7, 0.0)
    for name in MODALITIES:
        sensor, days = found.sensors[name], [place.series[name].day for place in places if len(place.series[name].day)]
        counts = [len(day) for day in days]
        dates = np.concatenate(days).astype("datetime64[D]")
        assert (sensor.places, sensor.missing, sensor.frames) == (len(days), 7 - len(days), sum(counts))
        assert (sensor.fewest, sensor.median, sensor.most) == (min(counts), np.median(counts), max(counts))
        assert (sensor.first, sensor.last) == (str(dates.min()), str(dates.max()))
        assert sensor.per_year == {year: int((dates.astype("datetime64[Y]").astype(str) == year).sum()) for year in sensor.per_year}
        assert sum(sensor.per_year.values()) == sensor.frames
        pixels = np.concatenate([place.series[name].pixels for place in places if len(place.series[name].day)]).astype(np.float64)
        np.testing.assert_allclose(sensor.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(sensor.std, pixels.std((0, 2, 3)), rtol=1e-12)
    labels = np.stack([place.target for place in places])
    assert [one.amount for one in found.classes] == [int((labels == k).sum()) for k in range(2)]
    assert [one.places for one in found.classes] == [7, 7]
    assert sum(one.share for one in found.classes) == pytest.approx(1)
    assert sum(found.present.values()) == 7
    assert found.present["optical+radar+fine+weather"] == 3  # places 0, 3 and 5


def test_a_store_knows_what_reading_its_places_tells(store, monkeypatch):
    read = survey(read_facts(FakeSource(), range(7), workers=2), MODALITIES, store.classes)
    monkeypatch.setattr(Store, "__getitem__", lambda *_: pytest.fail("a place was read"))
    known = survey(read_facts(store, range(7)), store.modalities, store.classes)
    assert known.present == read.present and known.classes == read.classes
    for name in MODALITIES:
        np.testing.assert_allclose(known.sensors[name].mean, read.sensors[name].mean, rtol=1e-12)
        np.testing.assert_allclose(known.sensors[name].std, read.sensors[name].std, rtol=1e-12)
    some = survey(read_facts(store, [0, 1, 4]), store.modalities, store.classes)
    for name, (mean, std) in band_statistics(store, np.array([0, 1, 4])).items():  # what a run normalises by
        np.testing.assert_allclose(some.statistics[name], (mean, std), rtol=1e-12)


def test_what_is_missing_everywhere_has_no_statistics():
    found = survey(read_facts(FakeSource(), [1, 4]), MODALITIES, None)
    assert found.sensors["radar"].places == 0 and found.sensors["radar"].first == ""
    assert "radar" not in found.statistics
    assert found.classes == ()


def test_ignored_pixels_and_places_without_labels_are_told_apart():
    class Sparse(FakeSource):
        def __getitem__(self, index):
            place = super().__getitem__(index)
            target = np.full((8, 8), 255, np.uint8)
            target[:2] = 1
            return place if index else type(place)(place.series, place.size, target, place.info)

    source = Sparse(2)
    places = [source[0], type(source[1])(source[1].series, 80.0, None, source[1].info)]
    found = survey(read_facts(InMemory(source, places), range(2)), MODALITIES, source.classes)
    assert (found.labelled, found.ignored) == (1, 0.75)
    assert [(one.name, one.amount, one.share, one.places) for one in found.classes] == [("field", 0, 0, 0), ("wood", 16, 1, 1)]
