"""Sums, means, softmax and weighted pooling over segments of a flat list: what a ragged batch needs instead of padding.

A segment is all entries with the same `place`. Entries may stand in any order (only `segment_pool` wants them sorted),
a segment may be empty, and there may be no entry at all: results are then zero and gradients flow. Nothing here waits
for a GPU: the number of places is an integer, and counts are on the CPU.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


class _IndexAdd(torch.autograd.Function):
    """`total.index_add_(0, place, x)` without keeping `x` for the backward pass: torch keeps it, for its shape alone."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, x: Tensor, place: Tensor) -> Tensor:
        ctx.mark_dirty(total)
        ctx.save_for_backward(place)
        return total.index_add_(0, place, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        return grads[0], grads[0].index_select(0, ctx.saved_tensors[0]), None


def add_to_segments(total: Float[Tensor, "b ..."], x: Float[Tensor, "n ..."], place: Int[Tensor, " n"]) -> Float[Tensor, "b ..."]:
    """Add the entries of each place to its row of `total`, in place."""
    return _IndexAdd.apply(total, x, place)


def segment_sum(x: Float[Tensor, "n ..."], place: Int[Tensor, " n"], num_places: int) -> Float[Tensor, "{num_places} ..."]:
    """Sum over the entries of each place; zero where there is none."""
    return add_to_segments(x.new_zeros(num_places, *x.shape[1:]), x, place)


def segment_mean(x: Float[Tensor, "n ..."], place: Int[Tensor, " n"], num_places: int) -> Float[Tensor, "{num_places} ..."]:
    """Mean over the entries of each place; zero where there is none."""
    size = segment_sum(x.new_ones(len(x)), place, num_places).clamp(min=1)
    return segment_sum(x, place, num_places) / size.view(-1, *[1] * (x.ndim - 1))


def segment_softmax(score: Float[Tensor, "n ..."], place: Int[Tensor, " n"], num_places: int) -> Float[Tensor, "n ..."]:
    """Softmax over the entries of each place, in float32 at least; entries of other places do not see each other."""
    score = score.to(torch.promote_types(score.dtype, torch.float32))
    # index_select, not indexing: its gradient is an index_add, several times faster than index_put on CPU
    index = place.long().view(-1, *[1] * (score.ndim - 1)).expand_as(score)
    top = score.new_zeros(num_places, *score.shape[1:]).scatter_reduce(0, index, score.detach(), "amax", include_self=False)
    weight = (score - top.index_select(0, place)).exp()
    return weight / segment_sum(weight, place, num_places).index_select(0, place)


def segment_pool(weight: Float[Tensor, "n m k"], x: Float[Tensor, "n m d"], count: Int[Tensor, " b"]) -> Float[Tensor, "b m k d"]:
    """Weighted sums over the entries of each place, `k` weightings at once, without an (n, m, k, d) tensor.

    One batched matrix product per distinct count; entries are sorted by place, and `count` is on the CPU.
    """
    start = count.cumsum(0) - count
    groups = [(count == size).nonzero()[:, 0] for size in torch.unique(count)] or [start]  # no place at all: one empty group
    entries = [(start[rows, None] + torch.arange(int(count[rows[:1]].sum()))) for rows in groups]
    order, rows = torch.cat([index.flatten() for index in entries]), torch.cat(groups)
    if not torch.equal(rows, torch.arange(len(count))):  # all places of one count need no sorting
        weight, x = (tensor.index_select(0, order.to(x.device, non_blocking=True)) for tensor in (weight, x))
    sizes = [index.numel() for index in entries]
    pooled = [
        torch.unflatten(w, 0, index.shape).permute(0, 2, 3, 1) @ torch.unflatten(v, 0, index.shape).transpose(1, 2)
        for index, w, v in zip(entries, torch.split(weight, sizes), torch.split(x, sizes), strict=True)
    ]
    return torch.cat(pooled).index_select(0, rows.argsort().to(x.device, non_blocking=True))
