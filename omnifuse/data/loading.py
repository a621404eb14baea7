"""From places to batches: which place comes when is a function of a seed, so nothing has to be saved to resume.

The same places come in the same optimizer steps on any number of processes and workers, from whatever step one starts.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int, Num
from torch.utils.data import DataLoader, Dataset

from omnifuse import randomness
from omnifuse.classes import ClassTable
from omnifuse.data.bucketing import even_parts
from omnifuse.data.place import Place, PlaceSource
from omnifuse.data.remote import start_method
from omnifuse.data.transforms import Transform
from omnifuse.errors import ConfigError, InputError, OmnifuseError
from omnifuse.frames import Batch, Frames
from omnifuse.modalities import Modality

Key = tuple[int, ...]  # epoch and position in the indices; in training also the optimizer step
Item = TypeVar("Item")
SteppedTransform = Callable[[Batch, torch.Generator, int], Batch]  # the last argument is the optimizer step


@lru_cache(maxsize=4)
def order(num_places: int, seed: int, epoch: int) -> Int[np.ndarray, " n"]:
    """Return the order in which an epoch visits the places, the same on every process."""
    permutation = randomness.numpy_generator(seed, "order", epoch).permutation(num_places)
    permutation.setflags(write=False)  # it is shared by all callers
    return permutation


def step_keys(num_places: int, batch_size: int, seed: int, step: int) -> list[Key]:
    """Return what optimizer step `step` trains on: the epochs in a row, cut into pieces of `batch_size` places.

    A step may span the end of an epoch, and several epochs where the batch is larger than the set.
    """
    positions = (divmod(position, num_places) for position in range(step * batch_size, (step + 1) * batch_size))
    return [(epoch, int(order(num_places, seed, epoch)[within])) for epoch, within in positions]


class PlaceDataset(Dataset[Batch]):
    """Some places of a source as batches of one; the key of an item is (epoch, position in `indices`).

    Args:
        source: Where places come from.
        indices: Places of the source that may be visited.
        seed: Seeds `Batch.draw` and the generator given to `transform`, both keyed by epoch and place.
        transform: Applied to each batch of one.
        stepped: Applied before it in training, knowing the optimizer step: what changes as training goes on. It draws from a
            generator of its own, keyed by epoch and place too.
        labels: Whether every place must have labels; False leaves labels out, None takes what there is.
    """

    def __init__(
        self,
        source: PlaceSource,
        indices: Int[np.ndarray, " n"],
        seed: int,
        transform: Transform | None = None,
        stepped: SteppedTransform | None = None,
        labels: bool | None = None,
    ) -> None:
        if not len(indices):
            raise InputError("dataset: no places to read, `indices` is empty. Try: check the split or the label fraction.")
        self.source = source
        self.indices = indices
        self.seed = seed
        self.transform = transform
        self.stepped = stepped
        self.labels = labels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Key) -> Batch:
        epoch, position, *step = key
        index = int(self.indices[position])
        place = read_place(self.source, index)
        if self.labels and place.target is None:
            raise InputError(
                f"place {self.source.info[index]['id']!r} ({index}): has no labels. Try: a split without it, such as by a column that "
                "says which places have labels."
            )
        batch = all_sensors(place.to_batch(index, randomness.key(self.seed, "draw", epoch, index)), self.source.modalities)
        if self.stepped is not None and step:
            batch = self.stepped(batch, randomness.torch_generator(self.seed, "stepped", epoch, index), step[0])
        if self.transform is not None:
            batch = self.transform(batch, randomness.torch_generator(self.seed, "transform", epoch, index))
        return replace(batch, target=None) if self.labels is False else batch  # only now: a crop keeps to the pixels of labels


def all_sensors(batch: Batch, modalities: dict[str, Modality]) -> Batch:
    """Give the batch an entry for every sensor of its source, in the source's order: a missing one is a count of zero."""
    frames = {}
    for name, modality in modalities.items():
        side = modality.pixels(batch.size)
        frames[name] = batch.frames.get(name) or Frames.empty(batch.num_places, (len(modality.bands), side, side))
    return replace(batch, frames=frames)


def read_place(source: PlaceSource, index: int) -> Place:
    """Return place `index`; a reader's error gains the id of the place, and so does a label that is no class.

    Raises:
        InputError: for data that cannot be read; any other error of the reader is raised as it is, with the place in a note.
    """
    try:
        place = source[index]
        if source.classes is not None and place.target is not None:
            check_labels(place.target, source.classes)
        return place
    except (OSError, ValueError) as error:
        raise InputError(f"place {source.info[index]['id']!r} ({index}): {error}") from error
    except Exception as error:  # a mistake in the reader's code keeps its type
        error.add_note(f"It happened at place {source.info[index]['id']!r} ({index}).")
        raise


def check_labels(target: Num[np.ndarray, "..."], classes: ClassTable) -> None:
    """Raise `InputError` for a label that is neither a class nor the ignored one: on a GPU it would be an assertion without a name.

    Labels that are not whole numbers are those of a whole place: a share or probability per class.
    """
    if target.dtype.kind == "f":
        if target.shape != (len(classes.names),):
            raise InputError(f"labels of shape {target.shape}, expected ({len(classes.names)},). Try: one value per class of the place.")
        unknown = np.isnan(target) & (not classes.exclusive)
        if not (unknown | ((target >= 0) & (target <= 1))).all():  # also where one is not finite
            raise InputError(f"labels {target.tolist()}, expected values from 0 to 1. Try: shares, or 0 and 1.")
        return
    wrong = (target != classes.ignore) & ((target < 0) | (target >= len(classes.names)))
    if wrong.any():
        raise InputError(
            f"label {target[wrong].flat[0]} at {int(wrong.sum())} pixels, expected 0..{len(classes.names) - 1} "
            f"or {classes.ignore} (ignored). Try: the class table that these labels were made with."
        )


