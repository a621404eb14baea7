"""Tensors by name: read from a file without running anything in it, and loaded only where every one of them fits."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from omnifuse.errors import CheckpointError


def check_looks_like_weights(path: Path) -> None:
    """Raise `CheckpointError` for a file that is missing, or for what a download often leaves in its place."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file. Try: the path of weights on this machine; nothing is downloaded.")
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: a Git LFS pointer, not the weights. Try: `git lfs pull` in its repository.")
    if start.lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(f"{path}: a web page, not the weights. Try: download the file itself (the raw link).")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file, or a `.pth` that holds tensors by name and nothing else.

    Raises:
        CheckpointError: names the file and what it is instead.
    """
    check_looks_like_weights(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, zip and unpickling errors have no common base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: cannot be read as weights ({first[:160]}). Try: download or write it again.") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: expected tensors by name, as of `model.state_dict()`. Try: save that alone.")
    return state


def load_strictly(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load `state` into `module`, every tensor of which must be there in its shape, and nothing else.

    Raises:
        CheckpointError: counts missing, unexpected and misshapen tensors by part of the module; nothing was loaded.
    """
    own = module.state_dict()
    found = {
        "missing": own.keys() - state.keys(),
        "unexpected": state.keys() - own.keys(),
        "of another shape": {key for key in own.keys() & state.keys() if own[key].shape != state[key].shape},
    }
    problems = [f"{len(keys)} {kind} ({_by_part(keys)})" for kind, keys in found.items() if keys]
    if problems:
        raise CheckpointError(f"{where}: tensors do not fit the model: {'; '.join(problems)}. Try: the model that they were saved from.")
    module.load_state_dict(state)


def _by_part(keys: Iterable[str]) -> str:
    """Return how many names each part of a module has, as `encoders.s2: 12, head.out: 1`; the largest six."""
    parts = Counter(".".join(key.split(".")[:2]) for key in sorted(keys))
    text = ", ".join(f"{part}: {number}" for part, number in parts.most_common(6))
    return text + (", ..." if len(parts) > 6 else "")
