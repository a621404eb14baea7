"""Vectors of all places of a source as one table: resumable, on any executor, the same bytes from every one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnifuse import __version__
from omnifuse.config import Config, to_dict
from omnifuse.data.place import PlaceSource
from omnifuse.data.sensors import SensorView
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.area import refuse_existing
from omnifuse.inference.area_model import loaded
from omnifuse.inference.embedding_rows import EmbedPlaces, Rows, read_rows, shared_sensors
from omnifuse.inference.embedding_table import About, Dtype, Written, write_table
from omnifuse.inference.executors import Chosen, joined, run_units
from omnifuse.inference.plan import Unit, WorkFolder, units_of
from omnifuse.inference.releases import read_named

_UNIT = 256  # places: what is done again after a stop


@dataclass(frozen=True, kw_only=True)
class PlacesOptions(Config):
    """How places are embedded.

    Attributes:
        dtype: Of the stored numbers; int8 with a step per dimension takes a quarter of the room.
        normalize: Whether vectors get length 1; what is searched by cosine does not need it.
        season_start: Day of your season that corresponds to the model's origin, such as 2022-09-01.
        batch_size: Places that go through the model together.
        device: cpu, cuda, or auto for a GPU where there is one.
        threads: Threads of each process, for arithmetic that rounds alike in all of them; rather take more processes.
    """

    dtype: Dtype = "float32"
    normalize: bool = False
    season_start: str = ""
    batch_size: int = 8
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"embed: `{name}` is {getattr(self, name)}. Try: 1 or more.")


@dataclass(frozen=True)
class EmbeddedPlaces:
    """A table that was written.

    Attributes:
        path: The file.
        about: What is the same for all rows.
        written: What it holds.
    """

    path: Path
    about: About
    written: Written


def embed_places(
    model: str,
    source: PlaceSource,
    out: Path,
    options: PlacesOptions,
    *,
    identity: str,
    sensors: Sequence[str] = (),
    grid: tuple[int, int] = (0, 0),
    executor: str = "local",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    slurm: Mapping[str, Any] | None = None,
) -> EmbeddedPlaces | None:
    """Embed the places of a source into a table; returns None on all ranks but the first.

    Args:
        model: Folder or name of a model.
        source: The places; picklable where other processes work.
        out: GeoParquet file to write.
        options: How.
        identity: Names the places and their pixels: a run that was stopped goes on only with the same.
        sensors: Sensors to use; by default all that the model reads.
        grid: Side of a place and step to the next, in cells, where places lie on a grid.
        executor: Who does it: see `executors.run_units`.
        overwrite: Whether to replace what is there, and to forget an earlier run that is not ended.
        progress: Called as `progress(done, total)` with units of some hundred places.
        slurm: Parameters of SLURM jobs.

    Raises:
        InputError: for sensors that the model does not know, or output that is there already.
    """
    Chosen.parse(executor)
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}. Try: mkdir -p {out.parent}.")
    folder, content = read_named(model)
    known = loaded(str(folder.resolve()), options.device).modalities
    names = shared_sensors(source.modalities, known, sensors, "embed")
    told = {"normalize": options.normalize, "season_start": options.season_start}
    about = About(
        model=folder.resolve().name if Path(model).is_dir() else model,
        sha256=content.weights.sha256,
        sensors=names,
        source=source.provenance.get("source", ""),
        size=source.size,
        dtype=options.dtype,
        chip=grid[0],
        stride=grid[1],
        options=told,
    )
    what = {"model": content.weights.sha256, "places": identity, "number": len(source), "version": __version__}
    work = WorkFolder(out.with_name(f"{out.name}.work"), what | {"options": to_dict(options), "sensors": names, "grid": grid})
    units = units_of(len(source), 1, _UNIT)
    job = EmbedPlaces(
        SensorView(source, names),
        str(folder.resolve()),
        work.path.resolve(),
        options.batch_size,
        options.device,
        options.threads,
        options.normalize,
        options.season_start,
    )
    with joined(executor) as leads:
        if leads:
            refuse_existing([out], work, overwrite)
        with work if leads else nullcontext():
            run_units(units, job, executor, work, progress, slurm)
            if not leads:
                return None
            written = write_table(out, source.info, lambda: _blocks(work.path, units), about)
            work.remove()
    return EmbeddedPlaces(out, about, written)


def _blocks(folder: Path, units: Sequence[Unit]) -> Iterator[Rows]:
    for unit in units:
        yield read_rows(folder, unit)
