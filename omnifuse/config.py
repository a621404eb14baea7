"""Frozen configurations: written as JSON, read back strictly, never a name of code.

A configuration is a frozen dataclass. Where one of several may stand, each carries a literal `kind` field and the
annotation is a union discriminated by it, so that a file can only ever choose among our own classes.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from omnifuse.errors import ConfigError

T = TypeVar("T")


class Config:
    """Base of every configuration dataclass: an unknown field is an error."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON types."""
    result: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return result


def from_dict(cls: type[T], value: Any, where: str) -> T:
    """Build a configuration from plain JSON types.

    Raises:
        ConfigError: for an unknown field, a wrong type or a value that the class refuses; names the field and `where`.
    """
    try:
        return TypeAdapter(cls).validate_python(value, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(top level)"
        found = json.dumps(first["input"], default=repr)[:120]
        said = first["msg"] if len(first["msg"]) < 1000 else f"{first['msg'][:1000]}…"
        raise ConfigError(
            f"{where}: field `{field}`: {said}; found {found}. Try: correct the field, or remove it for the default."
        ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file of at most 16 MB, refusing duplicate keys."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        known = dict(pairs)
        if len(known) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = sorted({key for key in keys[:1000] if keys.count(key) > 1})[:5]
            raise ConfigError(f"{path}: a field stands twice: {twice}. Try: remove one of them.")
        return known

    if not path.is_file():
        raise ConfigError(f"{path}: no such file. Try: check the path.")
    if path.stat().st_size > 2**24:
        raise ConfigError(f"{path}: {path.stat().st_size} bytes is too large for a configuration. Try: check the file.")
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of 5,000 digits
        raise ConfigError(f"{path}: not a JSON file ({error}). Try: download or write it again.") from None


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON types, one field a line, stable order."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
