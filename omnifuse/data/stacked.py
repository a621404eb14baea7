"""Sensors stacked as further bands of another, at its dates and on its pixels: early fusion of what is stored, before any encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch.nn import functional

from omnifuse.config import Config
from omnifuse.data.place import Place, PlaceSource, Series, frames_of, how_split, labelled_places, quantities_of, read_sensors
from omnifuse.data.statistics import Summarised
from omnifuse.errors import ConfigError
from omnifuse.modalities import Modality, check_names


@dataclass(frozen=True, kw_only=True)
class Stack(Config):
    """Which sensors become bands of which, and what that is called.

    Early fusion of PASTIS-R (arXiv:2112.07558) is the default. With covariates (elevation, climate, land cover) in `series` and `name`
    the sensor's own, these are simply further bands of it (`covariates`).

    Attributes:
        onto: Sensor whose dates and pixels count.
        series: Sensors whose bands follow, in this order.
        name: Name of the stacked sensor.
    """

    onto: str = "s2"
    series: tuple[str, ...] = ("s1_asc",)
    name: str = "s2_s1"

    def __post_init__(self) -> None:
        if not self.series or len({self.onto, *self.series}) <= len(self.series):
            raise ConfigError(
                f"stack {self.name!r}: {self.series} onto {self.onto!r}. Try: one or more other sensors in `series`, each once."
            )


def covariates(names: tuple[str, ...] = ("dem", "climate"), onto: tuple[str, ...] = ("s2",)) -> tuple[Stack, ...]:
    """Return the stacks that append covariates to every image of some sensors, under the sensors' own names."""
    return tuple(Stack(onto=sensor, series=names, name=sensor) for sensor in onto)


class Stacked:
    """The places of a source with some sensors stacked (a `PlaceSource`); those that took part are not shown beside it.

    Values between two dates are interpolated linearly in time, those before the first or after the last date are of the nearest.
    Pixels of another size are brought to those of `onto`: mean where they grow, bilinear where they shrink. A place that lacks one of
    the sensors lacks the stacked one. Values are float32 in their own units.

    Args:
        source: Where the places come from.
        stacks: What is stacked.
    """

    def __init__(self, source: PlaceSource, stacks: Sequence[Stack]) -> None:
        self.source = source
        self.stacks = {stack.name: stack for stack in stacks}
        parts = [name for stack in stacks for name in (stack.onto, *stack.series)]
        check_names(parts, list(source.modalities), "stack")
        rest = {name: modality for name, modality in source.modalities.items() if name not in parts}
        if len(self.stacks) != len(stacks) or rest.keys() & self.stacks.keys():
            raise ConfigError(
                f"stack: names {[stack.name for stack in stacks]} beside {list(rest)} are not all different. Try: another name."
            )
        self.modalities = {stack.name: _stacked_modality(stack, source.modalities) for stack in stacks} | rest
        self.classes = source.classes
        self.quantities = quantities_of(source)
        self.size = source.size
        self.info = source.info
        self.provenance = source.provenance | {"stacked": "; ".join(f"{', '.join(one.series)} onto {one.onto}" for one in stacks)}
        self.how_split = how_split(source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Place:
        return self.read(index, tuple(self.modalities))

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some of these sensors saw it (`omnifuse.data.place.Selective`)."""
        needed = dict.fromkeys(part for name in sensors for part in self._parts(name))
        place = read_sensors(self.source, index, tuple(needed))
        series = {name: self._stack(self.stacks[name], place) if name in self.stacks else place.series.get(name) for name in sensors}
        return replace(place, series={name: one for name, one in series.items() if one is not None})

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]] | None:
        """Return the images of each sensor at each place (`omnifuse.data.place.Counted`); None where the source does not know."""
        known = frames_of(self.source)
        if known is None:
            return None
        complete = {name: np.all([known[part] > 0 for part in self._parts(name)], axis=0) for name in self.modalities}
        return {name: np.where(complete[name], known[self._parts(name)[0]], 0) for name in self.modalities}

    def labelled(self) -> Bool[np.ndarray, " places"] | None:
        """Return which places have labels (`omnifuse.data.place.Annotated`); None where the source does not know."""
        return labelled_places(self.source)

    def moments(self, name: str) -> Float[np.ndarray, "places bands 3"] | None:
        """Return the moments of a sensor (`omnifuse.data.statistics.Summarised`); None of those stacked, whose values are made here."""
        return self.source.moments(name) if name not in self.stacks and isinstance(self.source, Summarised) else None

    def _parts(self, name: str) -> tuple[str, ...]:
        return (self.stacks[name].onto, *self.stacks[name].series) if name in self.stacks else (name,)

    def _stack(self, stack: Stack, place: Place) -> Series:
        found = [place.series.get(name) for name in (stack.onto, *stack.series)]
        modality = self.modalities[stack.name]
        if any(one is None or not len(one.day) for one in found):
            side = modality.pixels(place.size)
            return Series(np.zeros((0, len(modality.bands), side, side), np.float32), np.zeros(0, np.int32))
        first, *others = (one for one in found if one is not None)
        side = first.pixels.shape[-1]
        bands = [at_dates(on_grid(one.pixels, side), one.day, first.day) for one in others]
        return Series(np.concatenate([first.pixels.astype(np.float32), *bands], 1), first.day)


def at_dates(
    pixels: Float[np.ndarray, "t c h w"], day: Int[np.ndarray, " t"], wanted: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n c h w"]:
    """Return a series at other dates: linear between two dates, the nearest beyond the first and the last; of one day, its last image."""
    after = np.searchsorted(day, wanted, side="right")
    low, high = np.clip(after - 1, 0, len(day) - 1), np.clip(after, 0, len(day) - 1)
    span = np.maximum(day[high] - day[low], 1)
    share = np.clip((wanted - day[low]) / span, 0, 1).astype(np.float32)[:, None, None, None]
    return pixels[low] + share * (pixels[high] - pixels[low])


def on_grid(pixels: Num[np.ndarray, "t c h w"], side: int) -> Float[np.ndarray, "t c {side} {side}"]:
    """Bring images of the same ground to `side`×`side` pixels: mean where pixels grow, bilinear where they shrink."""
    values = torch.from_numpy(pixels.astype(np.float32))
    if pixels.shape[-1] > side:
        values = functional.interpolate(values, size=(side, side), mode="area")
    elif pixels.shape[-1] < side:
        values = functional.interpolate(values, size=(side, side), mode="bilinear", align_corners=False)
    return values.numpy()


def _stacked_modality(stack: Stack, known: dict[str, Modality]) -> Modality:
    """Return what the stacked sensor's pixels are; bands that were added are named after their sensor."""
    onto, others = known[stack.onto], [known[name] for name in stack.series]
    for one in others:
        if not one.per_place and (one.context != onto.context or onto.per_place):
            raise ConfigError(
                f"stack {stack.name!r}: {one.name!r} has {one.context:g} m of surroundings and {onto.name!r} {onto.context:g} m, "
                "or one pixel for the whole place. Try: sensors that show the same ground."
            )
    parts = (onto, *others)
    return replace(
        onto,
        name=stack.name,
        title=" + ".join(one.title for one in parts),
        bands=(*onto.bands, *(f"{one.name}.{band}" for one in others for band in one.bands)),
        units=tuple(unit for one in parts for unit in one.units),
        mean=tuple(value for one in parts for value in one.mean),
        std=tuple(value for one in parts for value in one.std),
        wavelengths=tuple(value for one in parts for value in one.wavelengths),
    )
