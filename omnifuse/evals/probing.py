"""Probes with places: what frozen encoders tell of labels, counted per place by a metric as any other score is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn.functional import one_hot

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.errors import InputError
from omnifuse.evals.embeddings import cell_labels
from omnifuse.evals.metrics import Metric
from omnifuse.evals.modes import evaluating
from omnifuse.evals.scoring import Scored
from omnifuse.frames import Batch, Features
from omnifuse.models.fusion import cells, resize
from omnifuse.models.model import Encoders
from omnifuse.objectives.projection import sampled_cells

Probe = Callable[[Float[Tensor, "n d"], Float[Tensor, "n k"], Float[Tensor, "m d"]], Float[Tensor, "m k"]]
_PART = 1024  # rows that are counted at once


@dataclass(frozen=True)
class Frozen:
    """What each sensor's frozen encoder says of things: ground cells where labels are maps, else places.

    Attributes:
        features: One row per thing, by sensor; zero where the sensor is missing.
        present: Whether the sensor saw the place of a thing, by sensor.
        target: Label of each thing: its class, or one value per class or quantity.
        place: The place that each is of.
        places: All places that were read.
    """

    features: dict[str, Float[Tensor, "n _d"]]
    present: dict[str, Tensor]
    target: Num[Tensor, "n ..."]
    place: Int[Tensor, " n"]
    places: Int[Tensor, " p"]


@torch.no_grad()
def freeze(encoders: Encoders, batches: Iterable[Batch], labels: Labels, cell_gsd: float, num_cells: int) -> Frozen:
    """Encode places with each sensor alone; deterministic, in evaluation mode. Unlabeled things are left out.

    Args:
        encoders: Frozen encoders; stay in their mode.
        batches: Labeled places, each once.
        labels: What labels speak of.
        cell_gsd: Side of a ground cell in metres.
        num_cells: Cells per place, the same on every call.

    Raises:
        InputError: for labels that are maps of quantities, or no labels.
    """
    device = next(encoders.parameters()).device
    features: dict[str, list[Tensor]] = {name: [] for name in encoders.items()}
    present: dict[str, list[Tensor]] = {name: [] for name in encoders.items()}
    targets, places, everything = [], [], []
    with evaluating(encoders):
        for batch in batches:
            if batch.target is None:
                raise InputError("probe: places without labels. Try: a labeled store.")
            side = cells(batch.size, cell_gsd)
            maps = isinstance(labels, ClassTable) and labels.exclusive and batch.target.ndim == 3 and batch.target[0].numel() > 1
            chosen = sampled_cells(batch.place, side * side, num_cells) if maps else None
            target = _targets(batch.target, labels, side, chosen)
            known = (target >= 0 if target.ndim == 1 else torch.ones(len(target), dtype=torch.bool)).nonzero()[:, 0]
            per_place = len(target) // batch.num_places
            for name, found in encoders(batch.to(device)).items():
                rows = _rows(found, side, chosen)
                whole = rows.new_zeros(batch.num_places, per_place, rows.shape[-1]).index_copy(0, found.place.to(rows.device), rows)
                seen = torch.zeros(batch.num_places, dtype=torch.bool).index_fill(0, found.place.cpu(), True)
                features[name].append(whole.flatten(0, 1).float().cpu()[known])
                present[name].append(seen.repeat_interleave(per_place)[known])
            targets.append(target[known])
            places.append(batch.place.cpu().long().repeat_interleave(per_place)[known])
            everything.append(batch.place.cpu().long())
    return Frozen(
        {name: torch.cat(parts) for name, parts in features.items()},
        {name: torch.cat(parts) for name, parts in present.items()},
        torch.cat(targets),
        torch.cat(places),
        torch.cat(everything),
    )


def probe(taught: Frozen, asked: Frozen, sensors: Sequence[str], labels: Labels, metric: Metric, method: Probe) -> Scored:
    """Teach a probe by some things and score it at others, by the features of some sensors side by side.

    Only things that all of these sensors saw take part; places without such a thing are counted as skipped.

    Raises:
        InputError: where there is nothing to learn from.
    """
    x, y = _seen_by_all(taught, sensors)
    known = torch.ones(len(y), dtype=torch.bool) if y.ndim == 1 else y.isfinite().all(1)
    if not known.any():
        raise InputError(f"probe: no labeled place was seen by {', '.join(sensors)} to learn from. Try: other sensors, or other places.")
    asked_x, asked_y = _seen_by_all(asked, sensors)
    places = asked.place[_all_present(asked, sensors)]
    predicted = method(x[known], _wanted(y[known], labels), asked_x).float()
    predicted = predicted - 0.5 if isinstance(labels, ClassTable) and not labels.exclusive else predicted
    there, index = torch.unique(places, return_inverse=True)
    blank = metric.blank()
    counted = blank.new_zeros(len(there), *blank.shape[1:])
    for rows in torch.split(torch.arange(len(places)), _PART):
        truth = asked_y[rows]
        counted = counted.index_add(0, index[rows], metric.statistics(predicted[rows], truth[:, None, None] if truth.ndim == 1 else truth))
    return Scored(counted, there, len(asked.places) - len(there), metric)


def _all_present(things: Frozen, sensors: Sequence[str]) -> Tensor:
    return torch.stack([things.present[name] for name in sensors]).all(0)


def _seen_by_all(things: Frozen, sensors: Sequence[str]) -> tuple[Tensor, Tensor]:
    rows = _all_present(things, sensors)
    return torch.cat([things.features[name][rows] for name in sensors], 1), things.target[rows]


def _wanted(target: Tensor, labels: Labels) -> Tensor:
    """Return what is to be regressed: indicators of classes, or quantities."""
    if isinstance(labels, Quantities):
        return target.float()
    return one_hot(target.long(), len(labels.names)).float() if labels.exclusive else (target > labels.present_above).float()


def _targets(target: Tensor, labels: Labels, side: int, chosen: Tensor | None) -> Tensor:
    """Return the label of each thing; -1 for an unlabeled one."""
    target = target.cpu()
    if isinstance(labels, Quantities) or not labels.exclusive:
        if target.ndim != 2:
            raise InputError(
                f"probe: labels are maps of quantities {tuple(target.shape)}, a probe learns one row per place. Try: labels per place."
            )
        return target
    if chosen is not None:
        return cell_labels(target, labels, side).gather(1, chosen.cpu()).flatten()
    flat = target.reshape(len(target)).long()
    return flat.masked_fill((flat == labels.ignore) | (flat < 0) | (flat >= len(labels.names)), -1)


def _rows(found: Features, side: int, chosen: Tensor | None) -> Float[Tensor, "p things d"]:
    """Return the maps of all scales side by side at chosen cells, or their means over the place."""
    if chosen is None:
        return torch.cat([x.mean((2, 3)) for x in found.maps], 1)[:, None]
    maps = torch.cat([resize(x, side) for x in found.maps], 1).flatten(2).mT
    pick = chosen.to(maps.device)[found.place.to(maps.device)][..., None]
    return maps.gather(1, pick.expand(-1, -1, maps.shape[-1]))
