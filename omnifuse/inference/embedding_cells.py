"""Vectors of the ground cells of whole areas, as Zarr or GeoTIFF: the units, tiles and executors of maps (`area`), in constant memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Num
from torch.nn import functional

from omnifuse import __version__
from omnifuse.config import to_dict
from omnifuse.data.map_store import MapArray, write_map_store
from omnifuse.data.place import Place, Series
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.inference.area import AreaOptions, refuse_existing, tiling_of
from omnifuse.inference.area_model import coarsest, loaded, one_at_a_time, threads
from omnifuse.inference.blend import blended
from omnifuse.inference.cog import write_cog
from omnifuse.inference.executors import Chosen, joined, run_units
from omnifuse.inference.folder import origins
from omnifuse.inference.layers import Layer
from omnifuse.inference.pca_picture import Colors, colors_of
from omnifuse.inference.plan import Tiling, Unit, WorkFolder, read_block, units_of, write_block
from omnifuse.inference.predictor import Predictor
from omnifuse.inference.quantize import NO_DATA, steps_of, to_int8
from omnifuse.inference.releases import read_named
from omnifuse.inference.scene import Grid, Scene
from omnifuse.inference.stac import Vectors
from omnifuse.modalities import Modality

Dtype = Literal["float32", "float16", "int8"]
_BLOCK = "embedding"
_SAMPLE = 50_000  # cells that colors are found from


@dataclass(frozen=True)
class CellJob:
    """Embeds the cells of a unit and writes them as a block, NaN where no sensor saw the ground; a `UnitJob`.

    Attributes:
        model: Model folder.
        scene: The area.
        tiling: The lattice of tiles.
        options: How tiles go through the model.
        dimensions: Numbers of a vector.
        normalize: Whether vectors get length 1, after tiles are blended.
        halves: Whether numbers are kept as float16, else as float32.
        folder: Work folder.
    """

    model: str
    scene: Scene
    tiling: Tiling
    options: AreaOptions
    dimensions: int
    normalize: bool
    halves: bool
    folder: Path

    def __call__(self, unit: Unit) -> None:
        with one_at_a_time, threads(self.options.threads):
            predictor = loaded(self.model, self.options.device)
            found = blended(self.scene, lambda places: self._vectors(predictor, places), unit, self.tiling, self.options.at_once)
        block = np.full((self.dimensions, unit.height, unit.width), np.nan, np.float16 if self.halves else np.float32)
        if found is not None:
            values, seen = found
            if self.normalize:
                values = functional.normalize(torch.from_numpy(values), dim=0).numpy()
            with np.errstate(over="ignore"):
                block[:, seen] = values[:, seen]
            if not np.isfinite(block[:, seen]).all():
                raise InputError(f"embeddings: {abs(values).max():.3g} is too large for float16. Try: --dtype float32, or --normalize.")
        write_block(self.folder, _BLOCK, unit, block)

    def _vectors(self, predictor: Predictor, places: Sequence[Place]) -> Float[np.ndarray, "n d cells cells"]:
        batch = Batch.cat([place.to_batch() for place in places])
        return predictor.features(batch, season_start=self.options.season_start or None)[1].float().cpu().numpy()


@dataclass(frozen=True)
class EmbeddedCells:
    """What was written.

    Attributes:
        path: The store or the GeoTIFF.
        picture: Colors of the three main directions, as GeoTIFF.
        grid: Cells.
        vectors: What the vectors are.
        tiling: Tiles that they were made from.
        seen: Share of cells that any sensor saw.
        model: Name of the model.
        sha256: Of its weights.
    """

    path: Path
    picture: Path | None
    grid: Grid
    vectors: Vectors
    tiling: Tiling
    seen: float
    model: str
    sha256: str


def cells_of(predictor: Predictor) -> tuple[float, int]:
    """Return metres per cell of a model's embeddings, and how many numbers a vector has, from a look at one empty place."""
    metres, modality = trained_size(predictor), _coarse(predictor)
    side, start = modality.pixels(metres), origins(predictor.config.architecture.sensors).get(modality.name, date(1970, 1, 1))
    pixels = np.broadcast_to(np.array(modality.mean, np.float32)[:, None, None], (1, len(modality.bands), side, side))
    day = np.array([(start - date(1970, 1, 1)).days])
    _, maps = predictor.features(Place({modality.name: Series(pixels, day)}, metres).to_batch())
    return metres / maps.shape[-1], int(maps.shape[1])


