import os
import pickle
import signal
import traceback
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from fake_source import MODALITIES, FakeSource

from omnifuse import randomness
from omnifuse.data import loading
from omnifuse.data.loading import PlaceDataset, evaluation_batches, order, read_places, step_keys, training_batches
from omnifuse.data.memory import InMemory
from omnifuse.data.subset import Subset, split
from omnifuse.data.transforms import compose, crop, symmetry
from omnifuse.errors import ConfigError, InputError, OmnifuseError
from omnifuse.frames import Batch

TRANSFORM = compose(crop(40.0, MODALITIES), symmetry)


def dataset(num_places: int = 7) -> PlaceDataset:
    return PlaceDataset(FakeSource(num_places), np.arange(num_places), seed=3, transform=TRANSFORM)


def same(a: Batch, b: Batch) -> bool:
    return (
        a.frames.keys() == b.frames.keys()
        and torch.equal(a.place, b.place)
        and torch.equal(a.draw, b.draw)
        and torch.equal(a.target, b.target)
        and all(
            torch.equal(x.pixels, y.pixels) and torch.equal(x.day, y.day) and torch.equal(x.count, y.count)
            for x, y in zip(a.frames.values(), b.frames.values(), strict=True)
        )
    )


def test_every_epoch_visits_every_place_once_in_an_order_of_its_own():
    keys = [key for step in range(7) for key in step_keys(7, 4, seed=0, step=step)]
    for epoch in range(4):
        assert sorted(position for e, position in keys if e == epoch) == list(range(7))
    assert not np.array_equal(order(7, 0, 0), order(7, 0, 1))
    assert not np.array_equal(order(7, 0, 0), order(7, 1, 0))


def test_a_batch_may_be_larger_than_the_set():
    keys = step_keys(3, 8, seed=0, step=1)
    assert len(keys) == 8
    assert [epoch for epoch, _ in keys] == [2, 3, 3, 3, 4, 4, 4, 5]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_same_places_come_in_the_same_steps_on_any_number_of_processes(world, accumulation):
    expected = list(islice(training_batches(dataset(), batch_size=6 * accumulation, seed=5, accumulation=accumulation)(0), 4))
    per_rank = [
        islice(training_batches(dataset(), batch_size=6 * accumulation, seed=5, accumulation=accumulation, rank=rank, world=world)(0), 4)
        for rank in range(world)
    ]
    for want, parts in zip(expected, zip(*per_rank, strict=True), strict=True):
        assert same(want, Batch.cat(parts))


def test_workers_change_nothing():
    make = {w: training_batches(dataset(), batch_size=4, seed=5, workers=w)(0) for w in (0, 2)}
    for _ in range(5):
        assert same(next(make[0]), next(make[2]))


@pytest.mark.parametrize("workers", [0, 2])
def test_starting_at_any_step_equals_never_stopping(workers):
    from_start = training_batches(dataset(), batch_size=4, seed=5, accumulation=2)(0)
    whole = list(islice(from_start, 10))
    resumed = training_batches(dataset(), batch_size=4, seed=5, accumulation=2, workers=workers)(3)
    assert all(same(a, b) for a, b in zip(whole[6:], resumed, strict=False))


def test_loading_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    next(training_batches(dataset(), batch_size=4, seed=5, workers=1)(0))
    next(evaluation_batches(FakeSource(), np.arange(7), 2))
    assert torch.equal(state, torch.random.get_rng_state())


def test_place_and_draw_are_those_of_the_source_and_the_epoch():
    indices = np.array([5, 2])
    batch = PlaceDataset(FakeSource(), indices, seed=9)[(4, 0)]
    assert batch.place.tolist() == [5]
    assert batch.draw.tolist() == [randomness.key(9, "draw", 4, 5)]
    assert np.array_equal(batch.frames["optical"].pixels.numpy(), FakeSource()[5].series["optical"].pixels)


def test_an_epoch_draws_other_transforms_for_the_same_place():
    data = PlaceDataset(FakeSource(), np.arange(7), seed=9, transform=symmetry)
    views = {data[(epoch, 0)].frames["optical"].pixels.numpy().tobytes() for epoch in range(30)}
    assert len(views) == 8


def test_a_batch_size_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match=r"Try: 6"):
        training_batches(dataset(), batch_size=8, seed=0, accumulation=2, world=3)
    with pytest.raises(InputError, match="no places"):
        PlaceDataset(FakeSource(), np.array([], dtype=np.int64), seed=0)


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (1, 2), (3, 0), (9, 0)])
def test_evaluation_gives_every_place_once_and_in_order(world, workers):
    indices = np.array([6, 0, 3, 1, 5, 2, 4])
    parts = [list(evaluation_batches(FakeSource(), indices, 2, workers=workers, rank=rank, world=world)) for rank in range(world)]
    assert torch.cat([batch.place for part in parts for batch in part]).tolist() == indices.tolist()
    if world == 1:
        assert [batch.num_places for batch in parts[0]] == [2, 2, 2, 1]


