"""Scores of label maps from confusion matrices: integers that add up over places, folds and processes without rounding."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Integer, Num
from torch import Tensor

from omnifuse.errors import InputError


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of one confusion matrix, in 0..1.

    Attributes:
        iou: Intersection over union of each class; NaN where it occurs in neither truth nor prediction, and for void.
        f1: F1 of each class; NaN where `iou` is.
        miou: Mean IoU over the classes that occur; NaN if there are none.
        accuracy: Share of the counted pixels that are right; NaN if there are none.
        macro_f1: Mean F1 over the classes that occur; NaN if there are none.
    """

    iou: Float[Tensor, " k"]
    f1: Float[Tensor, " k"]
    miou: float
    accuracy: float
    macro_f1: float

    @staticmethod
    def from_matrix(matrix: Int[Tensor, "k k"], void: int = -1) -> "SegmentationScores":
        """Score under the reference rule of PASTIS: row and column of `void` are removed, absent classes do not count.

        A pixel of a real class that is predicted as void is therefore no error. Matrices of folds or places are summed
        first: the mean of their mIoUs is another number.
        """
        kept = without_void(matrix, void)
        iou, f1 = class_iou(kept), class_f1(kept)
        return SegmentationScores(iou, f1, iou.nanmean().item(), _accuracy(kept), f1.nanmean().item())

    @staticmethod
    def from_matrix_pangaea(matrix: Int[Tensor, "k k"], void: int = -1) -> "SegmentationScores":
        """Score under the rule of PANGAEA: only the row of `void` is removed and absent classes count as zero.

        A pixel of a real class that is predicted as void is an error. Its figures are not comparable with the reference's.
        """
        kept = matrix.clone()
        real = torch.ones(len(matrix), dtype=torch.bool)
        if 0 <= void < len(matrix):
            kept[void] = 0
            real[void] = False
        iou, f1 = (torch.where(real, score.nan_to_num(0.0), torch.nan) for score in (class_iou(kept), class_f1(kept)))
        return SegmentationScores(iou, f1, iou.nanmean().item(), _accuracy(kept), f1.nanmean().item())


def confusion_matrix(
    prediction: Integer[Tensor, "*shape"], target: Integer[Tensor, "*shape"], num_classes: int, ignore: int = -1
) -> Int[Tensor, "k k"]:
    """Count pixels by truth (rows) and prediction (columns); those whose truth is `ignore` count for nothing.

    Raises:
        InputError: for a truth that is neither a class nor `ignore`, or a prediction that is no class.
    """
    return confusion_matrices(prediction.reshape(1, -1), target.reshape(1, -1), num_classes, ignore)[0]


def confusion_matrices(
    prediction: Integer[Tensor, "b ..."], target: Integer[Tensor, "b ..."], num_classes: int, ignore: int = -1
) -> Int[Tensor, "b k k"]:
    """Return one `confusion_matrix` per place, on the CPU."""
    counted = target != ignore
    truth, guess = target[counted].long(), prediction[counted].long()
    for name, labels in (("label", truth), ("prediction", guess)):
        wrong = labels[(labels < 0) | (labels >= num_classes)]
        if len(wrong):
            also = f" or {ignore} (ignored)" if name == "label" and not 0 <= ignore < num_classes else ""
            raise InputError(
                f"segmentation: {name} {int(wrong[0])} found {len(wrong)} times, expected 0..{num_classes - 1}{also}. "
                "Try: the class table that these labels were made with."
            )
    place = torch.arange(len(target), device=target.device).view(-1, *[1] * (target.ndim - 1)).expand_as(target)[counted]
    flat = torch.bincount((place * num_classes + truth) * num_classes + guess, minlength=len(target) * num_classes**2)
    return flat.view(len(target), num_classes, num_classes).cpu()


def without_void(matrix: Num[Tensor, "*n k k"], void: int) -> Num[Tensor, "*n k k"]:
    """Set row and column of `void` to zero; a `void` that is none of the classes changes nothing."""
    kept = matrix.clone()
    if 0 <= void < matrix.shape[-1]:
        kept[..., void, :] = 0
        kept[..., :, void] = 0
    return kept


def class_iou(matrix: Int[Tensor, "*n k k"] | Float[Tensor, "*n k k"]) -> Float[Tensor, "*n k"]:
    """Return the IoU of every class of one or many matrices in float64; NaN where a class does not occur."""
    right, truth, guess = _marginals(matrix)
    return right / (truth + guess - right)


def class_f1(matrix: Int[Tensor, "*n k k"] | Float[Tensor, "*n k k"]) -> Float[Tensor, "*n k"]:
    """Return the F1 of every class of one or many matrices in float64; NaN where a class does not occur."""
    right, truth, guess = _marginals(matrix)
    return 2 * right / (truth + guess)


def _marginals(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    counts = matrix.double()
    return counts.diagonal(dim1=-2, dim2=-1), counts.sum(-1), counts.sum(-2)


def _accuracy(matrix: Tensor) -> float:
    return (matrix.trace().double() / matrix.sum().double()).item()
