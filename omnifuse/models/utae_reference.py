"""The published U-TAE (arXiv:2107.07933) with its decoder, from published weights, on packed frames.

Module names are those of the published weights. It keeps what our own models leave out: batch norms, a date encoding from
day 0, no normalization of the input, and a ReLU on the logits. Only padding is gone, and with it its effect on the output:
a place gives what the published code gives for it alone.
"""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnifuse.errors import CheckpointError
from omnifuse.frames import Frames
from omnifuse.models.ltae import LTAE, Aggregation, collapse_skips
from omnifuse.models.utae import ConvBlock, ConvLayer, DownBlock, Padding, convolve, split_frames

# Parts of a panoptic (PaPs) checkpoint that stand beside its `encoder.`.
_PANOPTIC = ("min_confidence", "center_extractor", "heatmap_conv", "saliency_conv", "shape_mlp", "size_mlp", "class_mlp", "mask_cnn")


class UpBlock(nn.Module):
    """Transposed convolution, concatenation with the skip, then two layers of which the second is residual."""

    def __init__(self, dim_in: int, dim: int, dim_skip: int, *, stride: int, padding: Padding) -> None:
        super().__init__()
        layer = partial(ConvLayer, kernel=3, norm=nn.BatchNorm2d, padding=padding)
        self.skip_conv = nn.Sequential(nn.Conv2d(dim_skip, dim_skip, 1), nn.BatchNorm2d(dim_skip), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(dim_in, dim, stride + 2, stride, 1), nn.BatchNorm2d(dim), nn.ReLU())
        self.conv1 = layer((dim + dim_skip, dim))
        self.conv2 = layer((dim, dim))

    def forward(self, x: Float[Tensor, "p c h w"], skip: Float[Tensor, "p s h2 w2"]) -> Float[Tensor, "p d h2 w2"]:
        x = self.conv1(torch.cat([self.up(x), self.skip_conv(skip)], 1))
        return x + self.conv2(x)


