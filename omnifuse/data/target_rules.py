"""Other labels from those there are: classes present in a place, its main class, shares, merged classes, chosen quantities.

A rule is a small configuration with two questions: what do the new labels speak of (`labels`), and what is the new target of a place
(`target`). Rules are pure and know nothing of sources; several may follow one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Num
from pydantic import Field

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.config import Config
from omnifuse.errors import ConfigError, InputError

Target = Num[np.ndarray, "..."]


@dataclass(frozen=True, kw_only=True)
class PresenceConfig(Config):
    """Which classes a place has: any number of them (multi-label). Targets are shares of the known ground, NaN where none is known.

    With `without=("background",)` this is the task of OmniSat on PASTIS (arXiv:2404.08351): 18 crops, void being ignored and so no
    class. On 13 classes of FLAIR it is theirs, too; on shares of tree genera with `above=0.07` that of TreeSatAI.

    Attributes:
        without: Names of classes that are not asked for.
        above: Share of the known ground above which a class counts as present.
    """

    kind: Literal["presence"] = "presence"
    without: tuple[str, ...] = ()
    above: float = 0.0

    def labels(self, labels: Labels) -> ClassTable:
        return replace(_kept(labels, self.without, self.kind), ignore=-1, exclusive=False, present_above=self.above)

    def target(self, target: Target, labels: Labels) -> Float[np.ndarray, " k"]:
        table = _table(labels, self.kind)
        return class_shares(target, table)[_numbers(table, self.without)].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class DominantConfig(Config):
    """The class that covers most of a place: one class per place, as a map of one pixel. Of equal shares the first class counts.

    A place that has none of the classes is ignored; the ignored label is the number after the last class.

    Attributes:
        without: Names of classes that cannot win, whatever they cover.
    """

    kind: Literal["dominant"] = "dominant"
    without: tuple[str, ...] = ()

    def labels(self, labels: Labels) -> ClassTable:
        table = _kept(labels, self.without, self.kind)
        return replace(table, ignore=len(table.names), exclusive=True, present_above=0.0)

    def target(self, target: Target, labels: Labels) -> Num[np.ndarray, "1 1"]:
        table = _table(labels, self.kind)
        shares = class_shares(target, table)[_numbers(table, self.without)]
        return np.array([[int(shares.argmax()) if np.nansum(shares) > 0 else len(shares)]], np.int16)


@dataclass(frozen=True, kw_only=True)
class SharesConfig(Config):
    """Shares of classes in the known ground of a place, in 0..1, to be regressed; NaN where nothing is known.

    Attributes:
        classes: Names of the classes.
    """

    kind: Literal["shares"] = "shares"
    classes: tuple[str, ...]

    def labels(self, labels: Labels) -> Quantities:
        _check(self.classes, _table(labels, self.kind).names, "target `shares`: `classes`")
        num = len(self.classes)
        return Quantities(self.classes, ("share",) * num, (0.0,) * num, (1.0,) * num)

    def target(self, target: Target, labels: Labels) -> Float[np.ndarray, " q"]:
        table = _table(labels, self.kind)
        return class_shares(target, table)[[table.names.index(name) for name in self.classes]].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class MergeConfig(Config):
    """Coarser classes: each new one stands for some of those there are. What is in no group is ignored.

    The ignored label is the number after the last class. A new class has the colour of the first that it stands for.

    Attributes:
        groups: Names of the classes that each new class stands for.
    """

    kind: Literal["merge"] = "merge"
    groups: dict[str, tuple[str, ...]]

    def labels(self, labels: Labels) -> ClassTable:
        table = _table(labels, self.kind)
        members = [name for group in self.groups.values() for name in group]
        _check(members, table.names, "target `merge`: `groups`")
        twice = sorted({name for name in members if members.count(name) > 1})
        if twice or not all(self.groups.values()) or not self.groups:
            found = f"{twice[0]!r} in two groups" if twice else "a group without classes"
            raise ConfigError(f"target `merge`: `groups` has {found}. Try: every class in at most one group, and none empty.")
        colors = tuple(table.colors[table.names.index(group[0])] for group in self.groups.values())
        return replace(table, names=tuple(self.groups), colors=colors, ignore=len(self.groups) if table.exclusive else -1)

    def target(self, target: Target, labels: Labels) -> Target:
        table = _table(labels, self.kind)
        number = {name: new for new, group in enumerate(self.groups.values()) for name in group}
        if _has_shares(target):
            merged = np.zeros(len(self.groups), target.dtype)
            for old, name in enumerate(table.names):
                if name in number:
                    merged[number[name]] += target[old]
            return merged
        ids = np.array([number.get(name, len(self.groups)) for name in table.names], np.int16)
        known = _known(target, table)
        return np.where(known, ids[np.where(known, target, 0)], np.int16(len(self.groups)))


@dataclass(frozen=True, kw_only=True)
class QuantityConfig(Config):
    """Some of the quantities there are, in this order.

    Attributes:
        names: Names of the quantities.
    """

    kind: Literal["quantity"] = "quantity"
    names: tuple[str, ...]

    def labels(self, labels: Labels) -> Quantities:
        known = _quantities(labels, self.kind)
        _check(self.names, known.names, "target `quantity`: `names`")
        rows = [known.names.index(name) for name in self.names]
        columns = (known.units, known.mean, known.std)
        units, mean, std = (tuple(column[row] for row in rows) for column in columns)
        return Quantities(self.names, units, mean, std)  # type: ignore[arg-type]  # one type per column

    def target(self, target: Target, labels: Labels) -> Target:
        return target[[_quantities(labels, self.kind).names.index(name) for name in self.names]]


@dataclass(frozen=True, kw_only=True)
class AverageConfig(Config):
    """Means of quantities over the place, of the pixels where they are known; NaN where there is none."""

    kind: Literal["average"] = "average"

    def labels(self, labels: Labels) -> Quantities:
        return _quantities(labels, self.kind)

    def target(self, target: Target, labels: Labels) -> Float[np.ndarray, " q"]:
        flat = target.reshape(len(_quantities(labels, self.kind).names), -1).astype(np.float64)
        known = np.isfinite(flat)
        count = known.sum(1)
        total = np.where(known, flat, 0).sum(1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


TargetConfig = Annotated[
    PresenceConfig | DominantConfig | SharesConfig | MergeConfig | QuantityConfig | AverageConfig, Field(discriminator="kind")
]


def class_shares(target: Target, table: ClassTable) -> Float[np.ndarray, " k"]:
    """Return the share of each class in the known ground of a place; NaN where none is known.

    Raises:
        InputError: for a label that is neither a class nor ignored.
    """
    if _has_shares(target):
        return target.astype(np.float64)
    found = np.bincount(target[_known(target, table)].ravel().astype(np.int64), minlength=len(table.names))
    return found / found.sum() if found.sum() else np.full(len(table.names), np.nan)


def _known(target: Target, table: ClassTable) -> np.ndarray:
    known = target != table.ignore
    wrong = target[known & ((target < 0) | (target >= len(table.names)))]
    if wrong.size:
        also = "" if table.ignore < 0 else f" or {table.ignore} (ignored)"
        raise InputError(f"target: label {wrong[0]}, expected 0..{len(table.names) - 1}{also}. Try: the class table of these labels.")
    return np.asarray(known)


def _has_shares(target: Target) -> bool:
    return target.ndim == 1 and target.dtype.kind == "f"


def _table(labels: Labels, kind: str) -> ClassTable:
    if not isinstance(labels, ClassTable):
        raise ConfigError(
            f"target `{kind}`: speaks of classes, the labels are the quantities {labels.names}. Try: `quantity` or `average`."
        )
    return labels


def _quantities(labels: Labels, kind: str) -> Quantities:
    if not isinstance(labels, Quantities):
        raise ConfigError(
            f"target `{kind}`: speaks of quantities, the labels are {len(labels.names)} classes. Try: `shares`, or `presence`."
        )
    return labels


def _check(names: Sequence[str], known: Sequence[str], where: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise ConfigError(f"{where}: unknown name {name!r}; known are {', '.join(known)}. Try: {near[0] if near else known[0]}.")


def _numbers(table: ClassTable, without: Sequence[str]) -> list[int]:
    return [number for number, name in enumerate(table.names) if name not in without and number != table.ignore]


def _kept(labels: Labels, without: Sequence[str], kind: str) -> ClassTable:
    table = _table(labels, kind)
    _check(without, table.names, f"target `{kind}`: `without`")
    kept = _numbers(table, without)
    if not kept:
        raise ConfigError(f"target `{kind}`: `without` leaves none of {table.names}. Try: fewer names.")
    return replace(table, names=tuple(table.names[i] for i in kept), colors=tuple(table.colors[i] for i in kept))
