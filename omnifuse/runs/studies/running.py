"""Running a study: every entry of every seed, side by side, each once; a stopped study goes on where it was."""

import contextlib
import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from copy import copy
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import torch

from omnifuse.config import to_dict
from omnifuse.data.memory import InMemory
from omnifuse.data.place import PlaceSource
from omnifuse.errors import OmnifuseError
from omnifuse.runs.sources import DataConfig
from omnifuse.runs.stages import console
from omnifuse.runs.studies.study import (
    DONE,
    Columns,
    Found,
    Measured,
    Scale,
    Study,
    collect,
    pretraining_folder,
    run_pretraining,
)

Job = Callable[[], None]
_SOURCES: dict[str, InMemory] = {}  # of this process; places are made or read once for all entries that share them


def run_study(study: Study, seeds: Sequence[int], scale: Scale, root: Path, workers: int) -> Found:
    """Measure whatever has not been measured yet, `workers` entries at a time on one core each."""
    entries = {seed: list(study.entries(seed, scale)) for seed in seeds}
    every = [entry for of_seed in entries.values() for entry in of_seed]
    before = {pretraining_folder(entry.pretraining, root): entry for entry in every if entry.pretraining is not None}
    _side_by_side(
        {f"pretraining {folder.name}": partial(_pretrain, entry, root) for folder, entry in before.items() if _waits(folder)}, workers, root
    )
    own = {entry.folder(root): (entry, seed) for seed, of_seed in entries.items() for entry in of_seed}
    jobs = {
        f"{entry.name}, seed {seed}, {folder.name}": partial(_measure, entry, root)
        for folder, (entry, seed) in own.items()
        if _waits(folder)
    }
    _side_by_side(jobs, workers, root)
    return collect(entries, root)


def _waits(folder: Path) -> bool:
    return not (folder / DONE).exists()


def _side_by_side(jobs: Mapping[str, Job], workers: int, root: Path) -> None:
    """Do jobs in processes of their own; what they say goes to a log of each. The first that fails ends the study."""
    if not jobs:
        return
    logs = root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
        waiting = {pool.submit(_logged, job, logs / f"{name.replace('/', '-')}.txt"): name for name, job in jobs.items()}
        for done, future in enumerate(as_completed(waiting), 1):
            error = future.exception()
            if error is not None:
                pool.shutdown(cancel_futures=True)
                raise OmnifuseError(f"{waiting[future]}: {error}") from error
            console.print(f"  {done}/{len(jobs)} {waiting[future]}", markup=False)


def _alone() -> None:
    """Take one core, and end with the process that asked: nobody would read what an orphan finds."""
    torch.set_num_threads(1)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _logged(job: Job, path: Path) -> None:
    with path.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            job()
        except Exception:
            traceback.print_exc(file=log)
            raise


def _pretrain(entry: Measured, root: Path) -> None:
    assert entry.pretraining is not None
    run_pretraining(entry.pretraining, root, _source(entry.pretraining.data, entry.columns))


def _measure(entry: Measured, root: Path) -> None:
    entry.run(root, _source(entry.config.data, entry.columns))


def _source(data: DataConfig, columns: Columns | None) -> PlaceSource:
    """Return the places, held in memory, with more metadata if asked for."""
    key = json.dumps(to_dict(data), sort_keys=True)
    if key not in _SOURCES:
        while len(_SOURCES) > 1:  # two at a time: a table asks for whole places, and for quarters of them
            del _SOURCES[next(iter(_SOURCES))]
        _SOURCES[key] = InMemory.build(data.open())
    source = copy(_SOURCES[key])
    source.info = [row if columns is None else {**row, **columns(row)} for row in source.info]
    return source
