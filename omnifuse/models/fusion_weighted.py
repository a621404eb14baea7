"""Attention-weighted and late fusion: sensors meet as a weighted mean of their maps, or only as a mean of their logits."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnifuse.frames import Features
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusion import CellAttention, CellFusion, PyramidConfig, cells, coarse_mlp, nearest_map, project_maps, resize
from omnifuse.nn.segments import segment_softmax, segment_sum


class Weighting(nn.Module):
    """A scalar weight per sensor in every cell, from its own map alone: a softmax over the sensors that are present there.

    Attention pooling of arXiv:1802.04712 over sensors: no query of the model's and no value projection.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.Tanh(), nn.Conv2d(dim, 1, 1, bias=False))  # a softmax ignores a bias

    def forward(
        self, maps: dict[str, Float[Tensor, "_p d h w"]], place: dict[str, Int[Tensor, " _p"]], num_places: int
    ) -> Float[Tensor, "b d h w"]:
        rows, where = torch.cat(list(maps.values())), torch.cat(list(place.values()))
        return segment_sum(rows * segment_softmax(self.score(rows), where, num_places), where, num_places)


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(PyramidConfig):
    """A weighted mean of the sensors in every cell, with weights that each sensor's map sets for itself."""

    kind: Literal["attention"] = "attention"

    def build(self, encoders: dict[str, Encoder]) -> CellFusion:
        return CellFusion(encoders, self, lambda names, dim: Weighting(dim))


@dataclass(frozen=True, kw_only=True)
class LateConfig(PyramidConfig):
    """Every sensor decoded on its own; the model averages the logits of the sensors that a place has.

    Sensors share the decoder and the coarse blocks and have projections of their own, so that parameters compare with the others'.
    """

    kind: Literal["late"] = "late"

    def build(self, encoders: dict[str, Encoder]) -> "Late":
        return Late(encoders, self)


class Late(nn.Module):
    """Returns one row per place and sensor: sensors do not meet here. At each scale a sensor gives its map of nearest cells."""

    def __init__(self, encoders: dict[str, Encoder], config: PyramidConfig) -> None:
        super().__init__()
        self.gsds, self.dims = config.gsds, config.dims
        self.chosen = [{name: nearest_map(encoder, gsd) for name, encoder in encoders.items()} for gsd in self.gsds]
        self.project = project_maps(encoders, self.chosen, self.dims)
        self.mlp = coarse_mlp(self.dims[0])
        self.cells = nn.ModuleList(CellAttention(self.dims[0], config.heads) for _ in range(config.depth))

    def forward(self, features: dict[str, Features], size: float) -> Features:
        """Return the maps of every sensor of places of `size` metres, sensor by sensor: `place` repeats."""
        maps = []
        for gsd, chosen, project in zip(self.gsds, self.chosen, self.project, strict=True):
            assert isinstance(project, nn.ModuleDict)
            side = cells(size, gsd)
            maps.append(torch.cat([resize(project[name](features[name].maps[index]), side) for name, index in chosen.items()]))
        coarse = maps[0] + self.mlp(maps[0])
        for block in self.cells:
            coarse = block(coarse, size / coarse.shape[-1])
        place = torch.cat([features[name].place for name in self.chosen[0]])
        return Features((coarse, *maps[1:]), place, next(iter(features.values())).num_places)
