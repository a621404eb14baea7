"""Checkpoints that a kill, a full disk or a damaged file cannot take away.

A checkpoint is a folder `step_000012345/` of safetensors files, a `state.json` and, written last, a `MANIFEST.json` with the
size and SHA-256 of each. It is made under another name, flushed to the disk and renamed, so a folder of that name is whole or
was damaged later, and then the manifest tells. Nothing in it is pickled.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnifuse.config import read_json, write_json
from omnifuse.data.durable import sync
from omnifuse.errors import CheckpointError, ConfigError

logger = logging.getLogger(__name__)
FORMAT = 1
MANIFEST = "MANIFEST.json"
TEMPORARY = ".tmp_"


def save(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], keep: int) -> Path:
    """Write a checkpoint, then delete all but the newest `keep`.

    Args:
        folder: Where the checkpoints of a run lie.
        step: Updates done.
        tensors: By file name without suffix: `model`, `optimizer`, `ema`.
        state: Plain JSON types; `step` and `format` are added.
        keep: Checkpoints left in the end, this one included.

    Raises:
        CheckpointError: if it could not be written; the older ones are untouched then.
    """
    target = folder / f"step_{step:09d}"
    size = sum(tensor.nbytes for group in tensors.values() for tensor in group.values())
    work = folder / f"{TEMPORARY}{target.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        work.mkdir()
        for name, group in tensors.items():
            host = {key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in group.items()}  # a copy parts tied weights
            save_file(host, work / f"{name}.safetensors")
        write_json(work / "state.json", {"format": FORMAT, **state, "step": step})
        files = sorted(work.iterdir())
        for file in files:
            sync(file)
        write_json(work / MANIFEST, {file.name: {"size": file.stat().st_size, "sha256": _hash(file)} for file in files})
        sync(work / MANIFEST)
        sync(work)
        if target.exists():
            _remove(target)
        work.rename(target)
        sync(folder)
        for old in steps_in(folder)[:-keep]:
            _remove(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(work, ignore_errors=True)
        raise CheckpointError(
            f"{target}: could not be written ({error}); it needs {size / 2**20:.0f} MB, {_free(folder) / 2**20:.0f} MB are free. "
            "Try: free space or choose a writable folder, then start the same command again; older checkpoints are whole."
        ) from error
    return target


def steps_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder by ascending step, whole or not. The order is in the name; clocks do not matter."""
    found = [path for path in folder.iterdir() if re.fullmatch(r"step_\d{9,}", path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name[5:]))


def verify(path: Path) -> dict[str, Any]:
    """Check every byte of a checkpoint and return its state.

    Raises:
        CheckpointError: naming the file that is missing or damaged.
    """
    remedy = "Try: an older checkpoint of the run, or another copy of this one."
    manifest = _read(path / MANIFEST)
    if not isinstance(manifest, dict) or not {"model.safetensors", "state.json"} <= manifest.keys():
        raise CheckpointError(f"{path / MANIFEST}: lists no weights. {remedy}")
    for name, entry in manifest.items():
        file = path / name
        if Path(name).name != name or not file.is_file():
            raise CheckpointError(f"{file}: named in the manifest but missing. {remedy}")
        if not isinstance(entry, dict) or file.stat().st_size != entry.get("size"):
            raise CheckpointError(f"{file}: {file.stat().st_size} bytes, not as the manifest says ({entry}). {remedy}")
        if _hash(file) != entry.get("sha256"):
            raise CheckpointError(f"{file}: its bytes differ from those written (SHA-256). {remedy}")
    state = _read(path / "state.json")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not of format {FORMAT}. Try: the version of omnifuse that wrote it.")
    if path.name.startswith("step_") and state.get("step") != int(path.name[5:]):
        raise CheckpointError(f"{path}: holds step {state.get('step')}, not that of its name. {remedy}")
    return state


def newest(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """Return the newest whole checkpoint, and the newer damaged ones with the reason. Changes nothing."""
    damaged: dict[Path, str] = {}
    for path in reversed(steps_in(folder)):
        try:
            verify(path)
        except CheckpointError as error:
            damaged[path] = str(error)
            continue
        return path, damaged
    return None, damaged


def recover(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, None in a new folder; move newer damaged ones out of the way with a warning.

    Raises:
        CheckpointError: if there are checkpoints and none is whole: starting anew must not happen unnoticed.
    """
    path, damaged = newest(folder)
    if damaged and path is None:
        raise CheckpointError(
            f"{folder}: none of {len(damaged)} checkpoints is whole; {next(iter(damaged.values()))} Or move the folder away to start anew."
        )
    for bad, reason in damaged.items():
        aside = bad.with_suffix(".bad")
        logger.warning("%s Going back to %s; the damaged checkpoint is kept as %s.", reason, path, aside)
        if aside.exists():
            _remove(aside)
        bad.rename(aside)
    if folder.is_dir():
        remove_leftovers(folder)
        sync(folder)
    return path


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """Read `<name>.safetensors` of a checkpoint onto the CPU."""
    try:
        return load_file(path / f"{name}.safetensors")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / name}.safetensors: cannot be read ({error}). Try: an older checkpoint of the run.") from error


def trained_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights a run hands out: of its newest whole checkpoint, averaged if it kept an average.

    Args:
        folder: A run's `checkpoints` or `best` folder.
    """
    path, damaged = newest(folder)
    if path is None:
        raise CheckpointError(f"{folder}: no whole checkpoint. {next(iter(damaged.values()), 'Try: train first, or check the path.')}")
    return read_tensors(path, "ema" if (path / "ema.safetensors").is_file() else "model")


def load_strict(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load weights that must agree with the model in every name, shape and type; `where` names their file in errors."""
    own = model.state_dict()

    def describe(found: Mapping[str, Tensor]) -> dict[str, str]:
        return {name: f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in found.items()}

    expected, found = describe(own), describe(tensors)
    wrong = [text for name, text in found.items() if expected.get(name) != text]
    missing = [text for name, text in expected.items() if found.get(name) != text]
    if wrong or missing:
        raise CheckpointError(
            f"{where}: {len(wrong)} tensors that the model has not ({', '.join(wrong[:5])}) and {len(missing)} that it lacks "
            f"({', '.join(missing[:5])}). Try: build the model with the configuration that wrote it."
        )
    model.load_state_dict(dict(tensors))


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed save or delete left behind."""
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path)


def versions() -> dict[str, str]:
    """Return what a checkpoint was written with."""
    from omnifuse import __version__

    return {"omnifuse": __version__, "torch": str(torch.__version__)}


def _remove(path: Path) -> None:
    """Delete a checkpoint so that a kill in between leaves no half of one under its name."""
    doomed = path.with_name(f"{TEMPORARY}del_{path.name}")
    if doomed.exists():
        shutil.rmtree(doomed)
    path.rename(doomed)
    shutil.rmtree(doomed)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (ConfigError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: damaged or missing ({error})") from error


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
