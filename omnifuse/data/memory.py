"""Places held in memory: for small sets and for sources that are costly to compute."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from omnifuse.data.loading import read_places
from omnifuse.data.place import Place, PlaceSource, quantities_of


class InMemory:
    """Every place of a source, read once (a `PlaceSource`). Worker processes that are forked share the memory.

    Args:
        source: Where the places come from; it is not kept.
        places: All of its places in order, if they were read already.
    """

    def __init__(self, source: PlaceSource, places: list[Place] | None = None) -> None:
        self.modalities = source.modalities
        self.classes = source.classes
        self.quantities = quantities_of(source)
        self.size = source.size
        self.info = source.info
        self.provenance = source.provenance
        self.places = list(read_places(source, range(len(source)))) if places is None else places

    @classmethod
    def build(cls, source: PlaceSource, workers: int = 0, progress: Callable[[int, int], None] | None = None) -> "InMemory":
        """Read all places with `workers` processes (0: this one), calling `progress(done, total)` after each."""
        places: list[Place] = []
        for place in read_places(source, range(len(source)), workers):
            places.append(place)
            if progress is not None:
                progress(len(places), len(source))
        return cls(source, places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Place:
        return self.places[index]

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]]:
        """Return the images of each sensor at each place (`omnifuse.data.place.Counted`)."""
        return {
            name: np.array([len(place.series[name].day) if name in place.series else 0 for place in self.places])
            for name in self.modalities
        }

    def labelled(self) -> Bool[np.ndarray, " places"]:
        """Return which places have labels (`omnifuse.data.place.Annotated`)."""
        return np.array([place.target is not None for place in self.places], bool)
