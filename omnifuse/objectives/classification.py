"""Supervised classification of places: one class each, or any number of classes at once."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from omnifuse.classes import ClassTable
from omnifuse.config import Config
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.losses import binary_cross_entropy, cross_entropy
from omnifuse.models.model import FusionModel
from omnifuse.objectives.base import LossOutput, Objective
from omnifuse.objectives.segmentation import class_weights


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig(Config):
    """Cross-entropy per place; binary cross-entropy per class where classes are not exclusive.

    Attributes:
        class_weights: Weight of each class; empty weighs all alike.
    """

    kind: Literal["classification"] = "classification"
    class_weights: tuple[float, ...] = ()

    def build(self, model: FusionModel) -> "Classify":
        return Classify(model, self)


class Classify(Objective):
    """Cross-entropy over the labelled places of a batch; zero, with zero gradients, where none is labelled."""

    weight: Tensor | None

    def __init__(self, model: FusionModel, config: ClassifyConfig) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("weight", class_weights(config.class_weights, model.config.classes.names), persistent=False)

    def forward(self, batch: Batch) -> LossOutput:
        classes = self.model.config.classes
        logits = self.model(batch)
        if batch.target is None:
            raise InputError("classification: the batch has no labels. Try: a data source with labels.")
        if not classes.exclusive:
            present = presence_of_places(batch.target, logits, classes)
            entropy = binary_cross_entropy(logits, present, self.weight)
            right = ((logits > 0) == (present > 0.5)) & present.isfinite()
            accuracy = right.sum() / present.isfinite().sum().clamp(min=1)
        else:
            label = class_of_places(batch.target, logits)
            entropy = cross_entropy(logits[:, :, None, None], label[:, None, None], classes.ignore, self.weight)
            counted = label != classes.ignore
            accuracy = ((logits.argmax(1) == label) & counted).sum() / counted.sum().clamp(min=1)
        return LossOutput(entropy, {"cross_entropy": entropy.detach(), "accuracy": accuracy})


def class_of_places(target: Num[Tensor, "b ..."], logits: Float[Tensor, "b k"]) -> Int[Tensor, " b"]:
    """Return the class of each place from labels that hold one value for each.

    Raises:
        InputError: for predictions per pixel, or a map of labels per place.
    """
    if logits.ndim != 2 or target.numel() != len(logits):
        raise InputError(
            f"classification: labels are {tuple(target.shape)}, predictions {tuple(logits.shape)}; expected one label for each place. "
            "Try: a head of kind 'place', and `target` to say how maps of labels become one label."
        )
    return target.reshape(-1).long()


def presence_of_places(target: Num[Tensor, "b ..."], logits: Float[Tensor, "b k"], classes: ClassTable) -> Float[Tensor, "b k"]:
    """Return 1 for the classes that are present at each place, 0 for the others, and NaN where the labels do not know.

    Raises:
        InputError: for predictions per pixel, or labels that are not one value per class.
    """
    if logits.ndim != 2 or target.shape != logits.shape:
        raise InputError(
            f"classification: labels are {tuple(target.shape)}, predictions {tuple(logits.shape)}; expected one value for each place and "
            "class. Try: a head of kind 'place', and `target` to say how maps of labels become one value per class."
        )
    shares = target.to(logits.dtype)
    return torch.where(shares.isnan(), shares, (shares > classes.present_above).to(logits.dtype))
