"""Pretraining: unlabelled, co-located places of several sensors become encoders."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, JsonValue

from omnifuse.config import Config, to_dict
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource
from omnifuse.data.statistics import band_statistics, with_statistics
from omnifuse.data.subset import split
from omnifuse.evals.embeddings import embed_places
from omnifuse.evals.probes import probes
from omnifuse.evals.retrieval import health
from omnifuse.frames import Batch, Frames
from omnifuse.models.model import EncoderConfig, EncodersConfig
from omnifuse.objectives.combined import Combined
from omnifuse.objectives.contrast import Contrast, ContrastConfig
from omnifuse.objectives.masked import MaskedConfig
from omnifuse.objectives.mil_nce import MilNCE, MilNCEConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig, fingerprint, keep_config, opened, refuse_stopped, training_places
from omnifuse.runs.sources import DataConfig
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import TrainResult, train
from omnifuse.train.ranks import this_process
from omnifuse.train.record import count_flops
from omnifuse.zoo import save_pretrained

PROBED_CELLS = 16  # of each place, in an evaluation


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(Config):
    """A pretraining run.

    Attributes:
        data: Places.
        split: Which of them are trained on; the held-out ones tell how retrieval goes.
        encoders: One encoder per sensor that takes part; other sensors of the data are not read.
        objective: What is minimized.
        masked: What is hidden and predicted beside the objective.
        masked_weight: Weight of that beside the objective; 0: nothing is hidden.
        augment: What happens to a place in training.
        train: Steps, batch size, learning rate.
        probe_places: Training places whose labels, if any, teach the probes at an evaluation; the training never sees them. 0: no probes.
        in_memory: Whether all places are read once and held.
        folder: Where the run goes.
    """

    data: DataConfig
    split: SplitConfig = field(default_factory=SplitConfig)
    encoders: dict[str, EncoderConfig]
    objective: Annotated[ContrastConfig | MilNCEConfig, Field(discriminator="kind")] = field(default_factory=ContrastConfig)
    masked: MaskedConfig = field(default_factory=MaskedConfig)
    masked_weight: float = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig
    probe_places: int = 64
    in_memory: bool = False
    folder: str = "runs/pretrain"


def pretrain(config: PretrainConfig, source: PlaceSource | None = None, resume: bool = True) -> TrainResult:
    """Run a pretraining and leave `pretrained/`, a folder with the encoders and projections, and `report.html` in the run's folder.

    Args:
        config: The run.
        source: The places of `config.data`, where they were opened already.
        resume: Whether a run that was stopped goes on.
    """
    source = opened(config.data, tuple(config.encoders), config.in_memory, config.train.workers, source)
    folder = Path(config.folder)
    places = split(source.info, config.split.key, config.split.train)
    held_out = split(source.info, config.split.key, config.split.test)
    probed = places[:: max(1, len(places) // config.probe_places)][: config.probe_places] if config.probe_places else places[:0]
    objective = build_objective(config, source, places)
    known = contrast_of(objective).encoders.config.modalities
    batches = training_places(source, places, config.augment, config.train, known, labels=False)
    sample = typical_batch(source, config.augment)
    result = train(
        objective,
        batches,
        config.train,
        folder,
        evaluate=lambda trained, step: health_of(contrast_of(objective), source, probed, held_out),
        fingerprint=fingerprint(source, config.split.key),
        resume=resume,
        describe="pretraining",
        flops_per_place=count_flops(objective, sample),
        report=lambda: write_report(config, source, len(places)),
    )
    refuse_stopped(result)
    keep_config(folder, config)
    if this_process()[0] == 0:
        facts: dict[str, JsonValue] = {"data": config.data.kind, "places": len(places), "place size (m)": source.size}
        facts |= {"split": to_dict(config.split), "steps": result.step, "seed": config.train.seed}  # whose images it has seen
        save_pretrained(folder / "pretrained", contrast_of(objective), facts)
    return result


def write_report(config: PretrainConfig, source: PlaceSource, trained: int) -> list[Path]:
    """Write the page of a finished run of `trained` places, and return its pictures."""
    from omnifuse.runs.pretraining_report import report  # matplotlib takes a second

    subtitle = f"{trained} places of {source.size:g} m, {', '.join(source.modalities)}; {config.train.steps} updates"
    page = report(Path(config.folder), subtitle, to_dict(config), config.train.seed)
    return sorted(page.parent.glob("*.png"))


def typical_batch(source: PlaceSource, augment: AugmentConfig) -> Batch:
    """Return two places of zeros as a training step sees them, to count operations by: with all sensors and `most_dates` dates.

    24 dates where these are not limited. Nothing is read from the source.
    """
    size = augment.crop or source.size
    frames = {}
    for name, modality in source.modalities.items():
        dates = (augment.most_dates or 24) if modality.series else 1
        side = modality.pixels(size)
        pixels = torch.zeros(2 * dates, len(modality.bands), side, side)
        frames[name] = Frames(pixels, torch.arange(dates).repeat(2), torch.tensor([dates, dates]))
    return Batch(frames, size, torch.arange(2), torch.arange(2))


def build_objective(config: PretrainConfig, source: PlaceSource, places: Int[np.ndarray, " n"]) -> Contrast | MilNCE | Combined:
    """Return the objective a run starts from, with the band statistics of the places it is trained on."""
    modalities = with_statistics(source.modalities, band_statistics(source, places))
    torch.manual_seed(config.train.seed)
    objective = config.objective.build(EncodersConfig(modalities=modalities, encoders=config.encoders))
    return Combined(objective, config.masked, config.masked_weight) if config.masked_weight else objective


def contrast_of(objective: Contrast | MilNCE | Combined) -> Contrast:
    """Return the part of an objective that is handed on: encoders and projections."""
    return objective if isinstance(objective, Contrast) else contrast_of(objective.contrast)


def health_of(
    contrast: Contrast, source: PlaceSource, trained: Int[np.ndarray, " n"], held_out: Int[np.ndarray, " m"], batch_size: int = 16
) -> dict[str, float]:
    """Return how a pretraining goes, measured on held-out places.

    Each place (and `cell/`, each of four ground cells per place) of one sensor is looked for among those of another; chance is one over
    `candidates`. Where there are labels, `knn/` and `probe/` say how well each sensor's frozen features tell the classes of cells,
    learned from the cells of the places in `trained`.
    """
    classes = source.classes if len(trained) else None
    seen = embed_places(contrast, evaluation_batches(source, held_out, batch_size), PROBED_CELLS, classes)
    scores = dict(health(seen.place, seen.place_row))
    few = {
        name: torch.arange(len(rows)) % (len(rows) // len(seen.place[name]) or 1) < 4 for name, rows in seen.cell_row.items() if len(rows)
    }
    of_cells = health({k: seen.cell[k][kept] for k, kept in few.items()}, {k: seen.cell_row[k][kept] for k, kept in few.items()})
    scores |= {f"cell/{name}": value for name, value in of_cells}
    if classes is not None:
        taught = embed_places(contrast, evaluation_batches(source, trained, batch_size), PROBED_CELLS, classes)
        scores |= dict(probes(taught.labeled, seen.labeled, len(classes.names)))
    first = {name: value for name, value in scores.items() if name.startswith(("retrieval_top1/", "probe/"))}
    return first | scores  # a console shows the first values