class ReferenceUTAE(nn.Module):
    """The published model; sizes are read from the weights.

    Args:
        widths: Encoder channels, full resolution to coarse.
        decoder: Decoder channels, full resolution to coarse.
        out: Channels of the last two layers; the last are the classes.
        bands: Input bands.
        stride: Down-sampling of every stage after the first: 2, or 1 as in FLAIR-HUB.
        heads: Attention heads.
        key_dim: Channels of a query.
        dim: Channels of an attention token.
        aggregation: How skips collapse over time (published as `att_group`, `att_mean`, `mean`).
        padding: At image borders.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...],
        decoder: tuple[int, ...],
        out: tuple[int, int],
        bands: int,
        stride: int,
        heads: int,
        key_dim: int,
        dim: int,
        aggregation: Aggregation = "group",
        padding: Padding = "reflect",
    ) -> None:
        super().__init__()
        self.aggregation = aggregation
        conv: dict[str, Any] = {"kernel": 3, "norm": partial(nn.GroupNorm, 4), "padding": padding}
        self.in_conv = ConvBlock((bands, widths[0], widths[0]), **conv)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, stride=stride, **conv) for a, b in pairwise(widths))
        coarse_to_fine = zip(pairwise(reversed(decoder)), reversed(widths[:-1]), strict=True)
        self.up_blocks = nn.ModuleList(UpBlock(a, b, skip, stride=stride, padding=padding) for (a, b), skip in coarse_to_fine)
        self.temporal_encoder = LTAE(widths[-1], dim=dim, heads=heads, key_dim=key_dim, mlp_norm=nn.BatchNorm1d(widths[-1]), key_bias=True)
        self.out_conv = ConvBlock((decoder[0], *out), kernel=3, norm=nn.BatchNorm2d, padding=padding)

    def forward(self, frames: Frames) -> tuple[Float[Tensor, "p k h w"], Float[Tensor, "heads n hc wc"]]:
        """Return logits of the places that have frames, and the attention of each frame.

        Args:
            frames: Pixels normalized by the caller as for the published code; `day` in its convention, used as is.
        """
        maps, attention = self.maps(frames)
        return self.out_conv(maps[-1]), attention.transpose(0, 1)

    def maps(self, frames: Frames) -> tuple[tuple[Float[Tensor, "p _d _h _w"], ...], Float[Tensor, "n heads hc wc"]]:
        """Return decoder maps, coarse to fine (published as `return_maps`), and the attention of each frame."""
        count = frames.count[frames.count > 0]
        place = torch.repeat_interleave(count).to(frames.pixels.device, non_blocking=True)
        stages = [self.in_conv, *self.down_blocks]
        chunks = [convolve(stages, pixels) for pixels in split_frames(frames.pixels, self.in_conv.width)]
        *skips, coarse = zip(*chunks, strict=True)
        x, attention = self.temporal_encoder(torch.cat(coarse), frames.day, place, count)
        maps = [x]
        for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            maps.append(block(maps[-1], collapse_skips(skip, attention, place, len(count), self.aggregation)))
        return tuple(maps), attention

    @classmethod
    def from_state_dict(
        cls, state_dict: Mapping[str, Any], *, aggregation: Aggregation = "group", padding: Padding = "reflect"
    ) -> "ReferenceUTAE":
        """Build the model that published weights describe, in evaluation mode.

        Args:
            state_dict: Tensors or arrays under the published names, possibly behind `module.`, or behind `encoder.` among
                the other parts of a panoptic model, which are left out.
            aggregation: Not told by the weights: `group` is the published default.
            padding: Not told by the weights: `reflect` is the published default.

        Raises:
            CheckpointError: for missing or unexpected names and for shapes that do not fit each other.
        """
        state = _published_names(state_dict)
        depth = len({name.split(".")[1] for name in state if name.startswith("down_blocks.")})
        named = {
            "first": "in_conv.conv.conv.0.weight",
            "query": "temporal_encoder.attention_heads.Q",
            "token": "temporal_encoder.inconv.weight",
            "hidden": "out_conv.conv.conv.0.weight",
            "classes": "out_conv.conv.conv.3.weight",
            **{f"stage{i}": f"down_blocks.{i}.conv2.conv.0.weight" for i in range(depth)},
            **{f"up{i}": f"up_blocks.{i}.up.0.weight" for i in range(depth)},
        }
        _refuse("missing", [name for name in named.values() if name not in state])
        shape = {key: tuple(state[name].shape) for key, name in named.items()}
        model = cls(
            widths=(shape["first"][0], *(shape[f"stage{i}"][0] for i in range(depth))),
            decoder=(*(shape[f"up{i}"][1] for i in reversed(range(depth))), *(shape["up0"][:1] if depth else shape["hidden"][1:2])),
            out=(shape["hidden"][0], shape["classes"][0]),
            bands=shape["first"][1],
            stride=shape["up0"][-1] - 2 if depth else 1,
            heads=shape["query"][0],
            key_dim=shape["query"][1],
            dim=shape["token"][0],
            aggregation=aggregation,
            padding=padding,
        )
        expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        _refuse("missing", sorted(expected.keys() - state.keys()))
        _refuse("unexpected", sorted(state.keys() - expected.keys()))
        wrong = [f"{name} {tuple(state[name].shape)}, not {size}" for name, size in expected.items() if tuple(state[name].shape) != size]
        _refuse("of a shape that does not fit", wrong)
        model.load_state_dict(state)
        return model.eval()


def _published_names(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Strip the prefixes that training wrappers add, and convert to tensors of our own."""
    if isinstance(state_dict.get("state_dict"), Mapping):
        raise CheckpointError("U-TAE weights: this is a whole checkpoint. Try: its entry `state_dict`.")
    state = {name.removeprefix("module."): value for name, value in state_dict.items()}
    if len(state) != len(state_dict):
        raise CheckpointError("U-TAE weights: names stand both with and without `module.`. Try: one of the two sets.")
    if any(name.startswith("encoder.in_conv.") for name in state):
        state = {name.removeprefix("encoder."): value for name, value in state.items() if name.split(".")[0] not in _PANOPTIC}
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else torch.from_numpy(np.array(value)) for name, value in state.items()
    }


def _refuse(what: str, names: list[str]) -> None:
    if names:
        raise CheckpointError(
            f"U-TAE weights: {len(names)} entries {what}: {', '.join(names)}. "
            "Try: the `state_dict` of a U-TAE with group norms in the encoder, under the published names."
        )
