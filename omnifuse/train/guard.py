"""A run is alone in its folder, and a signal ends it at the next step."""

import fcntl
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from omnifuse.errors import ConfigError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # the last is what SLURM's --signal sends before the time limit


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; the system frees it when the process dies, however it dies.

    Raises:
        ConfigError: naming the process that holds it, or a folder that cannot be written.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: not a folder that can be written ({error}). Try: another run folder.") from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: forked data workers would inherit it and outlive the run
        except OSError:
            file.seek(0)
            raise ConfigError(
                f"{folder}: another run is writing here ({file.read().strip()}). Try: wait for it, or another folder."
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
        file.flush()
        yield


class StopSignal:
    """Turns the first SIGINT, SIGTERM or SIGUSR1 into `asked`; a second SIGINT interrupts at once.

    Forked data workers inherit the handler, so a signal to the whole process group does not take the data away from
    the last step; a second one ends them.
    """

    def __init__(self) -> None:
        self.asked = False
        self.process = os.getpid()
        self.previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python cannot set a handler
            self.previous = {number: signal.signal(number, self.handle) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked and os.getpid() != self.process:
            os._exit(128 + number)
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
