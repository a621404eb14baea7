"""Weights & Biases as a guest: it never asks, never waits long, never ends a run. The truth is in `log.jsonl`."""

import logging
import netrc
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

logger = logging.getLogger(__name__)
INIT_SECONDS = 10  # then offline
FINISH_SECONDS = 10


def has_key() -> bool:
    """Whether a key for wandb is known on this machine, so that it need not ask for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for path in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if path and netrc.netrc(Path(path).expanduser()).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError, RuntimeError):
            continue
    return False


def usable_folder(folder: Path) -> Path:
    """Return `WANDB_DIR` if it can be written (wandb itself silently takes a temporary folder), else `folder`."""
    asked = os.environ.get("WANDB_DIR")
    if not asked:
        return folder
    try:
        Path(asked).mkdir(parents=True, exist_ok=True)
        if os.access(asked, os.W_OK):
            return Path(asked)
        reason = "not writable"
    except OSError as error:
        reason = str(error)
    logger.warning("WANDB_DIR=%s cannot be used (%s); wandb writes to %s.", asked, reason, folder)
    return folder


def first_line(error: Exception) -> str:
    """Return what fits a message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class Tracker:
    """Sends rows to wandb: online with a key and a network, else offline (`wandb sync` sends them later)."""

    def __init__(self, folder: Path, project: str, config: dict[str, Any]) -> None:
        self.run: Any = None
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
        for attempt in dict.fromkeys([mode, "offline"]):
            try:
                self.run = self._start(usable_folder(folder), project, config, attempt)
                return
            except Exception as error:
                logger.warning("wandb did not start (%s: %s); the run goes on.", attempt, first_line(error))

    @staticmethod
    def _start(folder: Path, project: str, config: dict[str, Any], mode: Any) -> Any:
        import wandb

        settings = wandb.Settings(init_timeout=INIT_SECONDS, silent=True, console="off", disable_git=True)
        return wandb.init(project=project, name=folder.name, dir=str(folder), config=config, mode=mode, settings=settings)

    def write(self, row: dict[str, Any]) -> None:
        """Send a row. The first error is the last: it is told once, and the tracker is left alone."""
        if self.run is None:
            return
        try:
            self.run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])
        except Exception as error:
            logger.warning("wandb failed at step %s (%s); rows go to the local log only.", row["step"], first_line(error))
            self.run = None

    def show(self, pictures: Sequence[Path]) -> None:
        """Send pictures, by the names of their files."""
        if self.run is None or not pictures:
            return
        try:
            import wandb

            self.run.log({f"report/{path.stem}": wandb.Image(str(path)) for path in pictures})
        except Exception as error:
            logger.warning("wandb did not take the report's pictures (%s); they lie in the run folder.", first_line(error))

    def close(self) -> None:
        """Finish within seconds, whatever the network does."""
        if self.run is None:
            return
        thread = threading.Thread(target=self._finish, daemon=True)
        thread.start()
        thread.join(FINISH_SECONDS)
        if thread.is_alive():
            logger.warning("wandb did not finish in %d s and is left behind; `wandb sync` sends what is missing.", FINISH_SECONDS)

    def _finish(self) -> None:
        try:
            self.run.finish()
        except Exception as error:
            logger.warning("wandb did not finish (%s).", first_line(error))
