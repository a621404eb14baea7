"""Ragged data: a sensor's acquisitions over a batch of places as one flat list with a count per place.

Nothing is padded and there are no masks: a missing sensor is a count of zero, and zero-length tensors flow through
every layer (and give every parameter a zero gradient) without a special case.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor
from torch.utils.data import get_worker_info

from omnifuse.errors import InputError


@dataclass(frozen=True)
class Frames:
    """Acquisitions of one modality over a batch of places, flat: no padding, no mask.

    A place without this sensor has `count == 0`; absence needs no other notion. `count` stays on the CPU wherever the
    pixels are: it is a shape, and reading a shape must not wait for a GPU.

    Attributes:
        pixels: Physical values as stored (often packed integers); the encoder converts and normalises.
        day: Days since 1970-01-01 of each frame; non-decreasing within a place.
        count: Frames per place, in order.
    """

    pixels: Num[Tensor, "n c h w"]
    day: Int[Tensor, " n"]
    count: Int[Tensor, " b"]

    def __post_init__(self) -> None:
        if self.count.device.type != "cpu":
            object.__setattr__(self, "count", self.count.cpu())
        total = int(self.count.sum())
        if not len(self.pixels) == len(self.day) == total:
            raise InputError(
                f"frames: {len(self.pixels)} images, {len(self.day)} dates and counts that add up to {total}; "
                "all three must agree. Try: give one date for each image."
            )

    @staticmethod
    def empty(num_places: int, shape: tuple[int, int, int], device: torch.device | str = "cpu") -> "Frames":
        """Return the frames of a sensor that is missing at all of `num_places` places; `shape` is (c, h, w)."""
        return Frames(
            torch.zeros(0, *shape, device=device),
            torch.zeros(0, dtype=torch.int32, device=device),
            torch.zeros(num_places, dtype=torch.long),
        )

    @staticmethod
    def cat(parts: Sequence["Frames"]) -> "Frames":
        """Concatenate places. Parts without frames adopt the pixel shape and type of the others."""
        full = [part for part in parts if len(part.pixels)] or parts[:1]
        return Frames(
            _joined([part.pixels for part in full]),
            torch.cat([part.day for part in full]),
            torch.cat([part.count for part in parts]),
        )

    @property
    def num_places(self) -> int:
        return len(self.count)

    @property
    def present(self) -> Bool[Tensor, " b"]:
        """Whether each place has this sensor (on the CPU)."""
        return self.count > 0

    @property
    def place(self) -> Int[Tensor, " n"]:
        """The place of each frame, on the device of the pixels."""
        return torch.repeat_interleave(self.count).to(self.pixels.device, non_blocking=True)

    def keep(self, kept: Bool[Tensor, " n"]) -> "Frames":
        """Keep the frames marked in `kept` (on the CPU), in order; where that is all of them nothing is copied."""
        if bool(kept.all()):
            return self
        count = torch.zeros_like(self.count).index_add_(0, torch.repeat_interleave(self.count), kept.to(self.count.dtype))
        index = kept.nonzero()[:, 0].to(self.pixels.device)
        return Frames(self.pixels[index], self.day[index], count)

    def select(self, places: Int[Tensor, " k"]) -> "Frames":
        """Return the given places in the given order; a place may occur more than once."""
        count = self.count[places]
        start = (self.count.cumsum(0) - self.count)[places]
        within = torch.arange(int(count.sum())) - torch.repeat_interleave(count.cumsum(0) - count, count)
        index = (torch.repeat_interleave(start, count) + within).to(self.pixels.device)
        return Frames(self.pixels[index], self.day[index], count)

    def without(self, places: Bool[Tensor, " b"]) -> "Frames":
        """Set the count of the marked places to zero; where none is marked nothing is copied."""
        if not bool(places.any()):
            return self
        return self.keep(torch.repeat_interleave(~places, self.count))

    def to(self, device: torch.device | str) -> "Frames":
        return replace(self, pixels=self.pixels.to(device, non_blocking=True), day=self.day.to(device, non_blocking=True))

    def pin_memory(self) -> "Frames":
        return replace(self, pixels=self.pixels.pin_memory(), day=self.day.pin_memory())


@dataclass(frozen=True)
class Batch:
    """Places with what every sensor saw of them; a place is a batch of one, collating is concatenation.

    Attributes:
        frames: By modality name. Every entry speaks of the same places in the same order.
        size: Side of the ground square in metres, the same for all places of a batch.
        place: Index of each place in its dataset.
        draw: A random number per place, a function of (seed, epoch, place): seeds whatever an objective draws for it. It stays on
            the CPU wherever the batch goes, as reading it from a GPU would wait for that.
        target: Labels over exactly the ground square, one map (or one row) per place; None without labels.
    """

    frames: dict[str, Frames]
    size: float
    place: Int[Tensor, " b"]
    draw: Int[Tensor, " b"]
    target: Num[Tensor, "b ..."] | None = None

    def __post_init__(self) -> None:
        for name, frames in self.frames.items():
            if frames.num_places != self.num_places:
                raise InputError(f"batch: {name!r} counts {frames.num_places} places, the batch has {self.num_places}.")

    @staticmethod
    def cat(parts: Sequence["Batch"]) -> "Batch":
        """Concatenate places. A sensor that a part does not know is missing at its places."""
        if len({part.size for part in parts}) != 1:
            raise InputError(f"batch: places of different sizes {sorted({part.size for part in parts})} m cannot be joined.")
        names = list(dict.fromkeys(name for part in parts for name in part.frames))
        known = {name: next(part.frames[name] for part in parts if name in part.frames) for name in names}
        frames = {}
        for name in names:
            _, c, h, w = known[name].pixels.shape
            empty = [Frames.empty(part.num_places, (c, h, w), known[name].pixels.device) for part in parts]
            frames[name] = Frames.cat([part.frames.get(name, absent) for part, absent in zip(parts, empty, strict=True)])
        targets = [part.target for part in parts if part.target is not None]
        if targets and len(targets) != len(parts):
            without = [int(number) for part in parts if part.target is None for number in part.place]
            raise InputError(
                f"batch: place {without[0]} (by its number in the data) has no labels, others beside it have. "
                "Try: only places with labels, or none of the labels."
            )
        return Batch(
            frames,
            parts[0].size,
            torch.cat([part.place for part in parts]),
            torch.cat([part.draw for part in parts]),
            torch.cat(targets) if targets else None,
        )

    @property
    def num_places(self) -> int:
        return len(self.place)

    @property
    def present(self) -> Bool[Tensor, "m b"]:
        """Which sensors (rows, in the order of `frames`) are present at which places; on the CPU."""
        return torch.stack([frames.present for frames in self.frames.values()])

    def select(self, places: Int[Tensor, " k"]) -> "Batch":
        """Return the given places in the given order."""
        index = places.to(self.place.device)
        return replace(
            self,
            frames={name: frames.select(places) for name, frames in self.frames.items()},
            place=self.place[index],
            draw=self.draw[places],
            target=None if self.target is None else self.target[index],
        )

    def split(self) -> list["Batch"]:
        """Return the places one by one."""
        return [self.select(torch.tensor([i])) for i in range(self.num_places)]

    def drop(self, *names: str) -> "Batch":
        """Return the batch with the named sensors missing everywhere."""
        everywhere = torch.ones(self.num_places, dtype=torch.bool)
        return replace(self, frames={k: v.without(everywhere) if k in names else v for k, v in self.frames.items()})

    def only(self, names: Iterable[str]) -> "Batch":
        """Return the batch with every sensor missing but the named ones."""
        kept = set(names)
        return self.drop(*(name for name in self.frames if name not in kept))

    def to(self, device: torch.device | str) -> "Batch":
        return replace(
            self,
            frames={name: frames.to(device) for name, frames in self.frames.items()},
            place=self.place.to(device, non_blocking=True),
            target=None if self.target is None else self.target.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "Batch":
        return replace(
            self,
            frames={name: frames.pin_memory() for name, frames in self.frames.items()},
            place=self.place.pin_memory(),
            target=None if self.target is None else self.target.pin_memory(),
        )


@dataclass(frozen=True)
class Features:
    """Maps over exactly the ground square of each place, coarse to fine, for the places that have them.

    Cell (i, j) of any two maps of the same height and width is the same ground, whatever sensor they come from.

    Attributes:
        maps: One map per scale, coarse to fine; row r of each belongs to batch place `place[r]`.
        place: Batch places of the rows, ascending from an encoder; a late fusion has one row per place and sensor, sensor by sensor.
        num_places: Places in the batch.
    """

    maps: tuple[Float[Tensor, "p _d _h _w"], ...]
    place: Int[Tensor, " p"]
    num_places: int


def _joined(images: Sequence[Num[Tensor, "_n c h w"]]) -> Num[Tensor, "n c h w"]:
    """Concatenate; in a loader's worker right into memory that is shared, where they would be copied else (torch collates so, too)."""
    if get_worker_info() is None or len({image.dtype for image in images}) > 1:
        return torch.cat(list(images))
    first, shape = images[0], (sum(map(len, images)), *images[0].shape[1:])
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * first.element_size())  # type: ignore[no-untyped-call]
    return torch.cat(list(images), out=first.new_empty(0).set_(storage, 0, shape, first.new_empty(shape, device="meta").stride()))
