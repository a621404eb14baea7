"""Augmentations of a batch of one: pure functions of a batch and a generator, the same on every sensor and on the labels.

What is drawn is drawn once for the batch. Transforms made here can be pickled, so they travel to worker processes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Num
from torch import Tensor

from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.modalities import Modality

Transform = Callable[[Batch, torch.Generator], Batch]


def compose(*transforms: Transform) -> Transform:
    """Return one transform that applies the given ones in order, all drawing from the same generator."""
    return partial(_apply, transforms)


def symmetry(batch: Batch, generator: torch.Generator) -> Batch:
    """Apply one of the eight symmetries of the square, each as likely, to every sensor and to the label map."""
    return turned(batch, int(torch.randint(8, (), generator=generator)))


def turned(batch: Batch, which: int) -> Batch:
    """Apply symmetry `which`: 0–3 are quarter turns, 4–7 the same after a reflection."""

    def turn(images: Num[Tensor, "... h w"]) -> Num[Tensor, "... h w"]:
        if which >= 4:
            images = images.flip(-1)
        return torch.rot90(images, which % 4, (-2, -1))

    frames = {name: replace(seen, pixels=turn(seen.pixels)) for name, seen in batch.frames.items()}
    target = turn(batch.target) if batch.target is not None and _is_map(batch.target) else batch.target
    return replace(batch, frames=frames, target=target)


def crop(size: float, modalities: Mapping[str, Modality]) -> Transform:
    """Return a transform that cuts a random square of `size` metres, the same ground for every sensor and the labels.

    It starts where pixels of all sensors start, so nothing is resampled. Sensors with context keep their context around the
    square; sensors with one pixel for the whole place keep it.
    """
    return partial(_crop, size=size, modalities=dict(modalities))


def crop_at(batch: Batch, top: float, left: float, size: float, modalities: Mapping[str, Modality]) -> Batch:
    """Cut the square of `size` metres whose upper left corner lies `top` and `left` metres inside the place."""

    def cut(images: Num[Tensor, "... h w"], gsd: float, side: int) -> Num[Tensor, "... h2 w2"]:
        row, column = round(top / gsd), round(left / gsd)
        return images[..., row : row + side, column : column + side]

    frames = {
        name: seen
        if modalities[name].per_place
        else replace(seen, pixels=cut(seen.pixels, modalities[name].gsd, modalities[name].pixels(size)))
        for name, seen in batch.frames.items()
    }
    target = batch.target
    if target is not None and _is_map(target):
        gsd = batch.size / target.shape[-1]
        target = cut(target, gsd, round(size / gsd))
    return replace(batch, frames=frames, size=size, target=target)


def _crop(batch: Batch, generator: torch.Generator, *, size: float, modalities: dict[str, Modality]) -> Batch:
    if size > batch.size:
        raise InputError(f"crop: a square of {size:g} m does not fit into a place of {batch.size:g} m. Try: a smaller crop.")
    gsds = [modalities[name].gsd for name in batch.frames if not modalities[name].per_place]
    if batch.target is not None and _is_map(batch.target):
        gsds.append(batch.size / batch.target.shape[-1])
    step = math.lcm(*(_millimetres(gsd) for gsd in gsds))
    if any(_millimetres(size) % _millimetres(gsd) for gsd in gsds):
        raise InputError(
            f"crop: {size:g} m is not a whole number of pixels of {sorted(set(gsds))} m. Try: a multiple of {step / 1000:g} m."
        )
    choices = (_millimetres(batch.size) - _millimetres(size)) // step + 1
    top, left = (int(torch.randint(choices, (), generator=generator)) * step / 1000 for _ in range(2))
    return crop_at(batch, top, left, size, modalities)


def _apply(transforms: tuple[Transform, ...], batch: Batch, generator: torch.Generator) -> Batch:
    for transform in transforms:
        batch = transform(batch, generator)
    return batch


def _is_map(target: Tensor) -> bool:
    return target.ndim >= 3


def _millimetres(metres: float) -> int:
    exact = metres * 1000
    if abs(exact - round(exact)) > 1e-3:
        raise InputError(f"crop: {metres:g} m is not a whole number of millimetres. Try: labels with a gsd such as 10 m or 0.2 m.")
    return round(exact)
