"""A land-cover product of some years ago: coarse, of few classes, and partly wrong. A prior, in the sense that it knows no crops."""

import numpy as np
from jaxtyping import UInt8

from omnifuse.data.landscape.covers import COVERS
from omnifuse.data.landscape.parcels import Parcels

CELL = 8  # pixels of 10 m along a cell of 80 m
WRONG = 0.2  # share of cells of which the product shows the class of another cover of the landscape
CLASSES = ("arable", "grassland", "permanent crops", "trees", "shrub", "built", "water")
_OTHERS = {  # all other covers are arable
    "meadow": "grassland",
    "alfalfa": "grassland",
    "margin": "grassland",
    "grapevine": "permanent crops",
    "orchard": "permanent crops",
    "forest": "trees",
    "hedge": "trees",
    "shrub": "shrub",
    "built": "built",
    "road": "built",
    "water": "water",
}
CLASS_OF = np.array([CLASSES.index(_OTHERS.get(cover.name, "arable")) for cover in COVERS])


def render(rng: np.random.Generator, parcels: Parcels) -> UInt8[np.ndarray, "1 7 h w"]:
    """Return a band per class: 1 where the product shows it.

    A cell of 80 m has the class of most of its ground, or in one of five cells a class drawn from all others alike: places change, and
    maps are mistaken.
    """
    side = parcels.size // CELL
    share = np.stack([parcels.count[CLASS_OF[parcels.cover] == number].sum(0) for number in range(len(CLASSES))])
    shown = share.reshape(len(CLASSES), side, CELL, side, CELL).sum((2, 4)).argmax(0)
    other = (shown + rng.integers(1, len(CLASSES), (side, side))) % len(CLASSES)
    shown = np.where(rng.random((side, side)) < WRONG, other, shown)
    return (shown == np.arange(len(CLASSES))[:, None, None]).astype(np.uint8)[None]
