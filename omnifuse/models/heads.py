"""Heads: features become predictions, on a grid of pixels or one for a place."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
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
    """Decoder from coarse to fine, to one prediction per pixel.

    Attributes:
        dims: Channels after each step to a finer fused map; one fewer than the fused maps.
        gsd: Metres per pixel of the labels.
        dropout: Probability of dropping a channel before the classifier.
    """

    kind: Literal["segmentation"] = "segmentation"
    dims: tuple[int, ...] = (128, 64, 64)
    gsd: float = 10.0
    dropout: float = 0.1

    def build(self, fused: tuple[int, ...], outputs: int) -> "SegmentationHead":
        return SegmentationHead(fused, outputs, self.dims, self.gsd, self.dropout)


class SegmentationHead(nn.Module):
    """Walks the fused maps from coarse to fine and ends in plain logits on the labels' own grid.

    (The published U-TAE ends in BatchNorm and ReLU, which ties many logits at exactly zero; `from_reference` keeps that.)
    """

    def __init__(self, fused: tuple[int, ...], outputs: int, dims: tuple[int, ...], gsd: float, dropout: float) -> None:
        super().__init__()
        if len(dims) != len(fused) - 1:
            raise ConfigError(f"head: `dims` {dims} must have one value fewer than the {len(fused)} fused maps.")
        self.gsd = gsd
        widths = (fused[0], *dims)
        self.steps = nn.ModuleList(Refine(widths[i], fused[i + 1], widths[i + 1]) for i in range(len(dims)))
        self.classify = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(widths[-1], outputs, 1))

    def forward(self, features: Features, size: float) -> Float[Tensor, "b k h w"]:
        """Return logits over a place of `size` metres at the labels' ground sampling distance."""
        x = features.maps[0]
        for step, skip in zip(self.steps, features.maps[1:], strict=True):
            x = step(x, skip)
        return resize(self.classify(x), cells(size, self.gsd))


@dataclass(frozen=True, kw_only=True)
class PlaceConfig(Config):
    """One prediction per place, from all its cells at all scales.

    Attributes:
        dim: Channels of the hidden layer.
        dropout: Probability of dropping a hidden channel.
    """

    kind: Literal["place"] = "place"
    dim: int = 128
    dropout: float = 0.1

    def build(self, fused: tuple[int, ...], outputs: int) -> "PlaceHead":
        return PlaceHead(fused, outputs, self.dim, self.dropout)


class PlaceHead(nn.Module):
    """Pools each fused map by its mean and by a learned attention over cells, then one hidden layer.

    The mean tells shares, the attention finds what fills few cells; both are free of the size of the place.
    """

    def __init__(self, fused: tuple[int, ...], outputs: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(PixelNorm(width) for width in fused)
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in fused)
        self.classify = nn.Sequential(
            nn.Linear(2 * sum(fused), dim), nn.LayerNorm(dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, outputs)
        )

    def forward(self, features: Features, size: float) -> Float[Tensor, "b k"]:
        """Return one row per row of the maps; `size` does not matter."""
        pooled = []
        for x, norm, score in zip(features.maps, self.norms, self.scores, strict=True):
            x = norm(x)
            weight = score(x).flatten(2).softmax(-1)  # (b, 1, cells)
            pooled += [x.mean((2, 3)), (x.flatten(2) * weight).sum(-1)]
        return self.classify(torch.cat(pooled, 1))


HeadConfig = Annotated[SegmentationConfig | PlaceConfig, Field(discriminator="kind")]
