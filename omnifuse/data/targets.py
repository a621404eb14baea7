"""A source seen with other labels: the same places and images for another task."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.config import to_dict
from omnifuse.data.place import Place, PlaceSource, frames_of, how_split, labelled_places, labels_of, read_sensors
from omnifuse.data.statistics import Summarised
from omnifuse.data.target_rules import (
    AverageConfig,
    DominantConfig,
    MergeConfig,
    PresenceConfig,
    QuantityConfig,
    SharesConfig,
    TargetConfig,
)
from omnifuse.errors import ConfigError, InputError

__all__ = [
    "AverageConfig",
    "DominantConfig",
    "MergeConfig",
    "PresenceConfig",
    "QuantityConfig",
    "Retargeted",
    "SharesConfig",
    "TargetConfig",
    "label_statistics",
    "retargeted",
]


class Retargeted:
    """The places of a source with labels that a rule makes of its own (a `PlaceSource`); places without labels stay so.

    Args:
        source: Labelled places.
        rule: What becomes of a label.

    Raises:
        ConfigError: where the rule does not fit the labels.
    """

    def __init__(self, source: PlaceSource, rule: TargetConfig) -> None:
        before = labels_of(source)
        if before is None:
            raise ConfigError(f"target `{rule.kind}`: the places have no labels. Try: a source with a class table or quantities.")
        self.source = source
        self.rule = rule
        self._before: Labels = before
        labels = rule.labels(before)
        self.classes = labels if isinstance(labels, ClassTable) else None
        self.quantities = labels if isinstance(labels, Quantities) else None
        self.modalities = source.modalities
        self.size = source.size
        self.info = source.info
        rules = [source.provenance.get("target", ""), repr(to_dict(rule))]
        self.provenance = {**source.provenance, "target": ", then ".join(one for one in rules if one)}
        self.how_split = how_split(source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Place:
        return self._changed(self.source[index])

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some sensors saw it (`omnifuse.data.place.Selective`)."""
        return self._changed(read_sensors(self.source, index, sensors))

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]] | None:
        """Return the images of each sensor at each place (`omnifuse.data.place.Counted`); None where the source does not know."""
        return frames_of(self.source)

    def labelled(self) -> Bool[np.ndarray, " places"] | None:
        """Return which places have labels (`omnifuse.data.place.Annotated`); None where the source does not know."""
        return labelled_places(self.source)

    def moments(self, name: str) -> Float[np.ndarray, "places bands 3"] | None:
        """Return the moments of a sensor's places (`omnifuse.data.statistics.Summarised`); None where the source has none."""
        return self.source.moments(name) if isinstance(self.source, Summarised) else None

    def _changed(self, place: Place) -> Place:
        return place if place.target is None else replace(place, target=self.rule.target(place.target, self._before))


def retargeted(source: PlaceSource, rules: Sequence[TargetConfig]) -> PlaceSource:
    """Return a source after several rules, one on what the other left: merged classes, say, and then their shares."""
    for rule in rules:
        source = Retargeted(source, rule)
    return source


def label_statistics(source: PlaceSource, indices: Int[np.ndarray, " n"]) -> Quantities:
    """Return the quantities of a source with mean and standard deviation measured over the known labels of some places.

    Give the training places only. Images are not read where the source can read without them. A quantity that is constant gets a
    standard deviation of 1.

    Raises:
        InputError: where the labels are no quantities, or one of them is nowhere known.
    """
    quantities = labels_of(source)
    if not isinstance(quantities, Quantities):
        raise InputError("label statistics: the labels are no quantities. Try: a source of quantities, or a rule that makes some.")
    count, mean, deviation = np.zeros((3, len(quantities.names)))
    for index in indices:
        target = read_sensors(source, int(index), ()).target
        if target is None:
            continue
        values = target.reshape(len(quantities.names), -1).astype(np.float64)
        known = np.isfinite(values)
        found = known.sum(1)
        middle = np.where(known, values, 0).sum(1) / np.maximum(found, 1)
        spread = (np.where(known, values - middle[:, None], 0) ** 2).sum(1)
        total = np.maximum(count + found, 1)
        deviation += spread + (middle - mean) ** 2 * count * found / total  # Chan, Golub and LeVeque 1979
        mean += (middle - mean) * found / total
        count += found
    if not count.all():
        name = quantities.names[int(count.argmin())]
        raise InputError(f"label statistics: {name!r} is known at none of {len(indices)} places. Try: other places.")
    std = np.sqrt(deviation / count)
    return replace(quantities, mean=tuple(mean.tolist()), std=tuple(np.where(std > 0, std, 1.0).tolist()))
