"""Places: where they come from, how they are stored, and how they become batches."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import xarray

    from omnifuse.data.pictures.showing import PlacePicture
    from omnifuse.data.place import PlaceSource


def open(path: Path | str, chunks: Mapping[str, int] | Literal["auto"] | None = None) -> "xarray.DataTree":
    """Open a store on disk or at an address as labelled arrays: `omnifuse.data.store.open_tree`."""
    from omnifuse.data.store import open_tree

    return open_tree(path, chunks)


def show(source: "PlaceSource", index: int | str, num_dates: int = 8) -> "PlacePicture":
    """Draw a place of a source, by its position or its id; a notebook shows it: `omnifuse.data.pictures.showing.show`."""
    from omnifuse.data.pictures.showing import show

    return show(source, index, num_dates)
