import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig, climate, optical
from omnifuse.data.landscape.config import SENSORS
from omnifuse.data.landscape.covers import LABEL, VOID
from omnifuse.data.landscape.parcels import WHOLE
from omnifuse.data.place import Place
from omnifuse.errors import ConfigError, InputError
from omnifuse.randomness import numpy_generator

SMALL = LandscapeConfig(places=10, size=16, hr=4)


def sha(place: Place, names: tuple[str, ...] = SENSORS) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(place.series[name].pixels.tobytes() + place.series[name].day.tobytes())
    assert place.target is not None
    digest.update(place.target.tobytes())
    return digest.hexdigest()


def test_a_place_has_the_same_bytes_in_any_order():
    forward, backward = Landscape(SMALL), Landscape(SMALL)
    first = [sha(forward[i]) for i in range(4)]
    assert first == [sha(backward[i]) for i in (3, 2, 1, 0)][::-1]
    assert len(set(first)) == 4


def test_a_sensor_alone_has_the_bytes_it_has_among_others():
    whole = Landscape(SMALL)[2]
    for name in SENSORS:
        alone = Landscape(replace(SMALL, sensors=(name,)))[2]
        assert list(alone.series) == [name]
        assert sha(alone, (name,)) == sha(whole, (name,))
    assert np.array_equal(Landscape(replace(SMALL, sensors=()))[2].target, whole.target)


