"""Where the files of a store lie: a folder, or an address in an object store. Reading a store needs nothing else of them."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import UInt8

T = TypeVar("T")
Span = tuple[int, int]  # first byte, and the byte after the last


@runtime_checkable
class Files(Protocol):
    """Files by name below a root; can be pickled. What cannot be read is an `OSError`, `FileNotFoundError` where there is none."""

    def where(self, name: str) -> str:
        """Return what a message calls the file."""

    def read(self, name: str) -> bytes:
        """Return the whole file."""

    def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        """Return parts of the file; shorter where it ends before."""

    def tail(self, name: str, num_bytes: int) -> bytes:
        """Return the last bytes of the file."""

    def together(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Return what the tasks return, in order: at the same time where waiting for each alone would be slow."""

    def zarr_store(self) -> Any:
        """Return what zarr opens."""


class Folder:
    """Files in a folder (`Files`)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def where(self, name: str) -> str:
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        with (self.path / name).open("rb", buffering=0) as stream:
            return [os.pread(stream.fileno(), stop - start, start) for start, stop in spans]

    def tail(self, name: str, num_bytes: int) -> bytes:
        with (self.path / name).open("rb", buffering=0) as stream:
            return os.pread(stream.fileno(), num_bytes, max(0, os.fstat(stream.fileno()).st_size - num_bytes))

    def each(self, name: str, spans: Sequence[Span]) -> Iterator[UInt8[np.ndarray, " _n"]]:
        """Yield parts of the file, each in the same memory: what is summed and decoded next is then still in the cache."""
        scratch = np.empty(max((stop - start for start, stop in spans), default=0), np.uint8)
        with (self.path / name).open("rb", buffering=0) as stream:
            for start, stop in spans:
                got = os.preadv(stream.fileno(), [scratch[: stop - start].data], start) if stop > start else 0
                yield scratch[:got]

    def together(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        return [task() for task in tasks]

    def zarr_store(self) -> Any:
        return self.path
