"""What a store consists of besides its chunks: small files, each with its CRC-32C in the root metadata, which has its own.

Zarr reads a missing chunk as zeros and damaged metadata as other metadata. So a store lists and checks its metadata and
small arrays when it is opened; `count`, one of these, says which of the large chunks must exist.

The root `zarr.json` also holds the metadata of every group and array (what Zarr calls consolidated metadata), and what it says
counts: so one file, replaced as a whole, changes a store from one state to the next. The `zarr.json` of each group and array says
the same for readers that open it alone. While a change is under way it may still say what it said before: the root lists such
files as `pending`, with the check sum that they had.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from omnifuse.data.durable import sync
from omnifuse.errors import InputError

_ROOT = "zarr.json"
_KEY = "omnifuse"
FORMAT = 2


@dataclass(frozen=True)
class Sealed:
    """The root metadata of a store.

    Attributes:
        attributes: What the store says of itself; `files` are the check sums by path, `pending` those that may still hold.
        metadata: The `zarr.json` of every group and array by path, as the root has it.
    """

    attributes: dict[str, Any]
    metadata: dict[str, dict[str, Any]]


def seal(root: Path, attributes: dict[str, Any], chunked: set[str]) -> None:
    """Complete a store with its root metadata: its attributes, the metadata of all groups and arrays, and the check sums of its files.

    Args:
        root: Folder of the store.
        attributes: What the store says of itself, as plain JSON types.
        chunked: Arrays, as paths below `root`, whose chunks are not listed (`count` tells which exist).
    """
    files, metadata = {}, {}
    for name in small_files(root, chunked):
        files[name] = google_crc32c.value((root / name).read_bytes())
        if Path(name).name == _ROOT:
            metadata[Path(name).parent.as_posix()] = load_json(root / name)
    _write_root(root, Sealed({"format": FORMAT, **attributes, "files": files, "pending": {}}, metadata))


def small_files(root: Path, chunked: set[str]) -> list[str]:
    """Return the files of a store, as paths below `root`, except the root metadata and the chunks of the `chunked` arrays."""
    found = []
    for folder, _, names in os.walk(root):
        path = Path(folder).relative_to(root)
        if path.as_posix() in chunked:  # there may be millions
            names = [_ROOT] if _ROOT in names else []
        found += [(path / name).as_posix() for name in names]
    return sorted(name for name in found if name != _ROOT)


def revise(root: Path, metadata: Mapping[str, dict[str, Any]], added: Iterable[str] = ()) -> None:
    """Change the metadata of groups of a finished store; at every moment it is the old store or the new one.

    Args:
        root: Folder of the store; hold `exclusive(root)`.
        metadata: The new `zarr.json` of each group that changes, by path.
        added: Files below `root` that were written for the new state and are not listed yet.
    """
    sealed = settle(root)
    new = {f"{path}/{_ROOT}": _dump(document) for path, document in metadata.items()}
    files = {**sealed.attributes["files"], **{name: google_crc32c.value(raw) for name, raw in new.items()}}
    documents = {**sealed.metadata, **metadata}
    for name in added:
        files[name] = google_crc32c.value((root / name).read_bytes())
        if Path(name).name == _ROOT:
            documents[Path(name).parent.as_posix()] = load_json(root / name)
    pending = {name: sealed.attributes["files"][name] for name in new}
    # From here on the store is the new one: readers take what the root says, and accept the files that it is about to replace.
    _write_root(root, Sealed({**sealed.attributes, "files": dict(sorted(files.items())), "pending": pending}, documents))
    settle(root)


def settle(root: Path) -> Sealed:
    """Complete a change that was stopped, if there was one, and return the root metadata, checked."""
    sealed = open_sealed(root)
    if not sealed.attributes["pending"]:
        return sealed
    for name in sealed.attributes["pending"]:
        replace_file(root / name, _dump(sealed.metadata[Path(name).parent.as_posix()]))
    settled = Sealed({**sealed.attributes, "pending": {}}, sealed.metadata)
    _write_root(root, settled)
    return settled


def open_sealed(root: Path) -> Sealed:
    """Return the root metadata of a store after checking it and every listed file.

    Raises:
        InputError: naming the file that is missing or damaged.
    """

    def read(name: str) -> bytes:
        try:
            return (root / name).read_bytes()
        except OSError as error:
            raise InputError(f"{root / name}: missing or unreadable ({error.strerror}). Try: copy the store again.") from None

    sealed = parse_root(load_json(root / _ROOT), str(root / _ROOT))
    for name in sealed.attributes["files"]:
        check_file(sealed, name, read(name), str(root / name))
    return sealed


def parse_root(document: dict[str, Any], where: str) -> Sealed:
    """Check the root metadata of a store that was read from `where`.

    Raises:
        InputError: where it is damaged, of another format, or not of a store of this package.
    """
    try:
        attributes: dict[str, Any] = document["attributes"][_KEY]
        stored, found = attributes.pop("crc32c"), attributes["format"]
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{where}: not the metadata of a store of this package. Try: a folder written by `write_store`.") from None
    if _crc(document) != stored:
        raise InputError(f"{where}: damaged, its check sum differs. Try: copy this file again, or write the store again.")
    if found != FORMAT:
        raise InputError(f"{where}: a store of format {found}, this version reads {FORMAT}. Try: write the store again.")
    return Sealed(attributes, document["consolidated_metadata"]["metadata"])


def check_file(sealed: Sealed, name: str, raw: bytes, where: str) -> None:
    """Raise `InputError` unless these bytes, read from `where`, are what the store lists as its file `name`."""
    if google_crc32c.value(raw) not in (sealed.attributes["files"][name], sealed.attributes["pending"].get(name)):
        raise InputError(f"{where}: damaged, its check sum differs. Try: copy this file again, or write the store again.")


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


def replace_file(file: Path, raw: bytes) -> None:
    """Put a file in the place of another; after a power cut it is the old one or the new one."""
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
    sync(file.parent)


@contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[Callable[[], bool]]:
    """Hold the lock of a folder; it leaves no file, and ends with the process that holds it.

    Yields:
        A function that says whether the folder locked is still the one at this path.

    Raises:
        InputError: where another process holds it.
    """
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another process is {doing} it. Try: wait for it to end.") from None
        yield lambda: folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def _write_root(root: Path, sealed: Sealed) -> None:
    ordered = sorted(sealed.metadata, key=lambda path: (path.count("/"), path))  # zarr wants parents first, and siblings together
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {_KEY: dict(sealed.attributes)},
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": {path: sealed.metadata[path] for path in ordered},
        },
    }
    document["attributes"][_KEY]["crc32c"] = _crc(document)
    replace_file(root / _ROOT, _dump(document))


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _crc(document: dict[str, Any]) -> int:
    return google_crc32c.value(json.dumps(document, sort_keys=True).encode())
