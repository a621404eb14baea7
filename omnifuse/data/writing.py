"""Writing a store: files of places first, by as many processes as one likes; then arrays, metadata and check sums; then its name.

All of it happens in a folder beside the target, `.NAME.partial`, which stays when the conversion is stopped: the next run of the
same conversion does only what is missing. The store is the same to the byte, however often it was stopped and whoever wrote it.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from omnifuse.data.durable import sync
from omnifuse.data.executors import Executor, process_pool, unordered
from omnifuse.data.finishing import arrays_of, finish
from omnifuse.data.journal import Journal, Record, Written, identity_of
from omnifuse.data.manifest import exclusive
from omnifuse.data.place import PlaceSource
from omnifuse.data.place_files import convert_places
from omnifuse.data.profiles import profile_called
from omnifuse.errors import InputError

_RESERVED = ("place", "target")
_TASK = 8  # places of a task that is sent to an executor which others made
Progress = Callable[[int, int], None]


def write_store(
    source: PlaceSource,
    path: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    profile: str = "training",
    executor: Executor | None = None,
) -> None:
    """Write every place of a source to a new store; nothing stands at `path` before it is complete.

    Stopped at any moment, by whatever, it goes on when it is called again. What was written is then checked but not read again from the
    source: if files of the source have changed since, remove the partial folder first.

    Args:
        source: The places, each of which is checked against the source's modalities.
        path: Folder to be made.
        workers: Processes that read and write; 1 works in this one.
        progress: Called with (places done, places in all).
        profile: "training", uncompressed files that are read directly; or "archive", compressed shards.
        executor: What runs the work instead of `workers`, as `concurrent.futures` has it; it must see the same files.

    Raises:
        InputError: where `path` exists, a place is not what the modalities say (names the place), or another conversion was begun.
        StoppedError: where a worker died.
    """
    path = Path(path)
    profile_called(profile)
    partial = path.with_name(f".{path.name}.partial")
    for name in source.modalities:
        if name in _RESERVED or "/" in name or name.startswith((".", "_")):
            raise InputError(f"{path}: a sensor cannot be called {name!r} in a store. Try: another name.")
    if path.exists() and not (partial / "store").exists():
        shutil.rmtree(partial, ignore_errors=True)  # of a conversion that was stopped after its last step but one
    _refuse_existing(path)
    partial.mkdir(parents=True, exist_ok=True)
    with exclusive(partial, "writing") as is_current:
        if not is_current():
            raise InputError(f"{partial}: another process has just removed it. Try: the same command again.")
        _refuse_existing(path)
        journal = Journal(partial, identity_of(source, profile))
        shutil.rmtree(partial / "incoming", ignore_errors=True)  # what was not complete
        for folder in ["incoming", *(f"store/{array}" for array in arrays_of(source))]:
            (partial / folder).mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if executor is None and workers > 1:
                executor, size = stack.enter_context(process_pool(source, workers)), 1
            else:
                size = _TASK
            _write_places(
                source, partial, profile, journal, progress, _converted(source, partial, profile, journal, executor, size, workers)
            )
        finish(source, partial / "store", profile, [journal.records[index] for index in range(len(source))])
        (partial / "store").rename(path)
        sync(path.parent)
        shutil.rmtree(partial)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path}: exists already. Try: another path, or remove it first.")


def _converted(
    source: PlaceSource, folder: Path, profile: str, journal: Journal, executor: Executor | None, size: int, workers: int
) -> Iterator[tuple[int, Record]]:
    """Yield (index, what was written) of every place, as they come."""
    if executor is None:
        for index in range(len(source)):
            yield from convert_places(source, folder, profile, [index], [journal.records.get(index)])
        return
    pieces = [range(start, min(start + size, len(source))) for start in range(0, len(source), size)]
    tasks = [(convert_places, source, folder, profile, list(piece), [journal.records.get(i) for i in piece]) for piece in pieces]
    for done in unordered(executor, tasks, 4 * workers if size == 1 else len(tasks)):
        yield from done


def _write_places(
    source: PlaceSource,
    folder: Path,
    profile: str,
    journal: Journal,
    progress: Progress | None,
    converted: Iterator[tuple[int, Record]],
) -> None:
    """Take down what was written of every place, and hold that all places have one type and size per array."""
    like: dict[str, int] = {}  # by array, a place that has it
    for done, (index, record) in enumerate(converted):
        if journal.records.get(index) != record:
            journal.append(index, record)
        for name, written in record.items():
            other = like.setdefault(name, index)
            if _kind(written) != _kind(journal.records[other][name]):
                message = _difference(source, name, [(i, journal.records[i][name]) for i in (index, other)])
                for odd in {index, other}:
                    journal.append(odd, None)  # one of them will be corrected
                raise InputError(message)
        if progress is not None:
            progress(done + 1, len(source))


def _kind(written: Written) -> tuple[str, tuple[int, ...]]:
    return written.dtype, written.shape[1:] if written.day else written.shape


def _difference(source: PlaceSource, name: str, found: Sequence[tuple[int, Written]]) -> str:
    (index, one), (other, two) = found
    return (
        f"place {source.info[index]['id']!r} ({index}): {name!r} is {one.dtype} of {_kind(one)[1]}, "
        f"place {source.info[other]['id']!r} ({other}) has {two.dtype} of {_kind(two)[1]}. Try: one type and size per sensor."
    )
