"""`omnifuse models`: what there is by name, or one model in full."""

import json
from dataclasses import dataclass

from rich.table import Table

from omnifuse.config import Config
from omnifuse.errors import CheckpointError
from omnifuse.inference.card import card, scores_of
from omnifuse.inference.folder import ModelFolder
from omnifuse.inference.mlm import mlm_item
from omnifuse.inference.releases import RELEASES, read_named
from omnifuse.models.architectures import ARCHITECTURES
from omnifuse.runs.stages import console


@dataclass(frozen=True, kw_only=True)
class ModelsCommand(Config):
    """List the models that can be named, or show one.

    Attributes:
        stac: Print the model as a STAC item (machine learning model extension) in place of its card.
    """

    stac: bool = False


def show_models(name: str | None, command: ModelsCommand) -> None:
    """Print the table, or the card or STAC item of one model."""
    if name is None:
        if command.stac:
            raise CheckpointError("models: --stac is of one model. Try: omnifuse models NAME --stac.")
        console.print(released_table())
        console.print(architecture_table())
        return
    folder, content = read_named(name)
    text = json.dumps(mlm_item(folder.name, content), indent=2, ensure_ascii=False) if command.stac else card(name, content)
    print(text)


def released_table() -> Table:
    """Return what `load` knows by name."""
    table = Table(
        "name", "sensors", "metres", "task", "classes", "parameters", "MB", "score", "license", title="released: omnifuse.load(NAME)"
    )
    for name, release in RELEASES.items():
        try:
            _, content = read_named(name)
        except CheckpointError as error:
            table.add_row(name, f"not here: {error}", *[""] * 6, release.license)
            continue
        table.add_row(name, *_row(content), release.license)
    if not RELEASES:
        table.add_row("(none)")
    return table


def architecture_table() -> Table:
    """Return what `create_model` knows by name, with fresh weights for any sensors and labels."""
    table = Table("name", "series", "images", "fused maps, metres", "labels, metres", title="architectures: omnifuse.create_model(NAME)")
    for name, found in ARCHITECTURES.items():
        image = found.image
        table.add_row(
            name,
            f"U-TAE {'-'.join(map(str, found.series.widths))}, {found.series.heads} heads",
            f"{image.name}{f', {image.depth} × {image.dim}' if image.depth else ''}",
            ", ".join(f"{gsd:g}" for gsd in found.fusion.gsds),
            f"{found.head.gsd:g}",
        )
    return table


def _row(content: ModelFolder) -> tuple[str, ...]:
    found = content.architecture
    modalities = found.sensors.modalities
    scores = scores_of(content.facts)
    return (
        ", ".join(modalities),
        ", ".join(f"{modality.gsd:g}" for modality in modalities.values()),
        found.task,
        str(len(found.labels.names)) if found.labels is not None else "",
        f"{content.weights.parameters:,}",
        f"{content.weights.bytes / 1e6:.1f}",
        f"{scores[0].metric} {scores[0]}, {scores[0].sensors}" if scores else "",
    )
