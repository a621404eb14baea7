"""The files of TreeSatAI-TS: which belong to which tile, the split lists, the label file and the product names."""

import csv
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from omnifuse.data.arrays import days_since_1970
from omnifuse.errors import InputError

GENERA = (
    "Abies",
    "Acer",
    "Alnus",
    "Betula",
    "Cleared",
    "Fagus",
    "Fraxinus",
    "Larix",
    "Picea",
    "Pinus",
    "Populus",
    "Prunus",
    "Pseudotsuga",
    "Quercus",
    "Tilia",
)
SPLITS = ("train", "val", "test")
_SERIES_FOLDERS = ("sentinel-ts", "sentinel")  # the second is OmniSat's copy, without the year in the names
_LABELS = ("labels/TreeSatBA_v9_60m_multi_labels.json", "TreeSatBA_v9_60m_multi_labels.json", "labels.json")
_LISTS = ("{}_filenames.lst", "split/{}_filenames.lst", "splits/{}_filenames.lst", "{}.csv", "split/{}.csv")


@dataclass(frozen=True)
class TileFiles:
    """Where the data of one tile are.

    Attributes:
        aerial: The aerial image; None without one.
        series: Files of the time series: one, or none, or by mistake several.
        splits: Lists that name the tile: one, or none, or by mistake several.
        aerial_date: ISO date of the aerial image; empty where it is not published.
    """

    aerial: Path | None
    series: tuple[Path, ...]
    splits: tuple[str, ...]
    aerial_date: str


def find_tiles(folder: Path) -> dict[str, TileFiles]:
    """Return the files of every tile that has an aerial image or a time series, by tile id in alphabetical order.

    Ids have dots in them, so only the last suffix of a file is one; time series carry the year behind the id.

    Raises:
        InputError: where the folder holds no tile.
    """
    aerial = {file.stem: file for file in (folder / "aerial").glob("*.tif")}
    series: dict[str, list[Path]] = defaultdict(list)
    for name in _SERIES_FOLDERS:
        found = sorted((folder / name).glob("*.h5"))
        for file in found:
            series[re.sub(r"_(19|20)\d\d$", "", file.stem)].append(file)
        if found:
            break
    if not aerial and not series:
        raise InputError(
            f"{folder}: neither `aerial/*.tif` nor `sentinel-ts/*.h5`. Try: the folder that holds aerial, sentinel-ts and the labels."
        )
    listed, dates = read_lists(folder)
    return {
        tile: TileFiles(aerial.get(tile), tuple(series.get(tile, ())), tuple(listed.get(tile, ())), dates.get(tile, ""))
        for tile in sorted({*aerial, *series})
    }


def read_lists(folder: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the splits that list each tile, and the dates of the aerial images where a list has them.

    A split is `<split>_filenames.lst` (a file name a line), or `<split>.csv` with the column `aerial_name`.
    """
    listed: dict[str, list[str]] = defaultdict(list)
    dates = {}
    for split in SPLITS:
        file = next((folder / name.format(split) for name in _LISTS if (folder / name.format(split)).is_file()), None)
        if file is None:
            continue
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error}). Try: download it again.") from None
        if file.suffix == ".csv":
            for number, row in enumerate(csv.DictReader(lines), 2):
                if not row.get("aerial_name"):
                    raise InputError(f"{file}: line {number} has no `aerial_name`. Try: download it again.")
                listed[_tile(row["aerial_name"])].append(split)
                date = row.get("aerial_date") or ""
                if re.fullmatch(r"\d{8}", date):
                    dates[_tile(row["aerial_name"])] = f"{date[:4]}-{date[4:6]}-{date[6:]}"
        else:
            for line in lines:
                if line.strip():
                    listed[_tile(line.strip())].append(split)
    return {tile: list(dict.fromkeys(splits)) for tile, splits in listed.items()}, dates


def label_file(folder: Path) -> Path:
    """Return the file with the area shares.

    Raises:
        InputError: where there is none.
    """
    found = next((folder / name for name in _LABELS if (folder / name).is_file()), None)
    if found is None:
        raise InputError(f"{folder}: no labels, {' or '.join(_LABELS)}. Try: unpack `labels.zip` here.")
    return found


def read_shares(file: Path) -> dict[str, Float[np.ndarray, "15"]]:
    """Return the share of the ground under each genus, by tile.

    Raises:
        InputError: naming the tile whose labels are not pairs of a known genus and a share in 0..1.
    """
    try:
        table = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error}). Try: download it again.") from None
    if not isinstance(table, dict):
        raise InputError(f"{file}: a JSON {type(table).__name__}, expected file names with their genera. Try: download it again.")
    shares = {}
    for name, pairs in table.items():
        vector = np.zeros(len(GENERA), np.float32)
        seen = set()
        for pair in pairs if isinstance(pairs, list) else [pairs]:
            genus, share = pair if isinstance(pair, list) and len(pair) == 2 else (pair, None)
            known = isinstance(genus, str) and genus in GENERA and genus not in seen
            if not known or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise InputError(
                    f"{file}: {name!r} has {pair!r}, expected [genus, share] with a share in 0..1 and each genus once, of "
                    f"{', '.join(GENERA)}. Try: download it again."
                )
            seen.add(genus)
            vector[GENERA.index(genus)] = share
        shares[_tile(name)] = vector
    return shares


def product_days(products: list[Any], field: int, where: str) -> Int[np.ndarray, " t"]:
    """Return days since 1970-01-01 from full ESA product names, as bytes or text, whose `field` (from 0) starts with the date."""
    dates = []
    for product in products:
        text = product.decode("ascii", "replace") if isinstance(product, bytes) else str(product)
        fields = text.removeprefix("b'").split("_")
        date = fields[field][:8] if len(fields) > field else ""
        if len(date) != 8 or not date.isdigit():
            raise InputError(f"{where}: {text!r} has no date in field {field}. Try: full ESA product names.")
        dates.append(f"{date[:4]}-{date[4:6]}-{date[6:]}")
    return days_since_1970(dates, where)


def _tile(name: str) -> str:
    """Return the tile id of an image's file name, with or without folder and suffix."""
    return Path(name).name.removesuffix(".tif")
