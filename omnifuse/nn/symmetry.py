"""The eight symmetries of the square, one for each image of a batch."""

import torch
from jaxtyping import Int, Num
from torch import Tensor

INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)  # quarter turns undo each other, reflections themselves


def turn(x: Num[Tensor, "n c h h"], which: Int[Tensor, " n"]) -> Num[Tensor, "n c h h"]:
    """Apply symmetry `which[i]` to image i: 0–3 are quarter turns, 4–7 the same after a reflection."""
    side = x.shape[-1]
    cell = torch.arange(side * side, device=x.device).view(side, side)
    table = torch.stack([torch.rot90(cell.flip(-1) if k >= 4 else cell, k % 4).flatten() for k in range(8)])
    index = table[which][:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).view_as(x)


def turn_back(x: Num[Tensor, "n c h h"], which: Int[Tensor, " n"]) -> Num[Tensor, "n c h h"]:
    """Undo `turn`, on maps of any resolution."""
    return turn(x, torch.tensor(INVERSE, device=which.device)[which])
