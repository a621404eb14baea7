"""Robustness to missing and bad sensors, after arXiv:2503.18445: one set of weights, one harm at a time, the same places throughout.

Sensors missing everywhere (EMM, every subset), sensors missing at random per place (RMM), noisy sensors (NM), and, as Earth observation
has series, missing dates. Two things are always said: what fusion gains over the best single sensor, and what is lost at worst when
one sensor is gone.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import torch
from torch import nn

from omnifuse.errors import InputError
from omnifuse.evals.harms import FULL, RobustnessConfig, Setting, settings_of
from omnifuse.evals.metrics import Metric
from omnifuse.evals.remembering import remembering
from omnifuse.evals.scoring import Difference, Scored, paired_difference, score_views
from omnifuse.evals.subsets import Subset
from omnifuse.frames import Batch
from omnifuse.modalities import Modality
from omnifuse.nn.exchange import Processes


@dataclass(frozen=True)
class Row:
    """What a setting does to the headline score.

    Attributes:
        setting: What was done.
        score: Over all places.
        interval: Its 95 % interval over places.
        change: How much better it is than with all sensors unharmed, at the same places; None where it was scored at none.
        places: Places that were scored.
        skipped: Places that were left without any sensor.
    """

    setting: Setting
    score: float
    interval: tuple[float, float]
    change: Difference | None
    places: int
    skipped: int


@dataclass(frozen=True)
class RobustnessResult:
    """Every setting, scored at the same places.

    Attributes:
        sensors: All sensors of the evaluation.
        scored: By setting.
        metric: How it was scored.
        seed: Of what was drawn, and of the intervals.
        failures: Probabilities of the expected scores.
    """

    sensors: Subset
    scored: Mapping[Setting, Scored]
    metric: Metric
    seed: int
    failures: tuple[float, ...]

    def subset(self, sensors: Subset) -> Scored:
        """Return what the model does with these sensors, unharmed."""
        return self.scored[Setting("EMM", "sensors", sensors=sensors)]

    @property
    def whole(self) -> Scored:
        """What the model does with all sensors, unharmed."""
        return self.subset(self.sensors)

    def table(self) -> list[Row]:
        """Return one row per setting, all sensors unharmed among them."""
        return self._rows

    @cached_property
    def _rows(self) -> list[Row]:
        rows = []
        for setting, found in self.scored.items():
            some = len(found.place) > 0
            interval = found.interval(self.seed) if some else (math.nan, math.nan)
            change = paired_difference(found, self.whole, self.seed) if some else None
            rows.append(Row(setting, found.score if some else math.nan, interval, change, len(found.place), found.skipped))
        return rows

    def fusion_gain(self) -> tuple[str, Difference] | None:
        """Return the best single sensor, and how much better all are, at the places where it is; None with one sensor.

        The best is chosen by its score at these places, which makes the gain smaller if anything.
        """
        single = {name: found for name in self.sensors if len((found := self.subset((name,))).place)}
        if len(self.sensors) < 2 or not single:
            return None
        best = max(single, key=lambda name: single[name].score)
        return best, paired_difference(self.whole, single[best], self.seed)

    def worst_loss(self) -> tuple[str, Difference] | None:
        """Return the sensor that is missed most when it alone is gone, and how much is lost; None with one sensor.

        The worst is chosen by the loss at these places, which makes it larger if anything.
        """
        losses = {}
        for name in self.sensors:
            rest = tuple(other for other in self.sensors if other != name)
            if rest and len(self.subset(rest).place):
                losses[name] = paired_difference(self.whole, self.subset(rest), self.seed)
        return max(losses.items(), key=lambda item: item[1].value) if losses else None

    @property
    def summary(self) -> dict[str, Any]:
        """The few numbers of arXiv:2503.18445, with the gain of fusion and the worst loss, as plain types; scores as shares.

        `relative drop` is how much of the score with all sensors is lost in the mean; None where that score is not positive.
        """
        full = self.whole.score
        subsets = {s.sensors: found.score for s, found in self.scored.items() if s.protocol == "EMM" and len(found.place)}
        means = {"EMM": fmean(subsets.values())} | {name: mean for name in ("RMM", "NM", "dates") if (mean := self._mean(name)) is not None}
        gain, loss = self.fusion_gain(), self.worst_loss()
        return {
            "score": self.metric.headline,
            "sensors": list(self.sensors),
            "places": len(self.whole.place),
            "all sensors": full,
            "interval": list(self.whole.interval(self.seed)),
            "mean": means,
            "expected": {f"{p:g}": bernoulli_expected(subsets, self.sensors, p) for p in self.failures},
            "relative drop": {name: 1 - mean / full if full > 0 else None for name, mean in means.items()},
            "fusion gain": gain and {"over": gain[0], **asdict(gain[1])},
            "worst-case loss": loss and {"without": loss[0], **asdict(loss[1])},
        }

    def _mean(self, protocol: str) -> float | None:
        """Return the mean over the harms of a protocol, each the mean over its severities and sensors."""
        by_harm: dict[str, list[float]] = {}
        for setting, found in self.scored.items():
            if setting.protocol == protocol:
                by_harm.setdefault(setting.harm, []).append(found.score)
        return fmean(map(fmean, by_harm.values())) if by_harm else None


def bernoulli_expected(scores: Mapping[Subset, float], sensors: Subset, failure: float) -> float:
    """Return the expected score when each of the sensors fails with probability `failure`, given that not all do.

    The weight of subset S of M sensors is failure^(M-|S|) (1-failure)^|S|, normalised over the subsets that have a score
    (arXiv:2503.18445).
    """
    weights = {subset: failure ** (len(sensors) - len(subset)) * (1 - failure) ** len(subset) for subset in scores}
    return sum(weights[subset] * score for subset, score in scores.items()) / sum(weights.values())


def robustness(
    model: nn.Module,
    batches: Callable[[], Iterable[Batch]],
    modalities: Mapping[str, Modality],
    metric: Metric,
    seed: int = 0,
    *,
    size: float,
    config: RobustnessConfig = FULL,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
) -> RobustnessResult:
    """Score a model under every harm; the same numbers however places are batched and shared among processes.

    Args:
        model: `Batch -> predictions`, for places with at least one sensor.
        batches: Starts one pass over the labelled places of this process.
        modalities: Sensors of the places, as the model knows them.
        metric: How it is scored.
        seed: Of what is drawn per place, and of the intervals.
        size: Side of the places in metres.
        config: Severities; `harms.QUICK` has one of each harm.
        device: Where to run.
        processes: Who shares the places.

    Raises:
        InputError: where no place has a sensor, or places have no labels.
    """
    views = settings_of(modalities, size, seed, config)
    with remembering(model):
        scored = score_views(model, batches, views, metric, device, processes)
    result = RobustnessResult(tuple(modalities), scored, metric, seed, config.failures)
    if not len(result.whole.place):
        raise InputError(f"robustness: no places with any of {', '.join(modalities)} to score. Try: another split, or a store with them.")
    return result
