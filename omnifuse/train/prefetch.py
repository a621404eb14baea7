"""The next batch travels to the GPU while the current one is computed on."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from omnifuse.frames import Batch

Item = TypeVar("Item")
Moved = TypeVar("Moved")


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches on a device: the same ones in the same order.

    On a GPU the copy of the next batch is started before the current one is handed out, on a stream of its own, from pinned memory.
    So waiting for this iterator is waiting for the disk and the workers, never for a copy, unless that takes longer than a step.
    """
    if device.type != "cuda":
        return (batch.to(device) for batch in batches)
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start(batch: Batch) -> Batch:
        with torch.cuda.stream(copies):
            return batch.to(device)

    def finish(moved: Batch) -> Batch:
        current = torch.cuda.current_stream(device)
        current.wait_stream(copies)
        for tensor in _tensors(moved):
            tensor.record_stream(current)  # else its memory is given to the next copy while this stream still reads it
        return moved

    return one_ahead(batches, start, finish)


def one_ahead(items: Iterator[Item], start: Callable[[Item], Moved], finish: Callable[[Moved], Moved]) -> Iterator[Moved]:
    """Yield `finish(start(item))` for each item; the next one is started before the current one is handed out.

    An error in getting an item is raised when its turn comes, after all that came before it.
    """
    error: Exception | None = None

    def next_started() -> list[Moved]:
        nonlocal error
        try:
            return [start(item) for item in _first(items)]
        except Exception as found:  # raised below, in its turn
            error = found
            return []

    ready = next_started()
    while ready:
        current = finish(ready[0])
        ready = next_started()
        yield current
    if error is not None:
        raise error


def _first(items: Iterator[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        return


def _tensors(batch: Batch) -> list[Tensor]:
    parts = [tensor for frames in batch.frames.values() for tensor in (frames.pixels, frames.day)]
    return [*parts, batch.place, *([] if batch.target is None else [batch.target])]
