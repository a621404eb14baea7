"""Who does the units of an area: this process, some of this machine, a Dask cluster, the ranks of torchrun, or a SLURM array."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from omnifuse.data.executors import dask_cluster, process_pool, unordered
from omnifuse.errors import ConfigError, StoppedError
from omnifuse.inference.plan import Unit, UnitJob, WorkFolder, mark

KINDS = "local, processes=N, dask=ADDRESS, ranks, slurm=N"


@dataclass(frozen=True)
class Chosen:
    """An executor as asked for on the command line: `processes=4` is kind "processes", with 4."""

    kind: str
    value: str = ""

    @staticmethod
    def parse(text: str) -> "Chosen":
        """Return what is asked for.

        Raises:
            ConfigError: for anything but `local`, `processes=N`, `dask=ADDRESS`, `ranks` and `slurm=N`.
        """
        kind, _, value = text.partition("=")
        counted = kind in ("processes", "slurm") and value.isdecimal() and int(value) > 0
        if not (counted or (kind in ("local", "ranks") and not value) or (kind == "dask" and value)):
            raise ConfigError(f"executor: {text!r} is none of {KINDS}. Try: local, or processes={os.cpu_count() or 1}.")
        return Chosen(kind, value)


def run_units(
    units: list[Unit],
    job: UnitJob,
    executor: str,
    work: WorkFolder,
    progress: Callable[[int, int], None] = lambda done, total: None,
    slurm: Mapping[str, Any] | None = None,
) -> None:
    """Do all units that are not done yet, in any order; returns when all are. Of many ranks every one calls this.

    Args:
        units: All units of the area.
        job: What is done with each.
        executor: One of `local`, `processes=N`, `dask=ADDRESS`, `ranks`, `slurm=N`.
        work: Remembers what is done.
        progress: Called as `progress(done, total)`.
        slurm: Parameters of the SLURM jobs, as submitit names them (`timeout_min`, `slurm_partition`, `gpus_per_node`, ...).

    Raises:
        ConfigError: for an executor that is not known, or not installed.
        StoppedError: where a worker died; the same call goes on.
    """
    chosen, task = Chosen.parse(executor), _Task(job, work.path)
    if chosen.kind == "ranks":
        rank, world = this_rank()
        barrier()  # before it the first rank makes the folder
        _each(task, work.left(units[rank::world]), lambda done, total: progress(min(done * world, len(units) - 1), len(units)))
        barrier()
        missing = work.left(units)
        if missing:
            raise StoppedError(f"{work.path}: {len(missing)} units were not done by their rank. Try: the same command again; it goes on.")
        progress(len(units), len(units))
        return
    left = work.left(units)
    before = len(units) - len(left)

    def advance(done: int, total: int) -> None:
        progress(before + done, len(units))

    if not left:
        advance(0, 0)
    elif chosen.kind == "local":
        _each(task, left, advance)
    elif chosen.kind == "slurm":
        _on_slurm(task, left, int(chosen.value), work, advance, slurm or {})
    else:
        pool = process_pool(task, min(int(chosen.value), len(left))) if chosen.kind == "processes" else dask_cluster(chosen.value)
        with pool as running:
            ahead = 4 * int(chosen.value) if chosen.kind == "processes" else 1000
            for done, _ in enumerate(unordered(running, [(_do, task, unit) for unit in left], ahead), 1):
                advance(done, len(left))


@dataclass(frozen=True)
class _Task:
    """A job and where it is marked as done; what is sent to a worker once."""

    job: UnitJob
    folder: Path

    def __call__(self, unit: Unit) -> None:
        self.job(unit)
        mark(self.folder, unit)


def _do(task: _Task, unit: Unit) -> None:
    task(unit)


def _each(task: _Task, units: list[Unit], progress: Callable[[int, int], None]) -> None:
    for done, unit in enumerate(units, 1):
        task(unit)
        progress(done, len(units))


def _on_slurm(
    task: _Task, left: list[Unit], jobs: int, work: WorkFolder, progress: Callable[[int, int], None], parameters: Mapping[str, Any]
) -> None:
    """Share the units among the jobs of one array, and wait for it."""
    try:
        import submitit
    except ImportError:
        raise ConfigError("executor: submitit is not installed. Try: pip install 'omnifuse[slurm]'.") from None
    options = {"timeout_min": 24 * 60, **parameters}
    cluster = options.pop("cluster", "slurm")
    try:
        running = submitit.AutoExecutor(folder=work.path / "slurm", cluster=cluster)
        running.update_parameters(**{key: value for key, value in options.items() if value not in ("", 0)})
        array = running.map_array(_each, [task] * jobs, [left[i::jobs] for i in range(jobs)], [_silent] * jobs)
    except (RuntimeError, NameError, FileNotFoundError, submitit.core.utils.FailedSubmissionError) as error:
        raise ConfigError(f"executor: SLURM takes no jobs here ({error}). Try: where `sbatch` works, or processes=N.") from None
    for done in submitit.helpers.as_completed(array):
        try:
            done.result()
        except Exception as error:  # of the job, or that there is no result: they have no common base
            for job in array:
                job.cancel()
            lines = str(error).strip().splitlines() or [type(error).__name__]
            why = lines[0 if isinstance(error, submitit.core.utils.UncompletedJobError) else -1].strip()  # else a traceback
            raise StoppedError(
                f"job {done.job_id} ended before its time ({why}). Log: {done.paths.stderr}. Try: the same command again; it goes on."
            ) from None
        progress(len(left) - len(work.left(left)), len(left))


def _silent(done: int, total: int) -> None:
    return


def this_rank() -> tuple[int, int]:
    """Return the rank of this process and the number of processes, as torchrun says; 0 and 1 without it.

    Raises:
        ConfigError: where the environment is not one of torchrun.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        raise ConfigError("executor: `ranks` needs torchrun. Try: torchrun --nproc-per-node 2 -m omnifuse.cli predict ..., or processes=2.")
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


@contextmanager
def joined(executor: str) -> Iterator[bool]:
    """Join the other ranks where the executor is `ranks`; yields whether this process leads: plans, and puts the blocks together.

    The others wait in `run_units` until the first one comes there.
    """
    if Chosen.parse(executor).kind != "ranks":
        yield True
        return
    import torch.distributed as dist

    rank, _ = this_rank()
    dist.init_process_group("gloo", timeout=timedelta(days=7))  # of the slowest rank's share; torchrun ends all when one dies
    try:
        yield rank == 0
    finally:
        dist.destroy_process_group()


def barrier() -> None:
    """Wait for all ranks; nothing without them."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
