"""`omnifuse data split` and `omnifuse data subset`: named splits kept in a store, and smaller stores made of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Shaped
from rich.table import Table

from omnifuse.config import Config, to_dict
from omnifuse.data.blocks import block_column, buffered
from omnifuse.data.columns import add_columns
from omnifuse.data.facts import PlaceFacts, read_facts
from omnifuse.data.splits import FRACTIONS, fold_column, fraction_column, named_parts, part_column
from omnifuse.data.store import Store, write_store
from omnifuse.data.subset import Subset, split_by_text
from omnifuse.errors import ConfigError, InputError
from omnifuse.runs.opening import find
from omnifuse.runs.stages import console, progress_bar
from omnifuse.runs.surveying import print_tables, titled

Value = str | int


@dataclass(frozen=True)
class Places:
    """What a split is made from: metadata, the side in metres of what a place's sensors see, and how much of each class it has."""

    info: list[dict[str, str | int | float]]
    size: float
    side: float
    amounts: Shaped[np.ndarray, "n k"]

    @property
    def ids(self) -> list[str]:
        return [str(row["id"]) for row in self.info]

    def weights(self, stratify: Literal["presence", "pixels"]) -> Shaped[np.ndarray, "n k"]:
        return self.amounts > 0 if stratify == "presence" else self.amounts

    def groups(self, key: str) -> list[str]:
        """Return the value of `key` of every place, as text."""
        for row in self.info:
            if key not in row:
                raise InputError(f"data split: place {row['id']!r} has no {key!r}, only {', '.join(row)}. Try: one of these.")
        return [str(row[key]) for row in self.info]

    def only(self, chosen: Sequence[int]) -> "Places":
        return Places([self.info[i] for i in chosen], self.size, self.side, self.amounts[list(chosen)])


class Method(Protocol):
    """A way to split: a frozen configuration whose fields are the flags, and what it makes of the places."""

    def column(self, places: Places) -> tuple[list[Value], dict[str, Any]]:
        """Return a value per place, and what else is worth being kept about how it was made."""


@dataclass(frozen=True, kw_only=True)
class FractionSplit(Config):
    """Nested, stratified label fractions: a place's value is the smallest fraction, in percent, that it belongs to.

    So ten percent of the labels are the places with the values 1, 5 and 10.

    Attributes:
        fractions: Percent, rising to 100.
        among: Metadata that tells the training places from others, such as fold; all places without it.
        values: Values of `among` whose places are shared out. Other places get the value `<among> <value>`, such as `fold 5`.
        stratify: What is spread evenly: the presence of each class, or its pixels.
        seed: Seed of what chance decides.
    """

    fractions: tuple[int, ...] = FRACTIONS
    among: str = ""
    values: tuple[str, ...] = ()
    stratify: Literal["presence", "pixels"] = "presence"
    seed: int = 0

    def column(self, places: Places) -> tuple[list[Value], dict[str, Any]]:
        if bool(self.among) != bool(self.values):
            raise ConfigError("data split: `--among` and `--values` belong together. Try: --among fold --values 1 2 3.")
        column: list[Value] = ["unlabelled"] * len(places.info)
        pool = list(range(len(places.info)))
        if self.among:
            pool = split_by_text(places.info, self.among, self.values).tolist()
            column = [f"{self.among} {group}" for group in places.groups(self.among)]
        labelled = [index for index in pool if places.amounts[index].any()]
        if not labelled:
            raise InputError("data split: none of these places has a label that is scored. Try: other values.")
        for index in pool:
            column[index] = "unlabelled"
        chosen = places.only(labelled)
        for index, value in zip(
            labelled, fraction_column(chosen.ids, chosen.weights(self.stratify), self.seed, self.fractions), strict=True
        ):
            column[index] = value
        return column, {}


@dataclass(frozen=True, kw_only=True)
class FoldSplit(Config):
    """Folds 1, 2, ... for cross-validation: stratified by class, or whole groups.

    Attributes:
        folds: Number of folds.
        group: Metadata whose values stay together in one fold, such as region; single places without it.
        stratify: What is spread evenly: the presence of each class, or its pixels.
        seed: Seed of what chance decides.
    """

    folds: int = 5
    group: str = ""
    stratify: Literal["presence", "pixels"] = "presence"
    seed: int = 0

    def column(self, places: Places) -> tuple[list[Value], dict[str, Any]]:
        groups = places.groups(self.group) if self.group else None
        return [*fold_column(places.ids, places.weights(self.stratify), self.seed, self.folds, groups)], {}


@dataclass(frozen=True, kw_only=True)
class KeySplit(Config):
    """Parts train, val and test of whole regions, tiles or other values of the metadata.

    Attributes:
        test: Values held out for the test; by their share where neither `test` nor `val` names any.
        val: Values held out for validation.
        test_share: Share of the places, where no value is named.
        val_share: Share of the places, where no value is named; 0 makes no such part.
        seed: Seed of what chance decides.
    """

    test: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test_share: float = 0.2
    val_share: float = 0.1
    seed: int = 0

    def column_by(self, key: str, places: Places) -> tuple[list[Value], dict[str, Any]]:
        groups = places.groups(key)
        if self.test or self.val:
            return [*named_parts(groups, {"test": self.test, "val": self.val}, "train")], {}
        return [*part_column(groups, places.weights("presence"), self.seed, _shares(self.test_share, self.val_share))], {}


