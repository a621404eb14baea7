"""What a conversion has done so far: a line per place, so that a second run does only what is missing."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from omnifuse.config import to_dict
from omnifuse.data.manifest import FORMAT, load_json, replace_file
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.errors import InputError


@dataclass(frozen=True)
class Written:
    """What was written for one place into one array.

    Attributes:
        shape: Of the values.
        dtype: Their type, by name.
        day: Days since 1970-01-01 of the frames; none of labels.
        crc: CRC-32C of what stands in the file.
        pieces: Bytes of what stands in the file, piece by piece.
        summary: Rows that tell of the values: per band (pixels, mean, sum of squared deviations), or the pixels per class.
    """

    shape: tuple[int, ...]
    dtype: str
    day: tuple[int, ...]
    crc: int
    pieces: tuple[int, ...]
    summary: tuple[tuple[float, ...], ...] | tuple[int, ...]


Record = dict[str, Written]  # by array, as a path in the store


class Journal:
    """The records of the places that are written, in a file that survives the process; lines that were torn are passed over.

    Args:
        folder: Where it is kept.
        identity: What is being converted, as `identity_of` has it.

    Raises:
        InputError: where the folder holds the journal of another conversion.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str]) -> None:
        begun = folder / "identity.json"
        if not begun.exists():
            replace_file(begun, json.dumps(dict(identity)).encode())
        found = load_json(begun)
        if found != identity:
            other = [key for key in identity if found.get(key) != identity[key]]
            raise InputError(
                f"{folder}: a conversion of something else was begun here and not ended ({', '.join(other)} differ). "
                "Try: go on with what it was begun with, or remove this folder."
            )
        self._file = folder / "journal"
        self.records: dict[int, Record] = {}
        for line in self._file.read_bytes().split(b"\n") if self._file.exists() else ():
            crc, _, raw = line.partition(b" ")
            if crc == b"%08x" % google_crc32c.value(raw):
                self._take(json.loads(raw))

    def append(self, index: int, record: Record | None) -> None:
        """Record what was written for a place; with None the place will be done again."""
        raw = json.dumps({"index": index, "record": None if record is None else {k: asdict(v) for k, v in record.items()}}).encode()
        with self._file.open("ab", buffering=0) as stream:
            stream.write(b"\n%08x %s\n" % (google_crc32c.value(raw), raw))  # the first line feed ends a line that was torn
        self._take(json.loads(raw))

    def _take(self, line: dict[str, Any]) -> None:
        if line["record"] is None:
            self.records.pop(line["index"], None)
        else:
            self.records[line["index"]] = {name: _written(one) for name, one in line["record"].items()}


def identity_of(source: PlaceSource, profile: str) -> dict[str, str]:
    """Return digests of all that says which store will be written."""
    labels = labels_of(source)
    parts = {
        "format": FORMAT,
        "profile": profile,
        "modalities": [to_dict(modality) for modality in source.modalities.values()],
        "size": source.size,
        "classes": None if labels is None else to_dict(labels),
        "places": source.info,
        "provenance": source.provenance,
    }
    return {name: sha256(json.dumps(part, default=np.generic.item).encode()).hexdigest()[:16] for name, part in parts.items()}


def _written(fields: dict[str, Any]) -> Written:
    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    return Written(**{name: tuples(value) for name, value in fields.items()})
