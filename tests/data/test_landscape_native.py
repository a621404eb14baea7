import json
from dataclasses import replace

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.landscape.annotations import heatmap, instances, parcel_index, zones
from omnifuse.data.landscape.covers import CLASSES, LABEL
from omnifuse.data.landscape.native import TO_PASTIS, write_pastis
from omnifuse.data.landscape.preview import preview
from omnifuse.data.place import Place
from omnifuse.data.sources.pastis import Pastis
from omnifuse.errors import InputError

SENSORS = ("s2", "s1_asc", "spot")


def small(**fields) -> Landscape:
    return Landscape(LandscapeConfig(**{"places": 6, "size": 16, "hr": 10, "sensors": SENSORS, **fields}))


class BothOrbits(Landscape):
    """A landscape whose descending orbit sees what the ascending one saw, three days later."""

    def __init__(self, config: LandscapeConfig) -> None:
        super().__init__(config)
        self.modalities["s1_desc"] = replace(self.modalities["s1_asc"], name="s1_desc")

    def __getitem__(self, index: int) -> Place:
        place = super().__getitem__(index)
        seen = place.series["s1_asc"]
        return replace(place, series={**place.series, "s1_desc": replace(seen, day=seen.day + 3)})


def test_native_files_read_back_equal(tmp_path):
    source = small()
    ids = write_pastis(source, tmp_path)
    table = json.loads((tmp_path / "metadata.geojson").read_text(encoding="utf-8"))
    for index, (number, feature) in enumerate(zip(ids, table["features"], strict=True)):
        place = source[index]
        target = np.load(tmp_path / "ANNOTATIONS" / f"TARGET_{number}.npy")
        assert target.dtype == np.uint8 and np.array_equal(target[0], TO_PASTIS[place.target])
        for name, native in (("s2", "S2"), ("s1_asc", "S1A")):
            values = np.load(tmp_path / f"DATA_{native}" / f"{native}_{number}.npy")
            assert values.dtype == place.series[name].pixels.dtype and np.array_equal(values, place.series[name].pixels)
            dates = feature["properties"][f"dates-{native}"]
            read = [np.datetime64(f"{str(d)[:4]}-{str(d)[4:6]}-{str(d)[6:]}", "D").astype(int) for d in dates.values()]
            assert list(dates) == [str(i) for i in range(len(values))] and np.array_equal(read, place.series[name].day)
        assert feature["properties"]["Fold"] == place.info["fold"] and feature["id"] == str(number)
    norm = json.loads((tmp_path / "NORM_S2_patch.json").read_text(encoding="utf-8"))
    assert norm["Fold_2"]["mean"] == pytest.approx(source[5].series["s2"].pixels.mean((0, 2, 3)).tolist())
    assert len(set(TO_PASTIS.tolist())) == 14  # labels can be told apart again


def test_the_pastis_reader_gives_the_landscape_back(tmp_path):
    pytest.importorskip("rasterio")
    source = BothOrbits(LandscapeConfig(places=6, size=16, hr=8, sensors=SENSORS))
    sensors = (*SENSORS, "s1_desc")
    ids = write_pastis(source, tmp_path, sensors)
    read = Pastis(tmp_path, sensors)
    assert (read.size, read.classes) == (source.size, source.classes)
    assert read.modalities == {name: source.modalities[name] for name in sensors}
    assert read.provenance.items() >= source.provenance.items()
    for index, number in enumerate(sorted(ids)):
        there, here = source[ids.index(number)], read[index]
        assert here.info["id"] == str(number) and here.info["fold"] == there.info["fold"]
        assert (here.info["longitude"], here.info["latitude"]) == pytest.approx(
            (there.info["longitude"], there.info["latitude"]), abs=1.1e-4
        )
        assert here.info["left"] % 10 == here.info["top"] % 10 == 0
        assert np.array_equal(here.target, there.target)
        for name in sensors:
            assert np.array_equal(here.series[name].pixels, there.series[name].pixels)
            assert np.array_equal(here.series[name].day, there.series[name].day)
    assert list(read.problems()) == []


def test_a_sensor_that_the_landscape_has_not_is_left_out_when_it_is_read_as_pastis_hd(tmp_path):
    write_pastis(small(places=1, sensors=("s2",)), tmp_path, ("s2",))
    read = Pastis(tmp_path, ("s2", "s1_asc", "s1_desc", "spot"))
    assert list(read.modalities) == list(read[0].series) == ["s2"] and read.provenance["sensors"] == "s2"
    with pytest.raises(InputError, match=r"about\.json: the folder has s2 only"):
        Pastis(tmp_path, ("spot",))


