"""`omnifuse embed MODEL --s2 'folder/*.tif' ...`: vectors of the cells of an area as Zarr or GeoTIFF, or of its squares as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from omnifuse.errors import ConfigError, StoppedError
from omnifuse.inference.area import AreaOptions
from omnifuse.inference.area_model import loaded
from omnifuse.inference.embed_places import PlacesOptions, embed_places
from omnifuse.inference.embedding_cells import EmbeddedCells, cells_of, embed_cells, tiling_of_cells
from omnifuse.inference.executors import Chosen, this_rank
from omnifuse.inference.pca_picture import save_small
from omnifuse.inference.releases import read_named
from omnifuse.inference.scene_rasters import RasterScene
from omnifuse.inference.scene_squares import SceneSquares
from omnifuse.inference.stac import Made, stac_item_for_embeddings, write_item
from omnifuse.runs.embedding import TABLES, describe
from omnifuse.runs.predicting import SlurmOptions
from omnifuse.runs.scene_flags import area_of, area_options, dates_of, scene_command
from omnifuse.runs.stages import console, progress_bar


@dataclass(frozen=True, kw_only=True)
class EmbedAreaCommand(AreaOptions):
    """Write vectors of an area of any size, from any subset of a model's sensors. A run that was stopped goes on with the same command.

    Attributes:
        out: Zarr store (.zarr) or cloud-optimized GeoTIFF (.tif) of a vector per cell; or GeoParquet (.parquet) of one per square.
        dtype: Of the stored numbers; int8 has a step per dimension and takes a quarter of float32.
        normalize: Whether vectors get length 1.
        stride: Cells from one square to the next, for a table; 0: squares side by side.
        picture: Whether to color cells (or squares) by the three main directions of their vectors.
        executor: local, processes=N, dask=ADDRESS, ranks (under torchrun) or slurm=N jobs; the bytes are the same.
        overwrite: Replace what is there, and forget an earlier run that was not ended.
        slurm: Of jobs.
        tile: Side in cells of the places that the model is given, and of squares; 0: that of its training.
        halo: Cells from the border of a tile to where its neighbor weighs as much; -1: about an eighth of the tile.
        unit: Side in cells of a unit of work: what is lost when a run is stopped, and what one worker does at a time.
        at_once: Tiles that the model is given at a time; on a GPU more are faster.
        season_start: Day of your season that corresponds to the model's origin, such as 2022-09-01; all dates are shifted by whole days.
        device: What embeds: cpu, cuda or auto.
        threads: Threads of each process, for arithmetic that rounds alike in all of them; rather take more processes.
    """

    out: str = "embeddings.zarr"
    dtype: Literal["float32", "float16", "int8"] = "float16"
    normalize: bool = False
    stride: int = 0
    picture: bool = True
    executor: str = "local"
    overwrite: bool = False
    slurm: SlurmOptions = field(default_factory=SlurmOptions)


def embed_area(model: str, flags: list[str]) -> None:
    """Embed the area that flags ask for, and say what was written.

    Raises:
        InputError: for rasters or an output that will not do.
        StoppedError: where it was interrupted from the keyboard.
    """
    folder, content = read_named(model)
    command, rasters = scene_command(EmbedAreaCommand, content.architecture.sensors.modalities, flags, f"omnifuse embed {model}")
    table = Path(command.out).suffix in TABLES
    if command.stride and not table:
        raise ConfigError(
            f"embed: `--stride` is of squares in a table, {command.out} has cells. Try: --out {Path(command.out).stem}.parquet."
        )
    gsd, _ = cells_of(loaded(str(folder.resolve()), command.device))
    scene = rasters.open(content, gsd, command.season_start)
    if Chosen.parse(command.executor).kind != "ranks" or this_rank()[0] == 0:
        console.print(area_of(scene), markup=False)
    try:
        (_embed_squares if table else _embed_cells)(model, scene, command, rasters.paths)
    except KeyboardInterrupt:
        raise StoppedError(f"{command.out}: interrupted. Try: the same command again; it goes on.") from None


def _embed_cells(model: str, scene: RasterScene, command: EmbedAreaCommand, paths: Mapping[str, tuple[str, ...]]) -> None:
    with progress_bar("embed") as progress:
        made = embed_cells(
            model,
            scene,
            Path(command.out),
            area_options(command),
            dtype=command.dtype,
            normalize=command.normalize,
            picture=command.picture,
            executor=command.executor,
            overwrite=command.overwrite,
            progress=progress,
            slurm=command.slurm.parameters,
        )
    if made is not None:
        _describe_cells(made, model, scene, paths)


def _describe_cells(made: EmbeddedCells, model: str, scene: RasterScene, paths: Mapping[str, tuple[str, ...]]) -> None:
    vectors, tiling = made.vectors, made.tiling
    console.print(f"{made.path}: {vectors.dimensions} numbers per cell ({vectors.dtype})", markup=False)
    console.print(
        f"from tiles of {tiling.tile} cells with a halo of {tiling.halo}; {made.seen:.1%} of the area was seen by a sensor", markup=False
    )
    drawn = None
    if made.picture is not None:
        drawn = made.path.with_name(f"{made.path.name}.png")
        save_small(made.picture, drawn)
        console.print(f"{made.picture}, {drawn}: cells colored by the three main directions of their vectors", markup=False)
    dates = dates_of(scene)
    if dates is None:
        console.print("no STAC item: no image has a date", markup=False)
        return
    told = {"tile_cells": tiling.tile, "halo_cells": tiling.halo}
    sources = tuple(path for given in paths.values() for path in given)
    about = Made(model, made.sha256, tuple(scene.modalities), *dates, sources, told)
    others = {"colors": made.picture} if made.picture else {}
    item = stac_item_for_embeddings(made.path, made.grid, about, vectors, others=others, picture=drawn)
    console.print(f"{write_item(made.path, item)}: STAC item", markup=False)


def _embed_squares(model: str, scene: RasterScene, command: EmbedAreaCommand, paths: Mapping[str, tuple[str, ...]]) -> None:
    folder, _ = read_named(model)
    tile = tiling_of_cells(loaded(str(folder.resolve()), command.device), scene.grid.gsd, command).tile
    stride = command.stride or tile
    sources = tuple(path for given in paths.values() for path in given)
    squares = SceneSquares(scene, tile, stride, {"source": " ".join(Path(path).name for path in sources)})
    options = PlacesOptions(
        dtype=command.dtype,
        normalize=command.normalize,
        season_start=command.season_start,
        batch_size=command.at_once,
        device=command.device,
        threads=command.threads,
    )
    with progress_bar("embed") as progress:
        table = embed_places(
            model,
            squares,
            Path(command.out),
            options,
            identity=scene.fingerprint,
            grid=(tile, stride),
            executor=command.executor,
            overwrite=command.overwrite,
            progress=progress,
            slurm=command.slurm.parameters,
        )
    if table is not None:
        describe(table, model, sources, command.picture)
