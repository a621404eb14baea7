"""Turning a data set into a store: what is asked for on the command line, and what is said at the end."""

from contextlib import ExitStack
from dataclasses import dataclass, field, fields, make_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import tyro

from omnifuse.config import Config
from omnifuse.data.executors import dask_cluster
from omnifuse.data.place import Noted, some_of
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, StoppedError
from omnifuse.runs.sources import DataConfig, kinds
from omnifuse.runs.stages import console, progress_bar


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Config):
    """Write a data set as a store.

    Attributes:
        profile: training for uncompressed files that are read directly; archive for compressed shards, for object stores and keeping.
        workers: Processes that read and write; 1 works in this one.
        scheduler: Address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do it instead; they must see the same files.
    """

    profile: Literal["training", "archive"] = "training"
    workers: int = 2
    scheduler: str = ""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What is converted, and how."""

    data: DataConfig
    options: ConvertOptions


def conversion(kind: str, path: str, flags: list[str]) -> Conversion:
    """Return what the command line asks for; flags are the options and those of the kind.

    Raises:
        ConfigError: for an unknown kind, naming the nearest.
    """
    known = kinds()
    if kind not in known:
        near = get_close_matches(kind, known, 1)
        raise ConfigError(f"data convert: unknown kind {kind!r}; known are {', '.join(known)}. Try: {near[0] if near else 'one of these'}.")
    cls, name = known[kind]
    own = [one for one in fields(cls) if one.name not in ("kind", "path")]
    rows: list[Any] = [(one.name, one.type, field(default=one.default)) for one in [*own, *fields(ConvertOptions)]]
    doc = "\n".join([f"Write {kind} data as a store.", "", "Attributes:", *_attributes(ConvertOptions), *_attributes(cls)])
    flat = make_dataclass("Convert", rows, namespace={"__doc__": doc}, kw_only=True, frozen=True)
    given: Any = tyro.cli(flat, args=flags, prog=f"omnifuse data convert {kind} PATH OUT")
    return Conversion(
        data=cls(kind=name, path=path, **{one.name: getattr(given, one.name) for one in own}),
        options=ConvertOptions(**{one.name: getattr(given, one.name) for one in fields(ConvertOptions)}),
    )


def convert(command: Conversion, out: Path) -> None:
    """Write the store, showing the progress, and say what is in it. What an earlier run wrote of it is kept.

    Raises:
        StoppedError: where it was interrupted from the keyboard.
    """
    source, options = command.data.open(), command.options
    try:
        with ExitStack() as stack:
            executor = stack.enter_context(dask_cluster(options.scheduler)) if options.scheduler else None
            progress = stack.enter_context(progress_bar("convert"))
            write_store(source, out, workers=options.workers, progress=progress, profile=options.profile, executor=executor)
    except KeyboardInterrupt:
        raise StoppedError(f"{out}: interrupted. Try: the same command again; it goes on.") from None
    notes = source.notes() if isinstance(source, Noted) else []
    console.print("\n".join([summary(out), *(f"  {note}" for note in notes)]), markup=False)


def summary(path: Path) -> str:
    """Return what a store holds, in a few lines: places, bytes on disk, and per sensor where it is missing."""
    store = Store(path)
    files = [file.stat() for file in path.rglob("*") if file.is_file()]
    # Not what a file says of its length: the tail of a short series is a hole.
    lines = [f"{path}: {len(store)} places of {store.size:g} m, {sum(file.st_blocks * 512 for file in files) / 1e6:,.1f} MB on disk"]
    for name in store.modalities:
        pixels = store.moments(name)[:, 0, 0]
        absent = [str(row["id"]) for row, count in zip(store.info, pixels, strict=True) if not count]
        where = f", missing at {some_of(absent)}" if absent else ""
        lines.append(f"  {name}: {len(store) - len(absent)} places{where}")
    return "\n".join(lines)


def _attributes(cls: type) -> list[str]:
    """Return the lines of a docstring's section on attributes."""
    return (cls.__doc__ or "").partition("Attributes:\n")[2].rstrip().splitlines()
