"""Tensors by name: read from a file without running anything in it, and loaded only where every one of them fits."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from omnifuse.errors import CheckpointError

_LONGEST_HEADER = 2**22  # bytes; 20,000 tensors take 3 MB
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32}


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


def check_header(path: Path, expected: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` where a `.safetensors` file does not announce exactly the tensors `expected`; none of them is read.

    The header is at most 4 MB, so that a damaged or hostile one costs neither time nor memory.
    """
    remedy = "Try: download it again."
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST_HEADER, path.stat().st_size - 8):
            raise CheckpointError(f"{path}: not a safetensors file: its header would be of {length} bytes. {remedy}")
        header = file.read(length)
    try:
        content = json.loads(header)
        found = {
            name: torch.empty([int(side) for side in entry["shape"]], dtype=_DTYPES.get(entry["dtype"], torch.bool), device="meta")
            for name, entry in content.items()
            if name != "__metadata__"
        }
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"{path}: its header cannot be read ({type(error).__name__}: {first[:160]}). {remedy}") from None
    _check_fit(expected, found, str(path))
    if wrong := sorted(name for name, tensor in expected.items() if found[name].dtype != tensor.dtype):
        raise CheckpointError(
            f"{path}: {len(wrong)} tensors of another type ({_by_part(wrong)}). Try: the model that they were saved from."
        )
    size, whole = path.stat().st_size, 8 + length + sum(tensor.numel() * tensor.element_size() for tensor in expected.values())
    if size != whole:
        raise CheckpointError(f"{path}: {size} bytes, its header speaks of {whole}. {remedy}")


def load_strictly(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load `state` into `module`, every tensor of which must be there in its shape, and nothing else.

    Raises:
        CheckpointError: counts missing, unexpected and misshapen tensors by part of the module; nothing was loaded.
    """
    _check_fit(module.state_dict(), state, where)
    module.load_state_dict(state)


def _check_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str) -> None:
    both = own.keys() & state.keys()
    found = {
        "missing": own.keys() - state.keys(),
        "unexpected": state.keys() - own.keys(),
        "of another shape": {key for key in both if own[key].shape != state[key].shape},
    }
    problems = [f"{len(keys)} {kind} ({_by_part(keys)})" for kind, keys in found.items() if keys]
    if problems:
        raise CheckpointError(f"{where}: tensors do not fit the model: {'; '.join(problems)}. Try: the model that they were saved from.")


def _by_part(keys: Iterable[str]) -> str:
    """Return how many names each part of a module has, as `encoders.s2: 12, head.out: 1`; the largest six."""
    parts = Counter(".".join(key.split(".")[:2]) for key in sorted(keys))
    text = ", ".join(f"{part[:60]}: {number}" for part, number in parts.most_common(6))
    return text + (", ..." if len(parts) > 6 else "")