def trained_size(predictor: Predictor) -> float:
    """Return the side in metres of the places that a model was trained on; 64 pixels of its coarsest sensor where it does not say."""
    size = predictor.config.facts.get("place size (m)")
    return float(size) if isinstance(size, int | float) else 64 * _coarse(predictor).gsd


def tiling_of_cells(predictor: Predictor, gsd: float, options: AreaOptions) -> Tiling:
    """Return the lattice of tiles on cells of `gsd` metres; a tile is as large as a place of the training where nothing else is said."""
    align = coarsest(predictor.config.architecture, gsd)
    tile = options.tile or max(1, round(trained_size(predictor) / gsd / align)) * align
    return tiling_of(predictor, gsd, replace(options, tile=tile))


def _coarse(predictor: Predictor) -> Modality:
    return max(predictor.modalities.values(), key=lambda one: (not one.per_place, one.gsd))  # a place is whole pixels of it


def embed_cells(
    model: str | Path,
    scene: Scene,
    out: Path,
    options: AreaOptions,
    *,
    dtype: Dtype = "float16",
    normalize: bool = False,
    picture: bool = True,
    executor: str = "local",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    slurm: Mapping[str, Any] | None = None,
) -> EmbeddedCells | None:
    """Embed the cells of an area; returns None on all ranks but the first.

    Args:
        model: Folder or name of a model.
        scene: The area, on cells of the model's embeddings (`cells_of`).
        out: Zarr store (`.zarr`) or cloud-optimized GeoTIFF (`.tif`) to write.
        options: How tiles go through the model.
        dtype: Of the stored numbers; int8 has a step per dimension.
        normalize: Whether vectors get length 1.
        picture: Whether to write `<out>.colors.tif`, too.
        executor: Who does it: see `executors.run_units`.
        overwrite: Whether to replace what is there, and to forget an earlier run that is not ended.
        progress: Called as `progress(done, total)` with units.
        slurm: Parameters of SLURM jobs.

    Raises:
        InputError: for output that is there already, or another run that was begun for it; where no sensor saw anything.
    """
    Chosen.parse(executor)
    if out.suffix not in (".zarr", ".tif", ".tiff"):
        raise InputError(f"{out}: neither a Zarr store, a GeoTIFF nor a table by its name. Try: {out.with_suffix('.zarr').name}.")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}. Try: mkdir -p {out.parent}.")
    folder, content = read_named(str(model))
    predictor = loaded(str(folder.resolve()), options.device)
    _, dimensions = cells_of(predictor)
    tiling = tiling_of_cells(predictor, scene.grid.gsd, options)
    colored = out.with_name(f"{out.name}.colors.tif") if picture else None
    identity = {
        "model": content.weights.sha256,
        "scene": scene.fingerprint,
        "grid": [scene.grid.crs, *scene.grid.bounds, scene.grid.gsd],
        "tiles": [tiling.tile, tiling.halo, tiling.align],
        "options": to_dict(replace(options, tile=0, halo=0)) | {"dtype": dtype, "normalize": normalize, "picture": picture},
        "version": __version__,
    }
    work = WorkFolder(out.with_name(f"{out.name}.work"), identity)
    units = units_of(scene.grid.height, scene.grid.width, options.unit)
    job = CellJob(str(folder.resolve()), scene, tiling, options, dimensions, normalize, dtype == "float16", work.path.resolve())
    name = folder.resolve().name if Path(model).is_dir() else str(model)
    with joined(executor) as leads:
        if leads:
            refuse_existing([out, *([colored] if colored else [])], work, overwrite)
        with work if leads else nullcontext():
            run_units(units, job, executor, work, progress, slurm)
            if not leads:
                return None
            blocks = _Blocks(work.path, units, dimensions)
            vectors = Vectors(dimensions, dtype, scene.grid.gsd, chips=False, scale=blocks.scale() if dtype == "int8" else ())
            sample, seen = blocks.sample()
            if not len(sample):
                raise InputError(f"{out}: no sensor saw anything of the area. Try: check the rasters' no-data and the bounds.")
            tags = {"model": name, "weights_sha256": content.weights.sha256, "sensors": " ".join(scene.modalities)}
            if colored is not None:
                layer = Layer("picture", ("red", "green", "blue"), nodata=0, units=("",) * 3)
                write_cog(colored, scene.grid, layer, blocks.painted(colors_of(sample)), tags, work.path / "cog")
            _assemble(out, scene.grid, blocks, vectors, options.unit, tags, work.path)
            work.remove()
    return EmbeddedCells(out, colored, scene.grid, vectors, tiling, seen, name, content.weights.sha256)