@dataclass(frozen=True, kw_only=True)
class BlockSplit(Config):
    """Parts train, val and test of square blocks of ground; places too near to another part get the value `buffer`.

    Attributes:
        block: Side of a block in metres.
        buffer: Metres between what the sensors see at places of two parts, at least; 0 gives no place away.
        test_share: Share of the places, before the buffer takes some of the training places.
        val_share: Share of the places; 0 makes no such part.
        seed: Seed of what chance decides.
    """

    block: float = 20_000.0
    buffer: float = 1_000.0
    test_share: float = 0.2
    val_share: float = 0.1
    seed: int = 0

    def column(self, places: Places) -> tuple[list[Value], dict[str, Any]]:
        blocks, system = block_column(places.info, places.size, self.block)
        shares = _shares(self.test_share, self.val_share)
        parts = part_column(blocks, places.weights("presence"), self.seed, shares)
        column = buffered(parts, places.info, places.side, self.buffer, [part for part in ("test", "val", "train") if part in shares])
        return [*column], {"coordinates": system, "blocks": len(set(blocks))}


METHODS: dict[str, type[Any]] = {"fraction": FractionSplit, "kfold": FoldSplit, "blocks": BlockSplit}  # any other word is a key


@dataclass(frozen=True, kw_only=True)
class SubsetCommand(Config):
    """Write some places of a store as a store of their own, with all their metadata.

    Attributes:
        split: Metadata that tells the places apart: a named split, fold, region, ...
        values: Values whose places are taken.
        profile: Layout of the new store.
        workers: Processes that read and write; 1 works in this one.
    """

    split: str
    values: tuple[str, ...]
    profile: Literal["training", "archive"] = "training"
    workers: int = 2


def method_of(by: str) -> type[Any]:
    """Return the class of flags of a way to split; a word that names none is a key of the metadata."""
    return METHODS.get(by, KeySplit)


def split_store(path: str, name: str, by: str, method: Any, workers: int = 2) -> None:
    """Add a split to a store under a name, with how it was made, and print what is in each part."""
    store = _open(path)
    if any(name in row for row in store.info):
        raise InputError(f"{path}: the places have {name!r} already. Try: another name.")
    with progress_bar("labels") as progress:
        facts = read_facts(store, range(len(store)), workers, progress, pixels=False)
    places = Places(store.info, store.size, _side(store), amounts_of(facts, store))
    column, more = method.column_by(by, places) if isinstance(method, KeySplit) else method.column(places)
    add_columns(Path(path), {name: column}, {"by": by, **to_dict(method), **more})
    print_tables(_parts_table(name, column, places))


def subset(path: str, out: str, command: SubsetCommand) -> None:
    """Write the places of a store that have one of the values as a new store."""
    store = _open(path)
    chosen = Subset(store, split_by_text(store.info, command.split, command.values))
    chosen.provenance = {**store.provenance, "subset": f"places with {command.split} {', '.join(command.values)}"}
    with progress_bar("subset") as progress:
        write_store(chosen, Path(out), workers=command.workers, progress=progress, profile=command.profile)
    console.print(f"{out}: {len(chosen)} of {len(store)} places.", markup=False)


def amounts_of(facts: Sequence[PlaceFacts], store: Store) -> Shaped[np.ndarray, "n k"]:
    """Return how much of each scored class there is at each place; zeros without labels."""
    classes = 0 if store.classes is None else len(store.classes.names)
    rows = [np.zeros(classes) if one.classes is None else one.classes[:-1] for one in facts]
    return np.stack(rows) if rows else np.zeros((0, classes))


def _open(path: str) -> Store:
    found = find(path)
    if found.kind != "store":
        raise InputError(f"{path}: {found.kind} data keep no splits. Try: omnifuse data convert {found.kind} {path} OUT first.")
    return Store(path)


def _side(store: Store) -> float:
    """Return the side in metres of what the sensors see of a place, surroundings included."""
    return store.size + 2 * max((m.context for m in store.modalities.values() if not m.per_place), default=0.0)


def _shares(test: float, val: float) -> dict[str, float]:
    shares = {"train": 1 - test - val, "val": val, "test": test}
    return {part: share for part, share in shares.items() if share}


def _parts_table(name: str, column: Sequence[Value], places: Places) -> Table:
    table = titled("Split", name, "places", "share", "classes")
    classes = int(places.amounts.any(0).sum())
    for value, count in sorted(Counter(column).items(), key=lambda item: (isinstance(item[0], str), item[0])):
        there = places.amounts[[one == value for one in column]].any(0).sum()
        table.add_row(str(value), str(count), f"{100 * count / len(column):.1f} %", f"{there} of {classes}" if classes else "")
    return table
