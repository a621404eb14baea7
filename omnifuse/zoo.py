"""Models by name: save one as a folder, load one from a folder, a name or a hub."""

import logging
import re
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import torch
from pydantic import JsonValue

from omnifuse.classes import ClassTable
from omnifuse.errors import CheckpointError, ConfigError, InputError
from omnifuse.inference.card import card
from omnifuse.inference.folder import (
    CONFIG,
    WEIGHTS,
    ContrastArchitecture,
    ModelFolder,
    SegmentationArchitecture,
    read_folder,
    read_weights,
    without_paths,
    write_folder,
)
from omnifuse.inference.predictor import Predictor
from omnifuse.modalities import Modality
from omnifuse.models.model import Encoders, FusionModel
from omnifuse.models.weights import load_strictly
from omnifuse.objectives.contrast import Contrast

_log = logging.getLogger(__name__)

# Name -> folder under `checkpoints/`, or `org/name@commit` on a hub.
CHECKPOINTS: dict[str, str] = {}
_ROOTS = (Path(__file__).parent / "checkpoints", Path(__file__).parents[1] / "checkpoints")  # installed, or a checkout


def load(folder_or_name: str | Path, *, device: Literal["cpu", "auto"] | str = "cpu") -> Predictor:
    """Load a model for use: `omnifuse.load("tiny-landscape").predict({"s2": s2})`.

    Reads `config.json` and `model.safetensors` and nothing else; no code, no pickle.

    Args:
        folder_or_name: A model folder, a name of `CHECKPOINTS`, or `org/name@commit` on the Hugging Face hub.
        device: `auto` is a GPU where there is one; any name that torch knows.

    Raises:
        CheckpointError: for an unknown name, and for anything missing, damaged or of a newer format.
    """
    folder = find(str(folder_or_name))
    content = read_folder(folder)
    model = restore(folder, content)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return Predictor(model.eval().requires_grad_(False).to(chosen), content)


def find(folder_or_name: str) -> Path:
    """Return the model folder of a path, a name of `CHECKPOINTS` or a hub id."""
    if Path(folder_or_name).is_dir():
        return Path(folder_or_name)
    where = CHECKPOINTS.get(folder_or_name, folder_or_name)
    for root in _ROOTS:
        if folder_or_name in CHECKPOINTS and (root / where).is_dir():
            return root / where
    if match := re.fullmatch(r"([\w.-]+/[\w.-]+)@([\w.-]+)", where):
        return _from_hub(match[1], match[2])
    if folder_or_name in CHECKPOINTS:
        raise CheckpointError(f"{folder_or_name}: its folder is not installed here. Try: a checkout of the repository.")
    near = get_close_matches(folder_or_name, CHECKPOINTS, 1)
    known = ", ".join(CHECKPOINTS) or "none"
    remedy = f"`{near[0]}`" if near else "the path of a model folder, or org/name@commit, so that hub weights cannot change under you"
    raise CheckpointError(f"{folder_or_name}: no such folder, and no such name among the checkpoints ({known}). Try: {remedy}.")


