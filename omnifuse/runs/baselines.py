"""The models that the papers compare with, and covariates, from the same parts as ours: small for the landscape, or of published sizes.

An architecture is what a `FinetuneConfig` needs beside data: `FinetuneConfig(data=..., **parts(utae_s2()), train=...)`.
"""

from dataclasses import dataclass, replace
from typing import Any

from omnifuse.errors import ConfigError
from omnifuse.models.fusion_stacked import EarlyConfig
from omnifuse.models.fusion_weighted import LateConfig
from omnifuse.models.fusions import FusionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncoderConfig
from omnifuse.models.timm_encoder import TimmConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig


@dataclass(frozen=True)
class Architecture:
    """Encoders by sensor, how they are brought together, and the head."""

    encoders: dict[str, EncoderConfig]
    fusion: FusionConfig
    head: SegmentationConfig


def parts(architecture: Architecture) -> dict[str, Any]:
    """Return the arguments of a `FinetuneConfig` that an architecture stands for."""
    return {"encoders": architecture.encoders, "fusion": architecture.fusion, "head": architecture.head}


@dataclass(frozen=True)
class Size:
    """Widths of the baselines.

    Attributes:
        series: The U-TAE; its decoder has the widths `decoder`, coarse to fine.
        decoder: Channels after each step to a finer map.
        network: Name of the convolutional network for high-resolution images.
        skips: Channels of its maps as the U-Net's decoder gets them, coarse to fine.
        unet: Channels after each step of that decoder to a finer map.
        image: The transformer for high-resolution images; its decoder has the widths `decoder`, too.
    """

    series: UTAEConfig
    decoder: tuple[int, ...]
    network: str
    skips: tuple[int, ...]
    unet: tuple[int, ...]
    image: ViTConfig


SMALL = Size(
    series=UTAEConfig(widths=(16, 32, 64), heads=8, dim=128),
    decoder=(48, 32),
    network="test_resnet",  # the smallest residual network of timm, 0.4 M parameters
    skips=(96, 48, 32, 32, 32),
    unet=(48, 32, 32, 32),
    image=ViTConfig(patch=16, dim=96, depth=3, heads=3, stem_widths=(16, 32)),
)
# U-TAE of arXiv:2107.07933 with group norms as published; U-Net with a ResNet-34, the baseline of FLAIR (arXiv:2211.12979); ViT-S.
PUBLISHED = Size(
    series=UTAEConfig(norm="group"),
    decoder=(64, 32, 32),
    network="resnet34",
    skips=(512, 256, 128, 64, 64),
    unet=(256, 128, 64, 32),
    image=ViTConfig(),
)


def utae_s2(size: Size = SMALL, sensor: str = "s2", gsd: float = 10.0) -> Architecture:
    """Return U-TAE on one series of `gsd` metres per pixel: its maps, and a decoder over them."""
    gsds, dims = _scales(size.series, gsd)
    return Architecture({sensor: size.series}, EarlyConfig(gsds=gsds, dims=dims, depth=0), SegmentationConfig(dims=size.decoder, gsd=gsd))


def utae_early(size: Size = SMALL, sensor: str = "s2_s1", gsd: float = 10.0) -> Architecture:
    """Return early fusion of PASTIS-R (arXiv:2112.07558): one U-TAE on Sentinel-2 with Sentinel-1 as further bands.

    The data have to be stacked: `StackedData(data=...)` of `omnifuse.runs.sources`.
    """
    return utae_s2(size, sensor, gsd)


def utae_late(size: Size = SMALL, sensors: tuple[str, ...] = ("s2", "s1_asc"), gsd: float = 10.0) -> Architecture:
    """Return late fusion: a U-TAE per series, whose logits are averaged. The decoder is shared."""
    gsds, dims = _scales(size.series, gsd)
    fusion = LateConfig(gsds=gsds, dims=dims, depth=0)
    return Architecture(dict.fromkeys(sensors, size.series), fusion, SegmentationConfig(dims=size.decoder, gsd=gsd))


def unet_highres(size: Size = SMALL, sensor: str = "spot", gsd: float = 1.25, labels: float = 10.0) -> Architecture:
    """Return a U-Net on one high-resolution image of `gsd` metres per pixel, for labels of `labels` metres per pixel.

    Its finest map is the first that is not coarser than the labels, or the network's finest of two pixels.
    """
    gsds = [gsd * 32]
    while gsds[-1] > labels and len(gsds) < len(size.skips):
        gsds.append(gsds[-1] / 2)
    fusion = EarlyConfig(gsds=tuple(gsds), dims=size.skips[: len(gsds)], depth=0)
    head = SegmentationConfig(dims=size.unet[: len(gsds) - 1], gsd=labels)
    return Architecture({sensor: TimmConfig(name=size.network)}, fusion, head)


def vit_highres(size: Size = SMALL, sensor: str = "spot", gsd: float = 1.25, labels: float = 10.0) -> Architecture:
    """Return a transformer on one high-resolution image, with the finer maps of its stem down to the labels."""
    image = size.image
    coarse, dim = gsd * image.patch, image.dim or 384  # what the default name says
    gsds = [coarse]
    while gsds[-1] > labels and len(gsds) <= len(image.stem_widths):
        gsds.append(gsds[-1] / 2)
    stem = image.stem_widths[len(image.stem_widths) + 1 - len(gsds) :]  # what is finer than the labels is not computed
    fusion = EarlyConfig(gsds=tuple(gsds), dims=(dim, *reversed(stem)), depth=0)
    head = SegmentationConfig(dims=size.decoder[-len(stem) :] if stem else (), gsd=labels)
    return Architecture({sensor: replace(image, stem_widths=stem)}, fusion, head)


def with_covariates(architecture: Architecture, names: tuple[str, ...] = ("dem", "climate")) -> Architecture:
    """Return the architecture with a small encoder for each covariate: learned fusion of geography (arXiv:2507.13385).

    The other way is to stack covariates as bands of a sensor: `StackedData(data=..., stacks=covariates())`.
    """
    for name in names:
        if name not in COVARIATES:
            raise ConfigError(f"covariates: no encoder for {name!r}; known are {', '.join(COVARIATES)}. Try: one of these.")
    return replace(architecture, encoders=architecture.encoders | {name: COVARIATES[name] for name in names})


# Terrain needs its neighborhood (slope, aspect); climate is a series of single points; land cover is as coarse as the fusion.
_POINTS = UTAEConfig(widths=(32,), kernel=1, heads=8, dim=64)
COVARIATES: dict[str, EncoderConfig] = {
    "dem": UTAEConfig(widths=(16, 16, 32), heads=8, dim=64),
    "climate": _POINTS,
    "landcover": _POINTS,
}


def _scales(series: UTAEConfig, gsd: float) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the cells and channels of a U-TAE's maps, coarse to fine."""
    levels = reversed(range(len(series.widths)))
    return tuple(gsd * series.stride**level for level in levels), tuple(reversed(series.widths))
