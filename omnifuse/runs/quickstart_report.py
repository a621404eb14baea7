"""What the quickstart shows of itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omnifuse.config import to_dict
from omnifuse.data.place import PlaceSource
from omnifuse.data.subset import split
from omnifuse.evals.figures import Bar, Panel, draw_bars, draw_confusion, draw_curves, draw_place, pretraining_panels, sensor_label
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, write_report
from omnifuse.evals.scoring import Scored
from omnifuse.runs.finetuning import FinetuneConfig, Finetuned
from omnifuse.runs.log_curves import curve, keys_of, pair_label, percent
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.train.log import read_log

Subsets = dict[tuple[str, ...], Scored]


@dataclass(frozen=True)
class Facts:
    """What was run.

    Attributes:
        config: The quickstart's configuration as plain types.
        pretraining: The pretraining.
        runs: The fine-tunings by name.
        environment: Versions, device, wall time.
    """

    config: dict[str, Any]
    pretraining: PretrainConfig
    runs: dict[str, FinetuneConfig]
    environment: dict[str, str]

    @property
    def seed(self) -> int:
        return int(self.config["seed"])


def report(folder: Path, source: PlaceSource, finished: Mapping[str, Finetuned], facts: Facts) -> Path:
    """Write `report.html`, its pictures and `results.json`; return the page."""
    assert source.classes is not None
    names = tuple(source.modalities)
    held_out = split(source.info, facts.pretraining.split.key, facts.pretraining.split.test)
    confusion = draw_confusion(finished["pretrained"].subsets[names].total, source.classes)
    sections = (
        subset_section(finished, facts.seed, len(held_out)),
        Section(
            "What the sensors see, and the map",
            ("Two held-out places. Clouds stay in the series: the temporal attention learns to look past them.",),
            tuple(place_picture(number, index, source, finished) for number, index in enumerate(telling_places(source, held_out))),
        ),
        Section("Where it errs", (), (Picture("confusion", confusion, "All sensors, pretrained: truth by row, prediction by column."),)),
        learning_section(facts, len(source) - len(held_out), len(held_out)),
    )
    content = Report(
        title="omnifuse quickstart",
        subtitle=f"{len(source)} synthetic places of {source.size:g} m: {sensor_label(names)}, {len(source.classes.names)} classes",
        seed=facts.seed,
        key_figures=key_figures(finished, names, facts.seed),
        sections=sections,
        results=results(finished, names, source, facts),
        configuration={
            "quickstart": facts.config,
            "pretraining": to_dict(facts.pretraining),
            "fine-tuning": to_dict(facts.runs["pretrained"]),
        },
        environment=facts.environment,
        commands=(
            f"omnifuse quickstart --seed {facts.seed}",
            "omnifuse pretrain pretrain/recipes/landscape.py",
            "omnifuse finetune finetune/recipes/landscape.py --init runs/pretrain/landscape/pretrained",
        ),
    )
    return write_report(folder, content)


def worst_loss(subsets: Subsets, names: tuple[str, ...]) -> tuple[float, str]:
    """Return the largest loss of mIoU when one sensor is gone, and which sensor that is."""
    losses = {name: subsets[names].score - subsets[tuple(other for other in names if other != name)].score for name in names}
    name = max(losses, key=lambda key: losses[key])
    return losses[name], name


def key_figures(finished: Mapping[str, Finetuned], names: tuple[str, ...], seed: int) -> tuple[KeyFigure, ...]:
    """Return the numbers that are read first."""
    full, scratch, plain = (finished[name].subsets for name in ("pretrained", "from scratch", "no modality dropout"))
    miou = {subset: found.score for subset, found in full.items()}
    single = max((subset for subset in miou if len(subset) == 1), key=lambda subset: miou[subset])
    low, high = full[names].interval(seed)
    untaught = scratch[names].score
    (loss, gone), (plain_loss, _) = worst_loss(full, names), worst_loss(plain, names)
    return (
        KeyFigure("mIoU, all sensors", percent(miou[names]), f"95 % interval over places {percent(low)} to {percent(high)}"),
        KeyFigure(
            "best single sensor", percent(miou[single]), f"{sensor_label(single)}: fusion gains {points(miou[names] - miou[single])}"
        ),
        KeyFigure("gain of pretraining", points(miou[names] - untaught), f"from {percent(untaught)} from scratch"),
        KeyFigure(
            "loss without one sensor, at worst",
            points(-loss),
            f"without {sensor_label((gone,))}; {points(-plain_loss)} if trained without modality dropout",
        ),
    )


def subset_section(finished: Mapping[str, Finetuned], seed: int, held_out: int) -> Section:
    """Return bars and table of every subset of sensors."""
    subsets = next(iter(finished.values())).subsets
    bars = [
        Bar(sensor_label(subset), name, run.subsets[subset].score, run.subsets[subset].interval(seed))
        for subset in subsets
        for name, run in finished.items()
    ]
    rows: list[tuple[str | int | float | None, ...]] = [
        (sensor_label(subset), *(100 * run.subsets[subset].score for run in finished.values())) for subset in subsets
    ]
    return Section(
        "Every subset of the sensors, one set of weights",
        (
            f"Mean intersection over union on {held_out} held-out places. Each model was trained once and is given whatever subset "
            "is named. Bars are one run each; whiskers are the 95 % bootstrap interval over places, not over training seeds.",
        ),
        (Picture("subsets", draw_bars(bars, "mIoU by subset of sensors"), "Three models under every subset of their sensors."),),
        (Table(("sensors", *finished), tuple(rows), "mIoU in percent"),),
    )


def learning_section(facts: Facts, trained: int, held_out: int) -> Section:
    """Return the curves of all runs."""
    log = read_log(Path(facts.pretraining.folder) / "log.jsonl")
    logs = {name: read_log(Path(run.folder) / "log.jsonl") for name, run in facts.runs.items()}
    losses = [curve(log, key, pair_label(key)) for key in keys_of(log, "loss_cell/")]
    found = [curve(log, key, pair_label(key)) for key in keys_of(log, "eval/retrieval_top1/")]
    contrast, _ = pretraining_panels(losses, [], facts.pretraining.train.batch_size * facts.pretraining.objective.num_cells)
    _, retrieval = pretraining_panels([], found, held_out)
    tuning = Panel(
        "Fine-tuning loss", "cross-entropy + Dice, lower is better", tuple(curve(rows, "loss", name) for name, rows in logs.items())
    )
    return Section(
        "How it was learned",
        (
            "Pretraining pulls together what two sensors see of the same ground cell; it has no labels. Dashed: what chance gives.",
            "Fine-tuning starts from those encoders, or from random weights, with the labels of "
            f"{round(facts.config['label_fraction'] * trained)} of the {trained} training places.",
        ),
        (
            Picture(
                "pretraining", draw_curves([contrast, retrieval]), "Contrast of cells by pair of sensors; retrieval of held-out places."
            ),
            Picture("finetuning", draw_curves([tuning]), "Training loss of the three fine-tunings."),
        ),
    )


def results(finished: Mapping[str, Finetuned], names: tuple[str, ...], source: PlaceSource, facts: Facts) -> dict[str, Any]:
    """Return every figure of the report."""
    assert source.classes is not None

    def by_subset(value: Callable[[Scored], Any]) -> dict[str, dict[str, Any]]:
        return {name: {"+".join(subset): value(found) for subset, found in run.subsets.items()} for name, run in finished.items()}

    full = finished["pretrained"].subsets[names]
    return {
        "miou": by_subset(lambda found: found.score),
        "miou_interval": by_subset(lambda found: found.interval(facts.seed)),
        "accuracy": by_subset(lambda found: found.scores["accuracy"]),
        "worst_loss_of_one_sensor": {name: worst_loss(run.subsets, names)[0] for name, run in finished.items()},
        "class_iou": full.each,
        "confusion": full.total.tolist(),
        "pretraining_log": read_log(Path(facts.pretraining.folder) / "log.jsonl"),
        "finetuning_logs": {name: read_log(Path(run.folder) / "log.jsonl") for name, run in facts.runs.items()},
    }


def place_picture(number: int, index: int, source: PlaceSource, finished: Mapping[str, Finetuned]) -> Picture:
    """Draw a place with the maps of the pretrained model from all sensors, and of the scratch model."""
    place = source[index]
    batch = place.to_batch(index)
    predictions = {}
    for name in ("pretrained", "from scratch"):
        model = finished[name].model
        device = next(model.parameters()).device
        with torch.inference_mode():
            predictions[f"Map, {name}"] = model(batch.to(device))[0].argmax(0).cpu().numpy()
    figure = draw_place(place, source.modalities, source.classes, predictions, title=f"Place {place.info['id']}, {place.info['region']}")
    return Picture(f"place-{number + 1}", figure, "Series over the year, the high-resolution image, labels, maps and errors.")


def telling_places(source: PlaceSource, places: np.ndarray, most: int = 2) -> list[int]:
    """Choose the places with the largest number of classes, from different regions."""
    counts = []
    for index in places.tolist():
        target = source[index].target
        assert target is not None and source.classes is not None
        found, pixels = np.unique(target[target != source.classes.ignore], return_counts=True)
        counts.append((-int((pixels > 0.03 * target.size).sum()), index, source.info[index].get("region", ""), len(found)))
    chosen: list[int] = []
    regions: list[Any] = []
    for _, index, region, _ in sorted(counts):
        if region not in regions:
            chosen.append(index)
            regions.append(region)
    return chosen[:most]


def points(share: float) -> str:
    return f"{100 * share:+.1f} points"
