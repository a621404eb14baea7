"""What a contrast makes of places: embeddings to retrieve by, and frozen features with the labels of their ground cells."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn.functional import one_hot

from omnifuse.classes import ClassTable
from omnifuse.evals.modes import evaluating
from omnifuse.evals.probes import Labeled
from omnifuse.frames import Batch
from omnifuse.models.fusion import cells, resize
from omnifuse.objectives.contrast import Contrast
from omnifuse.objectives.projection import sampled_cells


@dataclass(frozen=True)
class Seen:
    """Places as each sensor saw them, by sensor; in float32 on the CPU.

    Attributes:
        place: Place embeddings.
        place_row: The place that each is of.
        cell: Cell embeddings.
        cell_row: The ground cell that each is of.
        labeled: Features of cells with the class that most of the cell has, without those of which most is not labeled. Where labels are
            shares of classes per place, features of places with the largest class.
    """

    place: dict[str, Float[Tensor, "_n d"]]
    place_row: dict[str, Int[Tensor, " _n"]]
    cell: dict[str, Float[Tensor, "_m d"]]
    cell_row: dict[str, Int[Tensor, " _m"]]
    labeled: dict[str, Labeled]


@torch.no_grad()
def embed_places(objective: Contrast, batches: Iterable[Batch], num_cells: int, classes: ClassTable | None = None) -> Seen:
    """Embed places with each sensor alone; deterministic, in evaluation mode.

    Args:
        objective: Encoders and projections; stays in its mode.
        batches: Places, each once.
        num_cells: Cells per place, the same for all sensors and on every call.
        classes: Of the labels; None collects no features.
    """
    lists: dict[str, dict[str, list[Tensor]]] = {}
    device = next(objective.parameters()).device
    with evaluating(objective):
        for batch in batches:
            side = cells(batch.size, objective.config.cell_gsd)
            features = objective.encoders(batch.to(device))
            chosen = sampled_cells(batch.place, side * side, num_cells)
            target = batch.target if classes is not None else None
            label = None if target is None or classes is None or target.ndim != 3 else cell_labels(target, classes, side)
            for name, (cell, place) in objective.project(features, batch.size).items():
                here = features[name].place.cpu()
                picked = chosen[here]
                pick = picked[..., None].to(device)
                row = batch.place[here].long()
                values = {
                    "place": place,
                    "place_row": row,
                    "cell": cell.gather(1, pick.expand(-1, -1, cell.shape[-1])).flatten(0, 1),
                    "cell_row": (row[:, None] * 2**20 + picked).flatten(),
                }
                if label is not None:
                    maps = torch.cat([resize(x, side) for x in features[name].maps], 1).flatten(2).mT
                    known = label[here].gather(1, picked).flatten()
                    found = maps.gather(1, pick.expand(-1, -1, maps.shape[-1])).flatten(0, 1)
                    values |= {"features": found[(known >= 0).to(device)], "label": known[known >= 0]}
                elif target is not None and target.ndim == 2:
                    pooled = [x.mean((2, 3)) for x in features[name].maps]
                    values |= {"features": torch.cat(pooled, 1), "label": target[here].argmax(1)}
                for key, value in values.items():
                    stored = value.float() if value.is_floating_point() else value
                    lists.setdefault(key, {}).setdefault(name, []).append(stored.cpu())
    whole = {key: {name: torch.cat(parts) for name, parts in by_name.items()} for key, by_name in lists.items()}
    labeled = {name: Labeled(x, whole["label"][name]) for name, x in whole.get("features", {}).items()}
    return Seen(whole.get("place", {}), whole.get("place_row", {}), whole.get("cell", {}), whole.get("cell_row", {}), labeled)


def cell_labels(target: Num[Tensor, "b h w"], classes: ClassTable, side: int) -> Int[Tensor, "b cells"]:
    """Return the class that covers most of each cell; -1 where the ignored label covers more than any."""
    number = len(classes.names)
    ignored = (target == classes.ignore) | (target < 0) | (target >= number)
    indicator = one_hot(target.long().masked_fill(ignored, number), number + 1).permute(0, 3, 1, 2).float()
    winner = resize(indicator, side).argmax(1).flatten(1)
    return winner.masked_fill(winner == number, -1)
