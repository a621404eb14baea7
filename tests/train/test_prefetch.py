from itertools import count, islice

import pytest
import torch

from omnifuse.frames import Batch, Frames
from omnifuse.train.prefetch import on_device, one_ahead


def batch(index: int) -> Batch:
    frames = Frames(torch.full((2, 1, 4, 4), float(index)), torch.zeros(2, dtype=torch.int32), torch.tensor([2]))
    return Batch({"a": frames}, 40.0, torch.tensor([index]), torch.tensor([0]))


def test_the_next_item_is_started_before_the_current_one_is_handed_out():
    told = []
    ahead = one_ahead(iter(range(3)), lambda i: told.append(("start", i)) or i, lambda i: told.append(("finish", i)) or i)
    told.extend(("used", item) for item in ahead)
    assert told == [
        ("start", 0),
        *[("finish", 0), ("start", 1), ("used", 0)],
        *[("finish", 1), ("start", 2), ("used", 1)],
        *[("finish", 2), ("used", 2)],
    ]


def test_an_error_waits_for_its_turn():
    def items():
        yield from (0, 1)
        raise OSError("damaged")

    used = []
    with pytest.raises(OSError, match="damaged"):
        for item in one_ahead(items(), lambda i: i, lambda i: i):
            used.append(item)  # noqa: PERF402 what came before the error
    assert used == [0, 1]


def test_no_items_are_none():
    assert list(one_ahead(iter(()), lambda i: i, lambda i: i)) == []


def test_an_endless_iterator_is_read_one_item_ahead():
    numbers = count()
    assert list(islice(one_ahead(numbers, lambda i: i, lambda i: i), 3)) == [0, 1, 2]
    assert next(numbers) == 4


def test_without_a_gpu_a_batch_is_asked_for_when_it_is_used():
    asked = []
    batches = (asked.append(i) or batch(i) for i in range(3))
    moved = on_device(batches, torch.device("cpu"))
    assert next(moved).place.tolist() == [0]
    assert asked == [0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_same_batches():
    device = torch.device("cuda")
    for index, found in enumerate(on_device((batch(i).pin_memory() for i in range(50)), device)):
        assert found.frames["a"].pixels.device.type == "cuda"
        assert found.place.tolist() == [index]
        assert (found.frames["a"].pixels == index).all()
