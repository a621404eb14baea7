"""Averaged weights: they lag behind the trained ones and generalise better (arXiv:2010.02502 and others use them)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from omnifuse.train.sharding import divided, piece


class Ema:
    """Exponential moving average of a model's parameters; buffers are the model's own."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.parameters: list[Tensor] = list(model.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after update `step`; the memory grows with the steps so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([piece(x) for x in self.average], [piece(x) for x in self.parameters], 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """Return what `model.state_dict()` would be with the averaged weights in place."""
        average = {id(parameter): value for parameter, value in zip(self.parameters, self.average, strict=True)}
        named = {name: average[id(parameter)] for name, parameter in self.model.named_parameters(remove_duplicate=False)}
        return {name: named.get(name, value) for name, value in self.model.state_dict().items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the average from `tensors`."""
        for (name, _), value in zip(self.model.named_parameters(), self.average, strict=True):
            value.copy_(divided(tensors[name], value))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights with the average, in place and bit for bit; a second call undoes the first."""
        for parameter, value in zip(self.parameters, self.average, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model hold the averaged weights inside a `with` block."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
