"""Files of object stores, by address: `https://`, `s3://`, `gs://`, `az://` through obstore, what else there is through fsspec.

Both need the `cloud` extra. Accounts and regions are taken from the environment, as the stores' own tools do
(`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_SKIP_SIGNATURE=true` for public buckets, `GOOGLE_APPLICATION_CREDENTIALS`, ...).

Both keep threads, which a forked process does not have: a read would wait for ever there. So workers start by `start_method`, and a
process that was forked all the same gets an error.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from errno import EIO, ENOENT
from typing import Any, TypeVar

from omnifuse.data.files import Files, Span
from omnifuse.errors import InputError

T = TypeVar("T")
REQUESTS = 8  # at the same time, per process
RETRIES = 4  # after errors of the server, each after twice the time
_TIMEOUT = 60  # seconds for a request, and in all for its repetitions
_GAP = 1 << 16  # bytes; what lies between parts up to this size is transferred with them, which is quicker than another request
_OBSTORE = ("http", "https", "s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
_threads_of: int | None = None  # the process that has such threads


def is_address(path: str) -> bool:
    """Whether a path is an address in an object store."""
    return "://" in path


def remote_files(address: str) -> Files:
    """Return the files below an address.

    Raises:
        InputError: where the package that reads such addresses is not installed, or none does.
    """
    return _Obstore(address) if address.split("://")[0] in _OBSTORE else _Fsspec(address)


def start_method() -> str | None:
    """Return how worker processes have to start: None is as usual, "forkserver" where this process has threads of an object store."""
    return None if _threads_of is None else "forkserver"


class _Remote:
    """What both kinds share: the connection is made in each process when it is needed."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._connection: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None}

    def where(self, name: str) -> str:
        return f"{self.address}/{name}" if name else self.address

    def together(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        with ThreadPoolExecutor(REQUESTS) as pool:  # made anew: threads do not survive a fork
            return list(pool.map(_call, tasks))


class _Obstore(_Remote):
    """Files read through obstore (`Files`)."""

    def read(self, name: str) -> bytes:
        return self._get(name, {})

    def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        first, last = min(start for start, _ in spans), max(stop for _, stop in spans)
        try:
            if last - first - sum(stop - start for start, stop in spans) > _GAP:
                return [self._get(name, {"range": span}) for span in spans]  # `get_ranges` panics where the object ends before
            start_of, whole = first, self._get(name, {"range": (first, last)})
        except NotImplementedError:
            start_of, whole = 0, self.read(name)
        return [whole[start - start_of : stop - start_of] for start, stop in spans]

    def tail(self, name: str, num_bytes: int) -> bytes:
        try:
            return self._get(name, {"range": {"suffix": num_bytes}})
        except NotImplementedError:
            return self.read(name)[-num_bytes:]

    def zarr_store(self) -> Any:
        from zarr.storage import ObjectStore

        _imported("obstore", self.address)
        _refuse_forked(self.address)
        return ObjectStore(connect(self.address), read_only=True)

    def _get(self, name: str, options: dict[str, Any]) -> bytes:
        """Return an object or a part of it; `NotImplementedError` where the server gives no parts."""
        obstore = _imported("obstore", self.address)
        _refuse_forked(self.address)
        try:
            self._connection = self._connection or connect(self.address)
            try:
                return bytes(obstore.get(self._connection, name, options=options).bytes())
            except obstore.exceptions.GenericError:  # also a transfer that broke off, which obstore does not repeat
                return bytes(obstore.get(self._connection, name, options=options).bytes())
        except (obstore.exceptions.NotFoundError, FileNotFoundError):
            raise FileNotFoundError(ENOENT, "not found") from None
        except obstore.exceptions.NotSupportedError:
            raise NotImplementedError from None
        except obstore.exceptions.BaseError as error:
            raise OSError(EIO, str(error).strip().split("\n")[0]) from None


class _Fsspec(_Remote):
    """Files read through fsspec (`Files`)."""

    def read(self, name: str) -> bytes:
        with self._open() as (system, root):
            return system.cat_file(f"{root}/{name}")

    def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        with self._open() as (system, root):
            return [system.cat_file(f"{root}/{name}", start=start, end=stop) for start, stop in spans]

    def tail(self, name: str, num_bytes: int) -> bytes:
        with self._open() as (system, root):
            return system.cat_file(f"{root}/{name}", start=-num_bytes)

    def zarr_store(self) -> Any:
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.address, read_only=True)

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, str]]:
        fsspec = _imported("fsspec", self.address)
        if self._connection is None:
            try:
                system, root = fsspec.core.url_to_fs(self.address)
            except (ValueError, ImportError) as error:
                raise InputError(f"{self.address}: cannot be opened ({error}). Try: a folder, https://, s3:// or gs://.") from None
            self._connection = system, root.rstrip("/")
        if self._connection[0].async_impl:
            _refuse_forked(self.address)
        yield self._connection


def connect(address: str) -> Any:
    """Return obstore's store for an address, which repeats what fails and gives up after a minute."""
    from obstore.store import from_url

    options = {"allow_http": True, "timeout": f"{_TIMEOUT}s", "connect_timeout": "10s"}
    return from_url(address, client_options=options, retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=_TIMEOUT)})


def _refuse_forked(address: str) -> None:
    global _threads_of
    _threads_of = _threads_of or os.getpid()
    if _threads_of != os.getpid():
        raise InputError(
            f"{address}: an object store cannot be read in a forked process, which lacks the threads of the one that has read it. "
            "Try: multiprocessing.set_start_method('forkserver')."
        )


def _imported(name: str, address: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise InputError(f"{address}: reading from an address needs the package {name}. Try: pip install 'omnifuse[cloud]'.") from None


def _call(task: Callable[[], T]) -> T:
    return task()
