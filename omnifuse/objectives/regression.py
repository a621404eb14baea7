"""Supervised regression of quantities, per pixel or per place."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Num
from torch import Tensor

from omnifuse.classes import Quantities
from omnifuse.config import Config
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch
from omnifuse.losses import smooth_l1
from omnifuse.models.model import FusionModel
from omnifuse.objectives.base import LossOutput, Objective


@dataclass(frozen=True, kw_only=True)
class RegressConfig(Config):
    """Smooth L1 of standardised quantities.

    Attributes:
        beta: Errors below so many standard deviations count by their square, larger ones by their size; 0 counts all by their size.
    """

    kind: Literal["regression"] = "regression"
    beta: float = 1.0

    def build(self, model: FusionModel) -> "Regress":
        return Regress(model, self)


class Regress(Objective):
    """Mean over what is known of the labels of a batch (NaN is unknown); zero, with zero gradients, where nothing is."""

    def __init__(self, model: FusionModel, config: RegressConfig) -> None:
        super().__init__()
        if not isinstance(model.config.labels, Quantities):
            raise ConfigError("regression: the labels are classes, expected quantities. Try: `target` to choose quantities.")
        self.model = model
        self.config = config

    def forward(self, batch: Batch) -> LossOutput:
        if batch.target is None:
            raise InputError("regression: the batch has no labels. Try: a data source with labels.")
        predicted = self.model(batch)
        truth = quantities_like(batch.target, predicted).to(predicted.dtype)
        spread = self.model.spread.view(-1, *[1] * (predicted.ndim - 2))
        loss = smooth_l1(predicted / spread, truth / spread, self.config.beta)
        known = truth.isfinite().transpose(0, 1).flatten(1)
        error = (predicted.detach() - truth).abs().transpose(0, 1).flatten(1).where(known, 0).sum(1) / known.sum(1).clamp(min=1)
        metrics = {f"mae/{name}": value for name, value in zip(self.model.config.labels.names, error, strict=True)}
        return LossOutput(loss, {"smooth_l1": loss.detach(), **metrics})


def quantities_like(target: Num[Tensor, "b ..."], predicted: Float[Tensor, "b q ..."]) -> Num[Tensor, "b q ..."]:
    """Return labels in the shape of predictions; a single quantity may come without its axis.

    Raises:
        InputError: where they do not fit.
    """
    if predicted.shape[1] == 1 and target.ndim == predicted.ndim - 1:
        target = target[:, None]
    if target.shape != predicted.shape:
        raise InputError(
            f"regression: labels are {tuple(target.shape)}, predictions {tuple(predicted.shape)}. Try: a head of kind 'place' for "
            "labels of places, of kind 'segmentation' with the `gsd` of the labels for maps."
        )
    return target
