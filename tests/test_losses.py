"""Losses: limits, slow references, and nothing explodes."""

import math

import pytest
import torch
from torch.nn import functional

from omnifuse.losses import cross_entropy, dice, info_nce, unit


def embeddings(rows: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return unit(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def slow_info_nce(a: torch.Tensor, b: torch.Tensor, temperature: float, ignored: torch.Tensor) -> float:
    total = 0.0
    for x, y, skip in ((a, b, ignored), (b, a, ignored.T)):
        for i in range(len(x)):
            logits = [float(x[i] @ y[j]) / temperature for j in range(len(y)) if j == i or not skip[i, j]]
            total += math.log(sum(math.exp(value) for value in logits)) - float(x[i] @ y[i]) / temperature
    return total / (2 * len(a))


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_equal_embeddings_give_log_n(rows):
    same = torch.ones(rows, 4) / 2
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(rows), abs=1e-6)
    assert info_nce(torch.zeros(rows, 4), torch.zeros(rows, 4), 0.1).item() == pytest.approx(math.log(rows), abs=1e-6)


def test_info_nce_agrees_with_a_slow_loop():
    a, b = embeddings(6, seed=1), embeddings(6, seed=2)
    ignored = torch.rand(6, 6, generator=torch.Generator().manual_seed(3)) < 0.3
    assert info_nce(a, b, 0.2).item() == pytest.approx(slow_info_nce(a, b, 0.2, torch.zeros(6, 6, dtype=torch.bool)), abs=1e-10)
    assert info_nce(a, b, 0.2, ignored).item() == pytest.approx(slow_info_nce(a, b, 0.2, ignored), abs=1e-10)


def test_info_nce_does_not_care_for_direction_or_order():
    a, b = embeddings(6, seed=1), embeddings(6, seed=2)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(info_nce(a, b, 0.1), info_nce(b, a, 0.1))
    torch.testing.assert_close(info_nce(a, b, 0.1), info_nce(a[order], b[order], 0.1))
    assert info_nce(a, b, 0.1) > info_nce(a, a, 0.1)


def test_nothing_to_pair_is_zero_with_zero_gradients():
    a, b = torch.zeros(0, 4, requires_grad=True), torch.zeros(0, 4, requires_grad=True)
    temperature = torch.tensor(0.1, requires_grad=True)
    loss = info_nce(a, b, temperature)
    loss.backward()
    assert loss.item() == 0
    assert a.grad is not None and b.grad is not None
    assert temperature.grad == 0


def test_logits_stay_float32_under_autocast():
    a, b = embeddings(64).float(), embeddings(64, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(a, b, 0.02)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, info_nce(a, b, 0.02), rtol=0, atol=0)


def test_unit_has_length_one_and_a_bounded_gradient_at_zero():
    x = torch.randn(5, 8, dtype=torch.float64)
    torch.testing.assert_close(unit(x).norm(dim=1), torch.ones(5, dtype=torch.float64), atol=1e-5, rtol=0)
    zero = torch.zeros(2, 8, requires_grad=True)
    info_nce(unit(zero), unit(torch.randn(2, 8)), 0.1).backward()
    assert zero.grad is not None and zero.grad.abs().max() < 1e4


def test_cross_entropy_is_the_mean_over_pixels_that_count():
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    target[0, :2] = 9
    torch.testing.assert_close(cross_entropy(logits, target, 9), functional.cross_entropy(logits, target, ignore_index=9))
    for scale in (1.0, 1e-3):  # however small: weights are relative to each other
        weight = scale * torch.tensor([1.0, 2.0, 0.5])
        expected = functional.cross_entropy(logits, target, weight, ignore_index=9)
        torch.testing.assert_close(cross_entropy(logits, target, 9, weight), expected)


def test_dice_of_a_perfect_and_of_an_opposite_prediction():
    target = torch.tensor([[[0, 1], [2, 9]]])
    perfect = functional.one_hot(target.clamp(max=2), 3).movedim(-1, 1) * 100.0
    assert dice(perfect, target, 9).item() == pytest.approx(0, abs=1e-6)
    assert dice(perfect.roll(1, 1), target, 9).item() == pytest.approx(1, abs=1e-6)


def test_dice_ignores_void_and_absent_classes():
    logits, target = torch.randn(2, 5, 4, 4), torch.randint(0, 2, (2, 4, 4))
    target[:, 0] = 7
    other = logits.clone()
    other[:, :, 0] = torch.randn(2, 5, 4)  # the void row
    torch.testing.assert_close(dice(logits, target, 7), dice(other, target, 7))
    probability = logits.softmax(1)
    expected = []
    for k in (0, 1):
        truth = ((target == k) & (target != 7)).float()
        guess = probability[:, k] * (target != 7)
        expected.append(1 - 2 * (guess * truth).sum() / (guess.sum() + truth.sum()))
    torch.testing.assert_close(dice(logits, target, 7), torch.stack(expected).mean())


@pytest.mark.parametrize("loss", [cross_entropy, dice])
def test_no_label_at_all_is_zero_with_zero_gradients(loss):
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    value = loss(logits, torch.full((1, 4, 4), 9), 9)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None and logits.grad.abs().sum() == 0