class Broken(FakeSource):
    def __getitem__(self, index):
        if index == 3:
            raise OSError(5, "Input/output error", "/data/broken.tif")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_reader_names_the_place_and_the_file(workers):
    with pytest.raises(InputError, match=r"(?s)'place-3'.*/data/broken\.tif"):
        list(evaluation_batches(Broken(), np.arange(7), 2, workers=workers))


class Mistaken(FakeSource):
    def __getitem__(self, index):
        return super().__getitem__(index) if index != 3 else {}["no such key"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_a_reader_keeps_its_type_and_names_the_place(workers):
    with pytest.raises(KeyError) as caught:
        list(evaluation_batches(Mistaken(), np.arange(7), 2, workers=workers))
    assert "place-3" in "".join(traceback.format_exception(caught.value))


class Killed(FakeSource):
    def __getitem__(self, index):
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@pytest.mark.parametrize("read", [lambda s: evaluation_batches(s, np.arange(7), 2, workers=1), lambda s: read_places(s, range(7), 1)])
def test_a_killed_worker_is_an_error_with_a_remedy_and_no_hang(read):
    with pytest.raises(OmnifuseError, match=r"(?s)worker.*(killed|exited).*fewer workers"):
        list(read(Killed()))


@pytest.mark.slow  # each worker imports torch anew
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_may_start_in_any_way(method, monkeypatch):
    monkeypatch.setattr(loading, "_start_method", lambda: method)
    batches = training_batches(dataset(), batch_size=4, seed=5, workers=1)(0)
    expected = training_batches(dataset(), batch_size=4, seed=5)(0)
    assert all(same(a, b) for a, b in zip(islice(batches, 3), expected, strict=False))


def first_batch(data: PlaceDataset, queue) -> None:
    queue.put(next(training_batches(data, batch_size=2, seed=1)(0)).place.tolist())


def test_datasets_and_transforms_travel_to_workers():
    data = pickle.loads(pickle.dumps(dataset()))  # noqa: S301 our own bytes
    assert same(data[(0, 1)], dataset()[(0, 1)])
    context = get_context("fork")
    queue = context.Queue()
    process = context.Process(target=first_batch, args=(dataset(), queue))
    process.start()
    assert queue.get(timeout=60) == next(training_batches(dataset(), batch_size=2, seed=1)(0)).place.tolist()
    process.join()


@pytest.mark.parametrize("workers", [0, 2])
def test_in_memory_holds_what_the_source_gives(workers):
    calls = []
    held = InMemory.build(FakeSource(), workers, lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, 7) for i in range(7)]
    for index, place in enumerate(FakeSource()):
        assert held[index].info == place.info
        assert np.array_equal(held[index].target, place.target)
        assert all(np.array_equal(held[index].series[name].pixels, series.pixels) for name, series in place.series.items())
        if index == 6:
            break


def test_splits_by_metadata():
    info = FakeSource().info
    assert split(info, "fold", (1, 3)).tolist() == [0, 2, 3, 5, 6]
    assert split(info, "region", ["é"]).tolist() == [0, 2, 4, 6]
    with pytest.raises(InputError, match="no place has fold = 9"):
        split(info, "fold", (1, 9))
    with pytest.raises(InputError, match="place 0 has no 'note'"):
        split(info, "note", (1,))


def test_a_subset_shows_the_chosen_places_in_order():
    view = Subset(FakeSource(), np.array([4, 1]))
    assert [view.info[i]["id"] for i in range(len(view))] == ["place-4", "place-1"]
    assert view[1].info["id"] == "place-1"


def test_evaluation_gives_every_date_and_pixel_as_it_is_stored():
    for index, batch in enumerate(evaluation_batches(FakeSource(), np.arange(7), 1)):
        for name, series in FakeSource()[index].series.items():
            assert batch.frames[name].day.tolist() == series.day.tolist()
            assert np.array_equal(batch.frames[name].pixels.numpy(), series.pixels)


class Asks(FakeSource):
    """Says, in place of its labels, whether the images of two places are joined in shared memory."""

    def __getitem__(self, index):
        place = super().__getitem__(index)
        joined = Batch.cat([place.to_batch(), place.to_batch()]).frames["weather"].pixels.is_shared()
        return replace(place, target=np.full((8, 8), joined, np.uint8))


@pytest.mark.parametrize("workers", [0, 1])
def test_images_are_joined_in_shared_memory_by_workers_alone(workers):
    assert all(batch.target.all() == bool(workers) for batch in evaluation_batches(Asks(), np.arange(3), 1, workers=workers))
