"""Temporal attention against the published order of operations, written out place by place."""

import pytest
import torch
from torch import Tensor, nn

from omnifuse.models.ltae import LTAE, collapse_skips, encode_day

COUNT = torch.tensor([3, 1, 5, 3])
PLACE = torch.repeat_interleave(COUNT)
DAY = torch.tensor([3, 40, 90, 7, 0, 30, 60, 90, 365, 1, 2, 3])
ARGUMENTS = {"dim": 24, "heads": 4, "key_dim": 3, "attention_dropout": 0.0, "dropout": 0.0}


def build(**options) -> LTAE:
    torch.manual_seed(0)
    ltae = LTAE(8, **{"mlp_norm": nn.LayerNorm(8), "key_bias": True, **ARGUMENTS, **options}).double()
    for parameter in ltae.parameters():
        nn.init.normal_(parameter)
    return ltae


def maps(dim: int = 8, side: int = 2) -> Tensor:
    return torch.randn(len(PLACE), dim, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def published(ltae: LTAE, series: Tensor, day: Tensor) -> tuple[Tensor, Tensor]:
    """Attend over one place as the paper's code does, token by token: (pixels, frames, d) -> (pixels, d), (pixels, heads, frames)."""
    norm, heads = ltae.in_norm, ltae.attention_heads
    x = nn.functional.group_norm(series.transpose(1, 2), norm.groups, norm.weight, norm.bias)
    date = encode_day(day, 6, 1000.0, torch.float64).repeat(1, 4)
    tokens = ltae.inconv(x).transpose(1, 2) + date
    keys = heads.fc1_k(tokens).unflatten(-1, (4, 3))
    attention = (torch.einsum("hk,pthk->pht", heads.Q, keys) / 3**0.5).softmax(-1)
    values = tokens.unflatten(-1, (4, 6))
    pooled = torch.einsum("pht,pthe->phe", attention, values).flatten(1)
    return ltae.out_norm(ltae.mlp(pooled)), attention


def test_folding_the_query_and_pooling_first_changes_nothing():
    ltae, x = build(), maps()
    found, attention = ltae(x, DAY, PLACE, COUNT)
    parts = zip(torch.split(x, COUNT.tolist()), torch.split(DAY, COUNT.tolist()), torch.split(attention, COUNT.tolist()), strict=True)
    for i, (part, day, weights) in enumerate(parts):
        expected, expected_attention = published(ltae, part.flatten(2).permute(2, 0, 1), day)
        torch.testing.assert_close(found[i].flatten(1).T, expected)
        torch.testing.assert_close(weights.flatten(2).permute(2, 1, 0), expected_attention)


def test_a_date_counts_from_the_origin():
    here, there = build(), build(origin=17775)
    torch.testing.assert_close(there(maps(), DAY + 17775, PLACE, COUNT)[0], here(maps(), DAY, PLACE, COUNT)[0])
    assert (there(maps(), DAY + 17805, PLACE, COUNT)[0] - here(maps(), DAY, PLACE, COUNT)[0]).abs().max() > 0.01


def test_date_encoding_has_the_published_values():
    expected = {
        23: "-0.8462 -0.5328 -0.2708 -0.9626 -0.8125 -0.5829 0.9882 -0.1534 0.6649 0.7470 0.3019 0.9533 0.1290 0.9916 0.0545 0.9985",
        365: "0.5440 0.8391 0.0188 -0.9998 0.8754 -0.4834 0.7853 -0.6191 -0.8542 0.5199 -0.9880 0.1543 0.8862 -0.4633 0.7615 0.6482",
        0: "0 1 " * 8,
    }
    for day, figures in expected.items():
        figure = torch.tensor([float(word) for word in figures.split()])
        torch.testing.assert_close(encode_day(torch.tensor([day]), 16, 1000.0)[0], figure, atol=6e-5, rtol=0)


def test_dropout_on_the_attention_acts_in_training_only():
    ltae = build(attention_dropout=0.5)
    torch.manual_seed(0)
    assert (ltae(maps(), DAY, PLACE, COUNT)[1] == 0).double().mean() > 0.3
    attention = ltae.eval()(maps(), DAY, PLACE, COUNT)[1]
    total = torch.zeros(4, *attention.shape[1:], dtype=torch.float64).index_add(0, PLACE, attention)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("aggregation", ["group", "attention", "mean"])
@pytest.mark.parametrize("sizes", [[12], [5, 5, 2]])
def test_skips_are_averaged_with_the_attention_seen_finer(aggregation, sizes):
    x, (_, attention) = maps(8, 4), build()(maps(), DAY, PLACE, COUNT)
    found = collapse_skips(torch.split(x, sizes), attention, PLACE, 4, aggregation)
    fine = nn.functional.interpolate(attention, scale_factor=2, mode="bilinear", align_corners=False)
    weight = {"group": fine.repeat_interleave(2, 1), "attention": fine.mean(1, keepdim=True), "mean": 1 / COUNT[PLACE].view(-1, 1, 1, 1)}
    products = torch.split(x * weight[aggregation], COUNT.tolist())
    torch.testing.assert_close(found, torch.stack([product.sum(0) for product in products]))


def test_heads_start_by_looking_at_different_times_of_the_year():
    torch.manual_seed(0)
    day = torch.arange(0, 450, 5)
    count = torch.tensor([len(day)])
    ltae = LTAE(16, dim=128, heads=8, mlp_norm=nn.LayerNorm(16)).eval()

    def focus() -> tuple[Tensor, Tensor]:
        """Mean day of each head's attention, and its share within 60 days of that head's own day."""
        _, attention = ltae(torch.zeros(len(day), 16, 1, 1), day, torch.zeros_like(day), count)
        weight, centers = attention[:, :, 0, 0], torch.linspace(30, 420, 8)
        near = (day[:, None] - centers).abs() <= 60
        return (weight * day[:, None]).sum(0), (weight * near).sum(0)

    before = focus()
    ltae.spread(30, 420)
    after = focus()
    assert (after[0].diff() > 0).all() and not (before[0].diff() > 0).all()
    assert after[1].mean() > 0.5 > before[1].mean()
