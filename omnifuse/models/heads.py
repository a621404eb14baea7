"""Heads: features become predictions."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Features
from omnifuse.models.fusion import cells, resize
from omnifuse.nn.norms import PixelNorm


class Refine(nn.Module):
    """Bring a coarse map to a finer skip and mix the two (3×3 convolutions, residual)."""

    def __init__(self, coarse: int, skip: int, dim: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(coarse + skip, dim, 3, padding=1), PixelNorm(dim), nn.GELU())
        self.refine = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), PixelNorm(dim), nn.GELU())

    def forward(self, coarse: Float[Tensor, "b _d _h _w"], skip: Float[Tensor, "b _s h w"]) -> Float[Tensor, "b _o h w"]:
        x = self.mix(torch.cat([resize(coarse, skip.shape[-1]), skip], 1))
        return x + self.refine(x)


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(Config):
    """Decoder from coarse to fine.

    Attributes:
        dims: Channels after each step to a finer fused map; one fewer than the fused maps.
        gsd: Metres per pixel of the labels.
        dropout: Probability of dropping a channel before the classifier.
    """

    kind: Literal["segmentation"] = "segmentation"
    dims: tuple[int, ...] = (128, 64, 64)
    gsd: float = 10.0
    dropout: float = 0.1

    def build(self, fused: tuple[int, ...], num_classes: int) -> "SegmentationHead":
        return SegmentationHead(fused, num_classes, self.dims, self.gsd, self.dropout)


class SegmentationHead(nn.Module):
    """Walks the fused maps from coarse to fine and ends in plain logits on the labels' own grid.

    (The published U-TAE ends in BatchNorm and ReLU, which ties many logits at exactly zero; `from_reference` keeps that.)
    """

    def __init__(self, fused: tuple[int, ...], num_classes: int, dims: tuple[int, ...], gsd: float, dropout: float) -> None:
        super().__init__()
        if len(dims) != len(fused) - 1:
            raise ConfigError(f"head: `dims` {dims} must have one value fewer than the {len(fused)} fused maps.")
        self.gsd = gsd
        widths = (fused[0], *dims)
        self.steps = nn.ModuleList(Refine(widths[i], fused[i + 1], widths[i + 1]) for i in range(len(dims)))
        self.classify = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(widths[-1], num_classes, 1))

    def forward(self, features: Features, size: float) -> Float[Tensor, "b k h w"]:
        """Return logits over a place of `size` metres at the labels' ground sampling distance."""
        x = features.maps[0]
        for step, skip in zip(self.steps, features.maps[1:], strict=True):
            x = step(x, skip)
        return resize(self.classify(x), cells(size, self.gsd))
