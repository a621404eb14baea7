"""How PASTIS lies on disk and what its labels are; and how a folder in this layout says that it is something else."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnifuse.classes import ClassTable
from omnifuse.config import Config, from_dict
from omnifuse.data.sources.pastis_metadata import load
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

SIDE = 1280.0  # metres
ABOUT = "about.json"
_AGAIN = "Try: write the folder again, or download it again."
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
class About(Config):
    """What a folder in this layout says of itself in `about.json` where it is not the published data set.

    Attributes:
        source: Where the data come from.
        licence: Under which licence.
        citation: Which paper to cite.
        size: Side of a patch in metres.
        classes: Class table of the labels that are handed out.
        labels: Class of each stored label 0, 1, ...; -1 where a label does not occur.
        modalities: The sensors that there are; none: those of the published data set, as in the catalogue.
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


def read_about(folder: Path) -> About:
    """Return what the folder says of itself; the published data set where it says nothing.

    Raises:
        InputError: naming `about.json` and what of it cannot be.
    """
    file = folder / ABOUT
    if not file.is_file():
        return PUBLISHED
    about = from_dict(About, load(file), str(file))
    names = [modality.name for modality in about.modalities]
    if not set(names) <= {*SERIES, *IMAGES} or len(set(names)) != len(names):
        raise InputError(f"{file}: modalities {names}, expected some of {(*SERIES, *IMAGES)}, each once. {_AGAIN}")
    if not (10 <= about.size <= 100_000 and about.size % 10 == 0):
        raise InputError(f"{file}: `size` is {about.size}, expected a multiple of 10 m, at most 100 km. {_AGAIN}")
    for modality in about.modalities:
        if not (0.1 <= modality.gsd <= about.size and abs(about.size / modality.gsd % 1 - 0.5) > 0.499) or modality.context:
            raise InputError(f"{file}: `gsd` of {modality.name} is {modality.gsd}: no whole number of pixels in {about.size:g} m. {_AGAIN}")
    if not all(label in (-1, about.classes.ignore) or 0 <= label < len(about.classes.names) for label in about.labels):
        raise InputError(f"{file}: `labels` {about.labels} that are not classes. {_AGAIN}")
    return about
