"""Who does the units of a long work: this process, a few of this machine, or a Dask cluster. All have the method `submit`."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any, Protocol, runtime_checkable

from omnifuse.errors import ConfigError, InputError, StoppedError

_PATIENCE = 60  # seconds without a result after which one asks whether anybody is at work


@runtime_checkable
class Executor(Protocol):
    """What runs functions elsewhere: as `concurrent.futures` has it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]": ...


@runtime_checkable
class Watched(Protocol):
    """An executor whose workers may all be gone without an error."""

    def check(self) -> None:
        """Raise `StoppedError` if nobody is left to work."""


def unordered(executor: Executor, tasks: Sequence[tuple[Any, ...]], ahead: int) -> Iterator[Any]:
    """Yield the results of tasks (function, arguments...) as they come; at most `ahead` are under way.

    Raises:
        StoppedError: where a worker died.
    """
    left, running = iter(tasks), set[Future[Any]]()
    try:
        while True:
            while len(running) < ahead and (task := next(left, None)) is not None:
                running.add(executor.submit(*task))
            if not running:
                return
            done, running = wait(running, _PATIENCE, FIRST_COMPLETED)
            if not done and isinstance(executor, Watched):
                executor.check()
            for future in done:
                yield future.result()
    except BrokenExecutor as error:
        raise StoppedError(
            "a worker process ended before its time (killed, out of memory, or started from a script without "
            '`if __name__ == "__main__":`). Try: the same command again, with fewer workers; it goes on.'
        ) from error
    finally:
        for future in running:
            future.cancel()


@contextmanager
def process_pool(source: Any, workers: int) -> Iterator[Executor]:
    """Give processes of this machine, to which the first argument of all tasks is sent once: a source, or another job.

    They are forked from a clean process, not from this one, whose threads and locks (progress bar, Zarr, OpenMP) a fork would break;
    and they end with this one, so that none of them writes when the next run does.
    """
    try:
        sent = pickle.dumps(source)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(f"data: {type(source).__name__} cannot be sent to worker processes ({error}). Try: workers=1.") from error
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["omnifuse.data.place_files"])
    with ProcessPoolExecutor(workers, context, _start, (sent,)) as pool:
        try:
            yield _Pool(pool)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Give the workers of a Dask cluster; they must see the same files under the same paths.

    Args:
        address: Of the scheduler, such as `tcp://10.0.0.1:8786`.

    Raises:
        InputError: where there is no scheduler.
        ConfigError: where Dask is not installed.
        StoppedError: where workers died again and again over one task.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise ConfigError("scheduler: Dask is not installed. Try: pip install 'omnifuse[dask]'.") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"scheduler: nothing answers at {address!r} ({error}). Try: the address that `dask scheduler` printed.") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise InputError(f"scheduler: {address} has no workers. Try: start some with `dask worker {address}`.")
        try:
            yield _Dask(client)
        except (KilledWorker, CancelledError) as error:
            raise StoppedError(
                f"Dask workers died, or the scheduler ({error}). Try: the same command again, with more memory per worker; it goes on."
            ) from None


class _Pool:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        return self.pool.submit(_call, function, *arguments[1:])


class _Dask:
    """Sends the first argument, the source, to the workers once."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.executor = client.get_executor(pure=False, retries=2)
        self.sent: dict[int, Any] = {}

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        source, *rest = arguments
        if id(source) not in self.sent:
            self.sent[id(source)] = self.client.submit(_same, source, pure=False)  # a result, unlike scattered data, survives a worker
        return self.executor.submit(function, self.sent[id(source)], *rest)

    def check(self) -> None:
        if not self.client.scheduler_info()["workers"]:
            raise StoppedError("scheduler: no worker is left. Try: start some, and the same command again; it goes on.")


def _same(source: Any) -> Any:
    return source


_sent: list[Any] = []  # the source, in a worker process: as bytes until the first call, so that what goes wrong there is told


def _start(sent: bytes) -> None:
    import torch

    _sent[:] = [sent]
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops us
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    if isinstance(_sent[0], bytes):
        _sent[0] = pickle.loads(_sent[0])  # noqa: S301 our own bytes
    return function(_sent[0], *arguments)
