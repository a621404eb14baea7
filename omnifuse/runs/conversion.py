"""Turning a data set into a store: what is asked for on the command line, and what is said at the end."""

from dataclasses import dataclass, field, fields, make_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tyro

from omnifuse.config import Config
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError
from omnifuse.runs.sources import DataConfig, kinds
from omnifuse.runs.stages import console, progress_bar


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Config):
    """Write a data set as a store.

    Attributes:
        workers: Processes that read and write; 1 works in this one.
    """

    workers: int = 2


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
    """Write the store, showing the progress, and say what is in it."""
    source = command.data.open()
    with progress_bar("convert") as progress:
        write_store(source, out, workers=command.options.workers, progress=progress)
    console.print(_summary(out), markup=False)


def _attributes(cls: type) -> list[str]:
    """Return the lines of a docstring's section on attributes."""
    return (cls.__doc__ or "").partition("Attributes:\n")[2].rstrip().splitlines()


def _summary(out: Path) -> str:
    store = Store(out)
    return f"{out}: {len(store)} places of {store.size:g} m, sensors {', '.join(store.modalities)}"
