"""A vision transformer for single high-resolution images, any of timm's, with a light convolutional stem for the finer maps."""

import logging
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from omnifuse.config import Config
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Features, Frames
from omnifuse.modalities import Modality
from omnifuse.models.encoder import Normalize, crop_context
from omnifuse.models.weights import load_strictly, read_tensors
from omnifuse.nn.norms import PixelNorm

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ViTConfig(Config):
    """A timm transformer by name over square patches of `patch` pixels, and a stem that brings the finer maps.

    The default name has rotary positions: tokens know their distance in cells, which is a distance on the ground, so one set
    of weights serves a place of any size. Names with a learned table of positions stretch it over the image instead.

    Attributes:
        name: Any `vit_*` of timm that takes images of any size.
        patch: Pixels along one side of a token's ground; even wherever there is a stem.
        dim: Token width; 0 is what the name says, and so for `depth` and `heads`.
        stem_widths: Channels of the finer maps, finest first. The coarsest of them has cells of half a patch, each finer one
            of half of that: with patches of 16 pixels (8, 16, 32) gives cells of 2, 4 and 8 pixels, four widths reach single
            pixels and none gives the tokens alone. Leave out what is finer than the labels: the finest map costs the most.
        tokens_from: `stem` lets the transformer read the stem's last map, which learns faster from few images. `image` keeps
            timm's own patch embedding, which pretrained weights need; the stem's last map is then added to the result.
        checkpoint: Keep only the input of each block for the backward pass and compute the rest again, to the same bits.
        weights: timm weights of your own for this name (`.safetensors`, or `.pth` of tensors alone); empty trains from scratch.
    """

    kind: Literal["vit"] = "vit"
    name: str = "vit_small_patch16_rope_224"
    patch: int = 16
    dim: int = 0
    depth: int = 0
    heads: int = 0
    stem_widths: tuple[int, ...] = (8, 16, 32)
    tokens_from: Literal["stem", "image"] = "stem"
    checkpoint: bool = False
    weights: str = ""

    def __post_init__(self) -> None:
        if self.patch < 1 or self.patch % 2 ** len(self.stem_widths):
            raise ConfigError(
                f"vit: a patch of {self.patch} pixels cannot be halved {len(self.stem_widths)} times for stem_widths {self.stem_widths}. "
                f"Try: a patch that is a multiple of {2 ** len(self.stem_widths)}, or fewer widths."
            )
        if self.weights and self.tokens_from == "stem" and self.stem_widths:
            raise ConfigError("vit: pretrained `weights` read pixels, not a stem. Try: tokens_from='image'.")

    def build(self, modality: Modality) -> "ViT":
        return ViT(modality, self)


