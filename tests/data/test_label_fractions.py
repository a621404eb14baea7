"""Label fractions: nested, stratified, of the asked size, and the same for the same seed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fake_source import FakeSource

from omnifuse.classes import Quantities
from omnifuse.data.label_fractions import class_weights, stratified_fraction
from omnifuse.data.place import Place
from omnifuse.data.splits import FRACTIONS, fraction_column
from omnifuse.errors import ConfigError


class Rare(FakeSource):
    """Only every fortieth place has wood."""

    def __getitem__(self, index: int) -> Place:
        place = super().__getitem__(index)
        assert place.target is not None
        return replace(place, target=np.full_like(place.target, index % 40 == 7))

    def read(self, index: int, sensors) -> Place:
        assert not sensors  # only labels are wanted
        return self[index].only(())


SHARES = (0.01, 0.05, 0.1, 0.3, 0.5, 1.0)


@pytest.mark.parametrize("seed", [0, 4])
def test_label_fractions_are_nested_and_of_the_asked_size(seed):
    indices = np.arange(20, 220)
    source = Rare(240)
    taken = [stratified_fraction(source, indices, share, seed) for share in SHARES]
    assert [len(places) for places in taken] == [2, 10, 20, 60, 100, 200]
    assert all(set(small) < set(large) for small, large in pairwise(taken))
    assert all((np.diff(places) > 0).all() for places in taken)


class Sorted(FakeSource):
    """Stored in order of the ground: field first, then wood, of which ever more at a place."""

    def __getitem__(self, index: int) -> Place:
        place = super().__getitem__(index)
        assert place.target is not None
        target = np.zeros_like(place.target)
        target.flat[: max(0, target.size * (2 * index - len(self)) // len(self))] = 1
        return replace(place, target=target)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_share_has_the_classes_of_the_whole_however_the_places_are_stored(seed):
    source, indices = Sorted(400), np.arange(400)
    wood = class_weights(source, indices)[:, 1]
    for share in (0.15, 0.2, 0.3, 0.4, 0.75):
        places = stratified_fraction(source, indices, share, seed)
        assert wood[places].sum() == pytest.approx(share * wood.sum(), rel=0.05)


def test_all_shares_are_nested_and_those_of_the_steps_are_their_column():
    source, indices = Sorted(60), np.arange(60)
    taken = [set(stratified_fraction(source, indices, percent / 100, 3)) for percent in range(1, 101)]
    assert all(small <= large for small, large in pairwise(taken))
    assert [len(places) for places in taken] == [max(1, round(percent / 100 * 60)) for percent in range(1, 101)]
    column = np.array(fraction_column([str(source.info[i]["id"]) for i in indices], class_weights(source, indices), 3))
    for step in FRACTIONS:
        assert taken[step - 1] == set(np.flatnonzero(column <= step))


def test_the_rarest_class_is_in_the_smallest_fraction_whatever_the_seed():
    indices = np.arange(200)
    for seed in range(5):
        labels = class_weights(Rare(200), stratified_fraction(Rare(200), indices, 0.01, seed))
        assert (labels.sum(0) > 0).all()
    half = class_weights(Rare(200), stratified_fraction(Rare(200), indices, 0.5, 0))
    assert half[:, 1].sum() in (2, 3)  # of 5


def test_seeds_draw_other_places_and_a_share_that_is_none_is_refused():
    source, indices = Rare(100), np.arange(100)
    assert set(stratified_fraction(source, indices, 0.1, 0)) != set(stratified_fraction(source, indices, 0.1, 1))
    assert len(stratified_fraction(source, indices[:3], 0.01, 0)) == 1
    with pytest.raises(ConfigError, match="label fraction 5"):
        stratified_fraction(source, indices, 5.0, 0)


def test_quantities_are_drawn_without_a_look_at_them():
    class Measured(FakeSource):
        quantities = Quantities(("height",), ("m",), (0.0,), (1.0,))

        def __getitem__(self, index: int) -> Place:
            raise AssertionError("read")

    assert len(stratified_fraction(Measured(40), np.arange(40), 0.25, 0)) == 10
    later = set(stratified_fraction(Measured(400), np.arange(400), 0.2, 0)) - set(
        stratified_fraction(Measured(400), np.arange(400), 0.1, 0)
    )
    assert 150 < np.mean(list(later)) < 250  # not the first in store order
