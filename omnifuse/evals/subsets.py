"""One set of weights under every subset of sensors: what is lost when a sensor is missing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from omnifuse.errors import InputError
from omnifuse.evals.segmentation import SegmentationScores, bootstrap_interval, confusion_matrices
from omnifuse.frames import Batch
from omnifuse.modalities import check_names


@dataclass(frozen=True)
class SubsetResult:
    """What a model did with a subset of the sensors.

    Attributes:
        matrices: One confusion matrix per place that had a sensor of the subset, in the order they came.
        place: `Batch.place` of each matrix.
        skipped: Places at which no sensor of the subset was present.
        void: Label that counts for nothing.
    """

    matrices: Int[Tensor, "p k k"]
    place: Int[Tensor, " p"]
    skipped: int
    void: int = -1

    @property
    def matrix(self) -> Int[Tensor, "k k"]:
        """Return the matrix over all places."""
        return self.matrices.sum(0)

    @property
    def scores(self) -> SegmentationScores:
        """Return the scores over all places under the reference rule."""
        return SegmentationScores.from_matrix(self.matrix, self.void)

    def interval(self, seed: int) -> tuple[float, float]:
        """Return the 95 % interval of mIoU over places."""
        return bootstrap_interval(self.matrices, seed, void=self.void)


def all_subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every non-empty subset, single sensors first, each in the order of `names`."""
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


@torch.no_grad()
def evaluate_subsets(
    model: nn.Module,
    batches: Callable[[], Iterable[Batch]],
    subsets: Sequence[tuple[str, ...]],
    num_classes: int,
    ignore: int = -1,
    device: torch.device | str = "cpu",
) -> dict[tuple[str, ...], SubsetResult]:
    """Run `model(batch) -> logits (b, num_classes, h, w)` on the same labelled places once per subset of sensors.

    Deterministic: evaluation mode, no gradients, nothing drawn. The mode of every module is restored.

    Args:
        model: Gives logits on the grid of the labels for places with at least one sensor.
        batches: Starts one pass over the labelled places.
        subsets: Modality names to keep; a place with none of them is counted as skipped, not guessed.
        num_classes: Classes that labels and logits speak of.
        ignore: Label that counts for nothing.
        device: Where to run.
    """
    matrices: dict[tuple[str, ...], list[Tensor]] = {subset: [torch.zeros(0, num_classes, num_classes).long()] for subset in subsets}
    places: dict[tuple[str, ...], list[Tensor]] = {subset: [torch.zeros(0).long()] for subset in subsets}
    skipped = dict.fromkeys(subsets, 0)
    with evaluating(model):
        for batch in batches():
            batch = batch.to(device)
            for subset in subsets:
                check_names(subset, list(batch.frames), "evaluation")
                seen = batch.only(subset)
                present = seen.present.any(0)
                skipped[subset] += int((~present).sum())
                if not present.any():
                    continue
                seen = seen.select(present.nonzero()[:, 0])
                if seen.target is None:
                    raise InputError("evaluation: places without labels. Try: a source with a class table.")
                logits = model(seen)
                expected = (seen.num_places, num_classes, *seen.target.shape[1:])
                if tuple(logits.shape) != expected:
                    raise InputError(f"evaluation: logits have shape {tuple(logits.shape)}, expected {expected} as the labels do.")
                matrices[subset].append(confusion_matrices(logits.argmax(1), seen.target, num_classes, ignore))
                places[subset].append(seen.place.cpu())
    return {subset: SubsetResult(torch.cat(matrices[subset]), torch.cat(places[subset]), skipped[subset], ignore) for subset in subsets}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode; afterwards every module is back in the mode it had, frozen parts included."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
