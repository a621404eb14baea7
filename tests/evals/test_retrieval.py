"""Retrieval and the measures of collapse."""

import math

import pytest
import torch

from omnifuse.evals.retrieval import alignment, effective_rank, health, retrieval, uniformity


def embeddings(num: int, dim: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(num)
    a = torch.randn(num, dim, generator=generator)
    return a, a + noise * torch.randn(num, dim, generator=generator)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_retrieval_equals_a_slow_loop(chunk):
    a, b = embeddings(60, 8, noise=0.9)
    scores = retrieval(a, b, chunk)
    for queries, candidates, found in ((a, b, (scores.a_to_b_top1, scores.a_to_b_top5)), (b, a, (scores.b_to_a_top1, scores.b_to_a_top5))):
        hits = {1: 0, 5: 0}
        for i, query in enumerate(queries):
            nearest = sorted(range(60), key=lambda j: -torch.cosine_similarity(query, candidates[j], dim=0).item())
            for k in hits:
                hits[k] += i in nearest[:k]
        assert found == (hits[1] / 60, hits[5] / 60)
    assert scores.num_candidates == 60 and scores.a_to_b_top1 != scores.b_to_a_top1


def test_counterparts_are_found_and_strangers_are_not():
    a, b = embeddings(200, 32, noise=0.01)
    assert retrieval(a, b).a_to_b_top1 == 1
    assert retrieval(a, b.roll(1, 0)).b_to_a_top5 < 0.1


def test_a_collapsed_space_finds_nothing():
    scores = retrieval(torch.ones(64, 4), torch.ones(64, 4))
    assert (scores.a_to_b_top1, scores.a_to_b_top5, scores.b_to_a_top1, scores.b_to_a_top5) == (0, 0, 0, 0)


def test_no_rows_are_no_number():
    assert math.isnan(retrieval(torch.zeros(0, 4), torch.zeros(0, 4)).a_to_b_top1)


def test_effective_rank_has_its_limits():
    assert effective_rank(torch.eye(12)) == pytest.approx(12)
    assert effective_rank(torch.outer(torch.arange(1.0, 9), torch.arange(1.0, 6))) == pytest.approx(1)
    half = torch.eye(12)
    half[6:] = 0
    assert effective_rank(half) == pytest.approx(6)
    a, _ = embeddings(50, 8, 0)
    assert effective_rank(7 * a) == pytest.approx(effective_rank(a))


def test_alignment_runs_from_zero_through_two_to_four():
    a, b = embeddings(4000, 64, noise=0)
    assert alignment(a, 3 * b) == pytest.approx(0, abs=1e-9)
    assert alignment(a, b.roll(1, 0)) == pytest.approx(2, abs=0.05)
    assert alignment(a, -b) == pytest.approx(4)


def test_uniformity_is_zero_when_collapsed_and_right_for_known_pairs():
    assert uniformity(torch.ones(20, 3)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.tensor([[1.0, 0], [-2, 0]])) == pytest.approx(-8)
    spread, _ = embeddings(500, 128, 0)
    assert -4 < uniformity(spread) < -3.8


def test_health_pairs_counterparts_by_their_number_in_both_directions():
    a, b = embeddings(60, 16, noise=0.9)
    row = {"s2": torch.arange(60), "s1": torch.arange(20, 60).flip(0), "dem": torch.arange(100, 105)}
    found = dict(health({"s2": a, "s1": b[20:].flip(0), "dem": a[:5]}, row))
    scores = retrieval(a[20:], b[20:].clone())
    assert found["candidates/s2-s1"] == 40
    assert (found["top1/s2>s1"], found["top5/s1>s2"]) == pytest.approx((scores.a_to_b_top1, scores.b_to_a_top5))
    assert found["retrieval_top1/s2-s1"] == pytest.approx((scores.a_to_b_top1 + scores.b_to_a_top1) / 2)
    assert found["alignment/s2-s1"] == pytest.approx(alignment(a[20:], b[20:]))
    assert found["rank/dem"] == pytest.approx(effective_rank(a[:5]))
    assert not [name for name in found if "dem" in name and ("-" in name or ">" in name)]
