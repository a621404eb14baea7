"""`omnifuse predict MODEL --s2 'folder/*.tif' ... --out map.tif`: a map of a whole area."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnifuse.classes import ClassTable
from omnifuse.config import Config
from omnifuse.errors import InputError, StoppedError
from omnifuse.inference.area import AreaMap, AreaOptions, predict_area
from omnifuse.inference.area_model import gsd_of_maps, labels_of_maps
from omnifuse.inference.executors import Chosen, this_rank
from omnifuse.inference.folder import ModelFolder
from omnifuse.inference.releases import read_named
from omnifuse.inference.scene_rasters import RasterScene
from omnifuse.inference.stac import Made, stac_item_for_map, write_item
from omnifuse.runs.scene_flags import SceneFlags, area_of, area_options, dates_of, scene_command
from omnifuse.runs.stages import console, progress_bar


@dataclass(frozen=True, kw_only=True)
class SlurmOptions(Config):
    """Of `--executor slurm=N`; what is not said is left to the cluster (or to variables such as SBATCH_ACCOUNT).

    Attributes:
        minutes: After which a job is ended.
        partition: To which jobs go.
        account: Which pays.
        cpus: Of a job.
        gpus: Of a job.
        memory: Of a job, in GB.
    """

    minutes: int = 24 * 60
    partition: str = ""
    account: str = ""
    cpus: int = 1
    gpus: int = 0
    memory: int = 0

    @property
    def parameters(self) -> dict[str, Any]:
        """The options as submitit names them."""
        return {
            "timeout_min": self.minutes,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus,
            "mem_gb": self.memory,
        }


@dataclass(frozen=True, kw_only=True)
class PredictCommand(AreaOptions):
    """Map an area of any size from any subset of a model's sensors. A run that was stopped goes on with the same command.

    Attributes:
        out: GeoTIFF to write (.tif), cloud-optimized, or Zarr store (.zarr). Other layers of a GeoTIFF lie beside it.
        confidence: Write the probability of the predicted class, too, in percent.
        probabilities: Write the probabilities of all classes, too.
        executor: local, processes=N, dask=ADDRESS, ranks (under torchrun) or slurm=N jobs; the bytes are the same.
        overwrite: Replace what is there, and forget an earlier run that was not ended.
        slurm: Of jobs.
        tile: Side in cells of the places that the model is given; 0: that of its training.
        halo: Cells from the border of a tile to where its neighbor weighs as much; -1: about an eighth of the tile.
        unit: Side in cells of a unit of work: what is lost when a run is stopped, and what one worker does at a time.
        at_once: Tiles that the model is given at a time; on a GPU more are faster.
        season_start: Day of your season that corresponds to the model's origin, such as 2022-09-01; all dates are shifted by whole days.
        device: What predicts: cpu, cuda or auto.
        threads: Threads of each process, for arithmetic that rounds alike in all of them; rather take more processes.
    """

    out: str = "map.tif"
    confidence: bool = False
    probabilities: bool = False
    executor: str = "local"
    overwrite: bool = False
    slurm: SlurmOptions = field(default_factory=SlurmOptions)


def predict(model: str, flags: list[str]) -> None:
    """Map the area that flags ask for, and say what was written.

    Raises:
        InputError: for rasters or an output that will not do.
        StoppedError: where it was interrupted from the keyboard.
    """
    folder, content = read_named(model)
    command, rasters = scene_command(PredictCommand, content.architecture.sensors.modalities, flags, f"omnifuse predict {model}")
    out = Path(command.out)
    leads = Chosen.parse(command.executor).kind != "ranks" or this_rank()[0] == 0
    labels_of_maps(content.architecture)  # says why where there are no maps, before rasters are looked at
    scene = rasters.open(content, gsd_of_maps(content.architecture), command.season_start)
    if leads:
        console.print(area_of(scene), markup=False)
    try:
        with progress_bar("predict") as progress:
            made = predict_area(
                str(folder),
                scene,
                out,
                area_options(command),
                confidence=command.confidence,
                probabilities=command.probabilities,
                executor=command.executor,
                overwrite=command.overwrite,
                progress=progress if leads else lambda done, total: None,
                slurm=command.slurm.parameters,
            )
    except KeyboardInterrupt:
        raise StoppedError(f"{out}: interrupted. Try: the same command again; it goes on.") from None
    if made is not None:
        console.print(said(made), markup=False)
        _write_item(made, model, content, scene, rasters)


def _write_item(made: AreaMap, model: str, content: ModelFolder, scene: RasterScene, rasters: SceneFlags) -> None:
    """Write the STAC item of a map of classes beside it."""
    labels, dates = content.architecture.labels, dates_of(scene)
    if "classes" not in made.files or not isinstance(labels, ClassTable):
        return
    if dates is None:
        console.print("no STAC item: no image has a date", markup=False)
        return
    told = {"tile_cells": made.tiling.tile, "halo_cells": made.tiling.halo}
    sources = tuple(path for given in rasters.paths.values() for path in given)
    about = Made(model, content.weights.sha256, tuple(scene.modalities), *dates, sources, told)
    others = {what: path for what, path in made.files.items() if path != made.files["classes"]}
    try:
        item = stac_item_for_map(made.files["classes"], made.grid, about, labels, others=others)
    except InputError as error:  # corners of the map may have no place on the globe; the map itself is made
        console.print(f"no STAC item: {error}", markup=False)
        return
    console.print(f"{write_item(made.files['classes'], item)}: STAC item", markup=False)


def said(made: AreaMap) -> str:
    """Return what was written, in a few lines."""
    tiling = made.tiling
    lines = [f"{path}: {what}" for what, path in made.files.items()]
    lines.append(f"from tiles of {tiling.tile} cells with a halo of {tiling.halo}; {made.seen:.1%} of the area was seen by a sensor")
    shares = sorted(made.shares.items(), key=lambda row: -row[1])
    lines += [f"  {share:6.1%} {name}" for name, share in shares if share]
    return "\n".join(lines)
