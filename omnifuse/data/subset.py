"""Which places: splits by metadata, and a source that shows some places of another."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from omnifuse.data.place import Place, PlaceSource, frames_of, how_split, labelled_places, quantities_of, read_sensors
from omnifuse.data.statistics import Summarised
from omnifuse.errors import InputError


def split(info: Sequence[dict[str, str | int | float]], key: str, values: Iterable[str | int | float]) -> Int[np.ndarray, " n"]:
    """Return the places whose metadata `key` is one of `values`, in order: `split(source.info, "fold", (1, 2, 3))`.

    Raises:
        InputError: where a place lacks the key, or no place has one of the values.
    """
    wanted = list(values)
    lacking = [index for index, row in enumerate(info) if key not in row]
    if lacking:
        raise InputError(f"split: place {lacking[0]} has no {key!r}, only {', '.join(info[lacking[0]])}. Try: one of these.")
    found = {row[key] for row in info}
    for value in wanted:
        if value not in found:
            raise InputError(f"split: no place has {key} = {value!r}. Try: values among {sorted(found, key=str)[:20]}.")
    return np.array([index for index, row in enumerate(info) if row[key] in wanted], dtype=np.int64)


def split_by_text(info: Sequence[dict[str, str | int | float]], key: str, values: Iterable[str]) -> Int[np.ndarray, " n"]:
    """Return what `split` returns, with values as text, as they come from a command line."""
    known = {str(row[key]): row[key] for row in info if key in row}
    return split(info, key, [known.get(value, value) for value in values])


class Subset:
    """Some places of a source as a source of their own.

    Args:
        source: Where the places come from.
        indices: Which of them, in this order.
    """

    def __init__(self, source: PlaceSource, indices: Int[np.ndarray, " n"]) -> None:
        self.source = source
        self.indices = indices
        self.modalities = source.modalities
        self.classes = source.classes
        self.quantities = quantities_of(source)
        self.size = source.size
        self.info = [source.info[index] for index in indices]
        self.provenance = source.provenance
        self.how_split = how_split(source)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Place:
        return self.source[int(self.indices[index])]

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some sensors saw it (`omnifuse.data.place.Selective`)."""
        return read_sensors(self.source, int(self.indices[index]), sensors)

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]] | None:
        """Return the images of each sensor at each place (`omnifuse.data.place.Counted`); None where the source does not know."""
        known = frames_of(self.source)
        return None if known is None else {name: count[self.indices] for name, count in known.items()}

    def labelled(self) -> Bool[np.ndarray, " places"] | None:
        """Return which places have labels (`omnifuse.data.place.Annotated`); None where the source does not know."""
        known = labelled_places(self.source)
        return None if known is None else known[self.indices]

    def moments(self, name: str) -> Float[np.ndarray, "places bands 3"] | None:
        """Return the moments of a sensor's places (`omnifuse.data.statistics.Summarised`); None where the source has none."""
        known = self.source.moments(name) if isinstance(self.source, Summarised) else None
        return None if known is None else known[self.indices]
