import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnifuse.data.splits import FRACTIONS, fold_column, fraction_column, named_parts, part_column
from omnifuse.errors import ConfigError, InputError


def some_places(seed: int, places: int, classes: int) -> tuple[list[str], np.ndarray]:
    """Ids and pixels per class; class c occurs with probability 0.9 / (1 + c)."""
    rng = np.random.default_rng(seed)
    present = rng.random((places, classes)) < 0.9 / (1 + np.arange(classes))
    return [f"place-{i}" for i in range(places)], present * rng.integers(1, 4096, present.shape)


worlds = st.builds(some_places, st.integers(0, 1000), st.integers(2, 300), st.integers(1, 20))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(worlds, st.integers(0, 5))
def test_fractions_are_nested_of_exact_size_and_cover_the_classes_they_can(world, seed):
    ids, weights = world
    column = np.array(fraction_column(ids, weights, seed))
    covered_before = 0
    for number, fraction in enumerate(FRACTIONS):
        inside = np.isin(column, FRACTIONS[: number + 1])
        size = max(1, round(len(ids) * fraction / 100))
        assert inside.sum() == size
        covered, there = (weights[inside] > 0).any(0).sum(), (weights > 0).any(0).sum()
        assert covered >= min(size, there)  # a new class per place as long as there are any
        assert covered >= covered_before
        covered_before = covered


def test_a_fraction_has_its_share_of_every_class():
    ids, weights = some_places(0, 2000, 8)
    column = np.array(fraction_column(ids, weights > 0, seed=3))
    for number, fraction in enumerate(FRACTIONS[1:], 1):
        share = (weights[np.isin(column, FRACTIONS[: number + 1])] > 0).sum(0) / (weights > 0).sum(0)
        np.testing.assert_allclose(share, fraction / 100, atol=0.012)  # by chance alone 0.05 for the rarest class at 5 %
    random = np.random.default_rng(0).permutation(2000)[:100]
    assert np.ptp((weights[random] > 0).sum(0) / (weights > 0).sum(0)) > 0.012  # so the test can fail


def test_pixels_can_be_shared_out_too():
    ids, weights = some_places(1, 1000, 6)
    column = np.array(fraction_column(ids, weights, seed=3))
    np.testing.assert_allclose(weights[column <= 10].sum(0) / weights.sum(0), 0.1, atol=0.02)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(worlds, st.integers(2, 6))
def test_folds_are_even_in_size_and_classes(world, folds):
    ids, weights = world
    folds = min(folds, len(ids))
    column = np.array(fold_column(ids, weights > 0, 0, folds))
    sizes = np.bincount(column, minlength=folds + 1)[1:]
    assert sizes.sum() == len(ids)
    assert np.ptp(sizes) <= 1
    rarest = int(np.argmin(np.where((weights > 0).any(0), (weights > 0).sum(0), 10**6)))
    assert np.ptp(np.bincount(column[weights[:, rarest] > 0], minlength=folds + 1)[1:]) <= 1


def test_folds_of_groups_keep_groups_whole_and_are_even():
    ids, weights = some_places(2, 600, 5)
    groups = [f"tile-{i * i % 83 % 40}" for i in range(600)]
    column = fold_column(ids, weights > 0, 0, 5, groups)
    assert len(set(zip(groups, column, strict=True))) == len(set(groups))
    sizes = np.bincount(column, minlength=6)[1:]
    assert sizes.min() > 0.8 * sizes.max()
    for of_class in (weights > 0).T:
        found = np.bincount(np.array(column)[of_class], minlength=6)[1:]
        assert found.min() > 0.6 * found.max()


def test_a_split_does_not_depend_on_the_order_of_the_places_but_on_the_seed():
    ids, weights = some_places(3, 200, 6)
    groups = [f"region-{i % 17}" for i in range(200)]
    shuffled = np.random.default_rng(1).permutation(200)
    there = [ids[i] for i in shuffled]
    shares = {"train": 0.7, "test": 0.3}
    for split in (
        lambda ids, weights, groups, seed: fraction_column(ids, weights, seed),
        lambda ids, weights, groups, seed: fold_column(ids, weights, seed, 5),
        lambda ids, weights, groups, seed: fold_column(ids, weights, seed, 5, groups),
        lambda ids, weights, groups, seed: part_column(groups, weights, seed, shares),
    ):
        here = split(ids, weights, groups, 1)
        assert split(there, weights[shuffled], [groups[i] for i in shuffled], 1) == [here[i] for i in shuffled]
        assert split(ids, weights, groups, 1) == here
    assert fraction_column(ids, weights, 1) != fraction_column(ids, weights, 2)
    assert fold_column(ids, weights, 1, 5) != fold_column(ids, weights, 2, 5)
    even = np.ones((200, 1))
    assert part_column(ids, even, 1, shares) != part_column(ids, even, 2, shares)


def test_parts_have_their_shares_and_every_part_a_group():
    groups = [f"region-{i % 25}" for i in range(1000)]
    column = part_column(groups, np.zeros((1000, 0)), 0, {"train": 0.7, "val": 0.1, "test": 0.2})
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert abs(column.count(part) / 1000 - share) < 0.05
    assert len(set(zip(groups, column, strict=True))) == 25
    few = part_column(["a", "a", "a", "b", "c"], np.zeros((5, 0)), 0, {"train": 0.98, "val": 0.01, "test": 0.01})
    assert set(few) == {"train", "val", "test"}


def test_parts_by_name():
    groups = ["D004", "D006", "D012", "D006"]
    assert named_parts(groups, {"val": ["D004"], "test": ["D012"]}, "train") == ["val", "train", "test", "train"]
    with pytest.raises(InputError, match=r"no place has the value 'D013'.*D004, D006, D012"):
        named_parts(groups, {"test": ["D013"]}, "train")
    with pytest.raises(InputError, match="'D004' is named by 'val' and 'test'"):
        named_parts(groups, {"val": ["D004"], "test": ["D004"]}, "train")


def test_what_cannot_be_split_is_said():
    ids, weights = some_places(0, 10, 2)
    with pytest.raises(ConfigError, match="must rise"):
        fraction_column(ids, weights, 0, (10, 5, 100))
    with pytest.raises(ConfigError, match="11 folds of 10 places"):
        fold_column(ids, weights, 0, 11)
    with pytest.raises(ConfigError, match="3 folds of 2 groups"):
        fold_column(ids, weights, 0, 3, ["a", "b"] * 5)
    with pytest.raises(ConfigError, match="add up to 1"):
        part_column(ids, weights, 0, {"train": 0.7, "test": 0.2})
    with pytest.raises(ConfigError, match="1 groups cannot make 2 parts"):
        part_column(["a"] * 10, weights, 0, {"train": 0.7, "test": 0.3})
    with pytest.raises(InputError, match="two places are called 'place-1'"):
        fraction_column([*ids[:-1], "place-1"], weights, 0)
