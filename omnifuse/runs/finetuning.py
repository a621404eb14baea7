"""Fine-tuning: a few labelled places make pretrained encoders a map maker for any subset of its sensors."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from pydantic import JsonValue

from omnifuse.classes import Quantities
from omnifuse.config import Config, to_dict
from omnifuse.data.label_fractions import stratified_fraction
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.data.statistics import band_statistics, with_statistics
from omnifuse.data.subset import split
from omnifuse.data.targets import TargetConfig, label_statistics, retargeted
from omnifuse.errors import ConfigError
from omnifuse.evals.metrics import Metric, metric_of
from omnifuse.evals.remembering import remembering
from omnifuse.evals.scoring import Scored
from omnifuse.evals.subsets import Subset, all_subsets, evaluate_subsets
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.fusions import FusionConfig
from omnifuse.models.heads import HeadConfig, SegmentationConfig
from omnifuse.models.model import EncoderConfig, EncodersConfig, FusionModel, ModelConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.nn.exchange import Processes
from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.objectives.tasks import TaskConfig
from omnifuse.runs.ancestry import ancestry, seen_before
from omnifuse.runs.places import AugmentConfig, SplitConfig, fingerprint, keep_config, opened, refuse_stopped, training_places, with_labels
from omnifuse.runs.results import by_name, write_results
from omnifuse.runs.selecting import check_best, select
from omnifuse.runs.sources import DataConfig, StackedData
from omnifuse.runs.stages import console
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import TrainResult, train
from omnifuse.train.ranks import this_process
from omnifuse.zoo import load_pretrained, save_model


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Config):
    """A fine-tuning run.

    Attributes:
        data: Labelled places.
        split: Which of them are trained on and which are scored.
        target: Rules that make the labels to learn of those there are, one on what the other left; none takes them as they are.
        encoders: One encoder per sensor that takes part; other sensors of the data are not read.
        fusion: How sensors are brought together.
        head: How fused maps become labels: per pixel or per place.
        objective: What is minimized: of segmentation, classification or regression.
        augment: What happens to a place in training; its modality dropout is what makes every subset useful.
        train: Steps, batch size, learning rate.
        init: Folder of pretrained encoders; empty starts from random weights.
        frozen: Whether encoders keep the weights they start with, which are pretrained, and drop nothing: a probe of them by what fuses
            and predicts (attentive with a head of kind 'place').
        label_fraction: Share of the training places whose labels are used, stratified by class; smaller shares lie within larger ones.
        in_memory: Whether all places are read once and held.
        folder: Where the run goes.
    """

    data: DataConfig
    split: SplitConfig = field(default_factory=SplitConfig)
    target: tuple[TargetConfig, ...] = ()
    encoders: dict[str, EncoderConfig]
    fusion: FusionConfig = field(default_factory=CrossAttentionConfig)
    head: HeadConfig = field(default_factory=SegmentationConfig)
    objective: TaskConfig = field(default_factory=SegmentConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig
    init: str = ""
    frozen: bool = False
    label_fraction: float = 1.0
    in_memory: bool = False
    folder: str = "runs/finetune"


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model and how it does on the held-out places.

    Attributes:
        model: In evaluation mode.
        training: What the loop says.
        subsets: What was counted at each held-out place, under every non-empty subset of the sensors.
    """

    model: FusionModel
    training: TrainResult
    subsets: dict[Subset, Scored]


def build_model(
    config: FinetuneConfig, source: PlaceSource, places: Int[np.ndarray, " n"], labelled: Int[np.ndarray, " m"] | None = None
) -> FusionModel:
    """Return the model a run starts from; with `init`, encoders and band statistics are those of the pretraining.

    Args:
        config: The run.
        source: Places with the labels to learn.
        places: Those that bands are measured at, the training places.
        labelled: Those whose labels may be looked at; all of `places` by default.
    """
    labels = labels_of(source)
    if labels is None:
        raise ConfigError(f"data: {config.data.kind!r} has no labels to fine-tune on. Try: another source.")
    if isinstance(labels, Quantities):
        labels = label_statistics(source, places if labelled is None else labelled)
    pretrained = load_pretrained(Path(config.init)) if config.init else None
    if config.frozen:
        _refuse_random(config.encoders, () if pretrained is None else tuple(pretrained.encoders.config.encoders))
    if pretrained is None:
        modalities = with_statistics(source.modalities, band_statistics(source, places))
    else:
        modalities = {name: pretrained.modality(name, source.modalities[name]) for name in config.encoders}
    sensors = EncodersConfig(modalities=modalities, encoders=config.encoders)
    torch.manual_seed(config.train.seed)
    model = FusionModel(ModelConfig(sensors=sensors, fusion=config.fusion, head=config.head, labels=labels))
    if pretrained is not None:
        pretrained.load_into(model.encoders)
    model.encoders.requires_grad_(not config.frozen)
    return model


