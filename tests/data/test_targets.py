"""Targets for other tasks: the datasets' own rules on small maps, and that nothing but the labels changes."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from fake_source import FakeSource
from pydantic import TypeAdapter

from omnifuse.classes import ClassTable, Quantities
from omnifuse.data.loading import check_labels
from omnifuse.data.memory import InMemory
from omnifuse.data.place import Place, PlaceSource, frames_of, labels_of, read_sensors
from omnifuse.data.sensors import SensorView
from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS, class_ids
from omnifuse.data.sources.flair_protocols import flair_merge
from omnifuse.data.sources.pastis_layout import CLASSES as PASTIS
from omnifuse.data.statistics import band_statistics
from omnifuse.data.store import Store, open_tree, write_store
from omnifuse.data.subset import Subset
from omnifuse.data.targets import (
    AverageConfig,
    DominantConfig,
    MergeConfig,
    PresenceConfig,
    QuantityConfig,
    Retargeted,
    SharesConfig,
    TargetConfig,
    label_statistics,
    retargeted,
)
from omnifuse.errors import ConfigError, InputError

TABLE = ClassTable(("soil", "wood", "field"), ("#000000", "#111111", "#222222"), ignore=255)


class Labelled(FakeSource):
    """Places whose labels are given."""

    def __init__(self, targets: list, classes: ClassTable | None = TABLE, quantities: Quantities | None = None) -> None:
        super().__init__(len(targets))
        self.targets, self.classes, self.quantities = targets, classes, quantities

    def __getitem__(self, index: int) -> Place:
        return replace(super().__getitem__(index), target=self.targets[index])


def pastis_map(*classes: int) -> np.ndarray:
    return np.array(classes * (16 // len(classes)), np.uint8).reshape(4, 4)


def test_presence_is_the_multilabel_task_on_pastis():
    rule = PresenceConfig(without=("background",))
    table = rule.labels(PASTIS)
    assert len(table.names) == 18 and not table.exclusive and table.names == PASTIS.names[1:-1]
    for found, expected in (((0,), set()), ((0, 3, 19, 19), {3}), ((1, 18), {1, 18})):
        present = rule.target(pastis_map(*found), PASTIS) > table.present_above
        assert set((np.flatnonzero(present) + 1).tolist()) == expected
    assert np.isnan(rule.target(pastis_map(19), PASTIS)).all()  # nothing but void: unknown


def test_presence_on_flair_has_13_labels_and_the_rest_is_other():
    stored = np.array([[1, 12], [13, 19]], np.uint8)
    flair13 = FLAIR_PROTOCOLS["flair13"]
    rule = PresenceConfig()
    present = rule.target(class_ids(stored, flair13, ""), flair13.classes)
    assert present.tolist() == [0.25, *[0] * 10, 0.25, 0.5]  # min(raw, 13) - 1


def test_presence_of_shares_keeps_them_and_their_threshold():
    rule = PresenceConfig(above=0.07)
    shares = np.array([0.07, 0.08, 0.85], np.float32)
    assert rule.labels(TABLE).present_above == 0.07
    assert rule.target(shares, TABLE).tolist() == shares.tolist()


@pytest.mark.parametrize(
    ("target", "without", "expected"),
    [
        ([[0, 1], [1, 2]], (), 1),
        ([[2, 1], [1, 2]], (), 1),  # of equal shares the first
        ([[0, 0], [0, 2]], ("soil",), 1),  # field is second of the two left
        ([[0, 0], [255, 0]], ("soil",), 2),  # none left
        ([[255, 255], [255, 1]], (), 1),  # what is unknown does not win
        ([[255, 255], [255, 255]], (), 3),
    ],
)
def test_dominant_counts_known_pixels(target, without, expected):
    rule = DominantConfig(without=without)
    found = rule.target(np.array(target, np.uint8), TABLE)
    assert found.shape == (1, 1) and found[0, 0] == expected
    assert rule.labels(TABLE).ignore == len(rule.labels(TABLE).names)


def test_shares_are_of_the_known_ground():
    rule = SharesConfig(classes=("field", "soil"))
    assert rule.labels(TABLE).names == ("field", "soil")
    assert rule.target(np.array([[0, 2], [2, 255]], np.uint8), TABLE) == pytest.approx([2 / 3, 1 / 3])
    assert np.isnan(rule.target(np.array([[255]], np.uint8), TABLE)).all()


def test_merged_classes_then_their_shares():
    merge = MergeConfig(groups={"green": ("wood", "field")})
    assert merge.target(np.array([[0, 1], [2, 255]], np.uint8), TABLE).tolist() == [[1, 0], [0, 1]]
    assert merge.labels(TABLE) == ClassTable(("green",), ("#111111",), ignore=1)
    assert merge.target(np.array([0.25, 0.25, 0.5], np.float32), TABLE).tolist() == [0.75]
    source = retargeted(
        Labelled([np.array([[0, 1], [2, 2]], np.uint8)]),
        [MergeConfig(groups={"a": ("soil",), "b": ("field",)}), SharesConfig(classes=("b",))],
    )
    assert source[0].target == pytest.approx([2 / 3])


@pytest.mark.parametrize("protocol", FLAIR_PROTOCOLS)
def test_19_classes_of_flair_serve_every_protocol(protocol):
    stored = np.arange(1, 20, dtype=np.uint8).reshape(1, 19)
    every, wanted = FLAIR_PROTOCOLS["flair19"], FLAIR_PROTOCOLS[protocol]
    rule = flair_merge(protocol)
    found = rule.target(class_ids(stored, every, ""), every.classes)
    assert found.tolist() == class_ids(stored, wanted, "").tolist()
    assert rule.labels(every.classes).names == wanted.classes.names


def test_quantities_are_chosen_and_averaged():
    labels = Quantities(("height", "cover"), ("m", "1"), (5.0, 0.5), (2.0, 0.25))
    target = np.array([[[1, np.nan], [3, 5]], [[np.nan, np.nan], [np.nan, np.nan]]], np.float32)
    assert AverageConfig().target(target, labels).tolist()[0] == 3 and np.isnan(AverageConfig().target(target, labels)[1])
    one = QuantityConfig(names=("cover",))
    assert one.labels(labels) == Quantities(("cover",), ("1",), (0.5,), (0.25,))
    assert one.target(target, labels).shape == (1, 2, 2)
    source = retargeted(Labelled([target, target + 6], None, labels), [QuantityConfig(names=("height",)), AverageConfig()])
    measured = label_statistics(source, np.array([0, 1]))
    assert (measured.mean, measured.std) == ((6.0,), (3.0,))
    dense = Labelled([target, target + 6], None, labels)
    with pytest.raises(InputError, match="'cover' is known at none"):
        label_statistics(dense, np.array([0, 1]))


def test_statistics_of_labels_are_those_of_all_known_values():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, 4, 4)) for _ in range(5)]
    maps[1][:, :2] = np.nan
    maps[2][0] = np.nan
    found = label_statistics(Labelled(maps, None, Quantities(("a", "b"), ("1", "1"), (0.0, 0.0), (1.0, 1.0))), np.arange(5))
    values = np.stack(maps, 1).reshape(2, -1)
    np.testing.assert_allclose(found.mean, np.nanmean(values, 1))
    np.testing.assert_allclose(found.std, np.nanstd(values, 1))


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (PresenceConfig(without=("woods",)), "Try: wood"),
        (DominantConfig(without=TABLE.names), "leaves none"),
        (MergeConfig(groups={"a": ("soil",), "b": ("soil", "wood")}), "'soil' in two groups"),
        (QuantityConfig(names=("height",)), "speaks of quantities"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_at_once(rule, match):
    with pytest.raises(ConfigError, match=match):
        Retargeted(Labelled([None]), rule)


def test_a_label_that_is_no_class_is_named():
    with pytest.raises(InputError, match=r"label 7, expected 0\.\.2 or 255"):
        DominantConfig().target(np.array([[7]], np.uint8), TABLE)


def test_nothing_but_the_labels_changes(tmp_path):
    plain = FakeSource()
    write_store(plain, tmp_path / "store")
    store = Store(tmp_path / "store")
    source = pickle.loads(pickle.dumps(Retargeted(store, DominantConfig())))  # noqa: S301  (as workers do)
    assert isinstance(source, PlaceSource) and source.info == plain.info
    assert labels_of(source) == replace(plain.classes, ignore=2)
    known = frames_of(source)
    assert {name: count.tolist() for name, count in known.items()} == {name: count.tolist() for name, count in store.num_frames().items()}
    assert band_statistics(source, np.arange(7)) == band_statistics(store, np.arange(7))
    for index in range(len(plain)):
        place, other = source[index], plain[index]
        assert place.target.shape == (1, 1)
        for name in other.series:
            np.testing.assert_array_equal(place.series[name].pixels, other.series[name].pixels)
    assert list(read_sensors(source, 0, ("radar",)).series) == ["radar"]
    assert labels_of(Subset(source, np.array([3]))) == source.classes


def test_rules_are_read_from_json():
    adapter = TypeAdapter(TargetConfig)
    rule = MergeConfig(groups={"a": ("soil", "wood")})
    assert adapter.validate_json(adapter.dump_json(rule)) == rule


@pytest.mark.parametrize("profile", ["training", "archive"])
@pytest.mark.parametrize("shape", [(2,), (2, 8, 8)])
def test_quantities_go_to_a_store_and_come_back(tmp_path, shape, profile):
    labels = Quantities(("height", "cover"), ("m", "1"), (5.0, 0.5), (2.0, 0.25))
    targets = [np.random.default_rng(index).normal(size=shape).astype(np.float32) for index in range(3)]
    targets[1][0] = np.nan
    targets[2] = None
    source = Labelled(targets, None, labels)
    write_store(source, tmp_path / "store", profile=profile)
    store = Store(tmp_path / "store")
    assert (
        labels_of(store)
        == labels
        == labels_of(Subset(store, np.array([1])))
        == labels_of(InMemory(store))
        == labels_of(SensorView(store, ()))
    )
    for index, target in enumerate(targets):
        np.testing.assert_array_equal(store[index].target, target)
    axes = ("place", "quantity", "y", "x")[: 1 + len(shape)]
    with open_tree(tmp_path / "store") as tree:
        assert tree["target"].labels.dims == axes and tree["target"].labels.attrs["quantity_units"] == ["m", "1"]


def test_unknown_presence_passes_and_a_wrong_share_does_not():
    table = PresenceConfig().labels(TABLE)
    check_labels(np.full(3, np.nan, np.float32), table)
    with pytest.raises(InputError, match="from 0 to 1"):
        check_labels(np.array([0, 1.5, np.nan], np.float32), table)
