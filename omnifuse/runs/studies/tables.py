"""Tables of studies: mean and spread over seeds, and differences place by place."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.scoring import Difference, Scored, paired_difference
from omnifuse.runs.results import SEED, Results
from omnifuse.runs.studies.study import Found

Score = Callable[[Scored], float]
_SEEDS_APART = 10_000_000  # places of another seed are other places


def headline(scored: Scored) -> float:
    """Return the score that the metric puts first."""
    return scored.score


def values(found: Found, row: str, view: str, score: Score = headline, more: bool = False) -> list[float]:
    """Return the score of a row under a view for every seed."""
    results = found.more if more else found.results
    return [score(results[row, seed].scored[view]) for seed in found.seeds]


def cell(scores: Sequence[float], digits: int = 1, factor: float = 100.0) -> str:
    """Return mean ± standard deviation over seeds, in percent; of one seed its value."""
    known = factor * np.array(scores, dtype=np.float64)
    if not len(known) or not np.isfinite(known).all():
        return "–"
    return f"{known.mean():.{digits}f}" + (f" ± {known.std(ddof=1):.{digits}f}" if len(known) > 1 else "")


def headlined(found: Found, rows: str, headline: str) -> Found:
    """Return the same with another score of its metric first, in rows whose names contain `rows`."""

    def other(results: Results) -> Results:
        first = {view: replace(one, metric=replace(one.metric, headline=headline)) for view, one in results.scored.items()}  # type: ignore[type-var]
        return replace(results, scored=first)

    return replace(found, results={key: other(one) if rows in key[0] else one for key, one in found.results.items()})


def pooled(found: Found, row: str, view: str, more: bool = False) -> Scored:
    """Return the places of all seeds together."""
    results = found.more if more else found.results
    together: Scored | None = None
    for seed in found.seeds:
        one = results[row, seed].scored[view]
        one = Scored(one.statistics, one.place + seed * _SEEDS_APART, one.skipped, one.metric)
        together = one if together is None else together.joined(one)
    assert together is not None
    return together


def difference(found: Found, first: tuple[str, str], second: tuple[str, str], more: bool = False) -> Difference:
    """Return how much better one (row, view) is than another, with the interval over the places of all seeds."""
    return paired_difference(pooled(found, *first, more), pooled(found, *second, more), SEED)


def signed(found: Difference) -> str:
    """Return a difference with its interval, in points."""
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def folds_joined(found: Found, row: str, folds: Sequence[int], view: str, more: bool = False) -> Scored:
    """Return the places of all folds and seeds together: rows are called `ROW, fold FOLD`."""
    together: Scored | None = None
    for number, seed in enumerate(found.seeds):
        for fold in folds:
            one = (found.more if more else found.results)[f"{row}, fold {fold}", seed].scored[view]
            one = Scored(one.statistics, one.place + number * _SEEDS_APART, one.skipped, one.metric)
            together = one if together is None else together.joined(one)
    assert together is not None
    return together


def bar(found: Found, group: str, model: str, row: str, view: str) -> Bar:
    """Return a row under a view as a bar: its score over the places of all seeds, with the 95 % interval over them."""
    scored = pooled(found, row, view)
    return Bar(group, model, scored.score, scored.interval(SEED))


def share(scored: Scored, names: Sequence[str]) -> str:
    """Return scores in percent."""
    return " / ".join(f"{100 * scored.scores[name]:.1f}" for name in names)


def with_interval(scored: Scored, names: Sequence[str]) -> str:
    """Return scores in percent, each with its interval over places."""
    cells = []
    for name, (low, high) in scored.intervals(SEED, tuple(names)).items():
        cells.append(f"{100 * scored.scores[name]:.1f} ({100 * low:.1f}–{100 * high:.1f})")
    return " / ".join(cells)