def _refuse_random(encoders: dict[str, EncoderConfig], pretrained: tuple[str, ...]) -> None:
    """Raise `ConfigError` for encoders that would be frozen at the random weights that they start from."""
    own = [name for name, encoder in encoders.items() if not isinstance(encoder, UTAEConfig) and encoder.weights]
    random = [name for name in encoders if name not in (*pretrained, *own)]
    if random:
        raise ConfigError(
            f"finetune: `frozen` would keep the encoders of {', '.join(random)} at random weights. "
            "Try: `--init` with pretrained encoders of these sensors, or `--no-frozen`."
        )


def finetune(config: FinetuneConfig, source: PlaceSource | None = None, resume: bool = True) -> Finetuned:
    """Fine-tune, score every subset of sensors on the held-out places and leave `model/`, `results.json` and a page in the run's folder.

    Args:
        config: The run.
        source: The places of `config.data`, where they were opened already.
        resume: Whether a run that was stopped goes on.
    """
    source = retargeted(opened(config.data, tuple(config.encoders), config.in_memory, config.train.workers, source), config.target)
    folder = Path(config.folder)
    pool = split(source.info, config.split.key, config.split.train)
    labelled = stratified_fraction(source, with_labels(source, pool, "train"), config.label_fraction, config.train.seed)
    held_out = with_labels(source, split(source.info, config.split.key, config.split.test), "test")
    watched = with_labels(source, split(source.info, config.split.key, config.split.val), "val") if config.split.val else held_out
    earlier = ancestry(config.init)
    for note in seen_before(earlier, config.data.kind, config.split.key, source.info, held_out) if this_process()[0] == 0 else ():
        console.print(f"{config.init}: {note}", markup=False)
    model = build_model(config, source, pool, labelled)
    everything, metric = tuple(config.encoders), metric_of(model.config.labels)
    check_best(config.train, metric.headline)
    objective = config.objective.build(model)
    result = train(
        objective,
        training_places(source, labelled, config.augment, config.train, labels=True),
        config.train,
        folder,
        evaluate=lambda trained, step: {metric.headline: score(model, source, watched, [everything], metric)[everything].score},
        fingerprint=fingerprint(source, config.split.key),
        resume=resume,
        describe="fine-tuning",
    )
    refuse_stopped(result)
    selected = select(objective, folder, config.split, config.train)
    model.eval()
    subsets = score(model, source, held_out, all_subsets(everything), metric)
    keep_config(folder, config)
    if this_process()[0] == 0:
        scores: dict[str, JsonValue] = {"+".join(subset): found.score for subset, found in subsets.items() if len(found.place)}
        facts: dict[str, JsonValue] = {"data": config.data.kind, "labeled places": len(labelled), "pretrained": bool(config.init)}
        facts |= {"selected": selected} if selected else {}
        known: dict[str, JsonValue] = {**facts, "place size (m)": source.size}  # of a tile, where an area is predicted
        known["split"] = to_dict(config.split)  # an evaluation does not score what was trained on
        if earlier:
            known["pretrained on"] = earlier
        if config.target:
            known["target"] = [to_dict(rule) for rule in config.target]
        if isinstance(config.data, StackedData):
            known["stacks"] = [to_dict(stack) for stack in config.data.stacks]
        save_model(folder / "model", model, {**known, "steps": result.step, "seed": config.train.seed, metric.headline: scores})
        ids = {int(number): str(source.info[number]["id"]) for number in held_out}
        write_results(folder, by_name(subsets), ids, {**facts, "steps": result.step, "seed": config.train.seed})
        write_page(folder)
    return Finetuned(model, result, subsets)


def write_page(folder: Path) -> Path:
    """Write the page of a finished run."""
    from omnifuse.runs.finetuning_report import report  # matplotlib takes a second

    return report(folder)


def score(
    model: FusionModel, source: PlaceSource, places: Int[np.ndarray, " n"], subsets: list[Subset], metric: Metric
) -> dict[Subset, Scored]:
    """Score subsets of sensors on whole places, shared by all processes: full series, nothing random, nothing dropped."""
    rank, world = this_process()
    device = next(model.parameters()).device
    batches = partial(evaluation_batches, source, places, 8, rank=rank, world=world, labels=True)
    with remembering(model) if world == 1 else nullcontext():  # sharded processes must run the same layers at the same time
        return evaluate_subsets(model, batches, subsets, metric, device, Processes(rank, world))
