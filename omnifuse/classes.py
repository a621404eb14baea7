"""Class tables: names and colours of labels, and the label that counts for nothing."""

from dataclasses import dataclass

from omnifuse.config import Config


@dataclass(frozen=True)
class ClassTable(Config):
    """Classes of a label map.

    Attributes:
        names: Name of class 0, 1, ...
        colors: `#rrggbb` of each class.
        ignore: Label value that is neither learned nor scored (void, unlabelled); -1 if there is none.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...]
    ignore: int = -1
