"""U-TAE encoder (arXiv:2107.07933): convolutions on every frame, attention over time at the coarsest scale, skips collapsed by it.

Frames are packed: only real ones are computed, each once, and nothing depends on the other places of a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from omnifuse.config import Config
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Features, Frames
from omnifuse.modalities import Modality
from omnifuse.models.encoder import Normalize, crop_context
from omnifuse.models.ltae import LTAE, Aggregation, collapse_skips
from omnifuse.nn.norms import PixelNorm

NormLayer = Callable[[int], nn.Module]
Padding = Literal["reflect", "zeros"]
CACHE = 8 * 2**20  # bytes of one map: two frames of 64 × 128 × 128; larger chunks take up to 1.6 times as long
NORMS: dict[str, NormLayer] = {"pixel": PixelNorm, "group": partial(nn.GroupNorm, 4)}


@dataclass(frozen=True, kw_only=True)
class UTAEConfig(Config):
    """The published architecture, but for norms: those do not look across pixels, and there is no batch norm.

    Attributes:
        widths: Channels of each stage, full resolution to coarse. A single stage has no down-sampling: an L-TAE per pixel.
        stride: Down-sampling of every stage after the first.
        kernel: Side of the convolutions in pixels; 1 for points.
        heads: Attention heads; divides `dim`, and every width where `aggregation` is `group`.
        dim: Channels of an attention token.
        key_dim: Channels of a query.
        norm: `pixel` (over channels) or `group` (published: 4 groups, statistics over the whole image).
        padding: At the border of the image; `zeros` costs less, but shows an encoder where the border is.
        aggregation: How skips collapse over time, see `collapse_skips`.
        attention_dropout: In training, share of attention weights dropped.
        dropout: In training, share of coarse channels dropped.
        period: Longest wavelength of the date encoding over 2π, in days.
        origin: The day since 1970-01-01 that is encoded as 0 (default: 2018-09-01, as PASTIS).
        season: Days after the origin over which the heads' first looks are spread; equal values keep the published start, which is
            nearly uniform over dates and learns more slowly (`benchmarks/season.py`).
        frame_chunk: Frames convolved at a time; 0: as many as fit the cache on CPU, all on GPU.
        checkpoint: Keep only the outputs of each chunk for the backward pass and compute the rest again, to the same bits.
        compile: Compile the convolutions of each stage (`torch.compile`): the same to rounding. For GPUs.
    """

    kind: Literal["utae"] = "utae"
    widths: tuple[int, ...] = (64, 64, 64, 128)
    stride: int = 2
    kernel: Literal[1, 3] = 3
    heads: int = 16
    dim: int = 256
    key_dim: int = 4
    norm: Literal["pixel", "group"] = "pixel"
    padding: Padding = "reflect"
    aggregation: Aggregation = "group"
    attention_dropout: float = 0.1
    dropout: float = 0.2
    period: float = 1000.0
    origin: int = 17775
    season: tuple[int, int] = (30, 420)
    frame_chunk: int = 0
    checkpoint: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.stride, self.heads, self.dim, self.key_dim) < 1 or self.frame_chunk < 0:
            raise ConfigError(f"utae: every size must be positive, found {self}. Try: the defaults.")
        split = {"dim": (self.dim,), "widths": self.widths if self.aggregation == "group" else self.widths[-1:]}
        for field, values in split.items():
            if any(value % self.heads for value in values):
                raise ConfigError(
                    f"utae: every head takes an equal share of `{field}` {values}, impossible with {self.heads} heads. Try: heads=8."
                )
        if self.norm == "group" and any(width % 4 for width in self.widths):
            raise ConfigError(f"utae: widths {self.widths} must be multiples of 4 for norm='group'. Try: norm='pixel'.")

    def build(self, modality: Modality) -> "UTAE":
        return UTAE(modality, self)


class ConvLayer(nn.Module):
    """Convolution, norm and ReLU, once per step of `widths`."""

    def __init__(self, widths: Sequence[int], *, stride: int = 1, kernel: int, norm: NormLayer, padding: Padding) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for dim_in, dim in pairwise(widths):
            size = kernel + stride - 1  # 3, or 4 at stride 2: the output is the input divided by the stride
            layers += [
                nn.Conv2d(dim_in, dim, size, stride, (kernel - 1) // 2, padding_mode=padding),
                norm(dim),
                nn.ReLU(),
            ]
            nn.init.kaiming_normal_(layers[-3].weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layers[-3].bias)  # type: ignore[arg-type]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        return self.conv(x)


class ConvBlock(nn.Module):
    """The first stage: two layers at full resolution."""

    def __init__(self, widths: Sequence[int], *, kernel: int, norm: NormLayer, padding: Padding) -> None:
        super().__init__()
        self.width = widths[-1]
        self.conv = ConvLayer(widths, kernel=kernel, norm=norm, padding=padding)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return self.conv(x)


class DownBlock(nn.Module):
    """Strided convolution, then two layers of which the second is residual."""

    def __init__(self, dim_in: int, dim: int, *, stride: int, kernel: int, norm: NormLayer, padding: Padding) -> None:
        super().__init__()
        self.down = ConvLayer((dim_in, dim_in), stride=stride, kernel=kernel, norm=norm, padding=padding)
        self.conv1 = ConvLayer((dim_in, dim), kernel=kernel, norm=norm, padding=padding)
        self.conv2 = ConvLayer((dim, dim), kernel=kernel, norm=norm, padding=padding)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        x = self.conv1(self.down(x))
        return x + self.conv2(x)


class UTAE(nn.Module):
    """Encodes a series of images per place into one map per scale, coarse to fine."""

    def __init__(self, modality: Modality, config: UTAEConfig) -> None:
        super().__init__()
        widths, scale = config.widths, config.stride
        self.modality, self.config = modality, config
        self.dims = tuple(reversed(widths))
        self.gsds = tuple(modality.gsd * scale**level for level in reversed(range(len(widths))))
        conv: dict[str, Any] = {"kernel": config.kernel, "norm": NORMS[config.norm], "padding": config.padding}
        self.normalize = Normalize(modality)
        self.in_conv = ConvBlock((len(modality.bands), widths[0], widths[0]), **conv)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, stride=config.stride, **conv) for a, b in pairwise(widths))
        self.temporal_encoder = LTAE(
            widths[-1],
            dim=config.dim,
            heads=config.heads,
            key_dim=config.key_dim,
            mlp_norm=nn.LayerNorm(widths[-1]),
            period=config.period,
            origin=config.origin,
            attention_dropout=config.attention_dropout,
            dropout=config.dropout,
        )
        if config.season[0] < config.season[1]:
            self.temporal_encoder.spread(*config.season)
        if config.compile:
            for stage in (self.in_conv, *self.down_blocks):  # regions: the ragged rest would be compiled anew for every batch
                stage.compile(dynamic=True)

    def forward(self, frames: Frames) -> Features:
        check_images(self.modality, frames.pixels.shape, self.config)
        present = frames.present.nonzero()[:, 0]  # on the CPU, like `count`: nothing waits for a GPU
        count = frames.count[present]
        place = torch.repeat_interleave(count).to(frames.pixels.device, non_blocking=True)
        chunks = [self.convolve(pixels) for pixels in split_frames(frames.pixels, self.config.widths[0], self.config.frame_chunk)]
        *skips, coarse = zip(*chunks, strict=True)  # fine to coarse, each a tuple of chunks
        temporal, attention = self.temporal_encoder(torch.cat(coarse), frames.day, place, count)
        maps = [temporal]
        maps += [collapse_skips(chunk, attention, place, len(count), self.config.aggregation) for chunk in reversed(skips)]
        share = 1 - 2 * self.modality.context / (frames.pixels.shape[-1] * self.modality.gsd)
        return Features(tuple(crop_context(x, share) for x in maps), present.to(place.device, non_blocking=True), frames.num_places)

    def convolve(self, pixels: Num[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n _d _h _w"], ...]:
        """Return one map per frame and stage, full resolution to coarse."""
        stages = [self.normalize, self.in_conv, *self.down_blocks]
        if self.config.checkpoint:
            return checkpoint(convolve, stages, pixels, use_reentrant=False, preserve_rng_state=False)[1:]
        return convolve(stages, pixels)[1:]


def convolve(stages: Sequence[nn.Module], pixels: Num[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n _d _h _w"], ...]:
    """Return the output of every stage."""
    x = pixels.contiguous(memory_format=torch.channels_last)  # faster on CPU than one plane per channel
    maps = [x := stage(x) for stage in stages]
    return tuple(maps)


def split_frames(pixels: Num[Tensor, "n c h w"], width: int, size: int = 0) -> tuple[Num[Tensor, "_m c h w"], ...]:
    """Cut frames into chunks of `size`; 0: as many as fit the cache when convolved to `width` channels on CPU, all on GPU."""
    if not size and pixels.device.type == "cpu":
        size = round(CACHE / (4 * width * pixels.shape[-2] * pixels.shape[-1]))
    return torch.split(pixels, max(1, size or len(pixels)))


def check_images(modality: Modality, shape: Sequence[int], config: UTAEConfig) -> None:
    """Raise `InputError` for images of other bands, or of a size that the stages, the padding or the context cannot have."""
    where = f"modality {modality.name!r}: images of {shape[-2]}×{shape[-1]} pixels"
    if shape[1] != len(modality.bands):
        raise InputError(f"{where} have {shape[1]} bands. Try: {len(modality.bands)}, in the order {', '.join(modality.bands)}.")
    if min(shape[-2:]) * modality.gsd <= 2 * modality.context:
        raise InputError(f"{where} hold nothing but the context of {modality.context:g} m on each side. Try: larger images.")
    stages = len(config.widths)
    total = config.stride ** (stages - 1)
    if any(side % total for side in shape[-2:]):
        raise InputError(
            f"{where} are not divisible by {total}, the stride of {stages} stages together. "
            f"Try: images of a multiple of {total} pixels, or fewer `widths`."
        )
    if config.kernel == 3 and config.padding == "reflect" and min(shape[-2:]) < 2 * total:
        raise InputError(
            f"{where} shrink to a single pixel after {stages} stages, and padding='reflect' needs two. "
            f"Try: images of at least {2 * total} pixels, fewer `widths`, padding='zeros', or kernel=1 for points."
        )


def from_reference(state_dict: Mapping[str, Any], *, aggregation: Aggregation = "group", padding: Padding = "reflect") -> nn.Module:
    """Rebuild a published U-TAE with its decoder from its weights; see `omnifuse.models.utae_reference`."""
    from omnifuse.models.utae_reference import ReferenceUTAE

    return ReferenceUTAE.from_state_dict(state_dict, aggregation=aggregation, padding=padding)
