"""A whole area as several sensors saw it, read square by square: what a map larger than a place is made from."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from omnifuse.data.place import Place
from omnifuse.modalities import Modality


@dataclass(frozen=True)
class Grid:
    """The cells of a map, north up.

    Attributes:
        crs: Projected reference system with metres as its unit, as text that GDAL reads (`EPSG:32631` or WKT).
        left: West edge in metres.
        top: North edge in metres.
        gsd: Side of a cell in metres.
        height: Cells from north to south.
        width: Cells from west to east.
    """

    crs: str
    left: float
    top: float
    gsd: float
    height: int
    width: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north edge in metres."""
        return self.left, self.top - self.height * self.gsd, self.left + self.width * self.gsd, self.top


@runtime_checkable
class Scene(Protocol):
    """An area that any subset of a model's sensors saw. Picklable; opens files on first use; memory grows with the window alone.

    Attributes:
        modalities: Of the model, for the sensors that are given.
        grid: The cells of the map; it covers all ground that a sensor saw, or what was asked for.
        fingerprint: Of the files (path, size, time of change) and of the options they are read with: two scenes of one fingerprint
            give the same pixels, so that a run that was stopped may go on.
    """

    @property
    def modalities(self) -> dict[str, Modality]: ...

    @property
    def grid(self) -> Grid: ...

    @property
    def fingerprint(self) -> str: ...

    def read(self, row: int, col: int, cells: int) -> Place | None:
        """Return a square of ground of `cells` × `cells` cells whose upper left cell is (`row`, `col`); None where no sensor saw it.

        The square may reach over the border of the area (`row` and `col` may be negative). An image that has a band without any data
        on the square is left out; elsewhere a pixel without data takes the value of the nearest one in its row that has some, and a
        row without any that of the nearest row that has some. A sensor without images is there with none.

        Sensors whose pixels are larger than a cell are copied where the square starts at one of their pixels, else resampled.

        Raises:
            InputError: where the square is not a whole number of a sensor's pixels, or a file cannot be read.
        """

    def valid(self, row: int, col: int, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Return the cells of a window of which any sensor has data on any date; False outside of the area."""
