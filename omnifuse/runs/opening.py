"""Places at a path, whatever lies there: the kind is told from the layout where it is not given."""

import argparse
from dataclasses import dataclass, field, fields, make_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import tyro

from omnifuse.config import Config
from omnifuse.data.place import PlaceSource
from omnifuse.errors import ConfigError, InputError
from omnifuse.runs.sources import DataConfig, StoreData, kinds

C = TypeVar("C", bound=Config)

# What must lie in the folder for a kind; the first that fits counts, so what has more comes first.
_LAYOUTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("store", ("zarr.json",)),
    ("pastis-hd", ("metadata.geojson", "DATA_SPOT")),
    ("pastis-r", ("metadata.geojson", "DATA_S1A")),
    ("pastis", ("metadata.geojson",)),
    ("pastis", ("DATA_S2",)),
    ("flair-hub", ("GLOBAL_ALL_MTD",)),
    ("flair-hub", ("*_AERIAL_RGBI",)),
    ("flair-hub", ("data/*_AERIAL_RGBI",)),
    ("flair2", ("flair_sen_train",)),
    ("flair2", ("data/*/sen",)),
    ("flair1", ("flair_aerial_train",)),
    ("treesatai-ts", ("aerial", "sentinel-ts")),
    ("treesatai-ts", ("aerial", "sentinel")),
    ("treesatai-ts", ("sentinel-ts",)),
    ("ombria", ("OmbriaS1",)),
    ("worldcereal-patches", ("*/OUTPUT_POLY-110_10m*.nc",)),
    ("worldcereal-pixels", ("*_long.parquet", "croptype_legend.csv")),
    ("algae-blooms", ("npy/s1_s2_era5_srtm.npy", "npy/target.npy")),
)
_TABLES = {".csv", ".parquet", ".geoparquet"}


@dataclass(frozen=True)
class Found:
    """What lies at a path: its `kind`, whether that was guessed, and the configuration that opens it."""

    path: str
    kind: str
    guessed: bool
    data: DataConfig

    def open(self) -> PlaceSource:
        return self.data.open()

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}" + (" (told from its layout; `--kind` says otherwise)" if self.guessed else "")


def command_line(command: type[C], path: str | None, flags: list[str], prog: str) -> tuple[C, Found]:
    """Return what the flags ask for, and what lies at the path, opened with those flags that are options of its kind.

    Args:
        command: Frozen configuration whose fields are the flags of the command; has `kind`.
        path: Where data lie; None where only the flags are to be listed.
        flags: As they stand on the command line.
        prog: How the command is called.
    """
    before = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    before.add_argument("--kind", default="")
    found = find(path, before.parse_known_args(flags)[0].kind) if path is not None else Found("", "", True, StoreData(path=""))
    flags_of: Any = fields(command)  # type: ignore[arg-type]  # every configuration is a dataclass
    taken = [one.name for one in flags_of]
    own = [one for one in fields(found.data) if one.name not in {"kind", "path", *taken}]
    rows: list[Any] = [(one.name, one.type, field(default=one.default)) for one in [*flags_of, *own]]
    about = [(command.__doc__ or "").rstrip(), *(type(found.data).__doc__ or "").partition("Attributes:\n")[2].rstrip().splitlines()]
    flat = make_dataclass("Flags", rows, namespace={"__doc__": "\n".join(about)}, kw_only=True, frozen=True)
    given: Any = tyro.cli(flat, args=flags, prog=prog)
    data = replace(found.data, **{one.name: getattr(given, one.name) for one in own})
    return command(**{name: getattr(given, name) for name in taken}), replace(found, data=data)


def find(path: str, kind: str = "") -> Found:
    """Return what lies at a path, as the named kind, or as the kind that its layout looks like.

    Raises:
        ConfigError: for an unknown kind, naming the nearest.
        InputError: where nothing is there, or nothing known.
    """
    known = kinds()
    guessed = not kind
    kind = kind or _guess(path)
    if kind not in known:
        near = get_close_matches(kind, known, 1)
        raise ConfigError(
            f"{path}: unknown kind {kind!r}; known are {', '.join(known)}. Try: --kind {near[0] if near else next(iter(known))}."
        )
    cls, name = known[kind]
    return Found(path, kind, guessed, cls(kind=name, path=path))


def _guess(path: str) -> str:
    if "://" in path:
        return "store"
    folder = Path(path)
    if not folder.exists():
        raise InputError(f"{path}: no such file or folder. Try: check the path.")
    if folder.is_file() and folder.suffix in _TABLES:
        return "rasters"
    for kind, patterns in _LAYOUTS:
        if all(any(folder.glob(pattern)) for pattern in patterns):
            return kind
    raise InputError(
        f"{path}: neither a store nor the layout of a data set that is known. Try: the folder above or below it, or "
        f"`--kind` with one of {', '.join(kinds())}."
    )
