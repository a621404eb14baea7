"""One place as it is read or made: numpy, native types, true dates. It becomes a `Batch` of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int, Num

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.errors import InputError
from omnifuse.frames import Batch, Frames
from omnifuse.modalities import Modality, check_names


@dataclass(frozen=True)
class Series:
    """What one sensor saw of one place; no frames where the sensor is missing.

    Attributes:
        pixels: Values as stored, in the sensor's native type.
        day: Days since 1970-01-01, non-decreasing.
    """

    pixels: Num[np.ndarray, "t c h w"]
    day: Int[np.ndarray, " t"]


def is_date(day: int) -> bool:
    """Whether a day is a date: days of 1970 number images whose dates are not published (no satellite of ours flew then)."""
    return not 0 <= day < 365


@dataclass(frozen=True)
class Place:
    """Everything known of one square of ground.

    Attributes:
        series: By modality name.
        size: Side of the square in metres.
        target: Labels: class ids over the square (h, w), a value per class (k,), quantities over it (q, h, w) or of it (q,); None without.
        info: Metadata as plain JSON types: `id` always; where known `fold`, `region`, `tile`, `longitude` and `latitude` (WGS 84,
            centre of the square), and `crs` with `left` and `top` (upper left corner in it, metres; north is up).
    """

    series: dict[str, Series]
    size: float
    target: Num[np.ndarray, "..."] | None = None
    info: dict[str, str | int | float] = field(default_factory=dict)

    def only(self, names: tuple[str, ...]) -> "Place":
        """Return the place as the named sensors alone saw it."""
        return replace(self, series={name: self.series[name] for name in names if name in self.series})

    def check(self, modalities: dict[str, Modality], where: str) -> None:
        """Raise `InputError` naming `where`, the sensor and the field for anything that is not as `modalities` say."""
        check_names(list(self.series), list(modalities), where)
        for name, series in self.series.items():
            modality, found = modalities[name], series.pixels.shape
            if series.pixels.ndim != 4 or found[1] != len(modality.bands):
                raise InputError(
                    f"{where}: {name!r} has shape {found}, expected (dates, {len(modality.bands)} bands "
                    f"{'/'.join(modality.bands)}, height, width). Try: give the bands in this order."
                )
            if len(series.day) != len(series.pixels):
                raise InputError(f"{where}: {name!r} has {len(series.pixels)} images but {len(series.day)} dates. Try: one date per image.")
            side = modality.pixels(self.size)
            if len(series.pixels) and found[2:] != (side, side):
                raise InputError(
                    f"{where}: {name!r} is {found[2]}×{found[3]} pixels of {modality.gsd:g} m, expected {side}×{side} for a place of "
                    f"{self.size:g} m. Try: crop or resample the image to the place."
                )
            if np.any(np.diff(series.day) < 0):
                raise InputError(f"{where}: dates of {name!r} are not in order. Try: sort the images by date.")
            if series.pixels.dtype.kind == "f" and not np.isfinite(series.pixels).all():
                frame = int(np.argmin(np.isfinite(series.pixels).all((1, 2, 3))))
                raise InputError(f"{where}: {name!r} has a value that is not finite, first in image {frame}. Try: drop or fill it.")

    def to_batch(self, index: int = 0, draw: int = 0) -> Batch:
        """Return a batch of one. `index` and `draw` become `Batch.place` and `Batch.draw`."""
        frames = {
            name: Frames(
                torch.from_numpy(np.ascontiguousarray(series.pixels)),
                torch.from_numpy(series.day.astype(np.int32)),
                torch.tensor([len(series.day)]),
            )
            for name, series in self.series.items()
        }
        target = None if self.target is None else torch.from_numpy(np.ascontiguousarray(self.target))[None]
        return Batch(frames, self.size, torch.tensor([index]), torch.tensor([draw]), target)


@runtime_checkable
class PlaceSource(Protocol):
    """Anything places come from: a store, the landscape, a reader of a native layout. Picklable; opens files on first use.

    Attributes:
        modalities: What each place may have been seen by, as stored here (bands, gsd, statistics).
        classes: Class table of the labels; None where there are none.
        size: Side of every place in metres.
        info: Metadata of every place in order, as `Place.info`.
        provenance: Where the data come from: `source`, `licence`, `citation`, and the options they were read with.
    """

    @property
    def modalities(self) -> dict[str, Modality]: ...

    @property
    def classes(self) -> ClassTable | None: ...

    @property
    def size(self) -> float: ...

    @property
    def info(self) -> list[dict[str, str | int | float]]: ...

    @property
    def provenance(self) -> dict[str, str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Place: ...


@runtime_checkable
class Counted(Protocol):
    """A source that may know how many images there are without reading them, or that shows places of one that may."""

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]] | None:
        """Return the images of each sensor at each place; None where they are not known."""


@runtime_checkable
class Selective(Protocol):
    """A source that can read some sensors of a place without the others."""

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return place `index` as the named sensors alone saw it."""


@runtime_checkable
class Recorded(Protocol):
    """A source that knows how its named splits were made."""

    @property
    def how_split(self) -> dict[str, Any]:
        """Seed, method and parameters by the name of the column, as plain JSON types."""


def how_split(source: PlaceSource) -> dict[str, Any]:
    """Return how the named splits of a source were made; nothing where it does not say."""
    return source.how_split if isinstance(source, Recorded) else {}


@runtime_checkable
class Quantified(Protocol):
    """A source whose labels may be quantities in place of classes."""

    @property
    def quantities(self) -> Quantities | None:
        """What the labels measure; None where they are classes."""


def quantities_of(source: PlaceSource) -> Quantities | None:
    """Return what the labels of a source measure; None where they are classes, or there are none."""
    return source.quantities if isinstance(source, Quantified) else None


def labels_of(source: PlaceSource) -> Labels | None:
    """Return what the labels of a source speak of; None where there are none."""
    measured = quantities_of(source)
    return source.classes if measured is None else measured


@runtime_checkable
class Annotated(Protocol):
    """A source that may know which places have labels without reading them, or that shows places of one that may."""

    def labelled(self) -> Bool[np.ndarray, " places"] | None:
        """Return which places have labels; None where that is not known."""


def labelled_places(source: PlaceSource) -> Bool[np.ndarray, " places"] | None:
    """Return which places have labels; None where the source would have to read them."""
    return source.labelled() if isinstance(source, Annotated) else None


@runtime_checkable
class Noted(Protocol):
    """A source that changes values of some places on reading, by a rule that one should know of."""

    def notes(self) -> list[str]:
        """Return what is done where, a line each; may read the headers of all files."""


def some_of(ids: Sequence[str]) -> str:
    """Return how many places there are, and the first of them."""
    return f"{len(ids)}: {', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''}"


def read_sensors(source: PlaceSource, index: int, sensors: Sequence[str]) -> Place:
    """Return a place as the named sensors alone saw it; the others are not even read where the source is `Selective`."""
    return source.read(index, sensors) if isinstance(source, Selective) else source[index].only(tuple(sensors))


def frames_of(source: PlaceSource) -> dict[str, Int[np.ndarray, " places"]] | None:
    """Return the images of each sensor at each place; None where the source would have to read them."""
    return source.num_frames() if isinstance(source, Counted) else None