@dataclass(frozen=True)
class _Blocks:
    """The blocks of all units: numbers in float16 or float32, NaN where no sensor saw the ground."""

    folder: Path
    units: Sequence[Unit]
    dimensions: int

    def scale(self) -> tuple[float, ...]:
        """Return the value of one step of each dimension, for signed bytes."""
        largest = np.zeros(self.dimensions, np.float32)
        for _, block in self:
            largest = np.fmax(largest, np.fmax.reduce(abs(block).reshape(self.dimensions, -1).astype(np.float32), axis=1))
        return tuple(steps_of(largest).tolist())

    def sample(self) -> tuple[Float[np.ndarray, "n d"], float]:
        """Return vectors of cells evenly over those that were seen, and the share of cells that was."""
        counts = [int(np.isfinite(block[0]).sum()) for _, block in self]
        step, before, found = max(1, sum(counts) // _SAMPLE), 0, []
        for (_, block), count in zip(self, counts, strict=True):
            found.append(block[:, np.isfinite(block[0])].T[-before % step :: step].astype(np.float32))
            before += count
        return np.concatenate(found), sum(counts) / sum(unit.height * unit.width for unit in self.units)

    def painted(self, colors: Colors) -> Iterator[tuple[Unit, Num[np.ndarray, "3 h w"]]]:
        for unit, block in self:
            yield unit, colors.paint(block.reshape(self.dimensions, -1).T.astype(np.float32)).T.reshape(3, *block.shape[1:])

    def stored(self, unit: Unit, vectors: Vectors) -> Num[np.ndarray, "d h w"]:
        """Return a block as it is stored."""
        block = read_block(self.folder, _BLOCK, unit)
        if not vectors.scale:
            return block
        values = np.moveaxis(block, 0, -1)
        found = to_int8(np.nan_to_num(values), np.array(vectors.scale, np.float32))
        return np.moveaxis(np.where(np.isnan(values), np.int8(NO_DATA), found), -1, 0)

    def __iter__(self) -> Iterator[tuple[Unit, Num[np.ndarray, "d h w"]]]:
        for unit in self.units:
            yield unit, read_block(self.folder, _BLOCK, unit)


def _assemble(out: Path, grid: Grid, blocks: _Blocks, vectors: Vectors, side: int, tags: Mapping[str, str], folder: Path) -> None:
    """Put the blocks together, in the output's place at the last moment."""
    nodata = float(NO_DATA) if vectors.scale else float("nan")
    bands = tuple(f"e{number:03d}" for number in range(vectors.dimensions))
    if out.suffix == ".zarr":
        from omnifuse.data.embedding_store import attributes_of

        array = MapArray(
            _BLOCK, bands, vectors.dtype, nodata, partial(_block_at, blocks, vectors), {"long_name": "embedding", "units": "1"}
        )
        told = attributes_of(vectors.fields(), grid.crs, (grid.left, grid.top), grid.gsd, (grid.height, grid.width), tags)
        place: dict[str, Any] = {"crs": grid.crs, "upper_left": (grid.left, grid.top), "gsd": grid.gsd, "shape": (grid.height, grid.width)}
        write_map_store(out, [array], **place, side=side, attributes=told, scratch=folder / "store")
        return
    layer = Layer("embedding", bands, vectors.dtype, nodata, scales=vectors.scale, units=("1",) * len(bands))  # type: ignore[arg-type]
    stored = ((unit, blocks.stored(unit, vectors)) for unit in blocks.units)
    wide = ((unit, block.astype(np.float32) if block.dtype == np.float16 else block) for unit, block in stored)
    write_cog(out, grid, layer, wide, tags, folder / "cog")


def _block_at(blocks: _Blocks, vectors: Vectors, row: int, col: int) -> Num[np.ndarray, "d h w"]:
    return blocks.stored(Unit(row, col, 0, 0), vectors)
