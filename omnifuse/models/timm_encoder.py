"""A convolutional network of timm for single high-resolution images: with the segmentation head's skips, a U-Net (arXiv:1505.04597)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from omnifuse.config import Config
from omnifuse.errors import CheckpointError, ConfigError, InputError
from omnifuse.frames import Features, Frames
from omnifuse.modalities import Modality
from omnifuse.models.encoder import Normalize, crop_context
from omnifuse.models.vit import import_timm, mean_of_frames
from omnifuse.models.weights import load_strictly, read_tensors
from omnifuse.nn.norms import PixelNorm


def _group_norm(dim: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, dim), dim)


_NORMS: dict[str, Callable[[int], nn.Module]] = {"pixel": PixelNorm, "group": _group_norm}


@dataclass(frozen=True, kw_only=True)
class TimmConfig(Config):
    """A timm network by name that returns maps of falling resolution: `resnet18d`, `convnext_atto`, `efficientnet_b0`, ...

    An image whose sides are no multiple of the coarsest cell is stretched to the next multiple, so that maps cover exactly the
    ground of the image.

    Attributes:
        name: Any name of timm whose maps have cells of ever more pixels, and which takes images of any size.
        stages: How many of its maps, finest first; 0 for all. Leave out what is coarser than the fusion's first scale.
        norm: What stands in place of batch norms, whose statistics tie the places of a batch together. `pixel` (over channels)
            and `group` (32 groups over the whole image) learn anew; `frozen` keeps the statistics that came with `weights` and learns
            nothing. Other norms stay as they are.
        weights: timm weights of your own for this name (`.safetensors`, or `.pth` of tensors alone); empty trains from scratch.
    """

    kind: Literal["timm"] = "timm"
    name: str = "resnet18d"
    stages: int = 0
    norm: Literal["pixel", "group", "frozen"] = "pixel"
    weights: str = ""

    def build(self, modality: Modality) -> "TimmEncoder":
        return TimmEncoder(modality, self)


class TimmEncoder(nn.Module):
    """The `Encoder` of a single image: the network's maps from coarse to fine. Several images are averaged.

    Strided convolutions of published networks sample the corner of a cell rather than its center: coarse maps lie up to half a
    cell off. Their fields of view are far larger, and the decoder's skips put edges in place.
    """

    def __init__(self, modality: Modality, config: TimmConfig) -> None:
        super().__init__()
        self.modality = modality
        self.normalize = Normalize(modality)
        self.network = _network(config, len(modality.bands))
        strides = tuple(reversed(self.network.feature_info.reduction()))
        self.stride: int = strides[0]
        self.dims: tuple[int, ...] = tuple(reversed(self.network.feature_info.channels()))
        self.gsds: tuple[float, ...] = tuple(modality.gsd * stride for stride in strides)

    def forward(self, frames: Frames) -> Features:
        if frames.pixels.shape[1] != len(self.modality.bands):
            bands = self.modality.bands
            raise InputError(
                f"{self.modality.name!r}: images have {frames.pixels.shape[1]} bands. Try: {len(bands)}, in the order {', '.join(bands)}."
            )
        images = self.normalize(frames.pixels)
        side = images.shape[-1] * self.modality.gsd
        if len(images) == 0:  # pooling needs an image: one of zeros, of which no row is kept, still gives zero gradients
            images = images.new_zeros(1, *images.shape[1:])
        maps = reversed(self.network(_stretched(images, self.stride)))
        share = (side - 2 * self.modality.context) / side
        cut = (crop_context(x[: len(frames.pixels)], share) for x in maps)
        present = frames.present.nonzero()[:, 0].to(frames.pixels.device)
        return Features(tuple(mean_of_frames(x, frames.count) for x in cut), present, frames.num_places)


def _stretched(images: Float[Tensor, "n c h w"], stride: int) -> Float[Tensor, "n c h2 w2"]:
    """Resample images to the next multiple of `stride` pixels along each side."""
    height, width = (-(-side // stride) * stride for side in images.shape[-2:])
    if (height, width) == images.shape[-2:]:
        return images
    return functional.interpolate(images, size=(height, width), mode="bilinear", align_corners=False)


def _network(config: TimmConfig, bands: int) -> Any:
    """Return the timm network without batch norms."""
    timm = import_timm()
    if config.name not in timm.list_models():
        near = get_close_matches(config.name, timm.list_models(), 1)
        raise ConfigError(f"timm: there is no {config.name!r}. Try: {near[0] if near else 'a name of timm.list_models()'!r}.")
    make = partial(timm.create_model, config.name, features_only=True, in_chans=bands)
    try:
        network = make()
        stages = len(network.feature_info.reduction())
        if 0 < config.stages < stages:
            network = make(out_indices=tuple(range(config.stages)))
        strides = network.feature_info.reduction()
        with torch.enable_grad():
            found = network.eval()(torch.zeros(1, bands, 2 * strides[-1], 2 * strides[-1]))
            sum(x.sum() for x in found).backward()
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"timm: {config.name!r} gives no maps of images of any size ({first}). Try: 'resnet18d', or kind 'vit'."
        ) from None
    if not 0 <= config.stages <= stages or any(a >= b for a, b in pairwise(strides)):
        raise ConfigError(
            f"timm: {config.name!r} has {stages} maps with cells of {strides} pixels, `stages` is {config.stages}. "
            "Try: at most as many stages, of a network whose cells grow."
        )
    assert [x.shape[-1] for x in found] == [2 * strides[-1] // stride for stride in strides], config.name
    _leave_out_unused(network.train())
    if config.weights:
        _load_weights(network, Path(config.weights), config)
    return _without_batch_norm(network, config.norm)


def _leave_out_unused(module: nn.Module) -> None:
    """Cut what is past the last map, which timm leaves in some networks: its parameters got no gradient in the trial run."""
    for name, child in module.named_children():
        own = list(child.parameters())
        if own and all(parameter.grad is None for parameter in own):
            setattr(module, name, nn.Identity())
        else:
            _leave_out_unused(child)
    module.zero_grad()


def _load_weights(network: Any, path: Path, config: TimmConfig) -> None:
    """Load a timm state dict: every tensor of the network must be there; those of stages and heads that it lacks are left."""
    from timm.models import adapt_input_conv

    state = read_tensors(path)
    own = network.state_dict()
    # `features_only` flattens the names of some networks: `stages.0.blocks` becomes `stages_0.blocks`.
    named = {key if key in own else key.replace(".", "_", 1): value for key, value in state.items()}
    kept = {key: value for key, value in named.items() if key in own}
    if any("running_mean" in key for key in kept) and config.norm != "frozen":
        raise CheckpointError(f"{path}: weights learnt with batch norms, whose statistics norm={config.norm!r} drops. Try: norm='frozen'.")
    for key, value in kept.items():
        wanted = own[key].shape
        if value.ndim == 4 and value.shape[1] == 3 != wanted[1] and value.shape[::2] == wanted[::2]:  # the first convolution
            kept[key] = adapt_input_conv(wanted[1], value)
    load_strictly(network, kept, str(path))


def _without_batch_norm(module: Any, norm: str) -> Any:
    """Return the module with other norms in place of its batch norms, which keep their scale, shift and activation."""
    from timm.layers import BatchNormAct2d, freeze_batch_norm_2d

    if norm == "frozen":
        return freeze_batch_norm_2d(module)
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            _without_batch_norm(child, norm)
            continue
        other = _NORMS[norm](child.num_features)
        other.load_state_dict({"weight": child.weight.detach(), "bias": child.bias.detach()})
        setattr(module, name, nn.Sequential(other, child.drop, child.act) if isinstance(child, BatchNormAct2d) else other)
    return module
