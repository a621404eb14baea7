"""Labels: the classes behind the numbers of a raster, maps of them over a place, and labels of whole places."""

import colorsys
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Num

from omnifuse.classes import ClassTable
from omnifuse.config import Config, from_dict, read_json
from omnifuse.data.raster_file import color_table
from omnifuse.errors import ConfigError, InputError


@dataclass(frozen=True)
class Legend(Config):
    """The content of `classes.json`.

    Attributes:
        names: Name of class 0, 1, ...
        colors: `#rrggbb` of each; empty for evenly spread hues.
        ignore: Class id of unlabelled ground in the result; -1 if there is none.
        values: Number in the rasters of each class; empty where that is 0, 1, ...
        unlabelled: Numbers in the rasters that are no class.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...] = ()
    ignore: int = 255
    values: tuple[int, ...] = ()
    unlabelled: tuple[int, ...] = ()

    @property
    def table(self) -> ClassTable:
        return ClassTable(self.names, self.colors or hues(len(self.names)), self.ignore)


def read_legend(file: Path, first: str) -> Legend:
    """Return the classes from `classes.json`, or from the colour table and category names of the first label raster.

    Raises:
        ConfigError: naming the field of the file that is wrong.
        InputError: where there is neither.
    """
    if file.is_file():
        return _read_file(file)
    names, colors = _categories(Path(f"{first}.aux.xml")), color_table(first)
    if not names:
        last = max((value for value, color in colors.items() if any(color[:3])), default=-1)
        names = tuple(f"class {number}" for number in range(last + 1))
    if not names:
        raise InputError(f"{first}: labels without a colour table, category names or {file.name}. Try: write {file} with their names.")
    hexadecimal = ["#{:02x}{:02x}{:02x}".format(*colors[number][:3]) if number in colors else "" for number in range(len(names))]
    return Legend(names, tuple(hexadecimal) if all(hexadecimal) else ())


def scene_shares(file: Path, texts: Mapping[str, str]) -> tuple[Legend, dict[str, Float[np.ndarray, " c"]]]:
    """Return the classes of whole places and, by place, the share of each: `wheat` is 1 of it, `wheat:0.7;corn:0.3` is some of both.

    Args:
        file: `classes.json`; where there is none the classes are those that occur, in alphabetical order.
        texts: What the table says of each place that has a label.

    Raises:
        InputError: naming the place whose label is no class or has a share outside of 0..1.
    """
    parts = {place: [part.strip().partition(":") for part in text.split(";")] for place, text in texts.items()}
    legend = _read_file(file) if file.is_file() else Legend(tuple(sorted({name for found in parts.values() for name, _, _ in found})))
    shares = {}
    for place, found in parts.items():
        vector = np.zeros(len(legend.names), np.float32)
        for name, _, share in found:
            if name not in legend.names or vector[legend.names.index(name)]:
                raise InputError(
                    f"place {place!r}: label {name!r} stands twice or is none of {', '.join(legend.names)}. Try: one of these."
                )
            try:
                value = float(share) if share else 1.0
            except ValueError:
                value = -1.0
            if not 0 <= value <= 1:
                raise InputError(f"place {place!r}: share {share!r} of {name!r} is not in 0..1. Try: `{name}`, or `{name}:0.5`.")
            vector[legend.names.index(name)] = value
        shares[place] = vector
    return legend, shares


def class_ids(values: Num[np.ndarray, "h w"], missing: Bool[np.ndarray, "h w"], legend: Legend, where: str) -> Num[np.ndarray, "h w"]:
    """Return class ids from the numbers of a label raster; ground that is not labelled becomes `ignore`.

    Raises:
        InputError: for a number that is no class, and for unlabelled ground where nothing is ignored.
    """
    if missing.any() and legend.ignore < 0:
        raise InputError(f"{where}: unlabelled ground, but `ignore` is {legend.ignore}. Try: `ignore` 255 in classes.json.")
    stored = legend.values or tuple(range(len(legend.names)))
    ids = np.full(values.shape, max(legend.ignore, 0), np.uint8 if max(legend.ignore, len(stored) - 1) < 256 else np.int32)
    known = missing | (np.isin(values, legend.unlabelled) if legend.ignore >= 0 else False)
    for number, value in enumerate(stored):
        here = (values == value) & ~known
        ids[here] = number
        known = known | here
    if not known.all():
        found = np.unique(values[~known])[:5].tolist()
        raise InputError(f"{where}: numbers {found} are no class. Try: `values` for them in classes.json, or `unlabelled`.")
    return ids


def _read_file(file: Path) -> Legend:
    legend = from_dict(Legend, read_json(file), str(file))
    num = len(legend.names)
    for name in ("colors", "values"):
        found = len(getattr(legend, name))
        if found not in (0, num):
            raise ConfigError(f"{file}: {found} `{name}` for {num} names. Try: one for each name, or leave `{name}` out.")
    if not num or 0 <= legend.ignore < num:
        raise ConfigError(f"{file}: {num} names and `ignore` {legend.ignore}. Try: names, and a number that is no class, such as 255.")
    wrong = [color for color in legend.colors if not re.fullmatch(r"#[0-9a-fA-F]{6}", color)]
    if wrong:
        raise ConfigError(f"{file}: color {wrong[0]!r}. Try: six hexadecimal digits, such as '#1b5e20'.")
    if len(set(legend.values)) != len(legend.values):
        raise ConfigError(f"{file}: a number stands twice in `values`. Try: one number per name.")
    return legend


def _categories(file: Path) -> tuple[str, ...]:
    """Return the category names that GDAL keeps beside a raster; none where there is no such file."""
    if not file.is_file() or file.stat().st_size > 2**20:
        return ()
    return tuple(
        html.unescape(name) for name in re.findall(r"<Category>(.*?)</Category>", file.read_text(encoding="utf-8", errors="replace"))
    )


def hues(num: int) -> tuple[str, ...]:
    """Return evenly spread hues, neighbours of alternating brightness."""
    colors = [colorsys.hsv_to_rgb(number / max(num, 1), 0.65, 0.9 if number % 2 else 0.65) for number in range(num)]
    return tuple("#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in color)) for color in colors)
