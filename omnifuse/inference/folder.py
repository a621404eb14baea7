"""A model folder: `model.safetensors`, `config.json` and a card. Nothing in it is run, and nothing damaged is read."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from omnifuse import __version__
from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.config import Config, from_dict, read_json, to_dict, write_json
from omnifuse.data.durable import sync
from omnifuse.errors import CheckpointError, ConfigError
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncodersConfig, ModelConfig
from omnifuse.models.reference_model import ReferenceConfig
from omnifuse.models.timm_encoder import TimmConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.models.weights import check_header, check_looks_like_weights, read_tensors
from omnifuse.objectives.contrast import ContrastConfig

FORMAT_VERSION: Final = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True, kw_only=True)
class SegmentationArchitecture(Config):
    """A `FusionModel`."""

    model: ModelConfig
    kind: Literal["segmentation"] = "segmentation"

    @property
    def sensors(self) -> EncodersConfig:
        return self.model.sensors

    @property
    def labels(self) -> Labels:
        return self.model.labels

    @property
    def task(self) -> str:
        """`segmentation` or `classification` of classes, `regression` of quantities."""
        if isinstance(self.labels, Quantities):
            return "regression"
        return "segmentation" if isinstance(self.model.head, SegmentationConfig) else "classification"


@dataclass(frozen=True, kw_only=True)
class ContrastArchitecture(Config):
    """Encoders and projections of a pretraining by `Contrast`."""

    sensors: EncodersConfig
    objective: ContrastConfig
    kind: Literal["contrast"] = "contrast"

    @property
    def labels(self) -> None:
        return None

    @property
    def task(self) -> str:
        return "embedding"


@dataclass(frozen=True, kw_only=True)
class ReferenceArchitecture(Config):
    """A published U-TAE, layer by layer."""

    model: ReferenceConfig
    kind: Literal["reference"] = "reference"

    @property
    def sensors(self) -> EncodersConfig:
        return self.model.sensors

    @property
    def labels(self) -> ClassTable:
        return self.model.labels

    @property
    def task(self) -> str:
        return "segmentation"


AnyArchitecture = SegmentationArchitecture | ContrastArchitecture | ReferenceArchitecture
Architecture = Annotated[AnyArchitecture, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class WeightsFile(Config):
    """What `model.safetensors` must be, to the bit."""

    sha256: str
    bytes: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class ModelFolder(Config):
    """The content of `config.json`.

    Attributes:
        architecture: What to build: sensors with bands, units and statistics, encoders, classes. Only our own classes.
        dates: How dates are counted, in words, and for each sensor that reads them the day that is encoded as 0.
        weights: Size and hash of the weights.
        facts: What is known of the training: provenance and metrics, as plain JSON.
        omnifuse: Version that wrote it.
    """

    architecture: Architecture
    dates: dict[str, str]
    weights: WeightsFile
    facts: dict[str, Any] = field(default_factory=dict)
    omnifuse: str = __version__
    format: Literal["omnifuse-model"] = "omnifuse-model"
    format_version: Literal[1] = FORMAT_VERSION


def origins(sensors: EncodersConfig) -> dict[str, date]:
    """Return the date that each sensor's encoder counts from, for those that read dates."""
    epoch = date(1970, 1, 1)
    return {name: epoch + timedelta(days=e.origin) for name, e in sensors.encoders.items() if isinstance(e, UTAEConfig)}


def without_paths(sensors: EncodersConfig) -> EncodersConfig:
    """Return the configuration without the files that a training started from: the weights hold what they gave."""
    encoders = {name: replace(e, weights="") if isinstance(e, ViTConfig | TimmConfig) else e for name, e in sensors.encoders.items()}
    return replace(sensors, encoders=encoders)


def write_folder(
    folder: Path,
    module: nn.Module,
    architecture: AnyArchitecture,
    facts: dict[str, Any],
    card: Callable[["ModelFolder"], str],
) -> ModelFolder:
    """Write a model folder whole or not at all; an earlier model of the same name is replaced at the last moment.

    Args:
        folder: Where.
        module: The model.
        architecture: What builds it.
        facts: Provenance and metrics.
        card: Writes the card from the configuration.

    Raises:
        CheckpointError: for weights that are not finite, or a folder that holds something else.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    _check_finite(state, str(folder))
    if folder.exists() and not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder}: exists and is not a model folder. Try: another name, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made, old = (folder.parent / f".tmp_{what}_{folder.name}_{os.getpid()}" for what in ("new", "old"))
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    save_file(state, made / WEIGHTS, metadata={"format": "pt"})
    content = ModelFolder(
        architecture=architecture,
        dates={"convention": "whole days since 1970-01-01"}
        | {f"origin of {name}": str(start) for name, start in origins(architecture.sensors).items()},
        weights=WeightsFile(
            sha256=_sha256(made / WEIGHTS),
            bytes=(made / WEIGHTS).stat().st_size,
            parameters=sum(p.numel() for p in module.parameters()),
        ),
        facts=facts,
    )
    write_json(made / CONFIG, to_dict(content))
    (made / CARD).write_text(card(content), encoding="utf-8")
    for path in (*made.iterdir(), made):
        sync(path)
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
    return content


def read_folder(folder: Path) -> ModelFolder:
    """Read and check `config.json`; the weights are not opened.

    Raises:
        CheckpointError: names the file and the field.
    """
    path = folder / CONFIG
    try:
        return _read_config(folder, path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}). Try: check its permissions.") from None


def _read_config(folder: Path, path: Path) -> ModelFolder:
    if not path.is_file():
        inside = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) if folder.is_dir() else "no folder at all"
        raise CheckpointError(f"{path}: no such file; {folder} holds {inside or 'nothing'}. Try: the folder that `save_model` wrote.")
    try:
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != "omnifuse-model":
            raise CheckpointError(f"{path}: not an omnifuse model. Try: the folder that `save_model` wrote.")
        version = value.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: format version {version} of omnifuse {value.get('omnifuse')}, newer than {FORMAT_VERSION}, which this "
                f"omnifuse {__version__} reads. Try: pip install --upgrade omnifuse."
            )
        return from_dict(ModelFolder, value, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def read_weights(folder: Path, content: ModelFolder, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read `model.safetensors` if it announces the tensors that are expected, and every bit is what `config.json` says it was.

    Raises:
        CheckpointError: for missing, cut, changed or non-finite weights.
    """
    path = folder / WEIGHTS
    check_looks_like_weights(path)
    found = path.stat().st_size
    if found != content.weights.bytes:
        raise CheckpointError(f"{path}: {found} bytes, expected {content.weights.bytes}: cut or replaced. Try: download it again.")
    check_header(path, expected)  # before the hash: a file can claim to be of any size
    if _sha256(path) != content.weights.sha256:
        raise CheckpointError(f"{path}: sha256 is not that of `config.json`: damaged or replaced. Try: download the folder again.")
    state = read_tensors(path)
    _check_finite(state, str(path))
    return state


def _check_finite(state: dict[str, Tensor], where: str) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{where}: `{key}` holds values that are not finite. Try: an earlier checkpoint.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