def _from_hub(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # network, hub and HTTP errors have no common base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{name}@{revision}: cannot be had from the hub ({first[:200]}). Try: download it as a folder.") from None


def restore(folder: Path, content: ModelFolder) -> FusionModel | Contrast:
    """Return the model of a folder with its weights, which are checked before anything is built."""
    state = read_weights(folder, content)
    model = _build(content, str(folder / CONFIG))
    load_strictly(model, state, str(folder / WEIGHTS))
    return model


def _build(content: ModelFolder, where: str) -> FusionModel | Contrast:
    """Return the model with random weights, after a look at its size: a configuration costs nothing to inflate."""
    found = content.architecture

    def make() -> FusionModel | Contrast:
        if isinstance(found, SegmentationArchitecture):
            return FusionModel(found.model)
        return found.objective.build(found.sensors)

    try:
        with torch.random.fork_rng(devices=[]):
            with torch.device("meta"):
                size = sum(p.numel() for p in make().parameters())
            if size != content.weights.parameters or 2 * size > content.weights.bytes:
                raise CheckpointError(
                    f"{where}: describes {size} parameters, its weights are {content.weights.parameters} in {content.weights.bytes} bytes. "
                    "Try: download the folder again."
                )
            return make()
    except ConfigError as error:
        remedy = "" if "Try: " in str(error) else " Try: download the folder again."
        raise CheckpointError(f"{where}: {error}{remedy}") from None


def save_model(folder: Path, model: FusionModel, facts: dict[str, JsonValue]) -> None:
    """Write a trained model as a folder that `load` reads: weights, configuration, card.

    Args:
        folder: Where; made whole or not at all.
        model: The model.
        facts: Provenance and metrics; `title`, `description`, `limits` and `license` have places of their own in the card.
    """
    config = replace(model.config, sensors=without_paths(model.config.sensors))
    text = card(folder.name, config.sensors.modalities, config.labels if isinstance(config.labels, ClassTable) else None, facts)
    write_folder(folder, model, SegmentationArchitecture(model=config), facts, text)


def save_pretrained(folder: Path, objective: Contrast, facts: dict[str, JsonValue]) -> None:
    """Write pretrained encoders and projections as a folder that `load_pretrained` (and `load`, for embeddings) reads."""
    sensors = without_paths(objective.encoders.config)
    text = card(folder.name, sensors.modalities, None, facts)
    write_folder(folder, objective, ContrastArchitecture(sensors=sensors, objective=objective.config), facts, text)


@dataclass(frozen=True)
class Pretrained:
    """Pretrained encoders to start a training from.

    Attributes:
        encoders: With their weights.
        where: Their folder, for messages.
    """

    encoders: Encoders
    where: str

    def modality(self, name: str, stored: Modality) -> Modality:
        """Return the modality as it was pretrained (its statistics), if what is `stored` now is the same product.

        A sensor that was not pretrained is returned as stored, and the log says so.
        """
        known = self.encoders.config.modalities
        if name not in known:
            _log.warning("%s: %r was not pretrained (only %s); its encoder starts from random weights.", self.where, name, ", ".join(known))
            return stored
        for key in ("bands", "units", "gsd", "series", "per_place", "context"):
            now, then = getattr(stored, key), getattr(known[name], key)
            if now != then:
                raise InputError(
                    f"{self.where}: {name!r} was pretrained with {key} {then}, the data have {now}. Try: store the data as pretrained."
                )
        return known[name]

    def load_into(self, encoders: Encoders) -> None:
        """Copy the weights of every sensor that both have.

        Raises:
            CheckpointError: where no sensor is shared, or an encoder is configured otherwise; nothing was copied.
        """
        own, new = (without_paths(e.config).encoders for e in (self.encoders, encoders))
        shared = [name for name in new if name in own]
        if not shared:
            raise CheckpointError(f"{self.where}: has {', '.join(own)}, none of {', '.join(new)}. Try: other pretrained weights.")
        for name in shared:
            if own[name] != new[name]:
                raise CheckpointError(
                    f"{self.where}: encoder of {name!r} was pretrained as {_difference(own[name], new[name])}. Try: the same encoder."
                )
        for name in shared:
            encoders.by_name[name].load_state_dict(self.encoders.by_name[name].state_dict())


def load_pretrained(folder: Path) -> Pretrained:
    """Read the encoders of a model folder, pretrained or fine-tuned, to start another training from."""
    return Pretrained(restore(folder, read_folder(folder)).encoders, str(folder))


def _difference(own: object, new: object) -> str:
    if type(own) is not type(new):
        return f"{type(own).__name__}, not {type(new).__name__}"
    names = [field.name for field in fields(own) if getattr(own, field.name) != getattr(new, field.name)]  # type: ignore[arg-type]
    return ", ".join(f"{name} {getattr(own, name)}, not {getattr(new, name)}" for name in names)
