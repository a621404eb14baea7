"""What a store consists of besides its chunks: small files, each with its CRC-32C in the root metadata, which has its own.

Zarr reads a missing chunk as zeros and damaged metadata as other metadata. So a store lists and checks its metadata and
small arrays when it is opened; `count`, one of these, says which of the large chunks must exist.
"""

import json
from pathlib import Path
from typing import Any

import google_crc32c

from omnifuse.errors import InputError

_ROOT = "zarr.json"
_KEY = "omnifuse"
FORMAT = 1


def seal(root: Path, attributes: dict[str, Any], chunked: set[str]) -> None:
    """Complete the root metadata of a store with its attributes and with the check sums of its files.

    Args:
        root: Folder of the store.
        attributes: What the store says of itself, as plain JSON types.
        chunked: Arrays, as paths below `root`, whose chunks are not listed (`count` tells which exist).
    """
    document = load_json(root / _ROOT)
    files = {}
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        listed = file.is_file() and name != _ROOT and (file.name == _ROOT or file.parent.relative_to(root).as_posix() not in chunked)
        if listed:
            files[name] = google_crc32c.value(file.read_bytes())
    document["attributes"] = {_KEY: {"format": FORMAT, **attributes, "files": files}}
    document["attributes"][_KEY]["crc32c"] = _crc(document)
    (root / _ROOT).write_text(json.dumps(document), encoding="utf-8")


def open_sealed(root: Path) -> dict[str, Any]:
    """Return the attributes of a store after checking its root metadata and every listed file.

    Raises:
        InputError: naming the file that is missing or damaged.
    """
    file = root / _ROOT
    document = load_json(file)
    try:
        attributes: dict[str, Any] = document["attributes"][_KEY]
        stored = attributes.pop("crc32c")
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{file}: not the metadata of a store of this package. Try: a folder written by `write_store`.") from None
    if _crc(document) != stored:
        raise InputError(f"{file}: damaged, its check sum differs. Try: copy this file again, or write the store again.")
    if attributes["format"] != FORMAT:
        raise InputError(
            f"{file}: a store of format {attributes['format']}, this version reads {FORMAT}. Try: another version of omnifuse."
        )
    for name, crc in attributes["files"].items():
        try:
            found = google_crc32c.value((root / name).read_bytes())
        except OSError as error:
            raise InputError(f"{root / name}: missing or unreadable ({error.strerror}). Try: copy the store again.") from None
        if found != crc:
            raise InputError(f"{root / name}: damaged, its check sum differs. Try: copy this file again, or write the store again.")
    return attributes


def load_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: naming the file that is missing or is not JSON.
    """
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: missing or unreadable ({error.strerror}). Try: check the path of the store.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error}). Try: copy this file again, or write the store again.") from None
    if not isinstance(document, dict):
        raise InputError(f"{file}: not a JSON object. Try: copy this file again, or write the store again.")
    return document


def _crc(document: dict[str, Any]) -> int:
    return google_crc32c.value(json.dumps(document, sort_keys=True).encode())
