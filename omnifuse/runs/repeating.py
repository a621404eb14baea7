"""The command line that gives a result again, to be written beside it."""

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from omnifuse.config import Config
from omnifuse.runs.opening import Found, find

_HOW = {"out", "device", "workers", "batch_size"}  # where a result goes and how fast it is made: no figure depends on them


def again(words: Sequence[str], command: Config, found: Found) -> str:
    """Return the command line of a result: its words, then the flags of the command and of the data that are not as by default."""
    data, usual = found.data, find(found.path, found.kind).data
    kind = ["--kind", found.kind] if not found.guessed else []
    taken = {"kind", "path", *_names(command)}  # a flag that both have is the command's
    return shlex.join([*words, *kind, *_flags(command, type(command)(), {"kind", *_HOW}), *_flags(data, usual, taken)])


def _flags(given: Config, usual: Config, without: set[str], group: str = "") -> list[str]:
    flags = []
    for name in _names(given):
        value, before = getattr(given, name), getattr(usual, name)
        flag = f"--{group}{name}".replace("_", "-")
        if name in without or value == before:
            continue
        if isinstance(value, Config):
            flags += _flags(value, before, set(), f"{group}{name}.")
        elif isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag[2:]}")
        else:
            flags += [flag, *map(str, value if isinstance(value, tuple) else (value,))]
    return flags


def _names(config: Any) -> list[str]:
    return [one.name for one in fields(config)]
