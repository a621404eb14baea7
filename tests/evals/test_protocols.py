"""Protocols score as the literature does: its worked examples, its traps."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import one_hot

from omnifuse.classes import ClassTable, Quantities
from omnifuse.data.sources.flair_classes import FLAIR_PROTOCOLS, HUB_PROTOCOLS
from omnifuse.data.sources.pastis_layout import CLASSES
from omnifuse.data.sources.treesatai_layout import GENERA
from omnifuse.data.target_rules import MergeConfig, PresenceConfig
from omnifuse.data.targets import TargetConfig
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.protocols import PROTOCOLS, protocol
from omnifuse.evals.scoring import Scored

TREES = ClassTable(GENERA, ("#000000",) * 15, exclusive=False, present_above=0.07)


def counted(metric, truth: list[list[int]], guess: list[list[int]]) -> torch.Tensor:
    """Return the table of one map."""
    logits = one_hot(torch.tensor(guess)[None], len(metric.names())).permute(0, 3, 1, 2).float()
    return metric.statistics(logits, torch.tensor(truth)[None]).sum(0)


def scores(metric, total: torch.Tensor) -> dict[str, float]:
    return {name: value.item() for name, value in metric.scores(total).items()}


def applied(rules: tuple[TargetConfig, ...], labels: ClassTable) -> ClassTable:
    for rule in rules:
        labels = rule.labels(labels)
    return labels


def test_the_worked_example_of_pastis_under_both_rules_of_void():
    metric = PROTOCOLS["pastis"].metric(ClassTable(tuple("abcv"), ("#000000",) * 4, ignore=3))
    truth = [[0, 0, 1, 1], [2, 2, 3, 3], [0, 1, 2, 3]]
    guess = [[0, 1, 1, 3], [2, 2, 0, 3], [0, 1, 1, 2]]
    found = scores(metric, counted(metric, truth, guess))
    assert found["miou"] == pytest.approx(0.611111, abs=1e-6) and found["accuracy"] == pytest.approx(0.75)
    assert found["miou_void_error"] == pytest.approx(0.577778, abs=1e-6)
    assert found["accuracy_void_error"] == pytest.approx(0.666667, abs=1e-6)
    assert set(found) >= set(PROTOCOLS["pastis"].prints) == {"miou", "miou_void_error", "accuracy", "accuracy_void_error"}


def test_background_counts_in_pastis_and_folds_are_summed_before_they_are_scored():
    metric = PROTOCOLS["pastis"].metric(CLASSES)
    assert len(metric.names()) == 20
    tables = torch.zeros(2, 20, 20, dtype=torch.long)
    tables[0, 0, 0], tables[0, 1, 0], tables[0, 1, 1] = 90, 10, 10  # meadow taken for background in one fold alone
    tables[1, 0, 0], tables[1, 1, 1] = 10, 90
    first, second = (Scored(table[None], torch.tensor([i]), 0, metric) for i, table in enumerate(tables))
    pooled = first.joined(second).score
    assert pooled == pytest.approx((100 / 110 + 100 / 110) / 2)
    assert abs(pooled - (first.score + second.score) / 2) > 0.01


def test_every_row_of_five_folds_tests_another_fold_that_it_does_not_train_on():
    rows = PROTOCOLS["pastis"].rows
    assert [row.test for row in rows] == [(5,), (1,), (2,), (3,), (4,)]
    for row in rows:
        assert sorted(row.train + row.val + row.test) == [1, 2, 3, 4, 5]
    assert PROTOCOLS["pastis"].row_trained_on((3, 1, 2)) == 0 and PROTOCOLS["pastis"].row_trained_on(("5", "1", "2")) == 4
    assert PROTOCOLS["pastis_fold1"].rows == rows[:1]
    with pytest.raises(ConfigError, match="trained on fold 1, 2, 3, 4, its rows train on 1, 2, 3; 2, 3, 4"):
        PROTOCOLS["pastis"].row_trained_on((1, 2, 3, 4))


def test_other_costs_in_twelve_classes_of_flair_and_is_not_averaged():
    labels = applied(PROTOCOLS["flair_12"].target(FLAIR_PROTOCOLS["flair19"].classes), FLAIR_PROTOCOLS["flair19"].classes)
    assert labels.names == FLAIR_PROTOCOLS["flair13"].classes.names
    metric = PROTOCOLS["flair_12"].metric(labels)
    found = scores(metric, counted(metric, [[0, 0, 12, 12], [1, 1, 1, 1]], [[0, 0, 0, 0], [1, 1, 12, 12]]))
    assert found["miou"] == pytest.approx((2 / 4 + 2 / 4) / 2)  # building taken from other; other taken for pervious
    ignoring = scores(metric, counted(metric, [[0, 0, 0, 0]], [[0, 0, 0, 0]]))
    assert ignoring["miou"] == 1.0  # of the first 12 only those that occur


def test_the_merged_labels_of_flair_are_those_of_its_reader():
    stored = FLAIR_PROTOCOLS["flair19"].classes
    (rule,) = PROTOCOLS["flair_13"].target(stored)
    assert isinstance(rule, MergeConfig)
    target = torch.arange(19).view(1, 19).numpy().astype("uint8")
    assert rule.target(target, stored).tolist() == [[*range(12), *[12] * 7]]
    assert PROTOCOLS["flair_13"].target(FLAIR_PROTOCOLS["flair13"].classes) == ()


def test_an_absent_class_scores_one_while_training_on_flair_and_zero_in_fifteen_classes():
    table = torch.zeros(13, 13, dtype=torch.long)
    table[0, 0], table[1, 1] = 5, 5
    assert scores(PROTOCOLS["flair_13"].metric(FLAIR_PROTOCOLS["flair13"].classes), table)["miou"] == pytest.approx(1.0)
    many = torch.zeros(19, 19, dtype=torch.long)
    many[0, 0], many[1, 1] = 5, 5
    assert scores(PROTOCOLS["flair_15"].metric(FLAIR_PROTOCOLS["flair19"].classes), many)["miou"] == pytest.approx(2 / 15)
    assert scores(PROTOCOLS["flair_19"].metric(FLAIR_PROTOCOLS["flair19"].classes), many)["miou"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "whole", "fewer", "dropped", "kept"),
    [
        ("flair_15", FLAIR_PROTOCOLS["flair19"], FLAIR_PROTOCOLS["flair15"], (14, 15, 16, 18), (*range(14), 17)),
        ("flair_hub", HUB_PROTOCOLS["cosia19"], HUB_PROTOCOLS["cosia15"], (15, 16, 17, 18), tuple(range(15))),
    ],
)
def test_deleted_classes_vanish_from_truth_and_prediction(name, whole, fewer, dropped, kept):
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(1, 30, (19, 19), generator=generator)
    metric = PROTOCOLS[name].metric(whole.classes)
    part = table[list(kept)][:, list(kept)].double()
    right = part.diagonal()
    expected = (right / (part.sum(0) + part.sum(1) - right)).mean().item()
    assert scores(metric, table)["miou"] == pytest.approx(expected)
    assert PROTOCOLS[name].target(whole.classes) == () == PROTOCOLS[name].target(fewer.classes)
    small = table[list(kept)][:, list(kept)]  # a model of 15 classes never predicts the others, whose pixels are void
    assert scores(PROTOCOLS[name].metric(fewer.classes), small)["miou"] == pytest.approx(expected)
    assert [whole.classes.names[i] for i in kept] == list(fewer.classes.names)


def test_a_genus_is_there_above_seven_hundredths_and_both_means_are_given():
    rule = PROTOCOLS["treesatai"]
    assert rule.target(TREES) == () and rule.prints[:2] == ("macro_f1", "weighted_f1")
    assert rule.target(replace(TREES, present_above=0.5)) == (PresenceConfig(above=0.07),)
    metric = rule.metric(replace(TREES, names=GENERA[:3], colors=TREES.colors[:3]))
    shares = torch.tensor([[0.5, 0.07, 0.0], [0.9, 0.071, 0.0]])
    said = torch.tensor([[1.0, -1.0, -1.0], [1.0, -1.0, 1.0]])
    found = scores(metric, metric.statistics(said, shares).sum(0))
    assert found["macro_f1"] == pytest.approx((1 + 0 + 0) / 3)  # the second is missed once, the third a false alarm
    assert found["weighted_f1"] == pytest.approx(2 / 3)  # two of three occurrences are of the first


def test_crops_of_a_patch_are_eighteen_and_a_patch_without_any_has_none():
    rules = PROTOCOLS["pastis_multilabel"].target(CLASSES)
    assert rules == (PresenceConfig(without=("background",), above=0.0),)
    labels = applied(rules, CLASSES)
    assert len(labels.names) == 18 and "void" not in labels.names
    empty = rules[0].target(torch.zeros(4, 4).numpy().astype("uint8"), CLASSES)
    assert empty.tolist() == [0.0] * 18
    assert PROTOCOLS["pastis_multilabel"].target(labels) == ()  # already so


def test_what_a_protocol_cannot_score_is_refused_in_words():
    with pytest.raises(ConfigError, match=r"unknown name 'flair12'.*Try: --protocol flair_12"):
        protocol("flair12")
    with pytest.raises(InputError, match=r"flair_12: labels are the 12 classes building.*flair13 or flair19"):
        PROTOCOLS["flair_12"].target(FLAIR_PROTOCOLS["flair12"].classes)
    with pytest.raises(InputError, match=r"Try: `omnifuse data convert flair2 PATH OUT --protocol flair13`"):
        PROTOCOLS["flair_12"].target(FLAIR_PROTOCOLS["flair12"].classes)
    other = replace(CLASSES, names=(*CLASSES.names[:-1], "cloud"))
    for name in ("pastis", "pastis_fold1", "pastis_multilabel", "treesatai"):
        with pytest.raises(InputError, match=rf"{name}: labels are the 20 classes background, .*; expected the (20 of PASTIS|15 of Tree)"):
            PROTOCOLS[name].target(other)
    with pytest.raises(InputError, match="several classes at once"):
        PROTOCOLS["pastis"].target(TREES)
    with pytest.raises(InputError, match="quantities height"):
        PROTOCOLS["treesatai"].target(Quantities(("height",), ("m",), (0.0,), (1.0,)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_its_rule_and_its_source(name):
    one = PROTOCOLS[name]
    assert one.name == name and len(one.words) > 40 and one.source and one.rows and one.key in ("fold", "split")
    table = {"f": FLAIR_PROTOCOLS["flair19"].classes, "p": CLASSES, "t": TREES}[name[0]]
    table = HUB_PROTOCOLS["cosia19"].classes if name == "flair_hub" else table
    metric = one.metric(applied(one.target(table), table))
    assert metric.headline == one.prints[0] and set(one.prints) <= set(metric.scores(metric.blank().sum(0)))
