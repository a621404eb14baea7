"""What labels speak of: classes with names and colours, or quantities with units."""

from dataclasses import dataclass

from omnifuse.config import Config
from omnifuse.errors import ConfigError


@dataclass(frozen=True)
class ClassTable(Config):
    """Classes of a label map, or of places.

    Attributes:
        names: Name of class 0, 1, ...
        colors: `#rrggbb` of each class.
        ignore: Label value that is neither learned nor scored (void, unlabelled); -1 if there is none.
        exclusive: Whether a thing is of one class (labels are its number) or of any number of classes at once (labels are one value
            per class: its share, or 0 and 1; NaN where unknown).
        present_above: Of classes that are not exclusive: the share above which a class counts as present.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...]
    ignore: int = -1
    exclusive: bool = True
    present_above: float = 0.0


@dataclass(frozen=True)
class Quantities(Config):
    """Continuous labels, per pixel (q, h, w) or per place (q,); NaN where unknown.

    Attributes:
        names: Name of each quantity.
        units: Unit of each, of the labels as stored and of predictions.
        mean: Mean of each over labels to train on; the loss is of standardised values.
        std: Standard deviation of each, positive.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("units", "mean", "std"):
            found = len(getattr(self, name))
            if found != len(self.names) or not self.names:
                raise ConfigError(f"quantities: {found} values in `{name}` for {len(self.names)} names. Try: one for each, at least one.")
        if min(self.std) <= 0:
            raise ConfigError(f"quantities: `std` must be positive, found {self.std}. Try: that of the labels.")


Labels = ClassTable | Quantities
