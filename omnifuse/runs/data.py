"""Making data: the synthetic landscape as a store, or in the published layout of PASTIS."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from omnifuse.config import Config
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.landscape.native import write_pastis
from omnifuse.data.store import write_store
from omnifuse.runs.stages import progress_bar


@dataclass(frozen=True, kw_only=True)
class LandscapeCommand(Config):
    """Write the synthetic landscape.

    Attributes:
        landscape: What it is.
        native: Write in the published layout of this data set, for testing readers, instead of the project's own store.
        profile: Of the store: training for uncompressed files that are read directly; archive for compressed shards.
        workers: Processes that make places; 1 makes them in this one.
    """

    landscape: LandscapeConfig = field(default_factory=LandscapeConfig)
    native: Literal["none", "pastis-hd"] = "none"
    profile: Literal["training", "archive"] = "training"
    workers: int = 2


def write_landscape(out: Path, command: LandscapeCommand) -> None:
    """Write the landscape to `out`, whole or not at all."""
    source = Landscape(command.landscape)
    with progress_bar("landscape") as progress:
        if command.native == "pastis-hd":
            write_pastis(source, out, [name for name in command.landscape.sensors if name in ("s2", "s1_asc", "spot")])
        else:
            write_store(source, out, workers=command.workers, progress=progress, profile=command.profile)
