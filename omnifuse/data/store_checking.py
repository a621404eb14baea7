"""Every problem of a store: each file against the check sums, each chunk to its last byte, each place against its modalities."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int
from torch.utils.data import Dataset

from omnifuse.data.checking import Check, Progress, gathered, metadata_problems, place_problems, problem_of, read_checked
from omnifuse.data.chunked import ChunkedArray
from omnifuse.data.chunks import chunk_file
from omnifuse.data.facts import PlaceFacts, stored_facts
from omnifuse.data.files import Folder
from omnifuse.data.manifest import Sealed, check_file, load_json, parse_root
from omnifuse.data.problems import Problem
from omnifuse.data.store import Store, read_whole
from omnifuse.errors import OmnifuseError

_ROOT = "zarr.json"
_AGAIN = "copy this file again, or write the store again"


def is_store(path: Path) -> bool:
    """Whether a path is a Zarr group, so that a check can say what is wrong with it as a store."""
    return (path / _ROOT).is_file()


def check_store(path: Path, workers: int = 0, progress: Progress | None = None) -> Check:
    """Return every problem of a store on disk.

    Args:
        path: Its folder.
        workers: Processes that read; 0 reads in this one.
        progress: Called with (places done, places in all).
    """
    path = Path(path)
    root = path / _ROOT
    try:
        sealed = parse_root(load_json(root), str(root))
    except OmnifuseError as error:  # says what else there should be: nothing more can be known
        return Check((problem_of(error, str(root), ""),), (), 0, frozenset())
    found = list(_listed_problems(path, sealed))
    broken = {problem.file for problem in found}
    arrays, counts, sums = chunked_arrays(sealed), {}, {}
    for array in arrays:
        group = Path(array).parent
        whole = {what for what in ("count", "crc32c") if not any(Path(file).parent == path / group / what for file in broken)}
        if "count" in whole:  # else which chunks there should be is not known
            counts[array] = read_whole(path / group / "count").tolist()
        if "crc32c" in whole and f"{group}/crc32c" in sealed.metadata:
            sums[array] = read_whole(path / group / "crc32c")
    found += _strays(path, sealed, arrays, counts)
    num_places: int = sealed.attributes["places"]
    store = None
    try:
        store = Store(path)
        found += metadata_problems(store, str(path))
    except (OmnifuseError, OSError, ValueError) as error:
        if not found:
            found.append(problem_of(error, str(root), ""))
    ids = sealed.metadata["place"]["attributes"]["text"].get("id", range(num_places))  # also of a store that does not open
    chunks = _Chunks(path, store, [str(name) for name in ids], counts, sums, sealed)
    return gathered(found, read_checked(chunks, num_places, workers, progress), num_places, str(path))


def chunked_arrays(sealed: Sealed) -> list[str]:
    """Return the arrays whose chunks the root does not list, as paths."""
    labels = ["target/labels"] if sealed.attributes["labels"] else []
    return [*(f"{name}/pixels" for name in sealed.attributes["sensors"]), *labels]


def _listed_problems(path: Path, sealed: Sealed) -> Iterator[Problem]:
    for name in sealed.attributes["files"]:
        file = path / name
        try:
            check_file(sealed, name, file.read_bytes(), str(file))
        except OSError as error:
            yield Problem(str(file), f"missing or unreadable ({error.strerror})", "copy the store again")
        except OmnifuseError as error:
            yield problem_of(error, str(file), "")


def _strays(path: Path, sealed: Sealed, arrays: list[str], counts: dict[str, list[int]]) -> Iterator[Problem]:
    """Yield files that belong to nothing."""
    known = {path / _ROOT, *(path / name for name in sealed.attributes["files"])}
    for array, count in counts.items():
        ndim = len(sealed.metadata[array]["shape"])
        known |= {chunk_file(path / array, index, ndim) for index, frames in enumerate(count) if frames}
    unknown = {path / array for array in arrays if array not in counts}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file not in known and file.parent not in unknown:
            yield Problem(str(file), "belongs to nothing in this store", "remove it, after a look at what it is")


class _Chunks(Dataset[tuple[list[Problem], PlaceFacts | None]]):
    """Getting a place reads all its chunks, with what follows the last image, and then its values."""

    def __init__(
        self,
        path: Path,
        store: Store | None,
        ids: list[str],
        counts: dict[str, list[int]],
        sums: dict[str, Int[np.ndarray, " n"]],
        sealed: Sealed,
    ) -> None:
        self.path = path
        self.store = store
        self.ids = ids
        self.counts = counts
        self.arrays = {array: ChunkedArray(Folder(path), array, sealed.metadata[array], sums=sums.get(array)) for array in counts}
        self.known = stored_facts(store, range(len(store))) if store is not None else []

    def __getitem__(self, index: int) -> tuple[list[Problem], PlaceFacts | None]:
        name, problems = self.ids[index], []
        for array, count in self.counts.items():
            if index < len(count) and count[index]:
                try:
                    self.arrays[array].check(index)
                except OmnifuseError as error:
                    problems.append(problem_of(error, str(self._file(array, index)), name))
        if problems or self.store is None:
            return problems, None
        try:
            place = self.store[index]
        except (OSError, ValueError) as error:
            return [problem_of(error, str(self.path), name)], None
        problems += place_problems(place, self.store.modalities, self.store.classes, str(self.path))
        found = PlaceFacts.of(place, self.store.classes)
        for array in changed_arrays(self.known[index], found):
            problems.append(Problem(str(self._file(array, index)), "holds other values than were written for this place", _AGAIN, name))
        return problems, replace(found, moments={})

    def _file(self, array: str, index: int) -> Path:
        return chunk_file(self.path / array, index, len(self.arrays[array].shape))


def changed_arrays(known: PlaceFacts, found: PlaceFacts) -> list[str]:
    """Return the arrays whose values are not those whose moments or class pixels were taken: a chunk of another place is whole, too."""
    changed = []
    for name, moments in found.moments.items():
        before = known.moments[name]
        same = before.count == moments.count and np.allclose(before.mean, moments.mean, rtol=1e-9, atol=1e-12)
        if not same or not np.allclose(before.deviation, moments.deviation, rtol=1e-6, atol=1e-9):
            changed.append(f"{name}/pixels")
    if known.classes is not None and found.classes is not None and not np.array_equal(known.classes, found.classes):
        changed.append("target/labels")
    return changed
