"""Scores of one model under several views of the same places, with intervals, and differences between models place by place."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from omnifuse.errors import InputError
from omnifuse.evals.metrics import Metric
from omnifuse.evals.modes import evaluating
from omnifuse.frames import Batch
from omnifuse.nn.exchange import Processes, gather, sizes
from omnifuse.randomness import torch_generator

K = TypeVar("K", bound=Hashable)
View = Callable[[Batch], Batch]
DRAWS = 1000
_BLOCK = 50  # draws that are held at once: of 50,000 places 40 MB


@dataclass(frozen=True)
class Scored:
    """What a model did at each place.

    Attributes:
        statistics: What `metric` counts, one row per place, in order of `place`.
        place: `Batch.place` of each row, ascending.
        skipped: Places at which no sensor was present.
        metric: How they are scored.
    """

    statistics: Num[Tensor, "p ..."]
    place: Int[Tensor, " p"]
    skipped: int
    metric: Metric

    @property
    def total(self) -> Num[Tensor, "..."]:
        """Return the sum over places."""
        return self.statistics.sum(0)

    @property
    def scores(self) -> dict[str, float]:
        """Return all scores over all places by name."""
        return {name: value.item() for name, value in self.metric.scores(self.total).items()}

    @property
    def score(self) -> float:
        """Return the headline score over all places."""
        return self.metric.scores(self.total)[self.metric.headline].item()

    @property
    def each(self) -> dict[str, float]:
        """Return the score of each class or quantity; NaN where it does not occur."""
        return dict(zip(self.metric.names(), self.metric.each(self.total).tolist(), strict=True))

    def interval(self, seed: int, name: str = "", draws: int = DRAWS) -> tuple[float, float]:
        """Return the 95 % percentile interval of a score (the headline) when places are drawn again with replacement.

        It speaks of other places like these under the same weights; it knows nothing of the spread over training seeds.
        """
        wanted = name or self.metric.headline
        return self.intervals(seed, (wanted,), draws)[wanted]

    def intervals(self, seed: int, names: Sequence[str], draws: int = DRAWS) -> dict[str, tuple[float, float]]:
        """Return what `interval` says of several scores, for which places are drawn once."""
        drawn = self.metric.scores(drawn_again(self.statistics, seed, draws))
        return {name: percentiles(drawn[name]) for name in names}

    def interval_of_each(self, seed: int, draws: int = DRAWS) -> dict[str, tuple[float, float]]:
        """Return the 95 % interval of the score of each class or quantity."""
        drawn = self.metric.each(drawn_again(self.statistics, seed, draws))
        return {name: percentiles(drawn[:, i]) for i, name in enumerate(self.metric.names())}

    def joined(self, other: "Scored") -> "Scored":
        """Return both together: what a model of another fold did at other places.

        Raises:
            InputError: where a place is in both.
        """
        if set(self.place.tolist()) & set(other.place.tolist()):
            raise InputError("evaluation: a place was scored twice. Try: folds that share no place.")
        place = torch.cat([self.place, other.place])
        order = place.argsort()
        statistics = torch.cat([self.statistics, other.statistics])[order]
        return Scored(statistics, place[order], self.skipped + other.skipped, self.metric)


def drawn_again(statistics: Num[Tensor, "p ..."], seed: int, draws: int) -> Float[Tensor, "draws ..."]:
    """Return sums over places drawn again with replacement; the same places are drawn for tables of the same length.

    Counts below 2**53 are exact in float64, so a draw of counts is their exact sum.

    Raises:
        InputError: for no places.
    """
    if not len(statistics):
        raise InputError("bootstrap: found no places, expected at least one. Try: evaluate a subset of sensors that is present somewhere.")
    generator, rows = torch_generator(seed, "bootstrap"), statistics.flatten(1).double()
    sums = [_block(rows, min(_BLOCK, draws - first), generator) for first in range(0, draws, _BLOCK)]
    return torch.cat(sums).view(draws, *statistics.shape[1:])


def _block(rows: Float[Tensor, "p k"], draws: int, generator: torch.Generator) -> Float[Tensor, "{draws} k"]:
    """Return the next draws of a generator, which come in the same order in blocks of any size."""
    picked = torch.randint(len(rows), (draws, len(rows)), generator=generator)
    times = torch.zeros(draws, len(rows), dtype=torch.float64)
    return times.scatter_add_(1, picked, torch.ones(1, dtype=torch.float64).expand_as(picked)) @ rows


def percentiles(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of what is a number."""
    low, high = torch.nanquantile(values.double(), torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another at the same places, by the headline score.

    Attributes:
        value: Score of the first less that of the second.
        low: 2.5 percentile over places drawn again, the same for both.
        high: 97.5 percentile.
        places: How many places both were scored at.
    """

    value: float
    low: float
    high: float
    places: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero; that of a class that never occurs, which is not a number, leaves out nothing."""
        return self.low > 0 or self.high < 0


def paired_difference(first: Scored, second: Scored, seed: int, draws: int = DRAWS) -> Difference:
    """Compare two models over the places that both were scored at; each draw takes the same places for both.

    Raises:
        InputError: for another metric, or no place in common.
    """
    if first.metric != second.metric:
        raise InputError(f"comparison: scored as {first.metric} and {second.metric}. Try: runs on the same labels and protocol.")
    common = sorted(set(first.place.tolist()) & set(second.place.tolist()))
    if not common:
        raise InputError("comparison: the two have no place in common. Try: runs scored on the same places.")
    rows = [scored.statistics[torch.isin(scored.place, torch.tensor(common))] for scored in (first, second)]
    headline = first.metric.headline
    a, b = (first.metric.scores(drawn_again(part, seed, draws))[headline] for part in rows)
    whole = [first.metric.scores(part.sum(0))[headline].item() for part in rows]
    return Difference(whole[0] - whole[1], *percentiles(a - b), len(common))


@torch.no_grad()
def score_views(
    model: nn.Module,
    batches: Callable[[], Iterable[Batch]],
    views: Mapping[K, View],
    metric: Metric,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
) -> dict[K, Scored]:
    """Run a model on the same labelled places once per view of them.

    Deterministic: evaluation mode, no gradients, nothing drawn. The mode of every module is restored.

    Args:
        model: `Batch -> predictions`, for places with at least one sensor.
        batches: Starts one pass over the labelled places of this process.
        views: What the model is shown of a batch, by name: sensors dropped, noise added, dates cut. A pure function, of each
            place by itself; a place that it leaves without any sensor is counted as skipped, not guessed.
        metric: What is counted.
        device: Where to run.
        processes: Who shares the places; what they counted is put together, so that every process has the whole result, and the
            same as one process alone. By default this one alone.
    """
    rows: dict[K, list[Tensor]] = {key: [metric.blank()] for key in views}
    places: dict[K, list[Tensor]] = {key: [torch.zeros(0, dtype=torch.long)] for key in views}
    skipped = dict.fromkeys(views, 0)
    with evaluating(model):
        for batch in batches():
            batch = batch.to(device)
            if batch.target is None:
                raise InputError("evaluation: places without labels. Try: a source with labels.")
            for key, view in views.items():
                seen = view(batch)
                present = seen.present.any(0)
                skipped[key] += int((~present).sum())
                if not present.any():
                    continue
                seen = seen if present.all() else seen.select(present.nonzero()[:, 0])
                assert seen.target is not None
                rows[key].append(metric.statistics(model(seen), seen.target))
                places[key].append(seen.place.cpu().long())
    own = {key: (torch.cat(rows[key]), torch.cat(places[key]), skipped[key]) for key in views}
    return {key: Scored(*_everyone(*found, processes or Processes(), device), metric) for key, found in own.items()}


def _everyone(
    statistics: Tensor, place: Tensor, skipped: int, processes: Processes, device: torch.device | str
) -> tuple[Tensor, Tensor, int]:
    """Return what all processes counted, in order of place."""
    if processes.world > 1:
        held, left_out = sizes([len(place), skipped], processes, torch.device(device))
        statistics, place = (x.cpu() for x in gather((statistics.to(device), place.to(device)), held, processes))
        skipped = sum(left_out)
    order = place.argsort(stable=True)
    return statistics[order], place[order], skipped
