from itertools import islice

import numpy as np
import pytest
from fake_source import FakeSource

from omnifuse.data.bucketing import even_parts, work_of
from omnifuse.data.loading import PlaceDataset, training_batches
from omnifuse.data.memory import InMemory
from omnifuse.data.place import Counted, Place, frames_of
from omnifuse.data.sensors import SensorView
from omnifuse.data.subset import Subset

RNG = np.random.default_rng(0)


def loads(work: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    return np.array([work[part].sum() for part in parts])


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_parts_have_as_many_items_and_nearly_as_much_work(parts):
    for work in (RNG.integers(38, 62, 64), RNG.integers(1, 200, 64), RNG.geometric(0.05, 64)):
        found = even_parts(work, parts)
        assert sorted(np.concatenate(found).tolist()) == list(range(64))
        assert [len(part) for part in found] == [64 // parts] * parts
        assert all((np.diff(part) > 0).all() for part in found)
        in_order = loads(work, np.split(np.arange(64), parts))
        assert np.ptp(loads(work, found)) <= max(np.ptp(in_order) / 2, work.max() / 2)


def test_one_part_is_the_whole_in_order():
    assert even_parts(RNG.integers(0, 9, 12), 1)[0].tolist() == list(range(12))


def test_work_is_the_pixels_of_all_images():
    source = InMemory(FakeSource())
    expected = [sum(series.pixels[:, 0].size for series in FakeSource()[i].series.values()) for i in (3, 4)]
    assert work_of(source, np.array([3, 4])).tolist() == expected
    one_date = [sum(series.pixels[:1, 0].size for series in FakeSource()[i].series.values()) for i in (3, 4)]
    assert work_of(source, np.array([3, 4]), most_dates=1).tolist() == one_date
    assert work_of(FakeSource(), np.array([3, 4])) is None


def test_views_of_a_source_count_what_they_show():
    source = InMemory(FakeSource())
    view = SensorView(Subset(source, np.array([4, 2])), ("radar", "optical"))
    assert isinstance(view, Counted)
    assert {name: count.tolist() for name, count in view.num_frames().items()} == {"radar": [0, 2], "optical": [0, 3]}
    assert frames_of(SensorView(FakeSource(), ("radar",))) is None


def test_a_view_reads_no_other_sensor():
    class Reads(FakeSource):
        def read(self, index: int, sensors: tuple[str, ...]) -> Place:
            asked.append((index, tuple(sensors)))
            return super().__getitem__(index).only(tuple(sensors))

    asked: list[tuple[int, tuple[str, ...]]] = []
    place = Subset(SensorView(SensorView(Reads(), ("radar", "optical")), ("optical",)), np.array([3]))[0]
    assert list(place.series) == ["optical"]
    assert asked == [(3, ("optical",))]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_even_shares_change_who_gets_a_place_and_not_the_step_of_it(accumulation):
    source = FakeSource(24)
    work = RNG.integers(1, 100, 24)
    data = PlaceDataset(source, np.arange(24), seed=0)
    common = {"batch_size": 8, "seed": 5, "accumulation": accumulation}

    def micro_batches(world: int, **options) -> list[list[set[int]]]:
        per_rank = [
            islice(training_batches(data, rank=rank, world=world, **common, **options)(1), 3 * accumulation) for rank in range(world)
        ]
        return [[set(batch.place.tolist()) for batch in together] for together in zip(*per_rank, strict=True)]

    in_order, even = micro_batches(1), micro_batches(1, work=work)
    for step in range(0, len(even), accumulation):
        assert set.union(*(m[0] for m in in_order[step : step + accumulation])) == set.union(
            *(m[0] for m in even[step : step + accumulation])
        )
    for world in (2, 4):
        shared = micro_batches(world, work=work)
        assert [set.union(*ranks) for ranks in shared] == [ranks[0] for ranks in even]
        worst = max(max(work[list(r)].sum() for r in ranks) for ranks in shared)
        assert worst <= max(max(work[list(r)].sum() for r in ranks) for ranks in micro_batches(world))
    with pytest.raises(ValueError, match="work of 3 places"):
        training_batches(data, batch_size=8, seed=0, work=np.arange(3))
