"""Stacked sensors: every value is what a slow loop over dates and pixels gives, and everything else is forwarded."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from fake_source import FakeSource

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import Counted, PlaceSource, Recorded, Selective, Series, frames_of, read_sensors
from omnifuse.data.sensors import SensorView
from omnifuse.data.stacked import Stack, Stacked, at_dates, covariates, on_grid
from omnifuse.data.statistics import band_statistics
from omnifuse.data.subset import Subset
from omnifuse.errors import ConfigError, InputError

LANDSCAPE = Landscape(LandscapeConfig(places=4, size=16, hr=2, sensors=("s2", "s1_asc", "dem", "climate")))


class Sparse:
    """The landscape, in which some places lack a sensor; counts what is read."""

    def __init__(self) -> None:
        self.__dict__.update({name: getattr(LANDSCAPE, name) for name in ("modalities", "classes", "size", "info", "provenance")})
        self.how_split = {"fold": {"seed": 3}}
        self.asked: list[tuple[str, ...]] = []

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int):
        place = LANDSCAPE[index]
        gone = {1: "s1_asc", 2: "s2"}.get(index)
        series = {
            name: Series(one.pixels[:0], one.day[:0]) if name == gone and index == 1 else one
            for name, one in place.series.items()
            if name != gone or index == 1
        }
        return replace(place, series=series)

    def read(self, index: int, sensors):
        self.asked.append(tuple(sensors))
        return self[index].only(tuple(sensors))

    def num_frames(self):
        return {
            name: np.array([len(self[i].series[name].day) if name in self[i].series else 0 for i in range(4)]) for name in self.modalities
        }


def test_every_value_is_that_of_a_slow_loop_over_dates_and_pixels():
    for index in range(2):
        place = LANDSCAPE[index]
        s2, s1 = place.series["s2"], place.series["s1_asc"]
        found = Stacked(LANDSCAPE, [Stack()])[index].series["s2_s1"]
        assert found.pixels.dtype == np.float32 and found.pixels.shape == (len(s2.day), 13, 16, 16)
        assert np.array_equal(found.day, s2.day)
        assert np.array_equal(found.pixels[:, :10], s2.pixels.astype(np.float32))
        for band in range(3):
            for y, x in ((0, 0), (3, 7), (15, 15)):
                expected = np.interp(s2.day, s1.day, s1.pixels[:, band, y, x].astype(np.float64))
                np.testing.assert_allclose(found.pixels[:, 10 + band, y, x], expected, rtol=1e-5, atol=1e-5)
        shared = np.intersect1d(s2.day, s1.day)
        assert len(shared)
        for day in shared:  # where there is an image of that day, it is that image, to the bit
            assert np.array_equal(found.pixels[s2.day == day][0, 10:], s1.pixels[s1.day == day][0].astype(np.float32))


def test_dates_beyond_the_ends_take_the_nearest_image_and_one_image_serves_all_dates():
    pixels = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    day = np.array([10, 20, 20], dtype=np.int32)
    found = at_dates(pixels, day, np.array([3, 10, 15, 20, 99], dtype=np.int32))
    np.testing.assert_allclose(found, np.stack([pixels[0], pixels[0], (pixels[0] + pixels[1]) / 2, pixels[2], pixels[2]]), rtol=1e-6)
    alone = at_dates(pixels[:1], day[:1], np.array([0, 10, 5000]))
    assert np.array_equal(alone, np.repeat(pixels[:1], 3, 0))


def test_pixels_of_another_size_are_averaged_or_interpolated_over_the_same_ground():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 1, 4, 4)).astype(np.uint8)
    np.testing.assert_allclose(on_grid(pixels, 2), pixels.reshape(2, 1, 2, 2, 2, 2).mean((3, 5)), rtol=1e-6)
    finer = on_grid(pixels, 8)
    assert finer[0, 0, 0, 0] == pixels[0, 0, 0, 0] and finer[1, 0, 7, 7] == pixels[1, 0, 3, 3]
    np.testing.assert_allclose(finer.mean(), pixels.mean(), rtol=0.05)
    assert np.array_equal(on_grid(pixels[..., :1, :1], 8), np.broadcast_to(pixels[..., :1, :1], (2, 1, 8, 8)))
    assert np.array_equal(on_grid(pixels, 4), pixels)


def test_covariates_are_further_bands_of_every_image():
    source = Stacked(LANDSCAPE, covariates(("dem", "climate"), ("s2", "s1_asc")))
    assert list(source.modalities) == ["s2", "s1_asc"]
    added = ("dem.elevation", "climate.temperature", "climate.amplitude", "climate.elevation", "climate.rain")
    modality = source.modalities["s2"]
    assert modality.bands == (*LANDSCAPE.modalities["s2"].bands, *added) and modality.units[-1] == "mm/year"
    assert modality.mean[10:] == (226.6, 11.83, 8.16, 221.65, 738.78) and modality.rgb == LANDSCAPE.modalities["s2"].rgb
    place, found = LANDSCAPE[0], source[0]
    for name in ("s2", "s1_asc"):
        pixels = found.series[name].pixels
        own = len(LANDSCAPE.modalities[name].bands)
        assert np.array_equal(pixels[:, own], np.broadcast_to(place.series["dem"].pixels[0, 0], pixels[:, own].shape))
        climate = place.series["climate"]
        expected = np.interp(found.series[name].day, climate.day, climate.pixels[:, 0, 0, 0])
        np.testing.assert_allclose(pixels[:, own + 1], np.broadcast_to(expected[:, None, None], pixels[:, own + 1].shape), rtol=1e-5)
    found.check(source.modalities, "test")


def test_a_place_that_lacks_a_part_lacks_the_stacked_sensor_and_counts_say_so():
    source = Stacked(Sparse(), [Stack()])
    assert (
        isinstance(source, PlaceSource) and isinstance(source, Counted) and isinstance(source, Selective) and isinstance(source, Recorded)
    )
    known = frames_of(source)
    assert known is not None and list(known) == list(source.modalities) == ["s2_s1", "dem", "climate"]
    for index in range(4):
        place = source[index]
        place.check(source.modalities, "test")
        assert {name: len(one.day) for name, one in place.series.items()} == {name: count[index] for name, count in known.items()}
    assert known["s2_s1"].tolist()[1:3] == [0, 0] and known["s2_s1"][0] > 30


def test_only_what_is_asked_for_is_read_and_the_rest_is_forwarded():
    sparse = Sparse()
    source = Stacked(sparse, [Stack()])
    assert list(read_sensors(source, 0, ("dem",)).series) == ["dem"]
    assert list(SensorView(source, ("s2_s1",))[3].series) == ["s2_s1"]
    assert sparse.asked == [("dem",), ("s2", "s1_asc")]
    assert source.info == LANDSCAPE.info and source.classes == LANDSCAPE.classes and source.how_split == {"fold": {"seed": 3}}
    assert source.provenance["stacked"] == "s1_asc onto s2" and source.provenance["licence"] == "Apache-2.0"
    assert np.array_equal(source[0].target, LANDSCAPE[0].target)
    batch = next(iter(evaluation_batches(Subset(source, np.array([0, 3])), np.arange(2), 2)))
    assert batch.frames["s2_s1"].pixels.shape[1] == 13
    mean, std = band_statistics(SensorView(source, ("s2_s1",)), np.arange(4))["s2_s1"]
    assert len(mean) == 13 and -15 < mean[10] < -8 and min(std) > 0
    again = pickle.loads(pickle.dumps(Stacked(LANDSCAPE, [Stack()])))  # noqa: S301
    assert np.array_equal(again[0].series["s2_s1"].pixels, Stacked(LANDSCAPE, [Stack()])[0].series["s2_s1"].pixels)


def test_what_cannot_be_stacked_is_said():
    with pytest.raises(ConfigError, match="onto 's2'"):
        Stack(series=("s2",))
    with pytest.raises(ConfigError, match="Try: one or more other sensors"):
        Stack(series=())
    with pytest.raises(InputError, match=r"unknown modality 's1_desc'.*`s1_asc`"):
        Stacked(LANDSCAPE, [Stack(series=("s1_desc",))])
    with pytest.raises(ConfigError, match="not all different"):
        Stacked(LANDSCAPE, [Stack(name="dem")])
    fake = FakeSource()  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match=r"'radar' has 20 m of surroundings and 'optical' 0 m"):
        Stacked(fake, [Stack(onto="optical", series=("radar",), name="both")])
    assert Stacked(fake, [Stack(onto="optical", series=("fine", "weather"), name="all")]).modalities["all"].bands[3] == "fine.B0"
