"""OMBRIA: flood maps from Sentinel-1 and Sentinel-2 before and after (OmbriaNet, 2022, https://ieeexplore.ieee.org/document/9723593).

Expects the published layout, `OmbriaS1|OmbriaS2/<split>/{BEFORE,AFTER,MASK}/*.png`, and `scene_groups.csv` (columns `patch_id`,
`scene_group`): patches of one group show the same scene, and the official test patches touch training patches. So figures are
taken over folds of whole groups (`fold` in the metadata), and the official split is kept as `split`.

Images are 8-bit PNG stretched per image, so the unit is "8-bit, relative". The true dates are not published: `before` is day 0 and
`after` day 1. Margins without data (0 or 255) stay as they are: black and white occur as values, too. The authors state no licence:
redistribute nothing.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from omnifuse.classes import ClassTable
from omnifuse.data.place import Place, Series
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import Modality

PATCH = 256  # pixels
GSD = 10.0  # metres

# Mean and standard deviation over the 226 patches of `BEFORE` and `AFTER` that were at hand.
S1 = Modality(
    name="s1",
    title="Sentinel-1 VV",
    bands=("VV",),
    gsd=GSD,
    units=("8-bit, relative",),
    mean=(140.3,),
    std=(51.5,),
    wavelengths=(5.55e7,),
)
S2 = Modality(
    name="s2",
    title="Sentinel-2",
    bands=("red channel", "green channel", "blue channel"),
    gsd=GSD,
    units=("8-bit, relative",) * 3,
    mean=(57.3, 67.9, 36.0),
    std=(35.4, 30.9, 27.2),
    rgb=(0, 1, 2),
)


class Ombria:
    """Patches of 2560 m, or tiles of them, with a flood mask (a `PlaceSource`).

    Args:
        folder: Folder of the data set.
        tile: Side of a place in pixels of 10 m; a divisor of 256. Tiles keep the scene group and fold of their patch.
    """

    def __init__(self, folder: Path, tile: int = PATCH) -> None:
        if tile < 1 or PATCH % tile:
            raise ConfigError(f"OMBRIA: tiles of {tile} pixels do not cut {PATCH} evenly. Try: 64 or 128.")
        self.folder = Path(folder)
        self.tile = tile
        self.modalities = {"s1": S1, "s2": S2}
        self.classes = ClassTable(("no flood", "flood"), ("#f4f1e8", "#1f6fb4"))
        self.size = tile * GSD
        self.provenance = {
            "source": f"OMBRIA, tiles of {tile} pixels",
            "licence": "none stated by the authors: do not redistribute",
            "citation": "Drakonakis et al., OmbriaNet, IEEE JSTARS 2022, https://ieeexplore.ieee.org/document/9723593",
        }
        self._tiles: list[tuple[str, str, int, int]] = []
        self.info: list[dict[str, str | int | float]] = []
        patches = _patches(self.folder)
        groups = _scene_groups(self.folder / "scene_groups.csv", [patch for _, patch in patches])
        folds = balanced_folds(groups, 5)
        for (split, patch), group in zip(patches, groups, strict=True):
            for row in range(PATCH // tile):
                for column in range(PATCH // tile):
                    self._tiles.append((split, patch, row * tile, column * tile))
                    name = patch if tile == PATCH else f"{patch}-{row}-{column}"
                    self.info.append({"id": name, "patch": patch, "scene_group": group, "fold": folds[group], "split": split})

    def __len__(self) -> int:
        return len(self._tiles)

    def __getitem__(self, index: int) -> Place:
        split, patch, row, column = self._tiles[index]
        window = np.s_[row : row + self.tile, column : column + self.tile]
        series = {}
        for name, mode in (("s1", "L"), ("s2", "RGB")):
            files = [_file(self.folder, name, split, when, patch) for when in ("before", "after")]
            images = [_read_png(file, mode)[window].reshape(self.tile, self.tile, -1).transpose(2, 0, 1) for file in files]
            series[name] = Series(np.stack(images), np.array([0, 1], np.int32))
        mask = _read_png(_file(self.folder, "s1", split, "mask", patch), "L")[window]
        return Place(series, self.size, (mask > 127).astype(np.uint8), dict(self.info[index]))


def balanced_folds(groups: Iterable[int], num_folds: int) -> dict[int, int]:
    """Return the fold (1, 2, ...) of each group: the largest group first, each into the fold with the fewest items so far."""
    load = [0] * num_folds
    folds = {}
    for group, num_items in sorted(Counter(groups).items(), key=lambda item: (-item[1], item[0])):
        lightest = load.index(min(load))
        folds[group] = lightest + 1
        load[lightest] += num_items
    return folds


def _file(folder: Path, sensor: str, split: str, when: str, patch: str) -> Path:
    return folder / f"Ombria{sensor.upper()}" / split / when.upper() / f"{sensor.upper()}_{when}_{patch}.png"


def _patches(folder: Path) -> list[tuple[str, str]]:
    """Return (split, patch) of every patch in the folder."""
    found = [
        (split, file.stem.rsplit("_", 1)[-1])
        for split in ("train", "test")
        for file in sorted((folder / "OmbriaS1" / split / "BEFORE").glob("S1_before_*.png"))
    ]
    if not found:
        raise InputError(
            f"{folder / 'OmbriaS1'}: no images `<split>/BEFORE/S1_before_*.png`. Try: the folder that holds OmbriaS1 and OmbriaS2."
        )
    return found


def _scene_groups(file: Path, patches: Sequence[str]) -> list[int]:
    if not file.is_file():
        raise InputError(f"{file}: no such file; without it test scenes would leak into training. Try: put it beside OmbriaS1.")
    with file.open(encoding="utf-8", newline="") as lines:
        groups = {row["patch_id"]: int(row["scene_group"]) for row in csv.DictReader(lines)}
    missing = [patch for patch in patches if patch not in groups]
    if missing:
        raise InputError(f"{file}: no scene group for patches {missing[:5]}. Try: the file that belongs to these images.")
    return [groups[patch] for patch in patches]


def _read_png(file: Path, mode: str) -> UInt8[np.ndarray, "256 256 *c"]:
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image)
            found = image.mode
    except (OSError, SyntaxError) as error:  # Pillow's word for a damaged PNG
        raise InputError(f"{file}: cannot be read ({error}). Try: copy this file again.") from None
    if found != mode or pixels.shape[:2] != (PATCH, PATCH):
        raise InputError(f"{file}: {found} of {pixels.shape}, expected {mode} of {PATCH}×{PATCH}. Try: copy this file again.")
    return pixels
