"""Some sensors of a source as a source of their own."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from omnifuse.data.place import Place, PlaceSource, frames_of, how_split, labelled_places, quantities_of, read_sensors
from omnifuse.data.statistics import Summarised
from omnifuse.modalities import check_names


class SensorView:
    """The places of a source as the named sensors alone saw them (a `PlaceSource`).

    Args:
        source: Where the places come from.
        names: Sensors to keep, in this order.
    """

    def __init__(self, source: PlaceSource, names: tuple[str, ...]) -> None:
        check_names(names, list(source.modalities), "data")
        self.source = source
        self.modalities = {name: source.modalities[name] for name in names}
        self.classes = source.classes
        self.quantities = quantities_of(source)
        self.size = source.size
        self.info = source.info
        self.provenance = source.provenance
        self.how_split = how_split(source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Place:
        return read_sensors(self.source, index, tuple(self.modalities))

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some of these sensors saw it (`omnifuse.data.place.Selective`)."""
        return read_sensors(self.source, index, sensors)

    def num_frames(self) -> dict[str, Int[np.ndarray, " places"]] | None:
        """Return the images of each sensor at each place (`omnifuse.data.place.Counted`); None where the source does not know."""
        known = frames_of(self.source)
        return None if known is None else {name: known[name] for name in self.modalities}

    def labelled(self) -> Bool[np.ndarray, " places"] | None:
        """Return which places have labels (`omnifuse.data.place.Annotated`); None where the source does not know."""
        return labelled_places(self.source)

    def moments(self, name: str) -> Float[np.ndarray, "places bands 3"] | None:
        """Return the moments of a sensor's places (`omnifuse.data.statistics.Summarised`); None where the source has none."""
        return self.source.moments(name) if isinstance(self.source, Summarised) else None
