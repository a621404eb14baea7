"""Supervised segmentation: cross-entropy plus Dice. An objective like any other, so that one loop trains both."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnifuse.config import Config
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch
from omnifuse.losses import cross_entropy, dice
from omnifuse.models.model import FusionModel
from omnifuse.objectives.base import LossOutput, Objective


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(Config):
    """Cross-entropy and Dice per pixel.

    Attributes:
        dice_weight: Weight of the Dice term beside the cross-entropy.
        class_weights: Weight of each class in the cross-entropy; Dice leaves out classes of weight 0. Empty weighs all alike.
    """

    kind: Literal["segmentation"] = "segmentation"
    dice_weight: float = 1.0
    class_weights: tuple[float, ...] = ()

    def build(self, model: FusionModel) -> "Segment":
        return Segment(model, self)


class Segment(Objective):
    """Cross-entropy + Dice over the labelled pixels of a batch; zero, with zero gradients, where none is labelled."""

    weight: Tensor | None

    def __init__(self, model: FusionModel, config: SegmentConfig) -> None:
        super().__init__()
        if not model.config.classes.exclusive:
            raise ConfigError("segmentation: these labels hold several classes at once. Try: an objective of kind 'classification'.")
        self.model = model
        self.config = config
        self.register_buffer("weight", class_weights(config.class_weights, model.config.classes.names), persistent=False)

    def forward(self, batch: Batch) -> LossOutput:
        if batch.target is None:
            raise InputError("segmentation: the batch has no labels. Try: a data source with labels.")
        logits = self.model(batch)
        if batch.target.shape != (len(logits), *logits.shape[2:]):
            raise InputError(
                f"segmentation: labels are {tuple(batch.target.shape)}, predictions {(len(logits), *logits.shape[2:])}. "
                "Try: set the head's `gsd` to that of the labels."
            )
        ignore, target = self.model.config.classes.ignore, batch.target.long()
        entropy = cross_entropy(logits, target, ignore, self.weight)
        overlap = dice(logits, target if self.weight is None else weighed(target, self.weight, ignore), ignore)
        counted = batch.target != ignore
        accuracy = ((logits.argmax(1) == batch.target) & counted).sum() / counted.sum().clamp(min=1)
        metrics = {"cross_entropy": entropy.detach(), "dice": overlap.detach(), "accuracy": accuracy}
        return LossOutput(entropy + self.config.dice_weight * overlap, metrics)


def weighed(target: Int[Tensor, "b h w"], weight: Float[Tensor, " k"], ignore: int) -> Int[Tensor, "b h w"]:
    """Return labels of which those of classes without weight are ignored."""
    return target.masked_fill(weight[target.clamp(0, len(weight) - 1)] == 0, ignore)


def class_weights(weights: tuple[float, ...], names: tuple[str, ...]) -> Tensor | None:
    """Return the weights as a tensor; None where all classes weigh alike.

    Raises:
        ConfigError: for a weight that is negative, or another number of weights than of classes.
    """
    if not weights:
        return None
    if len(weights) != len(names) or min(weights) < 0 or not any(weights):
        raise ConfigError(f"class weights: found {weights} for the {len(names)} classes {', '.join(names)}. Try: one weight ≥ 0 for each.")
    return torch.tensor(weights)
