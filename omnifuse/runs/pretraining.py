"""Pretraining: unlabelled, co-located places of several sensors become encoders."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from pydantic import JsonValue

from omnifuse.config import Config
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource
from omnifuse.data.statistics import band_statistics, with_statistics
from omnifuse.data.subset import split
from omnifuse.evals.retrieval import retrieval
from omnifuse.evals.subsets import evaluating
from omnifuse.models.model import EncoderConfig, EncodersConfig
from omnifuse.objectives.contrast import Contrast, ContrastConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig, fingerprint, keep_config, opened, refuse_stopped, training_places
from omnifuse.runs.sources import DataConfig
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import TrainResult, train
from omnifuse.train.ranks import this_process
from omnifuse.zoo import save_pretrained


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(Config):
    """A pretraining run.

    Attributes:
        data: Places.
        split: Which of them are trained on; the held-out ones tell how retrieval goes.
        encoders: One encoder per sensor that takes part; other sensors of the data are not read.
        objective: What is minimized.
        augment: What happens to a place in training.
        train: Steps, batch size, learning rate.
        in_memory: Whether all places are read once and held.
        folder: Where the run goes.
    """

    data: DataConfig
    split: SplitConfig = field(default_factory=SplitConfig)
    encoders: dict[str, EncoderConfig]
    objective: ContrastConfig = field(default_factory=ContrastConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig
    in_memory: bool = False
    folder: str = "runs/pretrain"


def pretrain(config: PretrainConfig, source: PlaceSource | None = None, resume: bool = True) -> TrainResult:
    """Run a pretraining and leave `pretrained/`, a folder with the encoders and projections, in the run's folder.

    Args:
        config: The run.
        source: The places of `config.data`, where they were opened already.
        resume: Whether a run that was stopped goes on.
    """
    source = opened(config.data, tuple(config.encoders), config.in_memory, config.train.workers, source)
    folder = Path(config.folder)
    places = split(source.info, config.split.key, config.split.train)
    held_out = split(source.info, config.split.key, config.split.test)
    objective = build_objective(config, source, places)
    result = train(
        objective,
        training_places(source, places, config.augment, config.train),
        config.train,
        folder,
        evaluate=lambda trained, step: held_out_retrieval(objective, source, held_out),
        fingerprint=fingerprint(source),
        resume=resume,
        describe="pretraining",
    )
    refuse_stopped(result)
    keep_config(folder, config)
    if this_process()[0] == 0:
        facts: dict[str, JsonValue] = {"data": config.data.kind, "places": len(places), "steps": result.step, "seed": config.train.seed}
        save_pretrained(folder / "pretrained", objective, facts)
    return result


def build_objective(config: PretrainConfig, source: PlaceSource, places: Int[np.ndarray, " n"]) -> Contrast:
    """Return the objective a run starts from, with the band statistics of the places it is trained on."""
    modalities = with_statistics(source.modalities, band_statistics(source, places))
    torch.manual_seed(config.train.seed)
    return config.objective.build(EncodersConfig(modalities=modalities, encoders=config.encoders))


def held_out_retrieval(objective: Contrast, source: PlaceSource, places: Int[np.ndarray, " n"], batch_size: int = 16) -> dict[str, float]:
    """Find each held-out place of one sensor among those of another by its place embedding; chance is one over their number."""
    device = next(objective.parameters()).device
    embedded: dict[str, list[torch.Tensor]] = {}
    rows: dict[str, list[torch.Tensor]] = {}
    with evaluating(objective), torch.no_grad():
        for batch in evaluation_batches(source, places, batch_size):
            for name, (_, place) in objective.embed(batch.to(device)).items():
                embedded.setdefault(name, []).append(place.float().cpu())
                rows.setdefault(name, []).append(batch.place[batch.frames[name].present])
    scores = {}
    names = list(embedded)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            row_a, row_b = torch.cat(rows[a]), torch.cat(rows[b])
            common_a, common_b = torch.isin(row_a, row_b), torch.isin(row_b, row_a)
            if common_a.any():
                found = retrieval(torch.cat(embedded[a])[common_a], torch.cat(embedded[b])[common_b])
                scores[f"retrieval_top1/{a}-{b}"] = (found.a_to_b_top1 + found.b_to_a_top1) / 2
    return scores
