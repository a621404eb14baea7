"""Encoders that do not see the same frames twice, while one batch is scored under many views."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from omnifuse.frames import Features, Frames
from omnifuse.models.encoder import Encoder
from omnifuse.models.model import FusionModel


class Remembering(nn.Module):
    """An encoder that gives again what it gave for the very same `Frames` object.

    Two are remembered: the last, and the last that came a second time, which is what a batch holds before anything is done to it.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.modality, self.dims, self.gsds = encoder.modality, encoder.dims, encoder.gsds
        self.last: tuple[Frames, Features] | None = None
        self.again: tuple[Frames, Features] | None = None

    def forward(self, frames: Frames) -> Features:
        if self.again is not None and self.again[0] is frames:
            return self.again[1]
        if self.last is not None and self.last[0] is frames:
            self.again = self.last
            return self.last[1]
        made = self.encoder(frames)
        if len(frames.pixels):  # a missing sensor costs nothing, and must not push out what does
            self.last = (frames, made)
        return made


@contextmanager
def remembering(model: nn.Module) -> Iterator[None]:
    """Let the encoders of a `FusionModel` remember inside; any other model is left as it is.

    Not for sharded models, whose processes must run the same layers at the same time.
    """
    if not isinstance(model, FusionModel):
        yield
        return
    encoders = dict(model.encoders.by_name)
    try:
        for name, encoder in model.encoders.items().items():
            model.encoders.by_name[name] = Remembering(encoder)
        yield
    finally:
        for name, module in encoders.items():
            model.encoders.by_name[name] = module
