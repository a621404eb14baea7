"""Areas in memory, and models whose maps are known, for tests of whole-area predictions."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omnifuse.data.place import Place, Series
from omnifuse.inference.scene import Grid, Scene
from omnifuse.modalities import MODALITIES, Modality
from omnifuse.randomness import numpy_generator

CRS = "EPSG:32631"
DAYS = np.array([18000, 18040, 18100])


@dataclass(frozen=True)
class MemoryScene:
    """An area of noise that is a function of the ground, with a hole, so that it may have any size without memory.

    Attributes:
        height: Rows of cells.
        width: Columns of cells.
        sensors: Sensors that saw it.
        hole: First row, first column, rows and columns without any data.
        block: Cells of a block of ground that is made at a time.
    """

    height: int
    width: int
    sensors: tuple[str, ...] = ("s2", "s1_asc")
    hole: tuple[int, int, int, int] = (0, 0, 0, 0)
    block: int = 64
    fingerprint: str = "memory"
    known: tuple[tuple[str, Modality], ...] = tuple(MODALITIES.items())

    @property
    def modalities(self) -> dict[str, Modality]:
        return {name: dict(self.known)[name] for name in self.sensors}

    @property
    def grid(self) -> Grid:
        return Grid(CRS, 600_000.0, 5_000_000.0, 10.0, self.height, self.width)

    def valid(self, row: int, col: int, height: int, width: int) -> np.ndarray:
        rows, cols = np.arange(row, row + height)[:, None], np.arange(col, col + width)[None]
        inside = (rows >= 0) & (rows < self.height) & (cols >= 0) & (cols < self.width)
        top, left, down, across = self.hole
        return inside & ~((rows >= top) & (rows < top + down) & (cols >= left) & (cols < left + across))

    def read(self, row: int, col: int, cells: int) -> Place | None:
        if not self.valid(row, col, cells, cells).any():
            return None
        series = {}
        for name, modality in self.modalities.items():
            pixels = round(10 / modality.gsd)
            # Beyond the border: the nearest cell of the area, as a scene's rule has it.
            rows, cols = (np.clip(np.arange(a, a + cells), 0, most - 1) for a, most in ((row, self.height), (col, self.width)))
            ground = self._ground(name, rows, cols)
            values = ground if pixels == 1 else ground.repeat(pixels, 2).repeat(pixels, 3)
            days = DAYS if modality.series else DAYS[:1]
            series[name] = Series(values[: len(days)], days)
        return Place(series, cells * 10.0)

    def _ground(self, name: str, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        modality, block = self.modalities[name], self.block
        made = np.empty((3, len(modality.bands), len(rows), len(cols)), np.float32)
        for down in np.unique(rows // block):
            for across in np.unique(cols // block):
                draw = numpy_generator(0, name, int(down), int(across))
                noise = draw.standard_normal((3, len(modality.bands), block, block), np.float32)
                i, j = np.flatnonzero(rows // block == down), np.flatnonzero(cols // block == across)
                picked = noise[:, :, rows[i] % block][:, :, :, cols[j] % block]
                made[np.ix_(range(3), range(made.shape[1]), i, j)] = picked
        mean, std = np.array(modality.mean, np.float32), np.array(modality.std, np.float32)
        return mean[:, None, None] + std[:, None, None] / 4 * made


@dataclass(frozen=True)
class Dying(MemoryScene):
    """An area that kills who reads its lowest rows while there is a file `trap`."""

    trap: str = ""

    def read(self, row: int, col: int, cells: int) -> Place | None:
        if row > 30 and Path(self.trap).exists():
            os._exit(1)
        return super().read(row, col, cells)


@dataclass(frozen=True)
class Coarser:
    """A scene on cells of twice the side: those of the small models' embeddings."""

    inner: Scene

    @property
    def modalities(self):
        return self.inner.modalities

    @property
    def fingerprint(self):
        return self.inner.fingerprint

    @property
    def grid(self):
        fine = self.inner.grid
        return replace(fine, gsd=2 * fine.gsd, height=fine.height // 2, width=fine.width // 2)

    def read(self, row, col, cells):
        return self.inner.read(2 * row, 2 * col, 2 * cells)

    def valid(self, row, col, height, width):
        return self.inner.valid(2 * row, 2 * col, 2 * height, 2 * width).reshape(height, 2, width, 2).any((1, 3))


def own_values(places: list[Place]) -> np.ndarray:
    """Predict two values that are functions of each cell alone, in place of a model."""
    found = np.stack([place.series["s2"].pixels.mean(0)[:2] for place in places])
    return found / 1000


def small_scene(**changes: object) -> MemoryScene:
    """Return an area that the model of `small_models` reads; its SPOT has pixels of 2.5 m."""
    spot = replace(MODALITIES["spot"], gsd=2.5)
    return replace(MemoryScene(50, 70, known=tuple({**MODALITIES, "spot": spot}.items())), **changes)
