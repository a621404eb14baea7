"""Changes of a finished store: metadata columns that name splits, and the statistics that its pixels are normalised by.

Both happen at once or not at all: whoever stops at any moment leaves the store as it was or as it was to be.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnifuse.config import from_dict, to_dict
from omnifuse.data.layout import is_numeric, write_small
from omnifuse.data.manifest import exclusive, revise, settle
from omnifuse.data.statistics import Statistics, with_statistics
from omnifuse.data.store import Store
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]
Column = Sequence[str | int | float]


def add_columns(path: Path, columns: Mapping[str, Column], about: Mapping[str, Json]) -> None:
    """Add columns to the metadata of a store's places, so that `split(info, name, values)` finds them.

    Args:
        path: Folder of the store.
        columns: One value per place, in the store's order. Adding again what is there already changes nothing.
        about: How they were made (seed, method, parameters); kept as `splits[name]` in the attributes of the group `place`.

    Raises:
        InputError: where a column has another length, a name that is taken, or one that is no name.
    """
    path = Path(path)
    with exclusive(path, "changing"):
        sealed = settle(path)
        group = dict(sealed.metadata["place"])
        attributes = dict(group["attributes"])
        splits = dict(attributes.get("splits", {}))
        text = dict(attributes["text"])
        added = []
        for name, column in columns.items():
            values, num_places = np.array(column, object).tolist(), sealed.attributes["places"]
            where = f"{path}: column {name!r}"
            if not name or "/" in name or name.startswith((".", "_")):
                raise InputError(f"{where}: not a name of a column. Try: letters and digits.")
            if len(values) != num_places:
                raise InputError(f"{where}: {len(values)} values for {num_places} places. Try: one value per place, in order.")
            if name in attributes["columns"]:
                if splits.get(name) == _plain(about) and [row.get(name) for row in Store(path).info] == values:
                    continue
                raise InputError(f"{where}: the places have one of this name. Try: another name.")
            if is_numeric(values):
                shutil.rmtree(path / "place" / name, ignore_errors=True)  # of a process that was stopped
                files = write_small(path / "place" / name, np.array(values), ("place",))
                added += [file.relative_to(path).as_posix() for file in files]
            else:
                text[name] = values
            attributes["columns"] = [*attributes["columns"], name]
            splits[name] = _plain(about)
        if attributes["columns"] != group["attributes"]["columns"]:
            group["attributes"] = {**attributes, "text": text, "splits": splits}
            revise(path, {"place": group}, added)


def set_statistics(path: Path, statistics: Statistics, about: Mapping[str, Json] | None = None) -> None:
    """Replace mean and standard deviation of the named sensors of a store; models that are trained on it start from these.

    Args:
        path: Folder of the store.
        statistics: (mean, std) per band by sensor, in the sensor's unit; a constant band's std becomes 1.
        about: What they were taken over; kept as `statistics` in the attributes of each sensor's `pixels`.

    Raises:
        InputError: for a sensor that the store does not have.
    """
    path = Path(path)
    with exclusive(path, "changing"):
        sealed = settle(path)
        groups = {name: sealed.metadata[name] for name in sealed.attributes["sensors"]}
        modalities = {name: from_dict(Modality, group["attributes"], f"{path}: {name}") for name, group in groups.items()}
        changed: dict[str, dict[str, Any]] = {}
        for name, modality in with_statistics(modalities, statistics).items():
            if name in statistics:
                changed[name] = {**groups[name], "attributes": to_dict(modality)}
                if about is not None:
                    pixels = sealed.metadata[f"{name}/pixels"]
                    changed[f"{name}/pixels"] = {**pixels, "attributes": {**pixels.get("attributes", {}), "statistics": _plain(about)}}
        revise(path, changed)


def _plain(about: Mapping[str, Json]) -> Any:
    """Return what JSON would give back."""
    return json.loads(json.dumps(about))