def test_a_fresh_process_makes_the_same_bytes():
    code = (
        "import sys; sys.path.insert(0, 'tests/data'); from test_landscape import SMALL, sha; "
        "from omnifuse.data.landscape import Landscape; print(sha(Landscape(SMALL)[1]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == sha(Landscape(SMALL)[1])


def test_the_bytes_of_a_place_do_not_depend_on_how_many_places_there_are():
    assert sha(Landscape(replace(SMALL, places=3))[2]) == sha(Landscape(SMALL)[2])


def test_another_seed_is_another_world():
    a, b = Landscape(SMALL)[0], Landscape(replace(SMALL, seed=1))[0]
    for name in SENSORS:
        assert sha(a, (name,)) != sha(b, (name,))
    assert not np.array_equal(a.target, b.target)


@pytest.mark.parametrize("hr", [2, 8])
def test_places_are_what_their_modalities_say(hr):
    source = Landscape(replace(SMALL, hr=hr))
    for index in range(5):
        place = source[index]
        place.check(source.modalities, "landscape")
        kinds = {name: series.pixels.dtype for name, series in place.series.items()}
        assert kinds == {"s2": np.int16, "s1_asc": np.float16, "spot": np.uint8, "dem": np.float32, "climate": np.float32}
        assert place.target.shape == (16, 16) and place.target.dtype == np.uint8 and place.target.max() <= 13
        assert place.info == source.info[index]
    assert place.series["spot"].pixels.shape == (1, 3, 16 * hr, 16 * hr)
    assert place.series["climate"].pixels.shape == (12, 4, 1, 1)
    batch = place.to_batch()
    assert batch.num_places == 1 and batch.size == 160


def test_values_have_their_units():
    clear = Landscape(replace(SMALL, clouds=0.0))
    for index in range(5):
        series = clear[index].series
        s2 = series["s2"].pixels
        assert s2.min() > -200 and 2000 < s2[:, 6].max() < 7000  # reflectance × 10,000
        assert np.median(s2[:, 0]) < 1200
        vv, vh, ratio = np.moveaxis(series["s1_asc"].pixels.astype(np.float32), 1, 0)
        assert -20 < np.median(vv) < -5 and 3 < np.median(ratio) < 10
        np.testing.assert_allclose(ratio, vv - vh, atol=0.016)
        assert series["dem"].pixels.min() >= 0 and series["dem"].pixels.max() < 2000
        month = series["climate"].pixels[:, 0, 0, 0]
        assert month[10] - month[4] > 8  # July is warmer than January
        for name, (low, high) in {"s2": (38, 61), "s1_asc": (60, 75), "climate": (12, 12), "dem": (1, 1), "spot": (1, 1)}.items():
            day = series[name].day
            assert low <= len(day) <= high
            assert day.min() >= 17775 and day.max() < 17775 + 450
        date = np.datetime64(int(series["spot"].day[0]), "D")
        assert np.datetime64("2019-05-20") <= date <= np.datetime64("2019-09-07")


def test_void_is_exactly_where_too_little_of_a_field_is_inside():
    source = Landscape(replace(SMALL, sensors=(), size=32))
    seen = 0
    for index in range(10):
        parcels, target = source.parcels(index), source[index].target
        largest = parcels.count.argmax(0).reshape(32, 32)
        void = (parcels.inside < WHOLE) & (LABEL[parcels.cover] > 0)
        assert np.array_equal(target == VOID, void[largest])
        np.testing.assert_array_equal(target[target != VOID], LABEL[parcels.cover][largest][target != VOID])
        seen += int((target == VOID).sum())
    assert 0 < seen < 0.25 * 10 * 32 * 32


def test_area_is_conserved():
    parcels = Landscape(replace(SMALL, size=32)).parcels(3)
    assert np.array_equal(parcels.count.sum(0), np.full(32 * 32, 16))
    number = int(parcels.count.sum(1).argmax())
    cells = (parcels.component == number).reshape(32, 4, 32, 4).sum((1, 3))
    assert np.array_equal(parcels.count[number].reshape(32, 32), cells)


def cloudiness(clouds: float) -> float:
    cloudy = []
    for index in range(25):
        site = climate.locate(LandscapeConfig(), index)
        days, fraction = optical.draw_dates(numpy_generator(0, "dates", index), site, clouds)
        cloud, shadow = optical.veil(numpy_generator(0, "sky", index), fraction, climate.DOY[days], 16)
        assert cloud.min() >= 0 and max(cloud.max(), shadow.max()) <= 1
        cloudy.append((cloud > 0.1).mean())
    return float(np.mean(cloudy))


def test_clouds_are_as_frequent_as_stated_and_scale():
    none, half, one, more = (cloudiness(clouds) for clouds in (0, 0.5, 1.0, 1.5))
    assert none == 0
    assert 0.32 < one < 0.48
    assert half < 0.75 * one and more > 1.1 * one


def test_radar_sees_through_clouds_and_labels_do_not_know_of_them():
    clear, cloudy = (Landscape(replace(SMALL, clouds=clouds))[1] for clouds in (0.0, 1.5))
    assert sha(clear, ("s1_asc", "spot", "dem")) == sha(cloudy, ("s1_asc", "spot", "dem"))
    assert sha(clear, ("s2",)) != sha(cloudy, ("s2",))


def test_speckle_has_the_stated_number_of_looks():
    from omnifuse.data.landscape.radar import speckle

    for looks in (1.0, 4.0):
        sample = speckle(np.random.default_rng(0), (20, 1, 64, 64), looks)
        assert abs(sample.mean() - 1) < 0.01
        assert abs(1 / sample.var() - looks) < 0.06 * looks
        neighbors = np.corrcoef(sample[..., 1:].ravel(), sample[..., :-1].ravel())[0, 1]
        assert 0.3 < neighbors < 0.7


def test_every_class_and_every_fold_occurs_in_every_region():
    source = Landscape(LandscapeConfig(places=200, size=16, hr=2, sensors=()))
    regions = {str(info["region"]) for info in source.info}
    assert len(regions) == 5
    for region in regions:
        assert {info["fold"] for info in source.info if info["region"] == region} == {1, 2, 3, 4, 5}
    seen = np.unique(np.concatenate([source.parcels(index).target().ravel() for index in range(200)]))
    assert set(seen) >= set(range(13))


def test_places_of_one_climate_cell_share_fold_and_climate():
    source = Landscape(LandscapeConfig(places=400, size=16, hr=2, sensors=("climate",)))
    cells: dict[str, list[int]] = {}
    for index, info in enumerate(source.info):
        cells.setdefault(str(info["climate_cell"]), []).append(index)
    shared = next(members for members in cells.values() if len(members) > 1)
    assert len({source.info[i]["fold"] for i in shared}) == 1
    assert len({sha(source[i].only(("climate",)), ("climate",)) for i in shared}) <= len(shared)
    assert all(np.array_equal(source[i].series["climate"].pixels, source[shared[0]].series["climate"].pixels) for i in shared)


def test_spring_comes_later_to_cold_places():
    warm, cold = (climate.locate(LandscapeConfig(regions=(region,)), 0) for region in ("mediterranean", "continental"))
    april = 121 + 105
    assert climate.calendar(warm)[april] > climate.calendar(cold)[april] + 5
    reference = replace(warm, temperature=12.0, amplitude=8.0, rise=0.0)
    np.testing.assert_allclose(climate.calendar(reference), climate.DOY, atol=1e-9)


def test_mixing_is_exact():
    parcels = Landscape(replace(SMALL, hr=16)).parcels(0)
    value = np.random.default_rng(0).integers(0, 2**16, (3, len(parcels.cover))).astype(np.float64)
    exact = (value.astype(np.int64) @ parcels.count.astype(np.int64)).reshape(3, 16, 16)
    assert np.array_equal(parcels.mix(value).astype(np.float64) * 256, exact.astype(np.float64))


def test_it_travels_to_a_worker_and_refuses_what_it_cannot_do():
    source = Landscape(SMALL)
    assert sha(pickle.loads(pickle.dumps(source))[0]) == sha(source[0])  # noqa: S301
    with pytest.raises(IndexError):
        source[10]
    with pytest.raises(InputError, match="s2"):
        LandscapeConfig(sensors=("s3",))
    with pytest.raises(ConfigError, match="atlantis"):
        LandscapeConfig(regions=("atlantis",))
    with pytest.raises(ConfigError, match="hr"):
        LandscapeConfig(hr=0)
    named = Landscape(replace(SMALL, regions=("southwest", 0)))
    assert [info["region"] for info in named.info[:3]] == ["southwest", "oceanic", "southwest"]
