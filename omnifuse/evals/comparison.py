"""Runs side by side at the same places: places are matched by id, and their labels have to be the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Num
from torch import Tensor

from omnifuse.errors import InputError
from omnifuse.evals.metrics import Confusion, Metric, Multilabel, Regression
from omnifuse.evals.scoring import Difference, Scored, drawn_again, paired_difference, percentiles


@dataclass(frozen=True)
class Measured:
    """What a run counted.

    Attributes:
        name: Of the run.
        scored: By view.
        ids: Id of each place by its number in the run's own data.
        metric: How it was scored.
        protocol: The rule that was followed; empty where none was named.
    """

    name: str
    scored: Mapping[str, Scored]
    ids: Mapping[int, str]
    metric: Metric
    protocol: str = ""

    @property
    def whole(self) -> str:
        """Return the view with the most sensors; views that are more than a subset of sensors have a space in their name."""
        plain = [view for view in self.scored if " " not in view] or list(self.scored)
        return max(plain, key=lambda view: view.count("+"))


def matched(runs: Sequence[Measured]) -> list[Measured]:
    """Return the runs with places numbered alike: by id, in its order.

    Raises:
        InputError: for runs that were scored by another metric or protocol, have no place in common, or other labels at one.
    """
    first = runs[0]
    for run in runs[1:]:
        _same_rule(first, run)
    number = {name: index for index, name in enumerate(sorted({name for run in runs for name in run.ids.values()}))}
    renumbered = [_renumbered(_at_level(run, first.metric), number) for run in runs]
    for run in renumbered[1:]:
        _same_labels(renumbered[0], run)
    return renumbered


def class_differences(run: Scored, first: Scored, seed: int) -> dict[str, Difference]:
    """Return how much better a run is than the first at each class or quantity, over the places that both were scored at."""
    common = torch.tensor(sorted(set(run.place.tolist()) & set(first.place.tolist())), dtype=torch.long)
    rows = [scored.statistics[torch.isin(scored.place, common)] for scored in (run, first)]
    metric = first.metric
    whole = [metric.each(part.sum(0)) for part in rows]
    drawn = [metric.each(drawn_again(part, seed, 1000)) for part in rows]
    return {
        name: Difference((whole[0] - whole[1])[i].item(), *percentiles((drawn[0] - drawn[1])[:, i]), len(common))
        for i, name in enumerate(metric.names())
    }


def differences(runs: Sequence[Measured], seed: int) -> dict[tuple[str, str], Difference]:
    """Return how much better each run is than the first by (run, view), for views that both have, and `""`: each with all its sensors."""
    first, found = runs[0], {}
    for run in runs[1:]:
        pairs = {"": (run.scored[run.whole], first.scored[first.whole])}
        pairs |= {view: (scored, first.scored[view]) for view, scored in _fewest_first(run) if view in first.scored}
        for view, (a, b) in pairs.items():
            if set(a.place.tolist()) & set(b.place.tolist()):
                found[run.name, view] = paired_difference(a, b, seed)
    return found


def _fewest_first(run: Measured) -> list[tuple[str, Scored]]:
    return sorted(run.scored.items(), key=lambda item: (item[0].count("+"), item[0]))


def _same_rule(first: Measured, run: Measured) -> None:
    """Refuse runs whose scores are not of the same thing."""
    if first.protocol and run.protocol and first.protocol != run.protocol:
        raise InputError(
            f"{run.name}: followed {run.protocol!r}, {first.name} {first.protocol!r}. Try: evaluate both by one protocol, "
            "`omnifuse evaluate MODEL STORE --protocol NAME`."
        )
    if first.metric.names() != run.metric.names():
        raise InputError(f"{run.name}: scores {_short(run.metric)}; {first.name} {_short(first.metric)}. Try: runs on the same labels.")
    both = first.metric, run.metric
    same = both[0] == both[1]
    if isinstance(both[0], Regression) and isinstance(both[1], Regression):  # each has measured means of its own, see `_at_level`
        same = both[0].quantities.units == both[1].quantities.units
    if not same:
        raise InputError(f"{run.name}: was scored as {run.metric}; {first.name} as {first.metric}. Try: evaluate both in the same way.")


def _short(metric: Metric) -> str:
    names = metric.names()
    return f"{len(names)} of {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _at_level(run: Measured, metric: Metric) -> Measured:
    """Return sums of quantities about the level of another run: each run measures its own over the labels it was taught by."""
    if not isinstance(metric, Regression) or not isinstance(run.metric, Regression):
        return run
    shift = torch.tensor(run.metric.quantities.mean, dtype=torch.float64) - torch.tensor(metric.quantities.mean, dtype=torch.float64)

    def moved(sums: Num[Tensor, "p 6 q"]) -> Num[Tensor, "p 6 q"]:
        number, y, squares, *errors = sums.unbind(1)
        return torch.stack([number, y + number * shift, squares + 2 * shift * y + number * shift.square(), *errors], 1)

    scored = {view: replace(one, statistics=moved(one.statistics), metric=metric) for view, one in run.scored.items()}
    return replace(run, scored=scored, metric=metric)


def _renumbered(run: Measured, number: Mapping[str, int]) -> Measured:
    scored = {}
    for view, one in run.scored.items():
        place = torch.tensor([number[run.ids[old]] for old in one.place.tolist()], dtype=torch.long)
        order = place.argsort()
        scored[view] = replace(one, place=place[order], statistics=one.statistics[order])
    return replace(run, scored=scored, ids={number[name]: name for name in run.ids.values()})


def _same_labels(first: Measured, run: Measured) -> None:
    """Refuse runs that share ids but not the ground: what was counted of the truth has to be the same at each place."""
    a, b = first.scored[first.whole], run.scored[run.whole]
    common = sorted(set(a.place.tolist()) & set(b.place.tolist()))
    if not common:
        raise InputError(f"{run.name}: shares no place with {first.name}. Try: runs scored on the same data.")
    index = torch.tensor(common)
    one, other = (_truth(scored.metric, scored.statistics[torch.isin(scored.place, index)]) for scored in (a, b))
    same = torch.isclose(one.double(), other.double(), rtol=1e-6, atol=1e-6).flatten(1).all(1)
    if not same.all():
        name = first.ids[common[int(same.int().argmin())]]
        raise InputError(
            f"{run.name}: has other labels than {first.name} at place {name!r}, which has the same id. Try: runs scored on the same data."
        )


def _truth(metric: Metric, statistics: Num[Tensor, "p ..."]) -> Num[Tensor, "p ..."]:
    """Return what statistics say of the labels alone."""
    if isinstance(metric, Confusion):
        return statistics.sum(-1)
    if isinstance(metric, Multilabel):
        return statistics[:, 0] + statistics[:, 2]
    return statistics[:, :3]