class Stem(nn.Module):
    """Strided convolutions with a norm over the channels of each pixel: no statistics over pixels, frames or places."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], patch: int) -> None:
        super().__init__()
        strides = [patch // 2 ** len(widths)] + [2] * (len(widths) - 1)
        channels = [in_channels, *widths]
        # A kernel of stride + 2 with padding 1 overlaps its neighbours and keeps cells aligned with the ground for any stride.
        self.convs = nn.ModuleList(
            nn.Conv2d(channels[i], width, strides[i] + 2, strides[i], padding=1, bias=False) for i, width in enumerate(widths)
        )
        self.norms = nn.ModuleList(PixelNorm(width) for width in widths)

    def forward(self, x: Float[Tensor, "n c h w"]) -> list[Float[Tensor, "n _d _h _w"]]:
        """Return the maps, finest first."""
        maps = []
        x = x.contiguous(memory_format=torch.channels_last)  # the norms want channels last: 15 % of the time with single pixels
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.gelu(norm(conv(x)))
            maps.append(x)
        return maps


class ViT(nn.Module):
    """The `Encoder` of a single image: tokens, then the stem's maps from coarse to fine. Several images are averaged."""

    def __init__(self, modality: Modality, config: ViTConfig) -> None:
        super().__init__()
        self.modality = modality
        self.patch = config.patch
        self.normalize = Normalize(modality)
        widths, bands = config.stem_widths, len(modality.bands)
        self.stem = Stem(bands, widths, config.patch)
        self.from_stem = config.tokens_from == "stem" and len(widths) > 0
        self.vit = _timm_model(config, widths[-1], 2, img_size=32) if self.from_stem else _timm_model(config, bands, config.patch)
        self.vit.set_grad_checkpointing(config.checkpoint)
        dim = self.vit.embed_dim
        self.beside: nn.Conv2d | None = None
        if widths and not self.from_stem:
            self.beside = nn.Conv2d(widths[-1], dim, 2, 2, bias=False)
            nn.init.zeros_(self.beside.weight)  # starts as the timm model alone
        self.dims: tuple[int, ...] = (dim, *reversed(widths))
        self.gsds: tuple[float, ...] = tuple(modality.gsd * config.patch / 2**level for level in range(len(self.dims)))

    def forward(self, frames: Frames) -> Features:
        images = self.normalize(frames.pixels)
        height, width = images.shape[-2:]
        if len(images) == 0:  # timm's reshapes need an image: one of zeros, of which no row is kept, still gives zero gradients
            height, width = (max(1, -(-side // self.patch)) * self.patch for side in (height, width))
            images = images.new_zeros(1, images.shape[1], height, width)
        if height % self.patch or width % self.patch:
            raise InputError(
                f"{self.modality.name!r}: an image of {height}×{width} pixels is not a whole number of patches of {self.patch} pixels. "
                f"Try: crop it to {height // self.patch * self.patch}×{width // self.patch * self.patch}, or configure another patch."
            )
        fine = self.stem(images)
        tokens = self.vit.forward_features(fine[-1] if self.from_stem else images)
        coarse = rearrange(tokens[:, self.vit.num_prefix_tokens :], "n (h w) d -> n d h w", h=height // self.patch)
        if self.beside is not None:
            coarse = coarse + self.beside(fine[-1])
        side = height * self.modality.gsd
        share = (side - 2 * self.modality.context) / side
        maps = (crop_context(x[: len(frames.pixels)], share) for x in (coarse, *reversed(fine)))
        present = frames.present.nonzero()[:, 0].to(frames.pixels.device)
        return Features(tuple(mean_of_frames(x, frames.count) for x in maps), present, frames.num_places)


def mean_of_frames(x: Float[Tensor, "n d h w"], count: Int[Tensor, " b"]) -> Float[Tensor, "p d h w"]:
    """Average the maps of each place; one row for each place that has any."""
    count = count[count > 0]
    if bool((count == 1).all()):  # the usual case; the finest maps are large
        return x
    return torch.stack([part.mean(0) for part in torch.split(x, count.tolist())])


def import_timm() -> Any:
    """Return the timm package.

    Raises:
        ConfigError: where the torchvision that it needs does not fit torch.
    """
    try:
        import timm
    except RuntimeError as error:
        raise ConfigError(
            f"timm cannot be imported ({error}): torch and torchvision do not belong together. "
            "Try: install torch and torchvision in one command."
        ) from None
    return timm


def _timm_model(config: ViTConfig, in_channels: int, patch: int, **size: int) -> Any:
    """Return the timm transformer; `size` is the `img_size` that its table of positions is made for, if not the name's own."""
    timm = import_timm()
    known = timm.list_models("vit_*")
    if config.name not in known:
        near = get_close_matches(config.name, known, 1)
        raise ConfigError(f"vit: timm has no {config.name!r}. Try: {near[0] if near else 'a name of timm.list_models(`vit_*`)'!r}.")
    sizes = {"embed_dim": config.dim, "depth": config.depth, "num_heads": config.heads}
    chosen = {key: value for key, value in sizes.items() if value} | size
    try:
        model = timm.create_model(
            config.name, in_chans=in_channels, patch_size=patch, num_classes=0, global_pool="", dynamic_img_size=True, **chosen
        )
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"vit: timm cannot build {config.name!r} with {chosen} ({error}). Try: another name, or dim = heads × 64."
        ) from None
    if config.weights:
        _load_timm_weights(model, Path(config.weights))
    return model


def _load_timm_weights(model: Any, path: Path) -> None:
    """Load a timm state dict strictly, save for its head; patch embedding, bands and positions are resampled, and the log says so."""
    from timm.layers import resample_abs_pos_embed, resample_patch_embed
    from timm.models import adapt_input_conv

    state = read_tensors(path)
    changed = [key for key in state if key.startswith(("head.", "head_dist.", "attn_pool."))]
    state = {key.replace("fc_norm.", "norm."): value for key, value in state.items() if key not in changed}
    own = model.state_dict()
    kernel = state.get("patch_embed.proj.weight")
    if kernel is not None and kernel.shape != own["patch_embed.proj.weight"].shape:
        wanted = own["patch_embed.proj.weight"].shape
        changed.append(f"patch_embed {tuple(kernel.shape)} -> {tuple(wanted)}")
        if kernel.shape[-2:] != wanted[-2:]:
            kernel = resample_patch_embed(kernel, list(wanted[-2:]))
        state["patch_embed.proj.weight"] = adapt_input_conv(wanted[1], kernel) if kernel.shape[1] != wanted[1] else kernel
    table = state.get("pos_embed")
    if table is not None and "pos_embed" in own and table.shape != own["pos_embed"].shape:
        changed.append(f"pos_embed {tuple(table.shape)} -> {tuple(own['pos_embed'].shape)}")
        prefix = 0 if model.no_embed_class else model.num_prefix_tokens
        state["pos_embed"] = resample_abs_pos_embed(table, list(model.patch_embed.grid_size), num_prefix_tokens=prefix)
    load_strictly(model, state, str(path))
    if changed:
        _log.warning("%s: dropped or resampled for this sensor: %s.", path, ", ".join(changed))
