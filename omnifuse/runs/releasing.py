"""`omnifuse release`: a trained model becomes one that `omnifuse.load` knows by name."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omnifuse.config import Config, read_json, to_dict, write_json
from omnifuse.errors import CheckpointError, ConfigError
from omnifuse.inference.building import restore
from omnifuse.inference.card import Score, card, scores_of
from omnifuse.inference.folder import CARD, CONFIG, WEIGHTS, ModelFolder, read_folder
from omnifuse.inference.mlm import mlm_item
from omnifuse.inference.releases import ROOTS
from omnifuse.models.architectures import ARCHITECTURES
from omnifuse.runs.results import RESULTS, SEED, read_results
from omnifuse.runs.stages import console

LARGEST = 12_000_000  # bytes of everything in the folder: every clone has them
ITEM = "model.stac.json"


@dataclass(frozen=True, kw_only=True)
class ReleaseCommand(Config):
    """Copy a trained model into checkpoints/NAME with a card that can be published, and print its row for RELEASES.

    Attributes:
        title: Of the card.
        description: What it is, in a sentence or two.
        data: What it was trained on, with its licence.
        limits: Where it must not be expected to work.
        license: SPDX identifier of the weights' licence.
        scores: JSON file with a list of {metric, sensors, value, low, high, on}; shares in 0 to 1. Without it, those of the
            results.json in the run's folder.
        into: Folder of the checkpoints; that of this checkout by default.
        overwrite: Replace an earlier release of this name.
    """

    title: str
    description: str
    data: str
    limits: str
    license: str = "CC-BY-4.0"
    scores: str = ""
    into: str = ""
    overwrite: bool = False


def release(folder: Path, name: str, command: ReleaseCommand) -> Path:
    """Copy the model, and say what to add where.

    Raises:
        CheckpointError: for a damaged model, a name that is taken, or more than 12 MB.
        ConfigError: for scores that are none.
    """
    content = read_folder(folder)
    restore(folder, content)  # what cannot be loaded is not released
    own = [] if content.architecture.labels is None else measured(folder.resolve().parent)  # a pretraining's page has figures of its own
    scores = read_json(Path(command.scores)) if command.scores else own or content.facts.get("scores", [])
    stated: dict[str, Any] = {key: getattr(command, key) for key in ("title", "description", "data", "limits", "license")}
    content = replace(content, facts={**content.facts, **stated, "scores": scores})
    if not scores_of(content.facts) and content.architecture.labels is not None:
        raise ConfigError(f"{folder}: no scores, which a card must state. Try: --scores FILE.json.")
    out = (Path(command.into) if command.into else ROOTS[1]) / name
    if out.exists() and not command.overwrite:
        raise CheckpointError(f"{out}: exists. Try: --overwrite, or another name.")
    made = _written(out, folder, content)
    size = sum(path.stat().st_size for path in made.iterdir())
    if size > LARGEST:
        shutil.rmtree(made)
        raise CheckpointError(
            f"{folder}: {size / 1e6:.1f} MB, more than the {LARGEST / 1e6:g} MB of a release. Try: a smaller model, or a hub."
        )
    shutil.rmtree(out, ignore_errors=True)
    made.rename(out)
    console.print(f"{out}: {size / 1e6:.1f} MB. Add to RELEASES in omnifuse/inference/releases.py:", markup=False)
    console.print(row(name, content), markup=False)
    return out


def measured(run: Path) -> list[dict[str, Any]]:
    """Return what a run measured, with 95 % intervals over places, as a card states it; nothing where there is no `results.json`."""
    if not (run / RESULTS).is_file():
        return []
    found = read_results(run)
    scores = []
    for sensors, scored in found.scored.items():
        if len(scored.place):
            low, high = scored.interval(SEED)
            on = f"{len(scored.place)} held-out places, 95 % interval over places"
            scores.append(Score(metric=found.metric.headline, sensors=sensors, value=scored.score, low=low, high=high, on=on))
    return [to_dict(score) for score in scores]


def row(name: str, content: ModelFolder) -> str:
    """Return the line of `RELEASES` for a model."""
    sensors = content.architecture.sensors
    known = [key for key, found in ARCHITECTURES.items() if found.encoders(sensors.modalities) == sensors.encoders]
    quoted: dict[str, Any] = {"where": name, "sha256": content.weights.sha256, "license": content.facts["license"]}
    quoted |= {"architecture": known[0]} if known else {}
    return f"    {json.dumps(name)}: Release({', '.join(f'{key}={json.dumps(value)}' for key, value in quoted.items())}),"


def _written(out: Path, folder: Path, content: ModelFolder) -> Path:
    made = out.with_name(f".tmp_{out.name}")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    shutil.copyfile(folder / WEIGHTS, made / WEIGHTS)
    write_json(made / CONFIG, to_dict(content))
    write_json(made / ITEM, mlm_item(out.name, content))
    (made / CARD).write_text(card(out.name, content), encoding="utf-8")
    return made
