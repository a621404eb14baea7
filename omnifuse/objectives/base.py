"""The contract of an objective: `Batch -> LossOutput`; and of one that compares the places of a batch with each other."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnifuse.frames import Batch, Features
from omnifuse.models.encoder import Encoder


@dataclass(frozen=True)
class LossOutput:
    """What one step minimises, and what it tells.

    Attributes:
        loss: Scalar to minimise.
        metrics: Detached scalars for the log, by name such as `loss/s2-s1_asc`.
    """

    loss: Float[Tensor, ""]
    metrics: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """Owns the model and everything that training alone needs (projections, temperature). One loop trains them all.

    Deterministic given the batch and the global random state, which the loop seeds anew at every step: whatever is drawn
    for a place is seeded by `Batch.draw`.
    """

    @abstractmethod
    def forward(self, batch: Batch) -> LossOutput:
        """Return the loss of a batch; `loss` is finite and touches every parameter, whatever is missing."""


@dataclass(frozen=True)
class Embedded:
    """What the places of a micro-batch are compared by.

    Attributes:
        vectors: What gradients flow through, by name. Micro-batches are joined along the first axis.
        marks: What else a comparison needs to know, by name; joined in the same way.
    """

    vectors: dict[str, Tensor]
    marks: dict[str, Tensor]

    @staticmethod
    def cat(parts: Sequence["Embedded"]) -> "Embedded":
        """Join micro-batches."""
        if len(parts) == 1:
            return parts[0]
        vectors = {name: torch.cat([part.vectors[name] for part in parts]) for name in parts[0].vectors}
        return Embedded(vectors, {name: torch.cat([part.marks[name] for part in parts]) for name in parts[0].marks})


class Comparing(Objective):
    """An objective whose loss compares places, so that the loss of a batch is not the mean over its pieces.

    Embedding is apart from comparing, so that the loop can compare all micro-batches of all processes as one batch with the memory
    of one micro-batch (arXiv:2101.06983). In training the loss is that of all processes together: `loss` is this process's share
    times their number, so that its mean over processes, which is what DDP takes of gradients, is the loss of the whole batch.
    In evaluation a process compares its own places alone, so that processes may evaluate different numbers of batches.
    """

    @abstractmethod
    def represent(self, batch: Batch) -> Embedded:
        """Embed a micro-batch; each place by itself."""

    @abstractmethod
    def compare(self, parts: Sequence[Embedded]) -> LossOutput:
        """Return the loss of micro-batches as one batch; `metrics` are of all processes, and the same on all."""

    @overload
    def forward(self, batch: Batch, compared: Literal[True] = True) -> LossOutput: ...
    @overload
    def forward(self, batch: Batch, compared: Literal[False]) -> Embedded: ...
    def forward(self, batch: Batch, compared: bool = True) -> LossOutput | Embedded:
        """Return the loss of a batch, or only embed it. One method, as autocast and DDP wrap `forward` alone."""
        embedded = self.represent(batch)
        return self.compare([embedded]) if compared else embedded


class ComparingFeatures(Comparing):
    """A comparison of what encoders return, so that another objective can use the same maps, computed once."""

    @abstractmethod
    def encoders_by_name(self) -> dict[str, Encoder]:
        """Return the encoders by modality name."""

    @abstractmethod
    def encode(self, batch: Batch) -> dict[str, Features]:
        """Return the maps of each sensor, as they are compared in training or in evaluation."""

    @abstractmethod
    def represent_features(self, features: dict[str, Features], batch: Batch) -> Embedded:
        """Embed a micro-batch from the maps of its sensors."""

    def represent(self, batch: Batch) -> Embedded:
        return self.represent_features(self.encode(batch), batch)
