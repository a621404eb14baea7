"""Metrics as sums over places: what is counted per place adds up over places, folds and processes without rounding or order.

So a score, its bootstrap interval, a paired difference and the pooled score of five folds all come from the same table of counts.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Num
from torch import Tensor

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.config import Config
from omnifuse.errors import InputError
from omnifuse.evals.segmentation import class_f1, class_iou, confusion_matrices, without_void
from omnifuse.objectives.classification import presence_of_places
from omnifuse.objectives.regression import quantities_like

Scores = dict[str, Float[Tensor, "*n"]]


@runtime_checkable
class Metric(Protocol):
    """How predictions are scored.

    Attributes:
        headline: Name of the score that intervals and comparisons are of; larger is better.
    """

    @property
    def headline(self) -> str: ...

    def statistics(self, prediction: Float[Tensor, "b k ..."], target: Num[Tensor, "b ..."]) -> Num[Tensor, "b ..."]:
        """Return what is counted for each place, on the CPU; it adds up over places."""

    def blank(self) -> Num[Tensor, "0 ..."]:
        """Return the statistics of no places."""

    def scores(self, statistics: Num[Tensor, "..."]) -> Scores:
        """Return scores of one or many sums of statistics, by name, in float64 in 0..1 (or in units, as a name says)."""

    def names(self) -> tuple[str, ...]:
        """Return the names of what is scored one by one: classes or quantities."""

    def each(self, statistics: Num[Tensor, "..."]) -> Float[Tensor, "*n k"]:
        """Return the score of each class or quantity whose mean is the headline; NaN where it does not occur."""


@dataclass(frozen=True)
class Confusion(Config):
    """Exclusive classes, per pixel or per place, by their confusion matrix (truth by row).

    Attributes:
        classes: Their names.
        void: Label that counts for nothing; -1 if there is none. A prediction of `void` where the truth is a class is left out by
            the reference's rule (`miou`, `accuracy`), and an error by the other (`miou_void_error`, which also scores absent classes as
            0, and `accuracy_void_error`).
        scored: Classes whose mean is taken; empty takes all but `void`. Pixels of the others still count as errors.
        drop: Classes whose rows and columns are deleted, as `void`'s are.
        headline: `miou`, `macro_f1` or `accuracy`.
        absent: Score of a class that occurs in neither truth nor prediction: None leaves it out of the mean.
    """

    classes: tuple[str, ...]
    void: int = -1
    scored: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()
    headline: str = "miou"
    absent: float | None = None
    kind: Literal["confusion"] = "confusion"

    def statistics(self, prediction: Float[Tensor, "b k ..."], target: Num[Tensor, "b ..."]) -> Num[Tensor, "b k k"]:
        expected = (len(target), len(self.classes), *target.shape[1:])
        if prediction.ndim == 2:  # one prediction per place
            if target.numel() != len(prediction):
                raise InputError(f"evaluation: one prediction per place, but labels are {tuple(target.shape)}. Try: a dense head.")
            target, expected = target.reshape(-1), (len(target), len(self.classes))
        if tuple(prediction.shape) != expected:
            raise InputError(f"evaluation: logits have shape {tuple(prediction.shape)}, expected {expected} as the labels do.")
        _refuse_not_finite(prediction)  # NaN would be scored as the first class
        return confusion_matrices(prediction.argmax(1), target.long(), len(self.classes), self.void)

    def blank(self) -> Num[Tensor, "0 k k"]:
        return torch.zeros(0, len(self.classes), len(self.classes), dtype=torch.long)

    def scores(self, statistics: Num[Tensor, "*n k k"]) -> Scores:
        kept = self._kept(statistics)
        iou, f1 = class_iou(kept), class_f1(kept)
        with_void = statistics.clone()
        if 0 <= self.void < len(self.classes):
            with_void[..., self.void, :] = 0
        return {
            "miou": self._mean(iou),
            "macro_f1": self._mean(f1),
            "accuracy": _accuracy(kept),
            "miou_void_error": class_iou(with_void)[..., self._counted()].nan_to_num(0.0).mean(-1),
            "accuracy_void_error": _accuracy(with_void),
        }

    def names(self) -> tuple[str, ...]:
        return self.classes

    def each(self, statistics: Num[Tensor, "*n k k"]) -> Float[Tensor, "*n k"]:
        kept = self._kept(statistics)
        return (class_f1 if self.headline == "macro_f1" else class_iou)(kept)

    def _kept(self, statistics: Tensor) -> Tensor:
        for label in (self.void, *self.drop):
            statistics = without_void(statistics, label)
        return statistics

    def _counted(self) -> list[int]:
        left_out = {self.void, *self.drop}
        return [i for i in (self.scored or range(len(self.classes))) if i not in left_out]

    def _mean(self, score: Tensor) -> Tensor:
        counted = score[..., self._counted()]
        return counted.nanmean(-1) if self.absent is None else counted.nan_to_num(self.absent).mean(-1)


def _accuracy(matrix: Num[Tensor, "*n k k"]) -> Float[Tensor, "*n"]:
    """Return the share of what a table counts that is right, in float64; NaN of an empty table."""
    counts = matrix.double()
    return counts.diagonal(dim1=-2, dim2=-1).sum(-1) / counts.sum((-1, -2))


@dataclass(frozen=True)
class Multilabel(Config):
    """Any number of classes at once, by hits, false alarms and misses of each class (columns) at a probability of one half.

    A class that is neither present nor predicted scores 0, as in torchmetrics.

    Attributes:
        classes: Names, and the share above which one is present.
        headline: `macro_f1`, `weighted_f1` (by how often a class is present) or `micro_f1`.
    """

    classes: ClassTable
    headline: str = "macro_f1"
    kind: Literal["multilabel"] = "multilabel"

    def statistics(self, prediction: Float[Tensor, "b k"], target: Num[Tensor, "b k"]) -> Num[Tensor, "b 3 k"]:
        truth = presence_of_places(target, prediction, self.classes)
        _refuse_not_finite(prediction)  # NaN would be scored as absent
        known, present, said = truth.isfinite(), truth > 0.5, prediction > 0
        counts = (present & said & known, ~present & said & known, present & ~said & known)
        return torch.stack(counts, 1).long().cpu()

    def blank(self) -> Num[Tensor, "0 3 k"]:
        return torch.zeros(0, 3, len(self.classes.names), dtype=torch.long)

    def scores(self, statistics: Num[Tensor, "*n 3 k"]) -> Scores:
        f1, counts = self.each(statistics), statistics.double()
        present = counts[..., 0, :] + counts[..., 2, :]
        hits, errors = counts[..., 0, :].sum(-1), (counts[..., 1, :] + counts[..., 2, :]).sum(-1)
        return {
            "macro_f1": f1.nan_to_num(0.0).mean(-1),
            "weighted_f1": (f1.nan_to_num(0.0) * present).sum(-1) / present.sum(-1),
            "micro_f1": 2 * hits / (2 * hits + errors),
        }

    def names(self) -> tuple[str, ...]:
        return self.classes.names

    def each(self, statistics: Num[Tensor, "*n 3 k"]) -> Float[Tensor, "*n k"]:
        hits, false, missed = statistics.double().unbind(-2)
        return 2 * hits / (2 * hits + false + missed)


@dataclass(frozen=True)
class Regression(Config):
    """Quantities, by sums over what is known: number, truth, its square, prediction, error, size and square of the error.

    Sums are of differences from `Quantities.mean`, so that float64 holds them to about 1e-12 of their size. Where the truth does not
    vary there is no R² (NaN): a constant quantity, or one so rare that places drawn again have none of it.
    """

    quantities: Quantities
    headline: str = "r2"
    kind: Literal["regression"] = "regression"

    def statistics(self, prediction: Float[Tensor, "b q ..."], target: Num[Tensor, "b ..."]) -> Num[Tensor, "b 6 q"]:
        truth = quantities_like(target, prediction).double().cpu().reshape(*prediction.shape[:2], -1)
        _refuse_not_finite(prediction)
        guess = prediction.double().cpu().reshape(truth.shape)
        known = truth.isfinite()
        level = torch.tensor(self.quantities.mean, dtype=torch.float64)[:, None]
        y, error = (truth - level).where(known, 0), (guess - truth).where(known, 0)
        sums = (known.double(), y, y.square(), error, error.abs(), error.square())
        return torch.stack([x.sum(-1) for x in sums], 1)

    def blank(self) -> Num[Tensor, "0 6 q"]:
        return torch.zeros(0, 6, len(self.quantities.names), dtype=torch.float64)

    def scores(self, statistics: Num[Tensor, "*n 6 q"]) -> Scores:
        number, _, _, error, size, square = statistics.unbind(-2)
        scores = {"r2": self.each(statistics).nanmean(-1)}
        for i, (name, unit) in enumerate(zip(self.quantities.names, self.quantities.units, strict=True)):
            of = f"{name} [{unit}]" if unit else name
            scores[f"r2 {name}"] = self.each(statistics)[..., i]
            scores[f"rmse {of}"] = (square / number).sqrt()[..., i]
            scores[f"mae {of}"] = (size / number)[..., i]
            scores[f"bias {of}"] = (error / number)[..., i]
        return scores

    def names(self) -> tuple[str, ...]:
        return self.quantities.names

    def each(self, statistics: Num[Tensor, "*n 6 q"]) -> Float[Tensor, "*n q"]:
        number, y, squares, _, _, square = statistics.unbind(-2)
        variance = squares - y.square() / number
        # of a constant truth rounding leaves about 1e-16 of the squares, and an R² of -1e15
        return torch.where(variance > 1e-9 * squares, 1 - square / variance, torch.nan)


def metric_of(labels: Labels) -> Metric:
    """Return how predictions of these labels are scored where no protocol says otherwise."""
    if isinstance(labels, Quantities):
        return Regression(labels)
    return Confusion(labels.names, labels.ignore) if labels.exclusive else Multilabel(labels)


def _refuse_not_finite(prediction: Float[Tensor, "b k ..."]) -> None:
    """Raise `InputError` for predictions that are no numbers: a model whose training diverged, or pixels that are no numbers."""
    finite = prediction.isfinite().flatten(1).all(1)
    if not finite.all():
        raise InputError(
            f"evaluation: at {int((~finite).sum())} of {len(finite)} places of a batch the model predicts NaN or infinity. Try: `omnifuse "
            "data check` of the data; if it finds nothing, the training diverged: an earlier checkpoint, or a smaller learning rate."
        )
