"""A module from a model folder: built as the configuration says, within what its weights take on disk, and filled with them."""

import json
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from omnifuse.config import to_dict
from omnifuse.errors import CheckpointError, ConfigError
from omnifuse.inference.folder import (
    CONFIG,
    WEIGHTS,
    AnyArchitecture,
    ContrastArchitecture,
    ModelFolder,
    ReferenceArchitecture,
    read_weights,
)
from omnifuse.models.model import FusionModel
from omnifuse.models.reference_model import ReferenceModel
from omnifuse.models.timm_encoder import TimmConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.models.weights import load_strictly
from omnifuse.objectives.contrast import Contrast

_MOST_TENSORS = 20_000  # ten ViT-G have 6,000
_LARGEST = 10_000_000  # of a size in a configuration; no layer is as wide
_DEEPEST = 1000  # layers
_FARTHEST = 1e12  # of a measure, in metres, days or units of a band
_SIZES = {"gsd", "gsds", "cell_gsd", "period"}  # measures of which only positive ones mean anything
_AGAIN = "Try: download the folder again."
Model = FusionModel | Contrast | ReferenceModel


def restore(folder: Path, content: ModelFolder) -> Model:
    """Return the model of a folder with its weights, which are checked before anything is built.

    Raises:
        CheckpointError: for a configuration that cannot be built, or weights that are not its own.
    """
    where = str(folder / CONFIG)
    _check_sizes(content, where)
    expected = _shapes(content, where)
    state = read_weights(folder, content, expected)
    with torch.random.fork_rng(devices=[]):
        model = make(content.architecture)
    load_strictly(model, state, str(folder / WEIGHTS))
    return model


def make(found: AnyArchitecture) -> Model:
    """Return the model of an architecture with fresh weights."""
    if isinstance(found, ContrastArchitecture):
        return found.objective.build(found.sensors)
    if isinstance(found, ReferenceArchitecture):
        return ReferenceModel(found.model)
    return FusionModel(found.model)


def _shapes(content: ModelFolder, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors that the model will have, on no device: a configuration costs nothing to inflate."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), _few_tensors(where):
            model = make(content.architecture)
    except CheckpointError:
        raise
    except ConfigError as error:
        said = str(error) if len(str(error)) < 1000 else f"{str(error)[:1000]}…"
        raise CheckpointError(f"{where}: {said}{'' if 'Try: ' in said else ' ' + _AGAIN}") from None
    except Exception as error:  # what torch says of sizes and names that nobody ever trained
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"{where}: describes nothing that can be built ({type(error).__name__}: {first[:160]}). {_AGAIN}") from None
    size = sum(p.numel() for p in model.parameters())
    if size != content.weights.parameters or 2 * size > content.weights.bytes:
        raise CheckpointError(
            f"{where}: describes {size} parameters, its weights are {content.weights.parameters} in {content.weights.bytes} bytes. {_AGAIN}"
        )
    return dict(model.state_dict())


@contextmanager
def _few_tensors(where: str) -> Iterator[None]:
    """Stop a construction in this thread that has more tensors than any model, before it takes time and memory."""
    thread, found = threading.get_ident(), 0

    def count(_module: nn.Module, _name: str, _parameter: nn.Parameter | None) -> None:
        nonlocal found
        found += threading.get_ident() == thread
        if found > _MOST_TENSORS:
            raise CheckpointError(f"{where}: describes a model of more than {_MOST_TENSORS} tensors. {_AGAIN}")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _check_sizes(content: ModelFolder, where: str) -> None:
    """Refuse sizes that no model has, and files on this machine that a configuration would have read."""
    for name, value in _numbers(to_dict(content.architecture), ""):
        most = _DEEPEST if name.endswith(".depth") else _LARGEST
        size = _SIZES.intersection(name.split("."))
        if not math.isfinite(value) or abs(value) > (most if isinstance(value, int) else _FARTHEST) or (size and value <= 0):
            raise CheckpointError(f"{where}: field `architecture{name}` is {value}, which no model has. {_AGAIN}")
    for name, modality in content.architecture.sensors.modalities.items():
        if modality.name != name:
            raise CheckpointError(f"{where}: the sensor {name[:80]!r} is called {modality.name[:80]!r} inside. {_AGAIN}")
    for name, encoder in content.architecture.sensors.encoders.items():
        if isinstance(encoder, ViTConfig | TimmConfig) and encoder.weights:
            found = json.dumps(encoder.weights[:80])
            raise CheckpointError(f"{where}: the encoder of {name!r} reads {found}; a model folder holds all of its weights. {_AGAIN}")


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{name}.{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value
