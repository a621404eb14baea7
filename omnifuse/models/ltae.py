"""Temporal attention with one learned query per head (L-TAE, arXiv:2007.00586), per pixel, on ragged series."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from omnifuse.nn.norms import SegmentGroupNorm
from omnifuse.nn.segments import add_to_segments, segment_pool, segment_softmax, segment_sum

Aggregation = Literal["group", "attention", "mean"]


def encode_day(day: Int[Tensor, " n"], dim: int, period: float, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n {dim}"]:
    """Sines (even columns) and cosines (odd columns) of `day`, wavelengths growing from 2π to 2π·`period` days."""
    index = torch.arange(dim, device=day.device)
    angle = day.to(dtype)[:, None] / period ** (2 * (index // 2).to(dtype) / dim)
    return torch.where(index % 2 == 0, angle.sin(), angle.cos())


class MasterQuery(nn.Module):
    """One learned query per head and the projection of tokens to keys; both are only ever used as their product."""

    def __init__(self, dim: int, heads: int, key_dim: int, *, key_bias: bool = False) -> None:
        super().__init__()
        self.Q = nn.Parameter(torch.randn(heads, key_dim) * sqrt(2 / key_dim))
        self.fc1_k = nn.Linear(dim, heads * key_dim, bias=key_bias)  # the bias of the published weights cancels in the softmax
        nn.init.xavier_normal_(self.fc1_k.weight)

    def point_at(self, target: Float[Tensor, "heads dim"]) -> None:
        """Add `target` to what each head's score multiplies a token with."""
        query = self.Q / sqrt(self.Q.shape[1])
        share = query / query.square().sum(1, keepdim=True)
        self.fc1_k.weight += (share[:, :, None] * target[:, None]).flatten(0, 1)

    def forward(self) -> tuple[Float[Tensor, "heads dim"], Float[Tensor, " heads"] | float]:
        """Return what to multiply a token with to have each head's score, and what to add."""
        query = self.Q / sqrt(self.Q.shape[1])
        weight = torch.einsum("hk,hkd->hd", query, torch.unflatten(self.fc1_k.weight, 0, self.Q.shape))
        bias = 0.0 if self.fc1_k.bias is None else (query * self.fc1_k.bias.view_as(query)).sum(1)
        return weight, bias


