"""Vectors as colors: their three main directions as red, green and blue, so that what is alike looks alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8

from omnifuse.errors import InputError
from omnifuse.inference.footprint import Outline, bbox

if TYPE_CHECKING:
    from PIL.Image import Image

_TAIL = 0.02  # share of the vectors that each end of a color loses, so that outliers do not take the contrast
_GROUND = (28, 28, 32)  # between places: dark, and no color of a place


@dataclass(frozen=True)
class Colors:
    """How vectors become colors.

    Attributes:
        mean: Of the vectors.
        axes: Their main directions, the first with the most spread.
        low: Where each color begins, along its axis.
        high: Where it ends.
    """

    mean: Float[np.ndarray, " d"]
    axes: Float[np.ndarray, "d 3"]
    low: Float[np.ndarray, " 3"]
    high: Float[np.ndarray, " 3"]

    def paint(self, vectors: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n 3"]:
        """Return the color of each vector; black where one is not finite."""
        along = (vectors.astype(np.float32) - self.mean) @ self.axes
        share = (along - self.low) / np.maximum(self.high - self.low, np.finfo(np.float32).tiny)
        return np.where(np.isnan(share), 0, np.rint(1 + 254 * np.clip(np.nan_to_num(share), 0, 1))).astype(np.uint8)


def colors_of(sample: Float[np.ndarray, "n d"], seed: int = 0) -> Colors:
    """Return the colors that tell the vectors of a sample apart (randomized PCA, arXiv:0909.4061; the same for the same seed).

    Raises:
        InputError: without any vector.
    """
    if not len(sample):
        raise InputError("picture: no vectors to find colors for. Try: an area with data.")
    x = torch.from_numpy(sample.astype(np.float32))
    mean = x.mean(0)
    rank = min(6, *x.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, found = torch.pca_lowrank(x - mean, q=rank, center=False, niter=4)
    axes = torch.zeros(x.shape[1], 3)
    axes[:, : min(3, rank)] = found[:, :3]
    axes *= torch.where(axes.gather(0, axes.abs().argmax(0)[None]) < 0, -1.0, 1.0)  # a direction has no sign of its own
    along = ((x - mean) @ axes).numpy()
    low, high = (np.quantile(along, share, axis=0).astype(np.float32) for share in (_TAIL, 1 - _TAIL))
    return Colors(mean.numpy(), axes.numpy(), low, np.where(high > low, high, low + 1).astype(np.float32))


def draw_places(places: Iterable[tuple[Outline, tuple[int, int, int]]], around: Outline, side: int = 1200) -> "Image":
    """Draw outlines in their colors on a plain map, north up, at most `side` pixels wide and high.

    Args:
        places: Outline and color of each.
        around: What the map shows.
        side: Of the picture, at most.
    """
    from PIL import Image, ImageDraw

    west, south, east, north = bbox(around)
    margin = 0.02 * max(east - west, north - south)
    west, south, east, north = west - margin, south - margin, east + margin, north + margin
    shrink = float(np.cos(np.radians((south + north) / 2)))  # of a degree of longitude
    scale = (side - 1) / max((east - west) * shrink, north - south, 1e-9)
    image = Image.new("RGB", (int((east - west) * shrink * scale) + 1, int((north - south) * scale) + 1), _GROUND)
    pen = ImageDraw.Draw(image)
    for outline, color in places:
        for ring in outline:
            corners = [((x - west) * shrink * scale, (north - y) * scale) for x, y in ring]
            wide = max(max(x for x, _ in corners) - min(x for x, _ in corners), max(y for _, y in corners) - min(y for _, y in corners))
            if wide >= 4:
                pen.polygon(corners, fill=color)
            else:  # a dot that can be seen
                x, y = corners[0]
                pen.rectangle((x - 2, y - 2, x + 2, y + 2), fill=color)
    return image


def save_small(raster: Path, out: Path, side: int = 1600) -> None:
    """Write a raster of red, green and blue as an image for people, at most `side` pixels wide and high; no data is transparent."""
    import rasterio
    from PIL import Image

    with rasterio.open(raster) as file:
        shrink = max(1.0, file.width / side, file.height / side)
        shape = (max(1, round(file.height / shrink)), max(1, round(file.width / shrink)))
        pixels = file.read((1, 2, 3), out_shape=(3, *shape))
    seen = (pixels > 0).any(0, keepdims=True)
    Image.fromarray(np.concatenate([pixels, np.where(seen, np.uint8(255), np.uint8(0))]).transpose(1, 2, 0)).save(out)
