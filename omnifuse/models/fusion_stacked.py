"""Early and gated fusion: the maps of all sensors side by side as channels, zeros where one is missing."""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnifuse.errors import ConfigError
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusion import CellFusion, PyramidConfig
from omnifuse.nn.segments import segment_sum


def side_by_side(
    maps: dict[str, Float[Tensor, "_p d h w"]], place: dict[str, Int[Tensor, " _p"]], num_places: int
) -> Float[Tensor, "b sensors d1 h w"]:
    """Return the maps of all sensors for every place, each followed by a channel of ones; a missing sensor is all zeros."""
    rows = [torch.cat([x, x.new_ones(len(x), 1, *x.shape[2:])], 1) for x in maps.values()]
    return torch.stack([segment_sum(x, where, num_places) for x, where in zip(rows, place.values(), strict=True)], 1)


class Stacking(nn.Module):
    """Mixes the stacked channels of all sensors cell by cell; a channel per sensor says whether it is there."""

    def __init__(self, num_sensors: int, dim: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(num_sensors * (dim + 1), dim, 1), nn.GELU(), nn.Conv2d(dim, dim, 1))

    def forward(
        self, maps: dict[str, Float[Tensor, "_p d h w"]], place: dict[str, Int[Tensor, " _p"]], num_places: int
    ) -> Float[Tensor, "b d h w"]:
        return self.mix(side_by_side(maps, place, num_places).flatten(1, 2))


@dataclass(frozen=True, kw_only=True)
class EarlyConfig(PyramidConfig):
    """The maps of all sensors stacked as channels on the common grid of each scale, then mixed.

    Each sensor still has its encoder. Stacking the pixels themselves is `omnifuse.data.stacked`, before any encoder.
    """

    kind: Literal["early"] = "early"

    def build(self, encoders: dict[str, Encoder]) -> CellFusion:
        return CellFusion(encoders, self, lambda names, dim: Stacking(len(names), dim))


class Gating(nn.Module):
    """Gated multimodal units (arXiv:1702.01992): what all sensors show in a cell decides how far each of them is let through.

    The published unit has a gate per channel; here a gate serves a group of channels, one group per head.
    """

    def __init__(self, num_sensors: int, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"fusion: every width in `dims`, here {dim}, must be a multiple of heads ({heads}). Try: heads=4.")
        self.heads = heads
        self.gate = nn.Conv2d(num_sensors * (dim + 1), num_sensors * heads, 1)

    def forward(
        self, maps: dict[str, Float[Tensor, "_p d h w"]], place: dict[str, Int[Tensor, " _p"]], num_places: int
    ) -> Float[Tensor, "b d h w"]:
        stacked = side_by_side(maps, place, num_places)
        gate = rearrange(self.gate(stacked.flatten(1, 2)).sigmoid(), "b (m heads) h w -> b m heads 1 h w", heads=self.heads)
        shown = rearrange(stacked[:, :, :-1].tanh(), "b m (heads d) h w -> b m heads d h w", heads=self.heads)  # tanh(0) is 0
        return rearrange((gate * shown).sum(1), "b heads d h w -> b (heads d) h w")


@dataclass(frozen=True, kw_only=True)
class GatedConfig(PyramidConfig):
    """A gate per sensor and group of channels in every cell, from what all sensors show there."""

    kind: Literal["gated"] = "gated"

    def build(self, encoders: dict[str, Encoder]) -> CellFusion:
        return CellFusion(encoders, self, lambda names, dim: Gating(len(names), dim, self.heads))
