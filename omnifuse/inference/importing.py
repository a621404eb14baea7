"""Published U-TAE checkpoints as model folders: the weights as they are, and beside them what the files leave to their code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from omnifuse.classes import ClassTable
from omnifuse.config import read_json
from omnifuse.errors import CheckpointError, ConfigError, InputError
from omnifuse.inference.card import card
from omnifuse.inference.folder import ModelFolder, ReferenceArchitecture, write_folder
from omnifuse.modalities import Modality
from omnifuse.models.ltae import Aggregation
from omnifuse.models.reference_model import ReferenceConfig, ReferenceModel
from omnifuse.models.utae import Padding, UTAEConfig, from_reference
from omnifuse.models.utae_reference import ReferenceUTAE
from omnifuse.models.weights import check_looks_like_weights

T = TypeVar("T")
_WEIGHTS = "model.pth.tar"
_AGGREGATIONS: Mapping[str, Aggregation] = {"att_group": "group", "att_mean": "attention", "mean": "mean"}
_PADDINGS: Mapping[str, Padding] = {"reflect": "reflect", "zeros": "zeros"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published checkpoint.

    Attributes:
        state: Tensors by their published names.
        aggregation: How skips collapse over time, and `padding`, at borders: from the `conf.json` beside it, else the published defaults.
        padding: See above.
        source: Name of the file.
    """

    state: dict[str, Tensor]
    aggregation: Aggregation
    padding: Padding
    source: str


def read_published(path: Path) -> Published:
    """Read `model.pth.tar` (or its folder, or a `.safetensors` of the same names), without running anything in it.

    Raises:
        CheckpointError: for a file that is damaged or holds more than tensors and numbers.
        ConfigError: for a `conf.json` that names an option we do not know.
    """
    file = path / _WEIGHTS if path.is_dir() else path
    check_looks_like_weights(file)
    content: Any
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, unpickling and safetensors errors have no common base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{file}: cannot be read as weights ({first[:160]}). Try: the published {_WEIGHTS}.") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{file}: holds no tensors by name. Try: the published {_WEIGHTS}, with its `state_dict`.")
    if not all(value.isfinite().all() for value in state.values()):
        raise CheckpointError(f"{file}: holds values that are not finite. Try: download it again.")
    conf = next((found for folder in (file.parent, file.parent.parent) if (found := folder / "conf.json").is_file()), None)
    options = {} if conf is None else read_json(conf)
    if not isinstance(options, dict):
        raise ConfigError(f"{conf}: found {type(options).__name__}, expected the options of the training. Try: remove it.")
    return Published(
        state={str(name): value for name, value in state.items()},
        aggregation=_option(options, "agg_mode", _AGGREGATIONS, "att_group", str(conf)),
        padding=_option(options, "padding_mode", _PADDINGS, "reflect", str(conf)),
        source=file.name,
    )


def import_utae(found: Published, out: Path, modality: Modality, labels: ClassTable, origin: int, facts: dict[str, Any]) -> ModelFolder:
    """Write a published U-TAE as a folder that `omnifuse.load` reads.

    Args:
        found: Its weights.
        out: Folder to write.
        modality: What it reads; mean and standard deviation are those that its training normalized by.
        labels: What it maps.
        origin: The day since 1970-01-01 that its training counted dates from.
        facts: Provenance for the card.

    Raises:
        CheckpointError: for weights of another model.
        InputError: for another number of bands or classes.
    """
    utae = from_reference(found.state, aggregation=found.aggregation, padding=found.padding)
    assert isinstance(utae, ReferenceUTAE)
    config = _config(utae, found, modality, labels, origin)
    model = ReferenceModel(config).eval()
    model.utae.load_state_dict(utae.state_dict())
    return write_folder(out, model, ReferenceArchitecture(model=config), facts, lambda content: card(out.name, content))


def _config(utae: ReferenceUTAE, found: Published, modality: Modality, labels: ClassTable, origin: int) -> ReferenceConfig:
    """Return what was built, read from the shapes of its layers."""
    shape = {name: tuple(value.shape) for name, value in utae.state_dict().items()}
    depth = len(utae.down_blocks)
    bands, classes = shape["in_conv.conv.conv.0.weight"][1], shape["out_conv.conv.conv.3.weight"][0]
    if bands != len(modality.bands):
        raise InputError(
            f"{found.source}: reads {bands} bands, {modality.name!r} has {len(modality.bands)} ({', '.join(modality.bands)}). "
            "Try: the sensor that it was trained on."
        )
    if classes != len(labels.names):
        raise InputError(f"{found.source}: maps {classes} classes, {len(labels.names)} are named. Try: one name for each, in order.")
    widths = (shape["in_conv.conv.conv.0.weight"][0], *(shape[f"down_blocks.{i}.conv2.conv.0.weight"][0] for i in range(depth)))
    ups = [shape[f"up_blocks.{i}.up.0.weight"] for i in range(depth)]
    heads, key_dim = shape["temporal_encoder.attention_heads.Q"]
    hidden = shape["out_conv.conv.conv.0.weight"]
    return ReferenceConfig(
        modality=modality,
        encoder=UTAEConfig(
            widths=widths,
            stride=ups[0][-1] - 2 if ups else 1,
            heads=heads,
            dim=shape["temporal_encoder.inconv.weight"][0],
            key_dim=key_dim,
            norm="group",
            padding=found.padding,
            aggregation=found.aggregation,
            origin=origin,
        ),
        decoder=(*(up[1] for up in reversed(ups)), ups[0][0] if ups else hidden[1]),
        hidden=hidden[0],
        labels=labels,
    )


def with_statistics_of(modality: Modality, norm: Path, folds: tuple[int, ...]) -> Modality:
    """Return the modality with mean and std of a `NORM_<sensor>_patch.json`, averaged over folds as the published code does.

    Raises:
        InputError: for a file without these folds, or of another number of bands.
    """
    from omnifuse.data.sources.pastis_metadata import read_norm

    known = read_norm(norm)
    missing = [fold for fold in folds if fold not in known]
    if missing or not folds:
        raise InputError(
            f"{norm}: has folds {', '.join(map(str, known))}, not {', '.join(map(str, missing)) or 'none'}. Try: --folds 1 2 3."
        )
    mean, std = (tuple(sum(values) / len(folds) for values in zip(*(known[fold][i] for fold in folds), strict=True)) for i in (0, 1))
    if len(mean) != len(modality.bands):
        raise InputError(f"{norm}: has {len(mean)} bands, {modality.name!r} has {len(modality.bands)}. Try: the file of this sensor.")
    return replace(modality, mean=mean, std=std)


def _option(options: Mapping[str, Any], name: str, known: Mapping[str, T], default: str, where: str) -> T:
    value = options.get(name, default)
    if value not in known:
        raise ConfigError(f"{where}: `{name}` is {value!r}, known are {', '.join(known)}. Try: weights of one of these.")
    return known[value]
