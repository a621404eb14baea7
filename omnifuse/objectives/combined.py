"""A comparison and masked modelling at once: the encoders see what is visible, once, and serve both."""

from collections.abc import Sequence

import torch

from omnifuse.errors import ConfigError
from omnifuse.frames import Batch
from omnifuse.nn.exchange import Processes, total
from omnifuse.objectives.base import Comparing, Embedded, LossOutput
from omnifuse.objectives.contrast import Contrast
from omnifuse.objectives.masked import MaskedConfig, MaskedPrediction, hide, masked_loss
from omnifuse.objectives.mil_nce import MilNCE


class Combined(Comparing):
    """`contrast + weight × masked`, on the same maps of what stays visible; what is hidden costs nothing.

    Args:
        contrast: What compares places, and owns the encoders.
        config: What is hidden and predicted.
        weight: Of the masked loss beside the contrast.
    """

    def __init__(self, contrast: Contrast | MilNCE, config: MaskedConfig, weight: float) -> None:
        super().__init__()
        if weight <= 0:
            raise ConfigError(f"masked: the weight ({weight}) must be positive. Try: the contrast alone.")
        self.contrast = contrast
        self.config = config
        self.weight = weight
        self.prediction = MaskedPrediction(contrast.encoders_by_name(), config)

    def represent(self, batch: Batch) -> Embedded:
        visible, hidden = hide(batch, self.config)
        features = self.contrast.encode(visible)
        embedded = self.contrast.represent_features(features, visible)
        sums, counts = self.prediction(features, hidden)
        return Embedded({**embedded.vectors, "masked": sums[None]}, {**embedded.marks, "masked": counts[None]})

    def compare(self, parts: Sequence[Embedded]) -> LossOutput:
        seen, processes = Embedded.cat(parts), Processes.joined() if self.training else Processes()
        found = self.contrast.compare([seen])
        masked, metrics = masked_loss(seen.vectors["masked"], seen.marks["masked"], processes, list(self.prediction.heads))
        both = total(torch.stack([found.loss, masked]).detach(), processes) / processes.world
        told = {"loss_contrast": both[0], "loss_masked": both[1]}
        return LossOutput(found.loss + self.weight * masked, {**found.metrics, **metrics, **told})
