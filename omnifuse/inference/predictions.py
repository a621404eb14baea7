"""What a model says of one place, for people: a map of classes, the classes of the place, or quantities; or vectors."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from omnifuse.classes import ClassTable, Quantities
from omnifuse.data.export import Dataset, Ground, embedding_dataset, prediction_dataset, quantity_dataset


@dataclass(frozen=True)
class Prediction:
    """A map of one place.

    Attributes:
        labels: Class of each cell.
        probability: Of each class; sums to 1.
        classes: Names and colors.
        ground: Where it lies, if the inputs had coordinates.
    """

    labels: Int[np.ndarray, "h w"]
    probability: Float[np.ndarray, "k h w"]
    classes: ClassTable
    ground: Ground | None = None

    def to_xarray(self) -> Dataset:
        """Return both maps with class names, and with coordinates if the inputs had them."""
        return prediction_dataset(self.labels, self.probability, self.classes, self.ground)


@dataclass(frozen=True)
class PlacePrediction:
    """The class of one place, or the classes that it has.

    Attributes:
        probability: Of each class; sums to 1 where classes exclude each other.
        classes: Names and colors, and whether they exclude each other.
    """

    probability: Float[np.ndarray, " k"]
    classes: ClassTable

    @property
    def names(self) -> tuple[str, ...]:
        """The most probable class; of classes that do not exclude each other all that are more probable than not, likeliest first."""
        order = np.argsort(-self.probability, kind="stable")
        if self.classes.exclusive:
            return (self.classes.names[int(order[0])],)
        return tuple(self.classes.names[int(i)] for i in order if self.probability[i] > 0.5)


@dataclass(frozen=True)
class Measurement:
    """Quantities of one place, or of each of its cells.

    Attributes:
        values: In the units of `quantities`; one per quantity, or a map of each.
        quantities: Names and units.
        ground: Where it lies, if the inputs had coordinates.
    """

    values: Float[np.ndarray, "q ..."]
    quantities: Quantities
    ground: Ground | None = None

    def to_xarray(self) -> Dataset:
        """Return one variable per quantity with its unit, and maps with coordinates if the inputs had them."""
        return quantity_dataset(self.values, self.quantities, self.ground)


@dataclass(frozen=True)
class Embedding:
    """A place as vectors.

    Attributes:
        place: Of the whole place.
        cells: Of every ground cell.
        ground: Where it lies, if the inputs had coordinates.
    """

    place: Float[np.ndarray, " d"]
    cells: Float[np.ndarray, "d h w"]
    ground: Ground | None = None

    def to_xarray(self) -> Dataset:
        """Return both, with coordinates if the inputs had them."""
        return embedding_dataset(self.place, self.cells, self.ground)
