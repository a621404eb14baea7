"""Models by the name of their architecture, with fresh or released weights, in the manner of timm."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from omnifuse.classes import ClassTable, Labels
from omnifuse.data.sources.raster_labels import hues
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.building import Model, make, restore
from omnifuse.inference.folder import ContrastArchitecture
from omnifuse.inference.pretrained import load_pretrained
from omnifuse.inference.releases import RELEASES, read_named
from omnifuse.modalities import MODALITIES, Modality, check_names
from omnifuse.models.architectures import ARCHITECTURES, Architecture
from omnifuse.models.model import Encoders, EncodersConfig, FusionModel, ModelConfig

_SENSORS = ("s2", "s1_asc", "spot")


def list_models(filter: str = "*", *, pretrained: bool = False) -> list[str]:
    """Return the names that `create_model` knows: architectures, and released models, which `load` knows, too.

    Args:
        filter: A pattern, such as `tiny*`.
        pretrained: Only names that come with weights.
    """
    released = {release.architecture for release in RELEASES.values()}
    names = [*(name for name in ARCHITECTURES if not pretrained or name in released), *RELEASES]
    return [name for name in names if fnmatchcase(name, filter)]


def create_model(
    name: str,
    *,
    pretrained: bool = False,
    sensors: Sequence[str] | Mapping[str, Modality] = _SENSORS,
    labels: Labels | Sequence[str] | None = None,
) -> Model | Encoders:
    """Return a model to train, in training mode: `create_model("tiny", sensors=("s2", "spot"), labels=("field", "forest"))`.

    Fresh weights are drawn from torch's generator: call `torch.manual_seed` before.

    Args:
        name: One of `list_models()`.
        pretrained: Whether to start from released weights: all of them for the name of a released model; for an architecture those
            of its released encoders, for each of `sensors` that they know, with the statistics that they know.
        sensors: Of an architecture: names of `MODALITIES`, or modalities by name (your bands, units and statistics).
        labels: Of an architecture: a class table, quantities or names of classes; None returns encoders alone.

    Raises:
        ConfigError: for an unknown name, or one without released weights.
        InputError: for an unknown sensor.
        CheckpointError: for released weights that are damaged.
    """
    if name in RELEASES:
        if labels is not None or tuple(sensors) != _SENSORS:
            raise ConfigError(f"{name}: a released model has its own sensors and labels. Try: an architecture, {', '.join(ARCHITECTURES)}.")
        folder, content = read_named(name)
        return (restore(folder, content) if pretrained else make(content.architecture)).train()
    if name not in ARCHITECTURES:
        near = get_close_matches(name, list_models(), 1)
        raise ConfigError(
            f"create_model: unknown {name!r}; known are {', '.join(list_models())}. Try: {near[0] if near else 'one of these'}."
        )
    chosen = _modalities(sensors)
    if not pretrained:
        return _fresh(ARCHITECTURES[name], chosen, labels)
    encoders = [known for known, release in RELEASES.items() if release.architecture == name and _is_pretrained(known)]
    if not encoders:
        raise ConfigError(f"create_model: no weights of {name!r} are released. Try: pretrained=False.")
    start = load_pretrained(encoders[0])
    model = _fresh(ARCHITECTURES[name], {key: start.modality(key, modality) for key, modality in chosen.items()}, labels)
    start.load_into(model if isinstance(model, Encoders) else model.encoders)
    return model


def _is_pretrained(name: str) -> bool:
    return isinstance(read_named(name)[1].architecture, ContrastArchitecture)


def _modalities(sensors: Sequence[str] | Mapping[str, Modality]) -> dict[str, Modality]:
    if isinstance(sensors, Mapping):
        return dict(sensors)
    if isinstance(sensors, str):
        raise InputError(f"create_model: `sensors` is {sensors!r}. Try: a list of names, [{sensors!r}].")
    check_names(sensors, list(MODALITIES), "create_model")
    return {name: MODALITIES[name] for name in sensors}


def _fresh(found: Architecture, modalities: dict[str, Modality], labels: Labels | Sequence[str] | None) -> FusionModel | Encoders:
    config = EncodersConfig(modalities=modalities, encoders=found.encoders(modalities))
    if labels is None:
        return Encoders(config)
    return FusionModel(ModelConfig(sensors=config, fusion=found.fusion, head=found.head, labels=_labels(labels)))


def _labels(labels: Labels | Sequence[str]) -> Labels:
    if not isinstance(labels, Sequence):
        return labels
    if isinstance(labels, str) or len(set(labels)) != len(labels) or not labels:
        raise InputError(f"create_model: `labels` is {labels!r}. Try: the names of at least one class, each once.")
    return ClassTable(names=tuple(labels), colors=hues(len(labels)))
