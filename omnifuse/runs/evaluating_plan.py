"""Which models are evaluated at which places, by what each says of its training: none is scored unsaid at what it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from omnifuse.classes import Labels, Quantities
from omnifuse.config import Config, from_dict
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.data.stacked import Stack, Stacked
from omnifuse.data.subset import split_by_text
from omnifuse.data.target_rules import TargetConfig
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.protocols import Protocol
from omnifuse.inference.folder import CONFIG, ModelFolder
from omnifuse.inference.releases import read_named
from omnifuse.runs.ancestry import seen_before
from omnifuse.runs.places import SplitConfig

Seen = Literal["refuse", "allowed"]
Info = Sequence[dict[str, str | int | float]]


@dataclass(frozen=True, kw_only=True)
class Training(Config):
    """What the facts of a model say of its training.

    Attributes:
        split: Which places it was trained on, watched and tested at; None where it does not say.
        target: Rules that made its labels of those of its data.
        stacks: Sensors of its data that were stacked as bands of others.
    """

    split: SplitConfig | None = None
    target: tuple[TargetConfig, ...] = ()
    stacks: tuple[Stack, ...] = ()


@dataclass(frozen=True)
class Entrant:
    """A model to be evaluated.

    Attributes:
        name: What loads it.
        content: Its configuration.
        training: What it says of its training.
    """

    name: str
    content: ModelFolder
    training: Training


@dataclass(frozen=True)
class Planned:
    """One model, and the places that it is scored at.

    Attributes:
        entrant: The model.
        part: The places in words, such as `fold 5`.
        places: Their numbers.
        notes: What is to be known of them: that the model was trained on some, that the weights it started from were, or that it does
            not say what it was trained on.
    """

    entrant: Entrant
    part: str
    places: Int[np.ndarray, " n"]
    notes: tuple[str, ...] = ()


def entrants(pattern: str) -> list[Entrant]:
    """Return the models of a name, a model folder, the folder of a run, or a pattern of folders such as `runs/pastis_fold*`.

    Raises:
        InputError: where a pattern fits no folder.
        CheckpointError: where there is no model.
    """
    names = [pattern]
    if any(sign in pattern for sign in "*?["):
        whole = Path(pattern)
        within = whole.relative_to(whole.anchor) if whole.anchor else whole
        names = [str(path) for path in sorted(Path(whole.anchor or ".").glob(str(within))) if path.is_dir()]
        if not names:
            raise InputError(f"{pattern}: no such folder. Try: the pattern in quotes, as in 'runs/pastis_fold*'.")
    found = []
    for name in names:
        inside = [Path(name) / part for part in ("model", "pretrained")]
        name = next((str(folder) for folder in inside if (folder / CONFIG).is_file()), name)
        folder, content = read_named(name)
        found.append(Entrant(name, content, training_of(content.facts, str(folder / CONFIG))))
    return found


def training_of(facts: dict[str, Any], where: str) -> Training:
    """Return what facts say of a training."""
    return from_dict(Training, {name: facts[name] for name in ("split", "target", "stacks") if name in facts}, f"{where}: facts")


def plan(
    models: Sequence[Entrant],
    info: Info,
    protocol: Protocol | None,
    rows: Sequence[int],
    split: tuple[str, tuple[str, ...]] | None,
    seen: Seen,
) -> list[Planned]:
    """Choose the places of each model: of a protocol those that its own row tests, else those asked for, else those that it was tested at.

    Args:
        models: The models.
        info: Metadata of all places.
        protocol: The protocol, if there is one.
        rows: Its row of each model (from 1), for models that do not say what they were trained on.
        split: Key of the metadata and values, where they are asked for.
        seen: Whether a model may be scored at places that it was trained on; a note then says so.

    Raises:
        InputError: for places that a model was trained on.
        ConfigError: where it is not known which places to take.
    """
    if rows and len(rows) != len(models):
        raise ConfigError(f"evaluation: {len(rows)} `--rows` for {len(models)} models. Try: one row for each.")
    if split is not None and protocol is not None:
        raise ConfigError(f"evaluation: protocol {protocol.name} chooses the places that `--split` would. Try: one of them.")
    planned = []
    for number, one in enumerate(models):
        if protocol is not None:
            row = protocol.rows[_row(protocol, one, rows[number] if rows else 0)]
            key, values = protocol.key, tuple(map(str, row.test))
        elif split is not None:
            key, values = split
        elif one.training.split is not None:
            key, values = one.training.split.key, tuple(map(str, one.training.split.test))
        else:
            raise ConfigError(f"{one.name}: does not say what it was tested on. Try: --split fold --values 5.")
        places = split_by_text(info, key, values)
        facts = one.content.facts
        earlier = seen_before(facts.get("pretrained on") or {}, str(facts.get("data")), key, info, places)
        notes = (_note(one, info, places, seen), *(f"{one.name}: {note}" for note in earlier))
        planned.append(Planned(one, f"{key} {', '.join(values)}", places, tuple(filter(None, notes))))
    return planned


def stacked_alike(source: PlaceSource, models: Sequence[Entrant]) -> PlaceSource:
    """Return the places with those sensors stacked that were in the training of the models.

    Raises:
        ConfigError: where models were trained on different ones.
    """
    stacks = models[0].training.stacks
    other = next((one for one in models if one.training.stacks != stacks), None)
    if other is not None:
        raise ConfigError(f"{other.name}: was trained on other stacked sensors than {models[0].name}. Try: one evaluation for each.")
    return Stacked(source, stacks) if stacks else source


def check_labels(model: Labels | None, source: PlaceSource, name: str, path: str, rule: Protocol | None = None) -> None:
    """Raise an error where a model does not predict what the labels of a source speak of.

    Args:
        model: What it predicts.
        source: Places with the labels to be scored.
        name: Of the model.
        path: Of the places.
        rule: The protocol; it says above which share a class is present, whatever the model was taught.
    """
    labels = labels_of(source)
    if model is None:
        raise ConfigError(f"{name}: predicts nothing, it only embeds. Try: a fine-tuned model, or `omnifuse evaluate --probe linear`.")
    if labels is None:
        raise InputError(f"{path}: has no labels to score against. Try: a labeled store.")
    if type(labels) is not type(model) or labels.names != model.names:
        raise InputError(
            f"{path}: labels are {', '.join(labels.names)}; {name} predicts {', '.join(model.names)}. Try: the labels it was trained on."
        )
    known = _meaning(model)
    for what, found in _meaning(labels).items():
        if found != known[what] and not (what == "present_above" and rule is not None):
            raise InputError(
                f"{path}: `{what}` of the labels is {found}; {name} was trained on {known[what]}. Try: the labels it was trained on."
            )


def scored_labels(model: Labels | None, source: PlaceSource) -> Labels:
    """Return the labels to score by: those of the places; quantities about the level that the model measured, as its own results are."""
    labels = labels_of(source)
    assert model is not None and labels is not None  # `check_labels` has said so
    return model if isinstance(labels, Quantities) else labels


def _meaning(labels: Labels) -> dict[str, object]:
    """Return what labels of the same names may still differ in."""
    if isinstance(labels, Quantities):
        return {"units": labels.units}
    ignored = labels.ignore if 0 <= labels.ignore < len(labels.names) else "no class"  # another number beyond them is as good
    above = {} if labels.exclusive else {"present_above": labels.present_above}
    return {"exclusive": labels.exclusive, "ignore": ignored, **above}


def missing_rows(protocol: Protocol | None, number: int) -> list[str]:
    """Return a note where so many models are not all that a protocol has rows for."""
    if protocol is None or number >= len(protocol.rows):
        return []
    return [f"{number} of {len(protocol.rows)} rows of protocol {protocol.name}: not the published figure, which is of all of them."]


def _row(protocol: Protocol, model: Entrant, asked: int) -> int:
    """Return the row of a protocol that a model belongs to, from 0."""
    if not 0 <= asked <= len(protocol.rows):
        raise ConfigError(f"protocol {protocol.name}: row {asked}, it has rows 1 to {len(protocol.rows)}. Try: --rows 1.")
    split = model.training.split
    if asked:
        return asked - 1
    if split is None or split.key != protocol.key:
        said = "does not say what it was trained on" if split is None else f"was trained on a split by {split.key}, not {protocol.key}"
        raise ConfigError(f"{model.name}: {said}. Try: --rows with its row of the protocol, such as --rows 1.")
    return protocol.row_trained_on(split.train)


def _note(model: Entrant, info: Info, places: Int[np.ndarray, " n"], seen: Seen) -> str:
    """Return what is to be known of the places, or raise where the model was trained on some of them."""
    split = model.training.split
    if split is None or any(split.key not in info[number] for number in places):
        return f"{model.name}: what it was trained on is not known, so it may have been trained on places that it is scored at."
    trained, watched = (
        [number for number in places if str(info[number][split.key]) in set(map(str, values))] for values in (split.train, split.val)
    )
    if trained:
        first, words = info[trained[0]], f"{split.key} {', '.join(map(str, split.train))}"
        said = f"{len(trained)} of the {len(places)} places, such as {first['id']!r} ({split.key} {first[split.key]}), are of {words}"
        if seen == "refuse":
            tested = " ".join(map(str, split.test))
            raise InputError(
                f"{model.name}: was trained on places that it would be scored at: {said}. Try: --split {split.key} --values {tested}, "
                f"which it was tested on; or `--seen allowed`, where these are other places after all."
            )
        return f"{model.name}: {said}, which it says it was trained on. This is no score of unseen places."
    if watched:
        return f"{model.name}: {len(watched)} of the {len(places)} places were watched during its training."
    return ""
