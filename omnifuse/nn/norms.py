"""Norms without batch statistics: what a place gives does not depend on its neighbors in the batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from omnifuse.nn.segments import segment_mean


class PixelNorm(nn.Module):
    """Layer norm over the channels of each pixel (arXiv:1607.06450): a tile gives what the scene gives that it was cut from.

    Runs without a copy on channels-last tensors.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d h w"]:
        return functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class SegmentGroupNorm(nn.Module):
    """Group norm whose statistics run over the channels of a group and all entries of a place, at each position apart.

    The input norm of the L-TAE (arXiv:2007.00586), over real frames only: the published code lets padded frames count.
    """

    def __init__(self, groups: int, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.groups = groups
        self.eps = eps

    def forward(self, x: Float[Tensor, "n *s d"], place: Int[Tensor, " n"], num_places: int) -> Float[Tensor, "n *s d"]:
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # sums over a place would drown in bfloat16
        x = torch.unflatten(x, -1, (self.groups, -1))  # (n, *s, g, d / g)
        mean = segment_mean(x.mean(-1), place, num_places)
        x = x - mean.index_select(0, place)[..., None]
        variance = segment_mean(x.square().mean(-1), place, num_places)
        x = x * (variance + self.eps).rsqrt().index_select(0, place)[..., None]
        return x.flatten(-2) * self.weight + self.bias
