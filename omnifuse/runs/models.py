"""`omnifuse models`: what there is by name, or one model in full."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from textwrap import wrap

from omnifuse.classes import ClassTable
from omnifuse.config import Config
from omnifuse.errors import CheckpointError
from omnifuse.inference.card import Score, card, scores_of
from omnifuse.inference.folder import ModelFolder
from omnifuse.inference.mlm import mlm_item
from omnifuse.inference.releases import RELEASES, read_named
from omnifuse.models.architectures import ARCHITECTURES
from omnifuse.runs.finetuning_facts import metric_name
from omnifuse.runs.stages import console

_NO_SHARES = ("r2", "rmse", "mae", "bias")  # in units, or of no fixed range: everything else lies in 0..1 and is said in percent


@dataclass(frozen=True, kw_only=True)
class ModelsCommand(Config):
    """List the models that can be named, or show one.

    Attributes:
        stac: Print the model as a STAC item (machine learning model extension) in place of its card.
    """

    stac: bool = False


def show_models(name: str | None, command: ModelsCommand) -> None:
    """Print the list, or the card or STAC item of one model."""
    if name is None:
        if command.stac:
            raise CheckpointError("models: --stac is of one model. Try: omnifuse models NAME --stac.")
        console.print(released_text(console.width), markup=False)
        console.print(f"\n{architecture_text(console.width)}", markup=False)
        return
    folder, content = read_named(name)
    text = json.dumps(mlm_item(folder.name, content), indent=2, ensure_ascii=False) if command.stac else card(name, content)
    print(text)


def released_text(width: int) -> str:
    """Return what `load` knows by name, a block of lines for each model; names are whole at any width."""
    blocks = ["Released: omnifuse.load(NAME)"]
    for name in RELEASES:
        try:
            _, content = read_named(name)
            rows = _about(content)
        except CheckpointError as error:
            rows = [f"not here: {error}"]
        blocks.append(_block(name, rows, width))
    return "\n\n".join(blocks if RELEASES else [*blocks, "(none)"])


def architecture_text(width: int) -> str:
    """Return what `create_model` knows by name, with fresh weights for any sensors and labels."""
    blocks = ["Architectures, with fresh weights for your sensors and classes: omnifuse.create_model(NAME)"]
    for name, found in ARCHITECTURES.items():
        image = found.image
        rows = [
            f"series: U-TAE {'-'.join(map(str, found.series.widths))}, {found.series.heads} heads",
            f"images: {image.name}{f', {image.depth} × {image.dim}' if image.depth else ''}",
            f"fused at {', '.join(f'{gsd:g}' for gsd in found.fusion.gsds)} m, labels at {found.head.gsd:g} m",
        ]
        blocks.append(_block(name, rows, width))
    return "\n\n".join(blocks)


def score_text(score: Score, sensors: Collection[str]) -> str:
    """Return a score in words, a share in percent: `mIoU 78.9 % (74.2–83.1), all sensors`.

    Args:
        score: As the card has it.
        sensors: Those of the model.
    """
    given = set(score.sensors.split("+"))
    seen = "all sensors" if len(sensors) > 1 and given == set(sensors) else score.sensors.replace("+", " + ")
    metric = metric_name(score.metric)
    if score.metric.startswith(_NO_SHARES):
        return f"{metric} {score}, {seen}"
    spread = "" if score.low is None or score.high is None else f" ({100 * score.low:.1f}–{100 * score.high:.1f})"
    return f"{metric} {100 * score.value:.1f} %{spread}, {seen}"


def _about(content: ModelFolder) -> list[str]:
    found, facts = content.architecture, content.facts
    modalities, labels = found.sensors.modalities, found.labels
    count = "" if labels is None else f", {len(labels.names)} {'classes' if isinstance(labels, ClassTable) else 'quantities'}"
    rows = [
        f"{found.task}{count}; {facts.get('license', 'license not stated')}",
        "sensors: " + ", ".join(f"{name} ({modality.gsd:g} m)" for name, modality in modalities.items()),
        f"{content.weights.parameters:,} parameters, {content.weights.bytes / 1e6:.1f} MB",
    ]
    return rows + [score_text(score, modalities) for score in scores_of(facts)[:1]]


def _block(name: str, rows: Iterable[str], width: int) -> str:
    """Return a name on a line of its own, and rows that are broken between words."""
    lines = [line for row in rows for line in wrap(row, max(width, 24), initial_indent="  ", subsequent_indent="    ")]
    return "\n".join([name, *lines])
