"""Ragged sums and softmax against loops over places, in any order, with places that have nothing."""

import pytest
import torch

from omnifuse.nn.segments import segment_mean, segment_pool, segment_softmax, segment_sum

COUNTS = ([3, 0, 5, 1, 3], [4, 4, 4], [0, 0], [0, 7], [])


def entries(count: list[int], *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    place = torch.repeat_interleave(torch.tensor(count, dtype=torch.long))
    values = torch.randn(len(place), *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return values.requires_grad_(), place


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 4, 5)])
def test_they_equal_a_loop_over_places(count, shape):
    x, place = entries(count, *shape)
    for name, segment, dense in (("sum", segment_sum, torch.sum), ("mean", segment_mean, torch.mean)):
        found = segment(x, place, len(count))
        assert found.shape == (len(count), *shape), name
        for row, part in zip(found, torch.split(x, count), strict=True):
            torch.testing.assert_close(row, dense(part, 0) if len(part) else torch.zeros_like(row), msg=name)
    softmax = segment_softmax(x, place, len(count))
    for found, part in zip(torch.split(softmax, count), torch.split(x, count), strict=True):
        torch.testing.assert_close(found, part.softmax(0))


@pytest.mark.parametrize("segment", [segment_sum, segment_mean, segment_softmax])
def test_entries_may_stand_in_any_order(segment):
    x, place = entries([3, 2, 4], 2)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    found, expected = segment(x[order], place[order], 3), segment(x, place, 3)
    torch.testing.assert_close(found, expected[order] if segment is segment_softmax else expected)


def test_softmax_survives_scores_that_overflow_exp_and_sums_to_one():
    score = torch.tensor([1e4, 1e4 - 1, -1e4, -1e4 - 3, 0.0])
    place = torch.tensor([0, 0, 1, 1, 3])
    softmax = segment_softmax(score, place, 4)
    torch.testing.assert_close(softmax[:2], torch.tensor([0.7310586, 0.2689414]))
    torch.testing.assert_close(segment_sum(softmax, place, 4), torch.tensor([1.0, 1.0, 0.0, 1.0]))


def test_softmax_of_half_precision_is_computed_in_float32():
    score = torch.zeros(1000, dtype=torch.bfloat16)
    softmax = segment_softmax(score, torch.zeros(1000, dtype=torch.long), 1)
    torch.testing.assert_close(softmax, torch.full((1000,), 1e-3))


@pytest.mark.parametrize("count", COUNTS)
def test_gradients_are_those_of_finite_differences(count):
    x, place = entries(count, 2)
    for segment in (segment_sum, segment_mean, segment_softmax):
        assert torch.autograd.gradcheck(lambda value, segment=segment: segment(value, place, len(count)), x)


@pytest.mark.parametrize("count", COUNTS)
def test_pooling_equals_the_sum_of_products(count):
    weight, place = entries(count, 6, 3)
    x = torch.randn(len(place), 6, 4, dtype=torch.float64).requires_grad_()
    pooled = segment_pool(weight, x, torch.tensor(count, dtype=torch.long))
    torch.testing.assert_close(pooled, segment_sum(weight[..., None] * x[:, :, None], place, len(count)))
    pooled.sum().backward()
    torch.testing.assert_close(x.grad, weight.detach().sum(-1, keepdim=True).expand_as(x))
