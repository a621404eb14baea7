"""How PASTIS lies on disk and what its labels are; and how a folder in this layout says that it is something else."""

from dataclasses import dataclass

import numpy as np

from omnifuse.classes import ClassTable
from omnifuse.modalities import Modality

SIDE = 1280.0  # metres
ABOUT = "about.json"
VOID = 19

# Colours are Matplotlib's tab20 with 0 black and 19 white, as published with the benchmark.
CLASSES = ClassTable(
    names=(
        "background",
        "meadow",
        "soft winter wheat",
        "corn",
        "winter barley",
        "winter rapeseed",
        "spring barley",
        "sunflower",
        "grapevine",
        "beet",
        "winter triticale",
        "winter durum wheat",
        "fruits, vegetables, flowers",
        "potatoes",
        "leguminous fodder",
        "soybeans",
        "orchard",
        "mixed cereal",
        "sorghum",
        "void",
    ),
    colors=(
        "#000000",
        "#aec7e8",
        "#ff7f0e",
        "#ffbb78",
        "#2ca02c",
        "#98df8a",
        "#d62728",
        "#ff9896",
        "#9467bd",
        "#c5b0d5",
        "#8c564b",
        "#c49c94",
        "#e377c2",
        "#f7b6d2",
        "#7f7f7f",
        "#c7c7c7",
        "#bcbd22",
        "#dbdb8d",
        "#17becf",
        "#ffffff",
    ),
    ignore=VOID,
)


@dataclass(frozen=True)
class NativeSeries:
    """How one sensor's series lies on disk: `DATA_<name>/<name>_<id>.npy`."""

    name: str
    dtype: np.dtype[np.generic]
    nodata: float | None = None


SERIES = {
    "s2": NativeSeries("S2", np.dtype(np.int16), -10_000),
    "s1_asc": NativeSeries("S1A", np.dtype(np.float16)),
    "s1_desc": NativeSeries("S1D", np.dtype(np.float16)),
}
IMAGES = ("spot",)


@dataclass(frozen=True)
class About:
    """What a folder in this layout says of itself in `about.json` where it is not the published data set.

    Attributes:
        source: Where the data come from.
        licence: Under which licence.
        citation: Which paper to cite.
        size: Side of a patch in metres.
        classes: Class table of the labels that are handed out.
        labels: Class of each stored label 0, 1, ...; -1 where a label does not occur.
        modalities: Of the sensors in which they are not as in the catalogue.
    """

    source: str
    licence: str
    citation: str = ""
    size: float = SIDE
    classes: ClassTable = CLASSES
    labels: tuple[int, ...] = tuple(range(len(CLASSES.names)))
    modalities: tuple[Modality, ...] = ()


PUBLISHED = About(
    source="PASTIS (with the radar series of PASTIS-R and the SPOT images of PASTIS-HD where these sensors are read)",
    licence="Etalab Open Licence 2.0; contains modified Copernicus Sentinel data",
    citation="Garnot and Landrieu, ICCV 2021, arXiv:2107.07933; PASTIS-R arXiv:2112.07558; PASTIS-HD arXiv:2404.08351",
)
