"""Maps of whole areas of any size, from any subset of a model's sensors, in constant memory.

The area is cut into units; each is predicted from overlapping tiles (`blend`) and lies as blocks in a work folder beside the output until
all are there; then one process puts them together. Stopping is nothing: the same call goes on, to the same bytes.

A map of tiles is not that of the whole image at once: attention over the cells of a place has no limit, so no halo makes them equal. For a
model of the quickstart on 128 × 128 cells of the landscape (every fifth date), 16 cells or more from the border, probabilities differ
by 0.003 on average and 0.49 at most, and 1.7 % of labels, with tiles of 32 cells and the default halo of 4; with tiles of 64 and a halo
of 8 by 0.001, 0.28 and 0.7 %; without any halo the largest difference is 0.96 or more (`benchmarks/area.py --borders MODEL`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from omnifuse import __version__
from omnifuse.config import Config, to_dict
from omnifuse.data.map_store import MapArray, write_map_store
from omnifuse.data.place import Place
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch
from omnifuse.inference.area_model import coarsest, labels_of_maps, loaded, one_at_a_time, threads
from omnifuse.inference.blend import blended
from omnifuse.inference.cog import write_cog
from omnifuse.inference.executors import Chosen, joined, run_units
from omnifuse.inference.layers import Layer, layers_of, stored, unseen
from omnifuse.inference.plan import Tiling, Unit, WorkFolder, read_block, units_of, write_block
from omnifuse.inference.predictor import Predictor
from omnifuse.inference.releases import read_named
from omnifuse.inference.scene import Grid, Scene

_UNKNOWN = 64  # cells of a tile, where a model does not say on which places it was trained


@dataclass(frozen=True, kw_only=True)
class AreaOptions(Config):
    """How an area is predicted.

    Attributes:
        tile: Side in cells of the places that the model is given; 0: that of its training.
        halo: Cells from the border of a tile to where its neighbor weighs as much; -1: about an eighth of the tile.
        unit: Side in cells of a unit of work: what is lost when a run is stopped, and what one worker does at a time.
        at_once: Tiles that the model is given at a time; on a GPU more are faster.
        season_start: Day of your season that corresponds to the model's origin, such as 2022-09-01; all dates are shifted by whole days.
        device: What predicts: cpu, cuda or auto.
        threads: Threads of each process, for arithmetic that rounds alike in all of them; rather take more processes.
    """

    tile: int = 0
    halo: int = -1
    unit: int = 512
    at_once: int = 1
    season_start: str = ""
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("unit", "at_once", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"predict: `{name}` is {getattr(self, name)}. Try: 1 or more.")


@dataclass(frozen=True)
class MapJob:
    """Predicts a unit and writes a block of every layer; a `UnitJob`.

    Attributes:
        model: Model folder.
        scene: The area.
        tiling: The lattice of tiles.
        layers: What is written.
        options: How it is predicted.
        folder: Work folder.
    """

    model: str
    scene: Scene
    tiling: Tiling
    layers: tuple[Layer, ...]
    options: AreaOptions
    folder: Path

    def __call__(self, unit: Unit) -> None:
        with one_at_a_time, threads(self.options.threads):
            predictor = loaded(self.model, self.options.device)
            found = blended(self.scene, lambda places: self._predict(predictor, places), unit, self.tiling, self.options.at_once)
        for layer in self.layers:
            block = unseen(layer, unit.height, unit.width) if found is None else stored(layer, *found)
            write_block(self.folder, layer.what, unit, block)

    def _predict(self, predictor: Predictor, places: Sequence[Place]) -> Float[np.ndarray, "n k cells cells"]:
        batch = Batch.cat([place.to_batch() for place in places])
        return predictor.values(batch, season_start=self.options.season_start or None).cpu().numpy()


@dataclass(frozen=True)
class AreaMap:
    """What was written.

    Attributes:
        files: By layer, the main one first.
        grid: Cells of the map.
        tiling: Tiles that it was made from.
        shares: Of the classes, of the cells that any sensor saw; empty for quantities.
        seen: Share of cells that any sensor saw.
    """

    files: dict[str, Path]
    grid: Grid
    tiling: Tiling
    seen: float
    shares: dict[str, float] = field(default_factory=dict)


def predict_area(
    model: str | Path,
    scene: Scene,
    out: Path,
    options: AreaOptions,
    *,
    confidence: bool = False,
    probabilities: bool = False,
    executor: str = "local",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    slurm: Mapping[str, Any] | None = None,
) -> AreaMap | None:
    """Map an area; returns None on all ranks but the first.

    Args:
        model: Folder or name of a model.
        scene: The area.
        out: GeoTIFF to write (`.tif`), or Zarr store (`.zarr`). Other layers of a GeoTIFF are files beside it: `<out>_confidence.tif`.
        options: How.
        confidence: Whether to write the probability of the predicted class, in percent.
        probabilities: Whether to write the probabilities of all classes.
        executor: Who does it: see `executors.run_units`.
        overwrite: Whether to replace what is there, and to forget an earlier run that is not ended.
        progress: Called as `progress(done, total)` with units.
        slurm: Parameters of SLURM jobs.

    Raises:
        InputError: for output that is there already, or another run that was begun for it.
    """
    Chosen.parse(executor)
    folder, _ = read_named(str(model))
    predictor = loaded(str(folder.resolve()), options.device)
    tiling = tiling_of(predictor, scene.grid.gsd, options)
    layers = layers_of(labels_of_maps(predictor.config.architecture), confidence, probabilities)
    files = files_of(out, layers)
    identity = {
        "model": predictor.config.weights.sha256,
        "configuration": to_dict(predictor.config.architecture),
        "scene": scene.fingerprint,
        "grid": [scene.grid.crs, *scene.grid.bounds, scene.grid.gsd],
        "tiles": [tiling.tile, tiling.halo, tiling.align],
        "options": to_dict(replace(options, tile=0, halo=0)),
        "layers": [layer.what for layer in layers],
        "version": __version__,
    }
    work = WorkFolder(out.with_name(f"{out.name}.work"), identity)
    units = units_of(scene.grid.height, scene.grid.width, options.unit)
    job = MapJob(str(folder.resolve()), scene, tiling, tuple(layers), options, work.path.resolve())
    tags = {
        "model": folder.resolve().name,
        "weights_sha256": predictor.config.weights.sha256,
        "sensors": " ".join(scene.modalities),
        "tile_cells": str(tiling.tile),
        "halo_cells": str(tiling.halo),
        "TIFFTAG_SOFTWARE": f"omnifuse {__version__}",
    }
    with joined(executor) as leads:
        if leads:
            refuse_existing(list(files.values()), work, overwrite)
        with work if leads else nullcontext():
            run_units(units, job, executor, work, progress, slurm)
            if not leads:
                return None
            assemble(files, scene.grid, layers, units, options.unit, tags, work.path)
            seen, shares = shares_of(layers[0], units, work.path)
            work.remove()
    return AreaMap({layer.what: files[layer.what] for layer in layers}, scene.grid, tiling, seen, shares)


def assemble(
    files: Mapping[str, Path], grid: Grid, layers: Sequence[Layer], units: Sequence[Unit], side: int, tags: Mapping[str, str], folder: Path
) -> None:
    """Put the blocks of all units together, in the output's place at the last moment."""
    first = files[layers[0].what]
    if first.suffix == ".zarr":
        write_map_store(
            first,
            [_array(layer, folder) for layer in layers],
            crs=grid.crs,
            upper_left=(grid.left, grid.top),
            gsd=grid.gsd,
            shape=(grid.height, grid.width),
            side=side,
            attributes=tags,
            scratch=folder / "store",
        )
        return
    for layer in reversed(layers):  # the map itself comes last: when it is there, all is
        write_cog(files[layer.what], grid, layer, _blocks(layer, units, folder), tags, folder / "cog")


