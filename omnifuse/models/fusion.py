"""Fusion: the features of every sensor become one pyramid of ground-cell maps. The choice of fusion is the choice of this module."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Features
from omnifuse.models.encoder import Encoder
from omnifuse.nn.norms import PixelNorm
from omnifuse.nn.segments import segment_softmax, segment_sum


def resize(x: Float[Tensor, "b d _h _w"], side: int) -> Float[Tensor, "b d {side} {side}"]:
    """Bring maps of the same ground to `side`×`side` cells: mean where cells grow, bilinear where they shrink."""
    if x.shape[-1] == side:
        return x
    if x.shape[-1] > side:
        return functional.interpolate(x, size=(side, side), mode="area")
    return functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def cells(size: float, gsd: float) -> int:
    """Return the cells of about `gsd` metres along one side of a place of `size` metres, at least one."""
    return max(1, round(size / gsd))


def scales_of(encoder: Encoder, gsds: tuple[float, ...]) -> list[int | None]:
    """Choose for each scale the encoder's map with the nearest ground sampling distance.

    A sensor whose maps are all more than 1.5 times coarser than a scale has nothing to add there, except at the coarsest
    scale, where every sensor takes part.
    """
    chosen: list[int | None] = []
    for level, gsd in enumerate(gsds):
        nearest = min(range(len(encoder.gsds)), key=lambda i: abs(math.log(encoder.gsds[i] / gsd)))
        chosen.append(nearest if level == 0 or encoder.gsds[nearest] <= 1.5 * gsd else None)
    return chosen


class CellAttention(nn.Module):
    """Self-attention over the ground cells of a place, with positions in metres (rotary, arXiv:2104.09864).

    Only differences of position enter, so a place may have any size. Wavelengths run from 160 m to 10 km.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % (4 * heads):
            raise ConfigError(f"fusion: the coarse width ({dim}) must be a multiple of 4 × heads ({heads}).")
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def rotate(self, x: Float[Tensor, "b heads cells d"], metres: Float[Tensor, "cells 2"]) -> Float[Tensor, "b heads cells d"]:
        pairs = x.shape[-1] // 4  # rotated pairs per axis
        wavelength = torch.logspace(math.log10(160), 4, pairs, device=x.device, dtype=metres.dtype)
        angle = (metres[:, :, None] * (2 * math.pi / wavelength)).flatten(1)  # (cells, 2 * pairs)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)

    def forward(self, x: Float[Tensor, "b d h w"], gsd: float) -> Float[Tensor, "b d h w"]:
        height, width = x.shape[-2:]
        where = torch.cartesian_prod(*(torch.arange(side, device=x.device, dtype=x.dtype) * gsd for side in (height, width)))
        tokens = rearrange(x, "b d h w -> b (h w) d")
        q, k, v = rearrange(self.qkv(self.norm(tokens)), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads)
        mixed = functional.scaled_dot_product_attention(self.rotate(q, where), self.rotate(k, where), v)
        tokens = tokens + self.out(rearrange(mixed, "b heads n d -> b n (heads d)"))
        tokens = tokens + self.mlp(tokens)
        return rearrange(tokens, "b (h w) d -> b d h w", h=height)


class SensorAttention(nn.Module):
    """One learned query per head attends, in every cell, over the sensors that are present there."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = PixelNorm(dim)
        self.score = nn.Conv2d(dim, heads, 1)  # the product of a key projection with the heads' queries
        self.value = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Float[Tensor, "n d h w"], place: Tensor, num_places: int) -> Float[Tensor, "b d h w"]:
        normed = self.norm(x)
        weight = segment_softmax(self.score(normed), place, num_places)
        value = rearrange(self.value(normed), "n (heads d) h w -> n heads d h w", heads=self.heads)
        mixed = rearrange(value * weight[:, :, None], "n heads d h w -> n (heads d) h w")
        return segment_sum(mixed, place, num_places)


@dataclass(frozen=True, kw_only=True)
class CrossAttentionConfig(Config):
    """Cross-attention over sensors in a cell, self-attention over cells.

    Attributes:
        gsds: Metres per cell of the fused maps, coarse to fine.
        dims: Channels of the fused maps, coarse to fine.
        heads: Attention heads.
        depth: Self-attention blocks over the cells of the coarsest map.
    """

    kind: Literal["cross_attention"] = "cross_attention"
    gsds: tuple[float, ...] = (80.0, 40.0, 20.0, 10.0)
    dims: tuple[int, ...] = (256, 64, 64, 64)
    heads: int = 4
    depth: int = 2

    def build(self, encoders: dict[str, Encoder]) -> "CrossAttention":
        return CrossAttention(encoders, self.gsds, self.dims, self.heads, self.depth)


class CrossAttention(nn.Module):
    """`{name: Features} -> Features`: fuses whatever sensors each place has.

    The sensors of a place are a segment of one flat list, like the frames of a series: a missing sensor is not in the
    list, and there is nothing to mask.
    """

    def __init__(self, encoders: dict[str, Encoder], gsds: tuple[float, ...], dims: tuple[int, ...], heads: int, depth: int) -> None:
        super().__init__()
        if len(gsds) != len(dims) or list(gsds) != sorted(gsds, reverse=True):
            raise ConfigError(f"fusion: `gsds` {gsds} must fall from coarse to fine and have as many values as `dims` {dims}.")
        if any(dim % heads for dim in dims):
            raise ConfigError(f"fusion: every width in `dims` {dims} must be a multiple of heads ({heads}).")
        self.gsds, self.dims = gsds, dims
        self.chosen = [  # per scale, which of its maps each sensor contributes, for those that have one
            {name: chosen for name, encoder in encoders.items() if (chosen := scales_of(encoder, gsds)[level]) is not None}
            for level in range(len(gsds))
        ]
        self.project = nn.ModuleList(
            nn.ModuleDict({name: nn.Sequential(PixelNorm(width), nn.Conv2d(width, dim, 1)) for name, width in widths.items()})
            for widths, dim in zip(({k: encoders[k].dims[i] for k, i in level.items()} for level in self.chosen), dims, strict=True)
        )
        self.sensors = nn.ModuleList(SensorAttention(dim, heads) for dim in dims)
        self.mlp = nn.Sequential(PixelNorm(dims[0]), nn.Conv2d(dims[0], 2 * dims[0], 1), nn.GELU(), nn.Conv2d(2 * dims[0], dims[0], 1))
        self.cells = nn.ModuleList(CellAttention(dims[0], heads) for _ in range(depth))

    def forward(self, features: dict[str, Features], size: float) -> Features:
        """Fuse the features of a batch of places of `size` metres; a place with no sensor at all gets zeros."""
        num_places = next(iter(features.values())).num_places
        maps = []
        for gsd, chosen, project, attend in zip(self.gsds, self.chosen, self.project, self.sensors, strict=True):
            assert isinstance(project, nn.ModuleDict)
            side = cells(size, gsd)
            tokens = torch.cat([resize(project[name](features[name].maps[index]), side) for name, index in chosen.items()])
            place = torch.cat([features[name].place for name in chosen])
            maps.append(attend(tokens, place, num_places))
        coarse = maps[0] + self.mlp(maps[0])
        for block in self.cells:
            coarse = block(coarse, size / coarse.shape[-1])
        return Features((coarse, *maps[1:]), torch.arange(num_places, device=coarse.device), num_places)
