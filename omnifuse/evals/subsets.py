"""One set of weights under every subset of sensors: what is lost when a sensor is missing."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import combinations

import torch
from torch import nn

from omnifuse.evals.metrics import Metric
from omnifuse.evals.scoring import Scored, score_views
from omnifuse.frames import Batch
from omnifuse.modalities import check_names
from omnifuse.nn.exchange import Processes

Subset = tuple[str, ...]


def all_subsets(names: Sequence[str]) -> list[Subset]:
    """Return every non-empty subset, single sensors first, each in the order of `names`."""
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def evaluate_subsets(
    model: nn.Module,
    batches: Callable[[], Iterable[Batch]],
    subsets: Sequence[Subset],
    metric: Metric,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
) -> dict[Subset, Scored]:
    """Run a model on the same labelled places once per subset of sensors; arguments as of `score_views`.

    A place with none of the sensors of a subset is counted as skipped, not guessed.
    """
    return score_views(model, batches, {subset: partial(_only, subset) for subset in subsets}, metric, device, processes)


def _only(subset: Subset, batch: Batch) -> Batch:
    check_names(subset, list(batch.frames), "evaluation")
    return batch.only(subset)
