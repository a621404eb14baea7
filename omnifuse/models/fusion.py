"""Fusion: the features of every sensor become one pyramid of ground-cell maps. The choice of fusion is the choice of this module."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from einops import rearrange
from jaxtyping import Float, Int
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


def nearest_map(encoder: Encoder, gsd: float) -> int:
    """Return which of the encoder's maps has the ground sampling distance nearest to `gsd`, in ratio."""
    return min(range(len(encoder.gsds)), key=lambda index: abs(math.log(encoder.gsds[index] / gsd)))


def scales_of(encoder: Encoder, gsds: tuple[float, ...]) -> list[int | None]:
    """Choose for each scale the encoder's map with the nearest ground sampling distance.

    A sensor whose maps are all more than 1.5 times coarser than a scale has nothing to add there, except at the coarsest
    scale, where every sensor takes part.
    """
    chosen: list[int | None] = []
    for level, gsd in enumerate(gsds):
        nearest = nearest_map(encoder, gsd)
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


class Combine(Protocol):
    """How one scale of several sensors becomes one map: what tells most fusions apart.

    It gets the maps of each sensor on the same cells and of the same width, with the places that their rows belong to.
    """

    def __call__(
        self, maps: dict[str, Float[Tensor, "_p d h w"]], place: dict[str, Int[Tensor, " _p"]], num_places: int
    ) -> Float[Tensor, "b d h w"]: ...


class Fusion(Protocol):
    """`{name: Features} -> Features` over places of `size` metres, for whatever sensors each place has.

    Attributes:
        gsds: Metres per cell of the fused maps, coarse to fine.
        dims: Channels of the fused maps, coarse to fine.
    """

    gsds: tuple[float, ...]
    dims: tuple[int, ...]

    def __call__(self, features: dict[str, Features], size: float) -> Features: ...


@dataclass(frozen=True, kw_only=True)
class PyramidConfig(Config):
    """What every fusion has: the fused maps, and self-attention over the cells of the coarsest of them.

    Attributes:
        gsds: Metres per cell of the fused maps, coarse to fine.
        dims: Channels of the fused maps, coarse to fine.
        heads: Attention heads.
        depth: Self-attention blocks over the cells of the coarsest map; 0 leaves cells to the decoder.
    """

    gsds: tuple[float, ...] = (80.0, 40.0, 20.0, 10.0)
    dims: tuple[int, ...] = (256, 64, 64, 64)
    heads: int = 4
    depth: int = 2

    def __post_init__(self) -> None:
        if not self.gsds or len(self.gsds) != len(self.dims) or list(self.gsds) != sorted(self.gsds, reverse=True):
            raise ConfigError(
                f"fusion: `gsds` {self.gsds} must fall from coarse to fine and have as many values as `dims` {self.dims}. "
                "Try: one width per ground sampling distance."
            )


class CellFusion(nn.Module):
    """Projects each sensor's map to the width of a scale, combines the sensors of each cell, then lets coarse cells look around.

    The sensors of a place are rows of flat lists, like the frames of a series: a missing sensor is not in the list, and there
    is nothing to mask. A place with no sensor at all gets zeros before the coarse blocks.
    """

    def __init__(self, encoders: dict[str, Encoder], config: PyramidConfig, combine: Callable[[list[str], int], nn.Module]) -> None:
        super().__init__()
        self.gsds, self.dims = config.gsds, config.dims
        self.chosen = [  # per scale, which of its maps each sensor contributes, for those that have one
            {name: chosen for name, encoder in encoders.items() if (chosen := scales_of(encoder, self.gsds)[level]) is not None}
            for level in range(len(self.gsds))
        ]
        self.project = project_maps(encoders, self.chosen, self.dims)
        self.sensors = nn.ModuleList(combine(list(chosen), dim) for chosen, dim in zip(self.chosen, self.dims, strict=True))
        self.mlp = coarse_mlp(self.dims[0])
        self.cells = nn.ModuleList(CellAttention(self.dims[0], config.heads) for _ in range(config.depth))

    def forward(self, features: dict[str, Features], size: float) -> Features:
        """Fuse the features of a batch of places of `size` metres."""
        num_places = next(iter(features.values())).num_places
        maps = []
        for gsd, chosen, project, combine in zip(self.gsds, self.chosen, self.project, self.sensors, strict=True):
            assert isinstance(project, nn.ModuleDict)
            side = cells(size, gsd)
            projected = {name: resize(project[name](features[name].maps[index]), side) for name, index in chosen.items()}
            maps.append(combine(projected, {name: features[name].place for name in chosen}, num_places))
        coarse = maps[0] + self.mlp(maps[0])
        for block in self.cells:
            coarse = block(coarse, size / coarse.shape[-1])
        return Features((coarse, *maps[1:]), torch.arange(num_places, device=coarse.device), num_places)


def project_maps(encoders: dict[str, Encoder], chosen: list[dict[str, int]], dims: tuple[int, ...]) -> nn.ModuleList:
    """Return, per scale and sensor, the module that brings its chosen map to the width of the scale."""
    if not all(chosen):
        finest = min(min(encoder.gsds) for encoder in encoders.values())
        raise ConfigError(f"fusion: no sensor has maps as fine as the last of `gsds`: the finest are of {finest:g} m. Try: fewer `gsds`.")
    return nn.ModuleList(
        nn.ModuleDict({name: nn.Sequential(PixelNorm(width), nn.Conv2d(width, dim, 1)) for name, width in widths.items()})
        for widths, dim in zip(({k: encoders[k].dims[i] for k, i in level.items()} for level in chosen), dims, strict=True)
    )


def coarse_mlp(dim: int) -> nn.Sequential:
    """Return the residual block of each coarse cell."""
    return nn.Sequential(PixelNorm(dim), nn.Conv2d(dim, 2 * dim, 1), nn.GELU(), nn.Conv2d(2 * dim, dim, 1))


class SensorAttention(nn.Module):
    """One learned query per head attends, in every cell, over the sensors that are present there."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"fusion: every width in `dims`, here {dim}, must be a multiple of heads ({heads}). Try: heads=4.")
        self.heads = heads
        self.norm = PixelNorm(dim)
        self.score = nn.Conv2d(dim, heads, 1)  # the product of a key projection with the heads' queries
        self.value = nn.Conv2d(dim, dim, 1)

    def forward(
        self, maps: dict[str, Float[Tensor, "_p d h w"]], place: dict[str, Int[Tensor, " _p"]], num_places: int
    ) -> Float[Tensor, "b d h w"]:
        normed, rows = self.norm(torch.cat(list(maps.values()))), torch.cat(list(place.values()))
        weight = segment_softmax(self.score(normed), rows, num_places)
        value = rearrange(self.value(normed), "n (heads d) h w -> n heads d h w", heads=self.heads)
        mixed = rearrange(value * weight[:, :, None], "n heads d h w -> n (heads d) h w")
        return segment_sum(mixed, rows, num_places)


@dataclass(frozen=True, kw_only=True)
class CrossAttentionConfig(PyramidConfig):
    """Cross-attention over the sensors in a cell, self-attention over cells."""

    kind: Literal["cross_attention"] = "cross_attention"

    def build(self, encoders: dict[str, Encoder]) -> CellFusion:
        return CellFusion(encoders, self, lambda names, dim: SensorAttention(dim, self.heads))
