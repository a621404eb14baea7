"""The squares of a grid over an area as places, so that they are embedded as those of a data set are."""

from dataclasses import dataclass, field

from omnifuse.classes import ClassTable
from omnifuse.data.place import Place
from omnifuse.errors import ConfigError
from omnifuse.inference.scene import Scene
from omnifuse.modalities import Modality


@dataclass(frozen=True)
class SceneSquares:
    """Squares of `cells` × `cells` cells of a scene, `stride` cells apart, that lie wholly within it (a `PlaceSource`).

    An area that is smaller than a square is one square, which reaches over its border.

    Attributes:
        scene: The area.
        cells: Side of a square in cells.
        stride: Cells from one square to the next.
        provenance: Where the images come from.
    """

    scene: Scene
    cells: int
    stride: int
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cells < 1 or self.stride < 1:
            raise ConfigError(f"squares of {self.cells} cells, {self.stride} apart. Try: 1 or more.")

    @property
    def modalities(self) -> dict[str, Modality]:
        return self.scene.modalities

    @property
    def classes(self) -> ClassTable | None:
        return None

    @property
    def size(self) -> float:
        return self.cells * self.scene.grid.gsd

    @property
    def info(self) -> list[dict[str, str | int | float]]:
        grid = self.scene.grid
        return [
            {"id": f"{row}_{col}", "crs": grid.crs, "left": grid.left + col * grid.gsd, "top": grid.top - row * grid.gsd}
            for row, col in (self._corner(index) for index in range(len(self)))
        ]

    def __len__(self) -> int:
        return self._number(self.scene.grid.height) * self._number(self.scene.grid.width)

    def __getitem__(self, index: int) -> Place:
        row, col = self._corner(index)
        return self.scene.read(row, col, self.cells) or Place({}, self.size)

    def _corner(self, index: int) -> tuple[int, int]:
        row, col = divmod(index, self._number(self.scene.grid.width))
        return row * self.stride, col * self.stride

    def _number(self, cells: int) -> int:
        return max(1, (cells - self.cells) // self.stride + 1)