def training_batches(
    dataset: PlaceDataset,
    *,
    batch_size: int,
    seed: int,
    workers: int = 0,
    accumulation: int = 1,
    rank: int = 0,
    world: int = 1,
    work: Int[np.ndarray, " n"] | None = None,
) -> Callable[[int], Iterator[Batch]]:
    """Return a function that gives this process's micro-batches, endlessly, from any optimizer step on.

    Args:
        dataset: Places to train on.
        batch_size: Places of an optimizer step over all processes and micro-batches.
        seed: Seed of the order of places.
        workers: Processes that read ahead, as long as the iterator lives; 0 reads in this one.
        accumulation: Micro-batches of an optimizer step. Micro-batch m of all processes together is the m-th piece of the
            step's list, whatever their number; each process takes its contiguous slice of that.
        rank: Number of this process.
        world: Number of processes.
        work: How much there is to compute at each place of `dataset` (`omnifuse.data.bucketing.work_of`). The step's list is then cut
            into micro-batches, and these among processes, by even shares of work instead. What a step and a micro-batch of all
            processes together consist of still does not depend on the number of processes.
    """
    if work is not None and len(work) != len(dataset):
        raise ValueError(f"work of {len(work)} places, the dataset has {len(dataset)}.")
    share, rest = divmod(batch_size, accumulation * world)
    if rest or not share:
        raise ConfigError(
            f"batch size {batch_size} is not a multiple of {accumulation} micro-batches × {world} processes. "
            f"Try: {max(share, 1) * accumulation * world}."
        )

    def micro_batches(first: int) -> Iterator[list[Key]]:
        for step in count(first):
            keys = [(*key, step) for key in step_keys(len(dataset), batch_size, seed, step)]
            if work is None:
                pieces = [np.arange(start, start + share * world) for start in range(0, batch_size, share * world)]
                mine = [piece[rank * share : (rank + 1) * share] for piece in pieces]
            else:
                amount = np.array([work[position] for _, position, _ in keys])
                pieces = even_parts(amount, accumulation)
                mine = [piece[even_parts(amount[piece], world)[rank]] for piece in pieces]
            for chosen in mine:
                yield [keys[i] for i in chosen]

    return lambda first_step: _watched(iter(_loader(dataset, _Restartable(micro_batches, first_step), workers)))


def evaluation_batches(
    source: PlaceSource,
    indices: Int[np.ndarray, " n"],
    batch_size: int,
    transform: Transform | None = None,
    workers: int = 0,
    *,
    rank: int = 0,
    world: int = 1,
    labels: bool | None = None,
) -> Iterator[Batch]:
    """Yield the given places once, in the given order; the last batch may be smaller.

    With several processes each has a contiguous part: nothing is dropped and nothing comes twice. What a transform or an
    objective draws is the same on every call. `labels` is that of `PlaceDataset`.
    """
    first, last = len(indices) * rank // world, len(indices) * (rank + 1) // world
    if first == last:
        return iter(())
    keys = [(0, position) for position in range(first, last)]
    pieces = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    return _watched(iter(_loader(PlaceDataset(source, indices, seed=0, transform=transform, labels=labels), pieces, workers)))


def read_places(source: PlaceSource, indices: Sequence[int], workers: int = 0) -> Iterator[Place]:
    """Yield places in the given order, read by `workers` processes (0: this one)."""
    return _watched(iter(_plain_loader(_Places(source), indices, workers)))


class _Restartable:
    """Index lists from a given step on, as an iterable: what a DataLoader takes for a batch sampler."""

    def __init__(self, lists: Callable[[int], Iterator[list[Key]]], first: int) -> None:
        self.lists = lists
        self.first = first

    def __iter__(self) -> Iterator[list[Key]]:
        return self.lists(self.first)


class _Places(Dataset[Place]):
    def __init__(self, source: PlaceSource) -> None:
        self.source = source

    def __getitem__(self, index: int) -> Place:
        return read_place(self.source, index)


def _loader(dataset: PlaceDataset, lists: Any, workers: int) -> DataLoader[Batch]:
    return DataLoader(
        dataset,
        batch_sampler=lists,
        collate_fn=Batch.cat,
        num_workers=workers,
        multiprocessing_context=_start_method() if workers else None,
        prefetch_factor=2 if workers else None,
        pin_memory=torch.cuda.is_available(),
        timeout=_TIMEOUT if workers else 0,
        generator=torch.Generator(),  # else the loader draws a seed from the global generator
    )


def _plain_loader(dataset: Dataset[Any], indices: Sequence[int], workers: int) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=indices,
        collate_fn=_identity,
        num_workers=workers,
        multiprocessing_context=_start_method() if workers else None,
        timeout=_TIMEOUT if workers else 0,
        generator=torch.Generator(),
    )


def _start_method() -> str | None:
    """Return how workers have to start; what they all import is imported once."""
    method = start_method()
    if method == "forkserver":
        multiprocessing.set_forkserver_preload([__name__])
    return method


def _watched(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items of a loader; where a worker process is lost, say what to do about it."""
    try:
        yield from items
    except RuntimeError as error:
        if not str(error).startswith(("DataLoader worker", "DataLoader timed out")):  # torch has no type for these
            raise
        raise OmnifuseError(
            f"loading: {str(error).strip()} Most often it had no memory left. Try: fewer workers, or a larger /dev/shm; "
            "what was trained up to the last checkpoint is kept."
        ) from error


def _identity(item: Any) -> Any:
    return item


_TIMEOUT = 900  # seconds without a batch after which a hanging worker is an error