class LTAE(nn.Module):
    """Collapses the frames of each place, pixel by pixel, and returns the attention that did it.

    Exactly the published maths, reordered so that no tensor of (pixels · frames · `dim`) exists: the query is folded into
    the key projection, and that into the token projection; frames are pooled before they are projected to `dim`.

    Args:
        dim_in: Channels of the maps.
        dim: Channels of a token, a multiple of `heads`; each head reads its own share of them.
        heads: Heads, each with one learned query.
        key_dim: Channels of a query.
        mlp_norm: Norm over `dim_in` channels inside the output MLP.
        period: Longest wavelength of the date encoding over 2π, in days.
        origin: The day, counted from 1970-01-01, that is encoded as day 0.
        attention_dropout: Share of attention weights set to zero in training; the skips see the same.
        dropout: Share of output channels set to zero in training.
        key_bias: Whether keys have a bias (as in published weights); it changes nothing.
    """

    def __init__(
        self,
        dim_in: int,
        *,
        dim: int = 256,
        heads: int = 16,
        key_dim: int = 4,
        mlp_norm: nn.Module,
        period: float = 1000.0,
        origin: int = 0,
        attention_dropout: float = 0.1,
        dropout: float = 0.2,
        key_bias: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.period, self.origin = heads, period, origin
        self.attention_dropout, self.dropout = nn.Dropout(attention_dropout), nn.Dropout(dropout)
        self.inconv = nn.Conv1d(dim_in, dim, 1)  # a Conv1d for the shape of its weight; see `forward`
        self.attention_heads = MasterQuery(dim, heads, key_dim, key_bias=key_bias)
        self.in_norm = SegmentGroupNorm(heads, dim_in)
        self.out_norm = nn.GroupNorm(heads, dim_in)
        self.mlp = nn.Sequential(nn.Linear(dim, dim_in), mlp_norm, nn.ReLU())

    @torch.no_grad()
    def spread(self, first: int, last: int) -> None:
        """Point the heads at days spread evenly from `first` to `last` after the origin.

        A query that equals the encoding of a day scores dates by how near that day they are. The published start is nearly
        uniform over dates, so that training must first find the seasons; from here it begins with a profile of the year.
        Wavelengths under 10 days are left out: they would make a comb of the window.
        """
        width = self.inconv.out_channels // self.heads
        code = encode_day(torch.linspace(first, last, self.heads).round().long(), width, self.period)
        slow = self.period ** (2 * (torch.arange(width) // 2) / width) >= 10
        self.attention_heads.point_at((code * slow / self.heads).repeat(1, self.heads))  # every head's copy of the date counts

    def forward(
        self, x: Float[Tensor, "n d h w"], day: Int[Tensor, " n"], place: Int[Tensor, " n"], count: Int[Tensor, " p"]
    ) -> tuple[Float[Tensor, "p d h w"], Float[Tensor, "n {self.heads} h w"]]:
        """Collapse `x` over the frames of each place.

        Args:
            x: One map per frame, frames of a place in succession.
            day: Days since 1970-01-01.
            place: The place of each frame, on the device of `x`.
            count: Frames per place, on the CPU.

        Returns:
            One map per place, and the attention (sums to 1 over the frames of a place, except under dropout).
        """
        height, width = x.shape[-2:]
        x = self.in_norm(x.permute(0, 2, 3, 1).flatten(1, 2), place, len(count))  # (n, hw, d)
        date = encode_day(day - self.origin, self.inconv.out_channels // self.heads, self.period, x.dtype)  # (n, dim / heads)

        # A token is W x + b + date, the date repeated for every head; its score is query · key(token).
        token_weight, token_bias = self.inconv.weight[:, :, 0], self.inconv.bias
        assert token_bias is not None
        query, constant = self.attention_heads()
        score = functional.linear(x, query @ token_weight)
        score = score + (date @ torch.unflatten(query, 1, (self.heads, -1)).sum(1).T + constant)[:, None]
        attention = self.attention_dropout(segment_softmax(score, place, len(count)))  # (n, hw, heads)

        # Sum of attention · token per head: W (sum of attention · x) + b (sum of attention) + sum of attention · date.
        known = torch.cat([date, date.new_ones(len(date), 1)], 1)[:, None].expand(-1, x.shape[1], -1)
        pooled = segment_pool(attention, torch.cat([x, known.to(x.dtype)], -1), count)  # (p, hw, heads, d + dim / heads + 1)
        mean, date_mean, total = torch.split(pooled, [x.shape[-1], date.shape[1], 1], -1)
        per_head = torch.unflatten(token_weight, 0, (self.heads, -1))  # (heads, dim / heads, d)
        value = torch.einsum("pmhd,hed->pmhe", mean, per_head) + date_mean + total * token_bias.view(self.heads, -1)

        out = self.out_norm(self.dropout(self.mlp(value.flatten(0, 1).flatten(1))))  # (p · hw, d)
        maps = out.view(len(count), height, width, x.shape[-1]).permute(0, 3, 1, 2)
        return maps, torch.unflatten(attention, 1, (height, width)).permute(0, 3, 1, 2)


def collapse_skips(
    chunks: Sequence[Float[Tensor, "_m d h w"]],
    attention: Float[Tensor, "n heads hc wc"],
    place: Int[Tensor, " n"],
    num_places: int,
    aggregation: Aggregation,
) -> Float[Tensor, "{num_places} d h w"]:
    """Average fine maps over the frames of each place with the attention found at the coarse scale (arXiv:2107.07933, §3.2).

    `group`: each head weighs its own share of the channels; `attention`: all channels by the mean over heads; `mean`: equally.
    Goes chunk by chunk, so that the products stay in the cache.
    """
    if aggregation == "mean":
        size = segment_sum(attention.new_ones(len(place)), place, num_places)
        attention = size.reciprocal().index_select(0, place)[:, None, None, None]
    elif aggregation == "attention":
        attention = attention.mean(1, keepdim=True)

    sizes = [len(chunk) for chunk in chunks]
    total: Tensor | None = None
    for x, weight, index in zip(chunks, torch.split(attention, sizes), torch.split(place, sizes), strict=True):
        if weight.shape[-2:] not in ((1, 1), x.shape[-2:]):
            weight = weight.contiguous(memory_format=torch.channels_last)
            weight = functional.interpolate(weight, size=x.shape[-2:], mode="bilinear", align_corners=False)
        share = torch.unflatten(x, 1, (weight.shape[1], -1)).permute(0, 3, 4, 1, 2)  # (m, h, w, k, d / k)
        product = (share * weight.permute(0, 2, 3, 1)[..., None]).flatten(-2)
        total = product.new_zeros(num_places, *product.shape[1:]) if total is None else total
        total = add_to_segments(total, product, index)
    assert total is not None  # even no frames are one chunk
    return total.permute(0, 3, 1, 2)
