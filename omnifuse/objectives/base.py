"""The contract of an objective: `Batch -> LossOutput`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from omnifuse.frames import Batch


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
