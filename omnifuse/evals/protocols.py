"""Protocols of the literature as a table: which places are scored by which model, on which labels, by which rule.

A protocol is data. It does not say how to train: a model is held to it by what its folder says it was trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from omnifuse.classes import ClassTable, Labels
from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS, HUB_PROTOCOLS
from omnifuse.data.sources.flair_protocols import flair_merge
from omnifuse.data.sources.pastis_layout import CLASSES as PASTIS
from omnifuse.data.sources.treesatai_layout import GENERA
from omnifuse.data.target_rules import PresenceConfig, TargetConfig
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.metrics import Confusion, Metric, Multilabel

Value = int | str
_NO_PROTOCOL = "no protocol, for the score of its kind of labels"
_CONVERT = "`omnifuse data convert flair2 PATH OUT --protocol {}`"


@dataclass(frozen=True)
class Row:
    """One division of the places, by values of a key of their metadata: what is trained on, watched, and tested."""

    train: tuple[Value, ...]
    val: tuple[Value, ...]
    test: tuple[Value, ...]


@dataclass(frozen=True)
class Protocol:
    """How the literature scores on a data set.

    Attributes:
        name: As it is asked for.
        words: The rule in a sentence or two.
        source: Where it stands.
        key: Metadata that tells the parts apart.
        rows: Its divisions; of a cross-validation one per model, and the tables of their tests are summed.
        target: Rules that make the labels to be scored of those that a source has, or an error where that cannot be.
        metric: How predictions of these labels are scored.
        prints: Names of the scores that are printed, the headline first.
    """

    name: str
    words: str
    source: str
    key: str
    rows: tuple[Row, ...]
    target: Callable[[Labels], tuple[TargetConfig, ...]]
    metric: Callable[[ClassTable], Metric]
    prints: tuple[str, ...]

    def row_trained_on(self, values: tuple[Value, ...]) -> int:
        """Return which row (from 0) trains on exactly these values.

        Raises:
            ConfigError: where none does.
        """
        for number, row in enumerate(self.rows):
            if {str(value) for value in values} == {str(value) for value in row.train}:
                return number
        known = "; ".join(_words(row.train) for row in self.rows)
        raise ConfigError(
            f"protocol {self.name}: trained on {self.key} {_words(values)}, its rows train on {known}. Try: a model of one of these rows, "
            f"or `--split {self.key} --values ...` without a protocol."
        )


def protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ConfigError: for an unknown name, with the nearest.
    """
    if name not in PROTOCOLS:
        near = get_close_matches(name, PROTOCOLS, 1, 0.4)
        remedy = near[0] if near else next(iter(PROTOCOLS))
        raise ConfigError(f"protocol: unknown name {name!r}; known are {', '.join(PROTOCOLS)}. Try: --protocol {remedy}.")
    return PROTOCOLS[name]


def _words(values: tuple[Value, ...]) -> str:
    return ", ".join(map(str, values))


def _table(labels: Labels, name: str) -> ClassTable:
    if not isinstance(labels, ClassTable):
        raise InputError(f"protocol {name}: scores classes, the labels are the quantities {', '.join(labels.names)}. Try: no protocol.")
    return labels


def _pastis(name: str) -> Callable[[Labels], tuple[TargetConfig, ...]]:
    """Take the label maps of PASTIS as they are."""

    def rules(labels: Labels) -> tuple[TargetConfig, ...]:
        table = _table(labels, name)
        if not table.exclusive:
            raise InputError(f"protocol {name}: scores label maps, these labels hold several classes at once. Try: `treesatai`.")
        if table.names != PASTIS.names:
            raise _other_classes(name, table, "the 20 of PASTIS", _NO_PROTOCOL)
        return ()

    return rules


def _flair(name: str, remedy: str, accepted: tuple[str, ...], made: str = "") -> Callable[[Labels], tuple[TargetConfig, ...]]:
    """Take labels of the `accepted` nomenclatures as they are, and make those of `made` from all 19 classes."""

    def rules(labels: Labels) -> tuple[TargetConfig, ...]:
        table = _table(labels, name)
        if any(table.names == (FLAIR_PROTOCOLS | HUB_PROTOCOLS)[one].classes.names for one in accepted):
            return ()
        if made and table.names == FLAIR_PROTOCOLS["flair19"].classes.names:
            return (flair_merge(made),)
        raise _other_classes(name, table, f"those of {' or '.join((*accepted, *(['flair19'] if made else [])))}", remedy)

    return rules


def _other_classes(name: str, table: ClassTable, expected: str, remedy: str) -> InputError:
    found = f"the {len(table.names)} classes {', '.join(table.names[:3])}, ..."
    return InputError(f"protocol {name}: labels are {found}; expected {expected}. Try: {remedy}.")


def _deleted(dropped: tuple[int, ...]) -> Callable[[ClassTable], Metric]:
    """Delete rows and columns of classes; labels that have them as void already need no more. What does not occur scores 0."""

    def metric(table: ClassTable) -> Metric:
        return Confusion(table.names, table.ignore, drop=dropped if len(table.names) > max(dropped) else (), absent=0.0)

    return metric


def _presence(
    name: str, above: float, whole: tuple[str, ...], asked: tuple[str, ...], of: str
) -> Callable[[Labels], tuple[TargetConfig, ...]]:
    """Ask which classes are there, more than a share of the place: of labels that have the `whole` of the classes, or those alone."""

    def rules(labels: Labels) -> tuple[TargetConfig, ...]:
        table = _table(labels, name)
        if table.names not in (whole, asked):
            raise _other_classes(name, table, f"the {len(whole)} of {of}", _NO_PROTOCOL)
        if table.names == asked and not table.exclusive and table.present_above == above:
            return ()
        without = tuple(one for number, one in enumerate(table.names) if one not in asked and number != table.ignore)
        return (PresenceConfig(without=without, above=above),)

    return rules


