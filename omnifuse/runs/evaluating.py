"""`omnifuse evaluate MODEL STORE`: the number that the literature prints, with its interval, for every subset of the sensors.

On several GPUs: `torchrun --nproc-per-node N --no-python omnifuse evaluate MODEL STORE`, with the same result.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import JsonValue
from torch import Tensor

from omnifuse.classes import ClassTable, Labels
from omnifuse.config import Config, to_dict
from omnifuse.data.loading import evaluation_batches, read_place
from omnifuse.data.place import Place, PlaceSource, labels_of
from omnifuse.data.sensors import SensorView
from omnifuse.data.targets import retargeted
from omnifuse.errors import ConfigError
from omnifuse.evals.metrics import Metric, metric_of
from omnifuse.evals.protocols import Protocol, protocol
from omnifuse.evals.remembering import remembering
from omnifuse.evals.scoring import Scored
from omnifuse.evals.subsets import all_subsets, evaluate_subsets
from omnifuse.frames import Batch
from omnifuse.inference.embedding_rows import shared_sensors
from omnifuse.nn.exchange import Processes
from omnifuse.runs.evaluating_plan import Entrant, Planned, Seen, check_labels, entrants, missing_rows, plan, scored_labels, stacked_alike
from omnifuse.runs.opening import Found
from omnifuse.runs.quickstart import environment
from omnifuse.runs.repeating import again
from omnifuse.runs.results import by_name, write_results
from omnifuse.runs.stages import console, progress_bar
from omnifuse.train.ranks import leave, start
from omnifuse.zoo import load

_SHEETS = 3  # places drawn with what is predicted there


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(Config):
    """Score a model, or the models of a cross-validation, at places that they were not trained on: full series, nothing random.

    Attributes:
        out: Folder for `results.json`, what was counted at each place (`counts.safetensors`) and the page (`report/report.html`).
        protocol: Rule of the literature to follow: pastis, pastis_fold1, pastis_multilabel, flair_12, flair_13, flair_15, flair_19,
            flair_hub, treesatai. Without one, the places that the model was tested on in training, and the score of its kind of labels.
        rows: Row of the protocol (from 1) of each model, for models that do not say what they were trained on.
        split: Metadata that tells the places apart, such as fold.
        values: Values whose places are scored, such as 5.
        seen: Whether a model may be scored at places that it was trained on; the page then says so.
        subsets: Score every subset of the sensors, or all sensors together alone.
        sensors: Sensors to use; all that the model reads without.
        probe: Score pretrained encoders by a linear map or by neighbors of their frozen features.
        taught: Values of `--split` whose places a probe learns from; without, all that are not scored but for `val`, `test` and `buffer`.
        probe_cells: Ground cells of each place that a probe learns from and is scored at.
        batch_size: Places that go through the model together.
        workers: Processes that read ahead; 0 reads in this one.
        device: cpu, cuda, or auto for a GPU where there is one; of several processes each takes its own.
        kind: What the places are, such as pastis-hd; told from the layout where it is not given.
    """

    out: str = "evaluation"
    protocol: str = ""
    rows: tuple[int, ...] = ()
    split: str = ""
    values: tuple[str, ...] = ()
    seen: Seen = "refuse"
    subsets: Literal["all", "full"] = "all"
    sensors: tuple[str, ...] = ()
    probe: Literal["none", "linear", "knn"] = "none"
    taught: tuple[str, ...] = ()
    probe_cells: int = 16
    batch_size: int = 8
    workers: int = 0
    device: str = "auto"
    kind: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        protocol: The rule that was followed; None for the score of the kind of labels.
        scored: What was counted, of all models together, by subset of the sensors joined by `+`.
        models: What each model did with all sensors, by the places it was scored at.
        notes: What is to be known of the places.
        labels: What is predicted.
        sheets: Places with what is predicted there, where that is a map of classes.
    """

    protocol: Protocol | None
    scored: dict[str, Scored]
    models: list[tuple[Planned, Scored]]
    notes: list[str]
    labels: Labels
    sheets: list[tuple[Place, Int[np.ndarray, "h w"]]]

    @property
    def whole(self) -> Scored:
        """All sensors."""
        return list(self.scored.values())[-1]


def evaluate(model: str, found: Found, command: EvaluateCommand) -> Evaluation:
    """Score models at the places that lie somewhere, and write what was found."""
    began = time.monotonic()
    if bool(command.split) != bool(command.values):
        raise ConfigError("evaluation: `--split` and `--values` belong together. Try: --split fold --values 5.")
    if command.taught and command.probe == "none":
        raise ConfigError("evaluation: `--taught` says what a probe learns from. Try: with --probe linear.")
    models, rule = entrants(model), protocol(command.protocol) if command.protocol else None
    console.print(str(found), markup=False)
    source = relabeled(found.open(), models, rule, found.path)
    split = (command.split, command.values) if command.split else None
    accelerator = start("no")
    processes = Processes(accelerator.process_index, accelerator.num_processes)
    device = str(accelerator.device) if processes.world > 1 else command.device
    if command.probe != "none":
        from omnifuse.runs.probing import probe_models

        result = probe_models(models, source, rule, found.path, command, device)
    else:
        for one in models:
            check_labels(one.content.architecture.labels, source, one.name, found.path, rule)
        planned = plan(models, source.info, rule, command.rows, split, command.seen)
        result = score_models(planned, source, rule, found.path, command, device, processes)
    if processes.rank == 0:
        _write(result, source, model, found, command, time.monotonic() - began)
    leave()
    return result


