"""Probes find what is there, and no more; they draw nothing."""

import pytest
import torch
from torch.nn.functional import one_hot

from omnifuse.evals.probes import Labeled, knn, linear, macro_f1, probes


def clusters(num: int, noise: float, seed: int) -> Labeled:
    """Three classes around three axes of eight, each row at a scale of its own."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(num) % 3
    x = one_hot(label, 8).float() + noise * torch.randn(num, 8, generator=generator)
    return Labeled(x, label)


def test_both_find_separate_classes_and_score_chance_on_shuffled_labels():
    train, test = clusters(90, 0.1, 0), clusters(60, 0.1, 1)
    shuffled = Labeled(train.features, train.label[torch.randperm(90, generator=torch.Generator().manual_seed(2))])
    for probe in (knn, linear):
        assert torch.equal(probe(train, test, 3), test.label)
        assert (probe(shuffled, test, 3) == test.label).double().mean() < 0.6


def test_knn_equals_a_slow_loop():
    train, test = clusters(50, 0.8, 3), clusters(20, 0.8, 4)
    found = knn(train, test, 3, k=7, temperature=0.1)
    for row, x in enumerate(test.features):
        cosine = torch.cosine_similarity(x[None], train.features)
        votes = [0.0, 0.0, 0.0]
        for index in cosine.argsort(descending=True)[:7].tolist():
            votes[int(train.label[index])] += float(torch.exp(cosine[index] / 0.1))
        assert int(found[row]) == max(range(3), key=votes.__getitem__)


def test_the_linear_probe_does_not_care_for_scale_and_shift():
    train, test = clusters(90, 0.6, 5), clusters(60, 0.6, 6)
    scale, shift = torch.logspace(-3, 3, 8), torch.arange(8.0)
    moved = [Labeled(x.features * scale + shift, x.label) for x in (train, test)]
    assert torch.equal(linear(*moved, 3), linear(train, test, 3))
    constant = [Labeled(torch.cat([x.features, torch.ones(len(x.label), 1)], 1), x.label) for x in (train, test)]
    assert torch.equal(linear(*constant, 3), linear(train, test, 3))


def test_macro_f1_counts_every_class_that_occurs_alike():
    label = torch.tensor([0, 0, 0, 0, 1, 1])
    assert macro_f1(label, label, 4) == 1
    assert macro_f1(torch.zeros(6, dtype=torch.long), label, 4) == pytest.approx((2 * 4 / 10 + 0) / 2)


def test_sensors_without_labeled_rows_are_left_out():
    train, test = clusters(30, 0.1, 0), clusters(30, 0.1, 1)
    none = Labeled(torch.zeros(0, 8), torch.zeros(0, dtype=torch.long))
    found = dict(probes({"s2": train, "s1": train, "dem": none, "aerial": train}, {"s2": test, "s1": none, "dem": test}, 3))
    assert found == {"knn/s2": 1, "probe/s2": 1, "probe_f1/s2": 1}