def _void(table: ClassTable) -> Metric:
    return Confusion(table.names, table.ignore)


_FOLDS = (
    Row((1, 2, 3), (4,), (5,)),
    Row((2, 3, 4), (5,), (1,)),
    Row((3, 4, 5), (1,), (2,)),
    Row((4, 5, 1), (2,), (3,)),
    Row((5, 1, 2), (3,), (4,)),
)
_PARTS = (Row(("train",), ("val",), ("test",)),)
_PASTIS_WORDS = (
    "The tables of all test pixels are summed, row and column of void deleted, and the IoU of background and 18 crops averaged over those "
    "that occur: a crop predicted as void is no error. With void as an error (as PANGAEA scores) it is another number, given beside it."
)
_PASTIS = "arXiv:2107.07933, code VSainteuf/utae-paps"

_ALL = (
    Protocol(
        name="pastis",
        words="Five-fold cross-validation of PASTIS. " + _PASTIS_WORDS,
        source=_PASTIS,
        key="fold",
        rows=_FOLDS,
        target=_pastis("pastis"),
        metric=_void,
        prints=("miou", "miou_void_error", "accuracy", "accuracy_void_error"),
    ),
    Protocol(
        name="pastis_fold1",
        words="Folds 1 to 3 of PASTIS are trained on, 4 is watched, 5 tested, as most later papers do. " + _PASTIS_WORDS,
        source=_PASTIS,
        key="fold",
        rows=_FOLDS[:1],
        target=_pastis("pastis_fold1"),
        metric=_void,
        prints=("miou", "miou_void_error", "accuracy", "accuracy_void_error"),
    ),
    Protocol(
        name="pastis_multilabel",
        words="Which of 18 crops a patch of PASTIS has, told from its label map without background and void: F1 at a probability of one "
        "half, averaged over the crops. Folds 1 to 3 are trained on, 4 is watched, 5 tested.",
        source="arXiv:2404.08351, code gastruc/OmniSat",
        key="fold",
        rows=_FOLDS[:1],
        target=_presence("pastis_multilabel", 0.0, PASTIS.names, PASTIS.names[1:19], "PASTIS"),
        metric=Multilabel,
        prints=("macro_f1", "weighted_f1", "micro_f1"),
    ),
    Protocol(
        name="flair_12",
        words="FLAIR challenge: a 13×13 table over all test pixels, IoU averaged over the first 12 classes that occur. Pixels of 'other' "
        "stay: a class predicted on them is an error, and so is 'other' on a class.",
        source="arXiv:2310.13336, code IGNF/FLAIR-2",
        key="split",
        rows=_PARTS,
        target=_flair("flair_12", _CONVERT.format("flair13"), ("flair13",), "flair13"),
        metric=lambda table: Confusion(table.names, scored=tuple(range(12))),
        prints=("miou", "accuracy"),
    ),
    Protocol(
        name="flair_13",
        words="FLAIR's figure during training: all 13 classes, one that does not occur scores 1. Not comparable with `flair_12`.",
        source="code IGNF/FLAIR-2",
        key="split",
        rows=_PARTS,
        target=_flair("flair_13", _CONVERT.format("flair13"), ("flair13",), "flair13"),
        metric=lambda table: Confusion(table.names, absent=1.0),
        prints=("miou", "accuracy"),
    ),
    Protocol(
        name="flair_15",
        words="FLAIR in 15 classes: rows and columns of clear cut, mixed, ligneous and other are deleted from the table, a class that "
        "does not occur scores 0.",
        source="code IGNF/FLAIR-1",
        key="split",
        rows=_PARTS,
        target=_flair("flair_15", _CONVERT.format("flair19"), ("flair19", "flair15")),
        metric=_deleted((14, 15, 16, 18)),
        prints=("miou", "accuracy"),
    ),
    Protocol(
        name="flair_19",
        words="All 19 classes of FLAIR, averaged over those that occur.",
        source="papers by others than its authors; say which figure it is",
        key="split",
        rows=_PARTS,
        target=_flair("flair_19", _CONVERT.format("flair19"), ("flair19",)),
        metric=lambda table: Confusion(table.names),
        prints=("miou", "accuracy"),
    ),
    Protocol(
        name="flair_hub",
        words="Land cover of FLAIR-HUB in 15 classes: rows and columns of clear cut, ligneous, mixed and undefined are deleted from the "
        "table, a class that does not occur scores 0.",
        source="arXiv:2506.07080, code IGNF/FLAIR-HUB",
        key="split",
        rows=_PARTS,
        target=_flair("flair_hub", "`omnifuse data convert flair-hub PATH OUT --labels cosia`", ("cosia15", "cosia19")),
        metric=_deleted((15, 16, 17, 18)),
        prints=("miou", "accuracy"),
    ),
    Protocol(
        name="treesatai",
        words="Which of 15 genera cover more than 0.07 of a tile of TreeSatAI. Macro F1 (OmniSat) and F1 weighted by how often a genus is "
        "there (MAESTRO) do not compare: both are given.",
        source="arXiv:2404.08351, code gastruc/OmniSat",
        key="split",
        rows=_PARTS,
        target=_presence("treesatai", 0.07, GENERA, GENERA, "TreeSatAI"),
        metric=Multilabel,
        prints=("macro_f1", "weighted_f1", "micro_f1"),
    ),
)
PROTOCOLS = {one.name: one for one in _ALL}
