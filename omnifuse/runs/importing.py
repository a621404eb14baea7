"""`omnifuse import utae`: a published checkpoint becomes a model folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnifuse.classes import ClassTable
from omnifuse.config import Config
from omnifuse.data.arrays import days_since_1970
from omnifuse.data.sources.pastis_layout import CLASSES
from omnifuse.data.sources.raster_labels import hues
from omnifuse.inference.importing import import_utae, read_published, with_statistics_of
from omnifuse.modalities import MODALITIES, check_names
from omnifuse.runs.stages import console


@dataclass(frozen=True, kw_only=True)
class ImportCommand(Config):
    """Write a published U-TAE checkpoint as a model folder.

    Attributes:
        sensor: What it was trained on, a name of omnifuse.MODALITIES with as many bands.
        norm: NORM_S2_patch.json of its training, for mean and standard deviation; without it those of PASTIS folds 1-3 are taken.
        folds: Folds of that file to average.
        origin: The day that its training counted dates from.
        classes: Names of its classes, in order; the 20 of PASTIS without names.
        ignore: Class that counts for nothing and is never predicted; -1 if there is none.
        title: Title of the card.
        license: SPDX identifier of the weights' licence, as their publisher states it.
    """

    sensor: str = "s2"
    norm: str = ""
    folds: tuple[int, ...] = (1, 2, 3)
    origin: str = "2018-09-01"
    classes: tuple[str, ...] = ()
    ignore: int = -1
    title: str = "U-TAE, published weights"
    license: str = ""


def import_model(kind: str, path: Path, out: Path, command: ImportCommand) -> None:
    """Read, convert, write, and say what was read."""
    if kind != "utae":
        from omnifuse.errors import ConfigError

        raise ConfigError(f"import: unknown kind {kind!r}. Try: utae.")
    check_names([command.sensor], list(MODALITIES), "import")
    published = read_published(path)
    modality = MODALITIES[command.sensor]
    if command.norm:
        modality = with_statistics_of(modality, Path(command.norm), command.folds)
    labels = ClassTable(names=command.classes, colors=hues(len(command.classes)), ignore=command.ignore) if command.classes else CLASSES
    facts: dict[str, Any] = {
        "title": command.title,
        "description": "Weights of the published U-TAE (arXiv:2107.07933), one sensor, with its batch norms and the ReLU on its logits.",
        "source": published.source,
        "statistics": f"{Path(command.norm).name}, folds {', '.join(map(str, command.folds))}" if command.norm else "PASTIS folds 1-3",
        "skips": published.aggregation,
        "padding": published.padding,
        **({"license": command.license} if command.license else {}),
    }
    origin = int(days_since_1970([command.origin], "import: `origin`")[0])
    content = import_utae(published, out, modality, labels, origin, facts)
    console.print(f"{out}: {content.weights.parameters} parameters, {modality.title}, {len(labels.names)} classes", markup=False)
    if not command.norm:
        console.print("  normalized by the statistics of PASTIS folds 1-3; give --norm for those of its own training", markup=False)
