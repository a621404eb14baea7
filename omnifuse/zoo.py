"""Models by name: load one from a folder, a name or a hub, save one as a folder, start one from an architecture."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from omnifuse.inference.building import restore
from omnifuse.inference.card import card
from omnifuse.inference.creating import create_model, list_models
from omnifuse.inference.folder import ContrastArchitecture, SegmentationArchitecture, without_paths, write_folder
from omnifuse.inference.predictor import Predictor
from omnifuse.inference.pretrained import Pretrained, load_pretrained
from omnifuse.inference.releases import RELEASES, Release, find, read_named
from omnifuse.models.model import FusionModel
from omnifuse.objectives.contrast import Contrast

__all__ = [
    "RELEASES",
    "Pretrained",
    "Release",
    "create_model",
    "find",
    "list_models",
    "load",
    "load_pretrained",
    "save_model",
    "save_pretrained",
]


def load(folder_or_name: str | Path, *, device: Literal["cpu", "auto"] | str = "cpu") -> Predictor:
    """Load a model for use: `omnifuse.load("tiny-landscape").predict({"s2": s2})`.

    Reads `config.json` and `model.safetensors` and nothing else; no code, no pickle.

    Args:
        folder_or_name: A model folder, a name of `RELEASES`, or `org/name@commit` on the Hugging Face hub.
        device: `auto` is a GPU where there is one; any name that torch knows.

    Raises:
        CheckpointError: for an unknown name, and for anything missing, damaged or of a newer format.
    """
    folder, content = read_named(str(folder_or_name))
    model = restore(folder, content)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return Predictor(model.eval().requires_grad_(False).to(chosen), content)


def save_model(folder: Path, model: FusionModel, facts: dict[str, Any]) -> None:
    """Write a trained model as a folder that `load` reads: weights, configuration, card.

    Args:
        folder: Where; made whole or not at all.
        model: The model.
        facts: Provenance and metrics, see `omnifuse.inference.card.card`.
    """
    architecture = SegmentationArchitecture(model=replace(model.config, sensors=without_paths(model.config.sensors)))
    write_folder(folder, model, architecture, facts, lambda content: card(folder.name, content))


def save_pretrained(folder: Path, objective: Contrast, facts: dict[str, Any]) -> None:
    """Write pretrained encoders and projections as a folder that `load_pretrained` (and `load`, for embeddings) reads."""
    architecture = ContrastArchitecture(sensors=without_paths(objective.encoders.config), objective=objective.config)
    write_folder(folder, objective, architecture, facts, lambda content: card(folder.name, content))