def test_native_image_reads_back_equal(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    source = small(places=1, sensors=("spot",))
    (number,) = write_pastis(source, tmp_path, ("spot",))
    name = "SPOT6_RVB_1M00_2019"
    with rasterio.open(tmp_path / "DATA_SPOT" / f"PASTIS_{name}" / f"{name}_{number}.tif") as file:
        assert np.array_equal(file.read(), source[0].series["spot"].pixels[0])
        assert file.res == (1.0, 1.0)
        info = Pastis(tmp_path, ("spot",)).info[0]
        assert (file.crs, file.bounds.left, file.bounds.top) == (info["crs"], info["left"], info["top"])


def test_annotations_have_the_types_and_relations_of_the_published_ones(tmp_path):
    source = small(size=64, places=2, sensors=("s2",))
    for index, number in enumerate(write_pastis(source, tmp_path, ("s2",))):
        target = np.load(tmp_path / "ANNOTATIONS" / f"TARGET_{number}.npy")
        parcel, instance, heat, zone = (
            np.load(tmp_path / f"{name}_{number}.npy")
            for name in (
                "ANNOTATIONS/ParcelIDs",
                "INSTANCE_ANNOTATIONS/INSTANCES",
                "INSTANCE_ANNOTATIONS/HEATMAP",
                "INSTANCE_ANNOTATIONS/ZONES",
            )
        )
        assert (target.dtype, instance.dtype, heat.dtype) == (np.uint8, np.int64, np.float32)
        assert {values.shape for values in (target[0], parcel, instance, heat, zone)} == {(64, 64)}
        assert np.array_equal(instance > 0, target[0] > 0)  # void has instances, background has none
        assert 19 in target[0] and np.unique(instance).tolist() == list(range(instance.max() + 1))
        for one in range(1, instance.max() + 1):
            assert len(set(target[0][instance == one])) == len(set(parcel[instance == one])) == 1
        assert np.array_equal(zone[instance > 0], instance[instance > 0]) and zone.min() > 0
        assert heat.min() >= 0 and heat.max() == 1 and (heat == 1).sum() <= instance.max()
        properties = json.loads((tmp_path / "metadata.geojson").read_text(encoding="utf-8"))["features"][index]["properties"]
        assert properties["N_Parcel"] == instance.max() and properties["Parcel_Cover"] == (instance > 0).mean()


def test_a_parcel_is_a_component_of_the_landscape():
    source = small(size=64)
    parcels = source.parcels(0)
    index, target = parcel_index(parcels), parcels.target()
    assert np.array_equal(index > 0, target > 0)
    for one in np.unique(index[index > 0]):
        assert set(target[index == one]) <= {LABEL[parcels.cover[one - 1]], CLASSES.ignore}


def test_instances_are_numbered_without_gaps_where_there_is_no_background_too():
    parcel = np.array([[7, 7], [3, 9]])
    assert instances(parcel, np.ones((2, 2), np.uint8)).tolist() == [[2, 2], [1, 3]]
    assert instances(parcel, np.array([[1, 1], [0, 4]], np.uint8)).tolist() == [[1, 1], [0, 2]]
    assert instances(parcel, np.zeros((2, 2), np.uint8)).tolist() == [[0, 0], [0, 0]]


def test_zones_are_the_nearest_instance_as_found_by_looking_at_every_pixel():
    rng = np.random.default_rng(0)
    for _ in range(5):
        instance = np.where(rng.random((13, 17)) < 0.04, rng.integers(1, 9, (13, 17)), 0)
        found, seeds = zones(instance), np.argwhere(instance > 0)
        for (row, column), value in np.ndenumerate(found):
            distance = ((seeds - (row, column)) ** 2).sum(1)
            assert value in instance[tuple(seeds[distance == distance.min()].T)]
    assert not zones(np.zeros((4, 4), np.int64)).any()


def test_a_centre_is_in_the_middle_of_its_parcel_and_as_wide_as_it():
    instance = np.zeros((40, 40), np.int64)
    instance[2:23, 5:16], instance[30:33, 30:33] = 1, 2
    heat = heatmap(instance)
    assert np.argwhere(heat == 1).tolist() == [[12, 10], [31, 31]]
    assert heat[13, 10] > heat[12, 11] > 0  # longer from north to south


def test_a_folder_that_holds_a_data_set_is_left_alone(tmp_path):
    source = small(places=1, sensors=("s2",))
    write_pastis(source, tmp_path, ("s2",))
    with pytest.raises(InputError, match="holds a data set already"):
        write_pastis(source, tmp_path, ("s2",))


def test_a_sensor_that_the_layout_has_no_place_for_is_refused(tmp_path):
    with pytest.raises(InputError, match="dem"):
        write_pastis(Landscape(LandscapeConfig(places=1, size=16)), tmp_path, ("dem",))


def test_a_place_can_be_looked_at(tmp_path):
    figure = preview(Landscape(LandscapeConfig(places=1, size=32, sensors=("s2", "s1_asc", "spot"))), 0)
    figure.savefig(tmp_path / "place.png", dpi=20)
    assert len(figure.axes) == 16