def relabeled(source: PlaceSource, models: list[Entrant], rule: Protocol | None, path: str) -> PlaceSource:
    """Return the places as the models were shown them, with the labels to be scored: of a protocol, else those they were trained on.

    Raises:
        ConfigError: where models were trained on different ones.
    """
    source = stacked_alike(source, models)
    if rule is not None:
        labels = labels_of(source)
        return source if labels is None else retargeted(source, rule.target(labels))
    rules = models[0].training.target
    other = next((one for one in models if one.training.target != rules), None)
    if other is not None:
        raise ConfigError(f"{other.name}: was trained on other labels than {models[0].name}. Try: one evaluation for each.")
    return retargeted(source, rules)


def score_models(
    planned: list[Planned],
    source: PlaceSource,
    rule: Protocol | None,
    path: str,
    command: EvaluateCommand,
    device: str,
    processes: Processes,
) -> Evaluation:
    """Score each model at its places, and put the tables together."""
    labels = scored_labels(planned[0].entrant.content.architecture.labels, source)
    metric = metric_for(rule, labels)
    scored: dict[str, Scored] = {}
    by_model: list[tuple[Planned, Scored]] = []
    sheets: list[tuple[Place, Int[np.ndarray, "h w"]]] = []
    for one in planned:
        predictor = load(one.entrant.name, device=device)
        names = shared_sensors(source.modalities, predictor.modalities, command.sensors, path)
        view, module = SensorView(source, names), predictor.model
        subsets = all_subsets(names) if command.subsets == "all" else [names]

        device_of = next(module.parameters()).device
        with progress_bar(f"evaluation, {one.part}") as progress, remembering(module):
            passes = evaluate_subsets(
                module, _reading(view, one.places, command, processes, progress), subsets, metric, device_of, processes
            )
        found = by_name(passes)
        scored = found if not scored else _joined(scored, found, one)
        by_model.append((one, found["+".join(names)]))
        if not sheets and processes.rank == 0:
            sheets = draw_from(module, view, one.places)
    notes = [*missing_rows(rule, len(planned)), *(note for one in planned for note in one.notes)]
    return Evaluation(rule, scored, by_model, notes, labels, sheets)


def metric_for(rule: Protocol | None, labels: Labels) -> Metric:
    """Return how labels are scored: by a protocol, or as their kind is."""
    return rule.metric(labels) if rule is not None and isinstance(labels, ClassTable) else metric_of(labels)


@torch.no_grad()
def draw_from(module: torch.nn.Module, source: PlaceSource, places: Int[np.ndarray, " n"]) -> list[tuple[Place, Int[np.ndarray, "h w"]]]:
    """Return a few places, spread over those given, with the map of classes that a model makes of them; none where it makes no map."""
    sheets: list[tuple[Place, Int[np.ndarray, "h w"]]] = []
    for number in places[:: max(1, len(places) // _SHEETS)][:_SHEETS]:
        place = read_place(source, int(number))
        batch = next(iter(evaluation_batches(source, np.array([number]), 1)))
        if not batch.present.any():
            continue
        logits: Tensor = module(batch.to(next(module.parameters()).device))
        if logits.ndim != 4 or place.target is None or place.target.shape != tuple(logits.shape[2:]):
            return []
        sheets.append((place, logits[0].argmax(0).cpu().numpy()))
    return sheets


def _joined(before: dict[str, Scored], more: dict[str, Scored], one: Planned) -> dict[str, Scored]:
    """Put the tables of another fold to those before, view by view."""
    if set(before) != set(more):
        raise ConfigError(f"{one.entrant.name}: reads other sensors than the models before it. Try: one evaluation for each.")
    return {name: before[name].joined(more[name]) for name in before}


def _reading(
    source: PlaceSource, places: Int[np.ndarray, " n"], command: EvaluateCommand, processes: Processes, progress: Callable[[int, int], None]
) -> Callable[[], Iterator[Batch]]:
    """Return what starts a pass over this process's share of the places, whole and in order."""
    rank, world = processes.rank, processes.world
    total = len(places) * (rank + 1) // world - len(places) * rank // world

    def batches() -> Iterator[Batch]:
        done = 0
        for batch in evaluation_batches(source, places, command.batch_size, workers=command.workers, rank=rank, world=world, labels=True):
            yield batch
            done += batch.num_places
            progress(done, total)

    return batches


def _write(result: Evaluation, source: PlaceSource, model: str, found: Found, command: EvaluateCommand, seconds: float) -> None:
    """Write what was counted, and the page; say the figures."""
    from omnifuse.runs.evaluating_report import report, said  # matplotlib takes a second

    ids = {int(number): str(source.info[number]["id"]) for one, _ in result.models for number in one.places}
    facts: dict[str, JsonValue] = {
        "model": model,
        "data": found.path,
        "places": len(ids),
        "models": [one.entrant.name for one, _ in result.models],
        "parts": [one.part for one, _ in result.models],
        "notes": list(result.notes),
        "command": again(("omnifuse", "evaluate", model, found.path), command, found),
    }
    name = result.protocol.name if result.protocol is not None else ""
    write_results(Path(command.out), result.scored, ids, facts, f"{name}, probe {command.probe}" if command.probe != "none" else name)
    page = report(Path(command.out), result, to_dict(command), environment(seconds), source)
    for line in (*said(result), f"{command.out}/results.json: scores", f"{page}: page"):
        console.print(line, markup=False)
