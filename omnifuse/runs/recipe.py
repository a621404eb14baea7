"""Recipes: a Python file whose `config` is a frozen configuration; numbers in it may be changed on the command line."""

import importlib.util
from pathlib import Path
from typing import TypeVar

import tyro

from omnifuse.config import from_dict, read_json
from omnifuse.errors import ConfigError

C = TypeVar("C")


def read_recipe(path: Path, kind: type[C]) -> C:
    """Return the configuration of a recipe (`.py`) or of a finished run (`config.json`).

    A recipe is the user's own code and is run; a `config.json` is only data.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such recipe. Try: a file in pretrain/recipes or finetune/recipes, or a run's config.json.")
    if path.suffix == ".json":
        return from_dict(kind, read_json(path), str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file. Try: a recipe ending in .py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = getattr(module, "config", None)
    if not isinstance(config, kind):
        raise ConfigError(f"{path}: `config` is {type(config).__name__}, expected {kind.__name__}. Try: config = {kind.__name__}(...).")
    return config


def with_flags(config: C, flags: list[str], prog: str) -> C:
    """Return the configuration with numbers changed by flags such as `--train.steps 200`; an unknown flag is an error."""
    return tyro.cli(
        tyro.conf.AvoidSubcommands[type(config)],  # type: ignore[misc]  # types were chosen in the recipe
        args=flags,
        default=config,
        prog=prog,
    )