def _blocks(layer: Layer, units: Sequence[Unit], folder: Path) -> Iterator[tuple[Unit, Num[np.ndarray, "b h w"]]]:
    for unit in units:
        yield unit, read_block(folder, layer.what, unit)


def _array(layer: Layer, folder: Path) -> MapArray:
    told: dict[str, Any] = {"long_name": layer.what, "units": layer.units[0]}
    if layer.scale != 1:
        told["scale_factor"] = layer.scale
    if layer.classes is not None:
        names, colors = layer.classes.names, layer.classes.colors
        meanings = " ".join(name.replace(" ", "_") for name in names)
        told = {"long_name": "class", "flag_values": list(range(len(names))), "flag_meanings": meanings, "flag_colors": " ".join(colors)}
        told["class_names"] = list(names)  # CF has no names with spaces
    block = partial(_block_at, folder, layer.what)
    return MapArray(layer.what, layer.bands, layer.dtype, layer.nodata, block, told)


def _block_at(folder: Path, what: str, row: int, col: int) -> Num[np.ndarray, "b h w"]:
    return read_block(folder, what, Unit(row, col, 0, 0))


def files_of(out: Path, layers: Sequence[Layer]) -> dict[str, Path]:
    """Return the file of each layer; a Zarr store holds them all.

    Raises:
        InputError: for another ending, or a folder that is not there.
    """
    if out.suffix not in (".tif", ".tiff", ".zarr"):
        raise InputError(f"{out}: neither a GeoTIFF nor a Zarr store by its name. Try: {out.with_suffix('.tif').name}.")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}. Try: mkdir -p {out.parent}.")
    beside = out.suffix != ".zarr"
    return {layer.what: out.with_name(f"{out.stem}_{layer.what}{out.suffix}") if i and beside else out for i, layer in enumerate(layers)}


def refuse_existing(files: Sequence[Path], work: WorkFolder, overwrite: bool) -> None:
    """Raise `InputError` if an output is there that this run has not begun to write; with `overwrite` forget another run instead."""
    begun = work.begun()
    if overwrite and begun is False:
        work.forget()
    there = [file for file in files if file.exists()]
    if there and not overwrite and not begun:
        raise InputError(f"{there[0]}: exists. Try: --overwrite, or another name.")


def shares_of(layer: Layer, units: Sequence[Unit], folder: Path) -> tuple[float, dict[str, float]]:
    """Return the share of cells that were seen, and of these the share of each class."""
    counts, cells = np.zeros(256, np.int64), 0
    for unit in units:
        block = read_block(folder, layer.what, unit)[0]
        cells += block.size
        known = block.astype(np.uint8) if layer.classes else np.where(np.isnan(block), np.uint8(255), np.uint8(0))
        counts += np.bincount(known.ravel(), minlength=256)
    seen = int(counts[:255].sum())
    names = layer.classes.names if layer.classes else ()
    return seen / cells, {name: int(counts[value]) / max(seen, 1) for value, name in enumerate(names)}


def tiling_of(predictor: Predictor, gsd: float, options: AreaOptions) -> Tiling:
    """Return the lattice for a model on cells of `gsd` metres."""
    align = coarsest(predictor.config.architecture, gsd)
    size = predictor.config.facts.get("place size (m)")
    trained = round(size / gsd) if isinstance(size, int | float) else _UNKNOWN
    tile = options.tile or max(align, round(trained / align) * align)
    return Tiling.of(tile, align, None if options.halo < 0 else options.halo)
