"""Supervised segmentation: cross-entropy plus Dice. An objective like any other, so that one loop trains both."""

from dataclasses import dataclass

from omnifuse.config import Config
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.losses import cross_entropy, dice
from omnifuse.models.model import FusionModel
from omnifuse.objectives.base import LossOutput, Objective


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(Config):
    """Attributes:
    dice_weight: Weight of the Dice term beside the cross-entropy.
    """

    dice_weight: float = 1.0

    def build(self, model: FusionModel) -> "Segment":
        return Segment(model, self)


class Segment(Objective):
    """Cross-entropy + Dice over the labelled pixels of a batch; zero, with zero gradients, where none is labelled."""

    def __init__(self, model: FusionModel, config: SegmentConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, batch: Batch) -> LossOutput:
        if batch.target is None:
            raise InputError("segmentation: the batch has no labels. Try: a data source with labels.")
        logits = self.model(batch)
        if batch.target.shape != (len(logits), *logits.shape[2:]):
            raise InputError(
                f"segmentation: labels are {tuple(batch.target.shape)}, predictions {(len(logits), *logits.shape[2:])}. "
                "Try: set the head's `gsd` to that of the labels."
            )
        ignore = self.model.config.classes.ignore
        entropy = cross_entropy(logits, batch.target.long(), ignore)
        overlap = dice(logits, batch.target.long(), ignore)
        counted = batch.target != ignore
        accuracy = ((logits.argmax(1) == batch.target) & counted).sum() / counted.sum().clamp(min=1)
        metrics = {"cross_entropy": entropy.detach(), "dice": overlap.detach(), "accuracy": accuracy}
        return LossOutput(entropy + self.config.dice_weight * overlap, metrics)
