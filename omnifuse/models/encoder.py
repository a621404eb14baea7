"""The contract of an encoder, and what every encoder shares."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

from omnifuse.frames import Features, Frames
from omnifuse.modalities import Modality


@runtime_checkable
class Encoder(Protocol):
    """`Frames -> Features`: only an encoder knows what its sensor's pixels are.

    Attributes:
        modality: The sensor it reads.
        dims: Channels of each map it returns, coarse to fine.
        gsds: Metres per cell of each map, coarse to fine. The maps cover the place without its context.
    """

    modality: Modality
    dims: tuple[int, ...]
    gsds: tuple[float, ...]

    def __call__(self, frames: Frames) -> Features: ...


class Normalize(nn.Module):
    """Standardise stored values with a modality's mean and standard deviation, in the dtype of the parameters."""

    mean: Tensor
    std: Tensor

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(modality.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(modality.std)[:, None, None], persistent=False)

    def forward(self, pixels: Num[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return (pixels.to(self.mean.dtype) - self.mean) / self.std


def crop_context(x: Float[Tensor, "p d h w"], share: float) -> Float[Tensor, "p d h2 w2"]:
    """Cut the central part of a map: `share` is the side of the place over the side of the map.

    Where the place is not a whole number of cells the cut is resampled, so that the result covers exactly the place.
    """
    if share == 1:
        return x
    height, width = (max(1, round(side * share)) for side in x.shape[-2:])
    if not len(x):  # no frames: `affine_grid` wants at least one
        return x[..., :height, :width]
    exact = all((side - cut) % 2 == 0 and abs(side * share - cut) < 1e-6 for side, cut in zip(x.shape[-2:], (height, width), strict=True))
    if exact:
        top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
        return x[..., top : top + height, left : left + width]
    theta = x.new_tensor([[share, 0, 0], [0, share, 0]]).expand(len(x), 2, 3)
    grid = functional.affine_grid(theta, [len(x), x.shape[1], height, width], align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
