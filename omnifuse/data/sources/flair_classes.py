"""Label nomenclatures of FLAIR#1 and FLAIR#2 (arXiv:2211.12979, arXiv:2310.13336) and of FLAIR-HUB (arXiv:2506.07080).

A protocol says which stored values are classes of their own, in which order. Class ids are 0-based. Values that are no class of the
protocol get the number after the last class, which is ignored: neither learned nor scored.

* `flair12`: stored 1..12 are 0..11; 13..19 ("other") are ignored. The published score keeps "other" pixels in its 13×13 matrix, where
  a class predicted on them is a false positive: here they are not counted, so the figures do not compare. For the published rule take
  `flair13`, give "other" no weight in the loss, and average the first 12 IoU.
* `flair13`: as above, and "other" is class 12, learned and scored.
* `flair15`: stored 1..14 and 18; 15 (clear cut), 16 (mixed), 17 (ligneous) and 19 (other) are ignored.
* `flair19`: every stored value.
* `cosia15`: stored 0..14; 15 (clear cut), 16 (ligneous), 17 (mixed) and 18 (undefined) are ignored.
* `cosia19`: every stored value. Labels of FLAIR#1 and FLAIR#2 can be read in these two, as well, so that one head learns from all.
* `lpis`: the 23 classes of the coarsest level, background included.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from omnifuse.classes import ClassTable
from omnifuse.errors import InputError

_NONE = 255  # no such value is stored


@dataclass(frozen=True)
class Nomenclature:
    """Classes of a protocol, and the class id of each stored value from 0 on (255: the value must not occur)."""

    classes: ClassTable
    ids: tuple[int, ...]


def class_ids(stored: UInt8[np.ndarray, "h w"], nomenclature: Nomenclature, where: str) -> UInt8[np.ndarray, "h w"]:
    """Return the class ids of stored label values.

    Raises:
        InputError: naming `where` and the first value that the data set does not have.
    """
    wrong = unknown_values(stored, nomenclature)
    if wrong:
        known = [value for value, number in enumerate(nomenclature.ids) if number != _NONE]
        raise InputError(f"{where}: label values {wrong[:5]}, expected {known[0]}..{known[-1]}. Try: download this file again.")
    return np.array(nomenclature.ids, np.uint8)[stored]


def unknown_values(stored: UInt8[np.ndarray, "h w"], nomenclature: Nomenclature) -> list[int]:
    """Return the stored values that the data set does not have, in ascending order."""
    known = {value for value, number in enumerate(nomenclature.ids) if number != _NONE}
    return [value for value in np.flatnonzero(np.bincount(stored.ravel())).tolist() if value not in known]


_FLAIR = (  # stored value 1, 2, ...
    ("building", "#db0e9a"),
    ("pervious surface", "#938e7b"),
    ("impervious surface", "#f80c00"),
    ("bare soil", "#a97101"),
    ("water", "#1553ae"),
    ("coniferous", "#194a26"),
    ("deciduous", "#46e483"),
    ("brushwood", "#f3a60d"),
    ("vineyard", "#660082"),
    ("herbaceous vegetation", "#55ff00"),
    ("agricultural land", "#fff30d"),
    ("plowed land", "#e4df7c"),
    ("swimming pool", "#3de6eb"),
    ("snow", "#ffffff"),
    ("clear cut", "#8ab3a0"),
    ("mixed", "#6b714f"),
    ("ligneous", "#c5dc42"),
    ("greenhouse", "#9999ff"),
    ("other", "#000000"),
)
_COSIA = (  # stored value 0, 1, ...
    ("building", "#ce7079"),
    ("greenhouse", "#b9e2d4"),
    ("swimming pool", "#62d0ff"),
    ("impervious surface", "#a6aab7"),
    ("pervious surface", "#987752"),
    ("bare soil", "#bbb096"),
    ("water", "#3375a1"),
    ("snow", "#e9effe"),
    ("herbaceous vegetation", "#8cd76a"),
    ("agricultural land", "#decf55"),
    ("plowed land", "#d0a349"),
    ("vineyard", "#b08290"),
    ("deciduous", "#4c9129"),
    ("coniferous", "#126421"),
    ("brushwood", "#b5c335"),
    ("clear cut", "#e48e4d"),
    ("ligneous", "#222222"),
    ("mixed", "#222222"),
    ("undefined", "#222222"),
)
_LPIS = (  # stored value 0, 1, ...
    ("grasses", "#92d050"),
    ("wheat", "#d7e600"),
    ("barley", "#e0e000"),
    ("maize", "#fff100"),
    ("other cereals", "#ffff00"),
    ("rice", "#e8e8e8"),
    ("flax/hemp/tobacco", "#dceaf7"),
    ("sunflower", "#d29ead"),
    ("rapeseed", "#d29ed0"),
    ("other oilseed crops", "#ffbe99"),
    ("soy", "#ffc000"),
    ("other protein crops", "#ff9000"),
    ("fodder legumes", "#009999"),
    ("beetroots", "#808000"),
    ("potatoes", "#a7a700"),
    ("other arable crops", "#89896d"),
    ("vineyard", "#f2cfee"),
    ("olive groves", "#6f6633"),
    ("fruit orchards", "#ac8141"),
    ("nut orchards", "#996633"),
    ("other permanent crops", "#80c1d7"),
    ("mixed crops", "#000000"),
    ("background", "#000000"),
)

# Class of the FLAIR-HUB nomenclature (stored value) for each value of FLAIR#1/#2, 1 to 19.
FLAIR_TO_COSIA = {
    1: 0, 2: 4, 3: 3, 4: 5, 5: 6, 6: 13, 7: 12, 8: 14, 9: 11, 10: 8, 11: 9, 12: 10, 13: 2, 14: 7, 15: 15, 16: 17, 17: 16, 18: 1, 19: 18,
}  # fmt: skip


def _nomenclature(entries: tuple[tuple[str, str], ...], kept: tuple[int, ...], first: int) -> Nomenclature:
    """Return the protocol whose classes are the entries `kept`, where the stored value of the first entry is `first`."""
    ignored = len(kept)
    ids = tuple(kept.index(entry) if entry in kept else ignored for entry in range(len(entries)))
    names, colors = zip(*(entries[entry] for entry in kept), strict=True)
    return Nomenclature(ClassTable(names, colors, ignored if ignored < len(entries) else -1), (_NONE,) * first + ids)


def _flair13() -> Nomenclature:
    every = _nomenclature(_FLAIR, (*range(12), 18), 1)
    return Nomenclature(ClassTable(every.classes.names, every.classes.colors), (_NONE, *range(12), *(12,) * 7))


def _as_cosia(cosia: Nomenclature) -> Nomenclature:
    return Nomenclature(cosia.classes, (_NONE, *(cosia.ids[FLAIR_TO_COSIA[value]] for value in sorted(FLAIR_TO_COSIA))))


HUB_PROTOCOLS = {
    "cosia15": _nomenclature(_COSIA, tuple(range(15)), 0),
    "cosia19": _nomenclature(_COSIA, tuple(range(19)), 0),
    "lpis": _nomenclature(_LPIS, tuple(range(23)), 0),
}
FLAIR_PROTOCOLS = {
    "flair12": _nomenclature(_FLAIR, tuple(range(12)), 1),
    "flair13": _flair13(),
    "flair15": _nomenclature(_FLAIR, (*range(14), 17), 1),
    "flair19": _nomenclature(_FLAIR, tuple(range(19)), 1),
    "cosia15": _as_cosia(HUB_PROTOCOLS["cosia15"]),
    "cosia19": _as_cosia(HUB_PROTOCOLS["cosia19"]),
}
