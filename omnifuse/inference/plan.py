"""The plan of a whole area: work units of one output block each, done in any order, by anybody, and never twice.

    units = units_of(scene.grid.height, scene.grid.width, side=512)
    with WorkFolder(folder, identity) as work:
        run_units(units, job, "processes=4", work)     # `executors`: local, processes=N, dask=ADDRESS, ranks, slurm=N
    ...                                                # one process puts the blocks together

A job is a picklable `UnitJob`: called with a unit it makes the block and brings it to the disk (`write_block`), whole or not at all, as
a pure function of the unit. `blend.blended` gives it the values of a unit from overlapping tiles on one lattice for the whole area, so
that a cell has the same value whatever the units are and whoever did them: maps are the same to the byte from every executor, and
after every interruption.
"""

import fcntl
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped

from omnifuse.errors import CheckpointError, ConfigError, InputError

_UNITS = 2**20  # of an area: 27 million km² in units of 512 cells of 10 m


@dataclass(frozen=True)
class Unit:
    """One output block: a window of the area's cells.

    Attributes:
        row: First row of cells.
        col: First column of cells.
        height: Rows of cells; less than those of others at the border of the area.
        width: Columns of cells.
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.row}_{self.col}"


@runtime_checkable
class UnitJob(Protocol):
    """What is done with every unit; picklable, and light until it is first called: a model is loaded once per process."""

    def __call__(self, unit: Unit) -> None:
        """Make the block of a unit and bring it to the disk."""


@dataclass(frozen=True)
class Tiling:
    """The lattice of tiles over an area: a function of the area alone, not of the units.

    Attributes:
        tile: Side of a tile in cells: of the place that the model is given.
        halo: Cells from the border of a tile to where its neighbour weighs as much as itself; two tiles overlap by twice as many.
        align: Tiles start at multiples of so many cells: the coarsest cells of a model, so that all tiles share one coarse grid.

    Raises:
        ConfigError: where tiles would not overlap as said.
    """

    tile: int
    halo: int
    align: int = 1

    def __post_init__(self) -> None:
        if self.tile < 1 or self.align < 1 or not 0 <= 4 * self.halo <= self.tile:
            raise ConfigError(f"tiles of {self.tile} cells with a halo of {self.halo}. Try: a halo of 0 to a quarter of the tile.")
        if self.tile % self.align or self.stride % self.align:
            raise ConfigError(
                f"tiles of {self.tile} cells, {self.stride} cells apart (a halo of {self.halo}): both must be multiples of {self.align}, "
                f"the model's coarsest cells. Try: a tile of {-(-self.tile // self.align) * self.align}, a halo of "
                f"{_default_halo(-(-self.tile // self.align) * self.align, self.align)}."
            )

    @staticmethod
    def of(tile: int, align: int = 1, halo: int | None = None) -> "Tiling":
        """Return a lattice with a halo of about an eighth of the tile, or the given one."""
        return Tiling(tile, _default_halo(tile, align) if halo is None else halo, align)

    @property
    def stride(self) -> int:
        """Cells from one tile to the next."""
        return self.tile - 2 * self.halo

    def starts(self, cells: int) -> Int[np.ndarray, " n"]:
        """Return where the tiles begin along a side of the area.

        The last one is moved back into the area (but for less than `align` cells); if the area is smaller than a tile it reaches over.
        """
        last = max(0, -(-(cells - self.tile) // self.align) * self.align)
        return np.array([*range(0, last, self.stride), last])

    def over(self, cells: int, first: int, stop: int) -> Int[np.ndarray, " n"]:
        """Return where those tiles begin that share a cell with `first` … `stop` - 1."""
        starts = self.starts(cells)
        return starts[(starts < stop) & (starts + self.tile > first)]


def _default_halo(tile: int, align: int) -> int:
    """Return about an eighth of the tile, such that the stride stays a multiple of `align`."""
    if tile % align:
        return tile // 8  # `Tiling` says what is wrong
    step = math.lcm(align, 2)
    overlap = max(round(tile / 4 / step), 1) * step
    return overlap // 2 if 2 * overlap <= tile else 0


def units_of(height: int, width: int, side: int) -> list[Unit]:
    """Cut an area into units of `side` × `side` cells, row by row; those at the border may be smaller.

    Raises:
        ConfigError: for units without cells.
        InputError: for more units than anybody could list: a header may claim any size.
    """
    if side < 1:
        raise ConfigError(f"units of {side} cells. Try: 512.")
    if (number := -(-height // side) * -(-width // side)) > _UNITS:
        raise InputError(
            f"an area of {width} × {height} cells: {number} units of {side} × {side} cells, at most {_UNITS} are planned. "
            "Try: bounds of a part of it, or larger units (`unit`)."
        )
    return [
        Unit(row, col, min(side, height - row), min(side, width - col)) for row in range(0, height, side) for col in range(0, width, side)
    ]


class WorkFolder:
    """Blocks of a run that is under way, and which units are done; used as a context, it is locked against a second run.

    Args:
        path: Where; made if it is not there. Beside the output, on a disk that all workers see.
        identity: All that says which output will be made, as plain JSON: only a run of the same identity may go on here.

    Raises:
        InputError: where another run was begun here, or one is at work.
    """

    def __init__(self, path: Path, identity: Mapping[str, object]) -> None:
        self.path = path
        self.identity = {key: sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16] for key, value in identity.items()}
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> "WorkFolder":
        self._acquire()
        (self.path / "done").mkdir(exist_ok=True)
        begun = self.path / "identity.json"
        if not begun.exists():
            write_whole(begun, json.dumps(self.identity).encode())
        try:
            found = json.loads(begun.read_bytes())
        except ValueError:
            found = {}
        if found != self.identity:
            self._release()
            other = ", ".join(key for key in self.identity if found.get(key) != self.identity[key]) or "others"
            raise InputError(
                f"{self.path}: a run that differs in {other} was begun here and not ended. "
                "Try: the command that it was begun with, --overwrite, or another output."
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._release()

    def begun(self) -> bool | None:
        """Whether a run of this identity was begun here; None where none was."""
        try:
            return bool(json.loads((self.path / "identity.json").read_bytes()) == self.identity)
        except FileNotFoundError:
            return None
        except ValueError:
            return False

    def left(self, units: list[Unit]) -> list[Unit]:
        """Return the units that are not done."""
        done = {entry.name for entry in (self.path / "done").iterdir()}
        return [unit for unit in units if unit.name not in done]

    def forget(self) -> None:
        """Remove what another run has begun here, unless it is at work."""
        self._acquire()
        self.remove()
        self._release()

    def _acquire(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free as soon as the process ends, however it does
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"{self.path}: another run is at work here. Try: wait for it, or another output.") from None

    def _release(self) -> None:
        assert self._lock is not None
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder: at once by name, so that no half of it is ever taken for a run to go on with."""
        gone = self.path.with_name(f".gone_{self.path.name}_{os.getpid()}")
        self.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def mark(folder: Path, unit: Unit) -> None:
    """Remember in a work folder that the block of a unit is on the disk."""
    (folder / "done" / unit.name).touch()


def block_file(folder: Path, what: str, unit: Unit) -> Path:
    """Return where the block `what` of a unit lies."""
    return folder / what / f"{unit.name}.npy"


def write_block(folder: Path, what: str, unit: Unit, block: Shaped[np.ndarray, "..."]) -> None:
    """Bring one block of a unit to the disk, whole or not at all."""
    file = block_file(folder, what, unit)
    file.parent.mkdir(exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        np.save(stream, block, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def read_block(folder: Path, what: str, unit: Unit) -> Shaped[np.ndarray, "..."]:
    """Return one block of a unit.

    Raises:
        CheckpointError: where it is missing or damaged.
    """
    file = block_file(folder, what, unit)
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{file}: missing or damaged ({error}). Try: remove {folder} and run again.") from None


def write_whole(file: Path, raw: bytes) -> None:
    """Write a file whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
