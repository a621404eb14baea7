"""`omnifuse robustness MODEL STORE`: one model under missing and bad sensors, as one table, one picture and one page.

On several GPUs: `torchrun --nproc-per-node N --no-python omnifuse robustness MODEL STORE`, with the same result.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnifuse.config import Config, to_dict
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.data.sensors import SensorView
from omnifuse.data.subset import split_by_text
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.figures.robustness import key_lines
from omnifuse.evals.harms import FULL, QUICK, RobustnessConfig
from omnifuse.evals.metrics import metric_of
from omnifuse.evals.report import to_plain, write_report
from omnifuse.evals.robustness import RobustnessResult, robustness
from omnifuse.frames import Batch
from omnifuse.inference.embedding_rows import shared_sensors
from omnifuse.models.model import FusionModel
from omnifuse.nn.exchange import Processes
from omnifuse.runs.opening import Found
from omnifuse.runs.quickstart import environment
from omnifuse.runs.results import write_results
from omnifuse.runs.robustness_report import name_of, report_of, write_tables
from omnifuse.runs.stages import console, progress_bar
from omnifuse.train.ranks import leave, start
from omnifuse.zoo import load


@dataclass(frozen=True, kw_only=True)
class RobustnessCommand(Config):
    """Score a model under missing sensors, bad sensors and missing dates.

    Attributes:
        out: Folder for the table (`robustness.md`, `robustness.json`), the page (`report/report.html`) with its picture, and what was
            counted at each place, for comparisons with other models.
        split: Metadata that tells the places apart, such as fold; all places without it.
        values: Values whose places are scored, such as 5.
        sensors: Sensors to use; all that the model reads without.
        quick: One severity of each harm in place of all.
        harms: Severities; none of a kind leaves it out.
        seed: Of what is drawn per place, and of the intervals.
        batch_size: Places that go through the model together.
        workers: Processes that read ahead; 0 reads in this one.
        device: cpu, cuda, or auto for a GPU where there is one; of several processes each takes its own.
        kind: What the places are, such as pastis-hd; told from the layout where it is not given.
    """

    out: str = "robustness"
    split: str = ""
    values: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    quick: bool = False
    harms: RobustnessConfig = FULL
    seed: int = 0
    batch_size: int = 8
    workers: int = 0
    device: str = "auto"
    kind: str = ""


def measure(model: str, found: Found, command: RobustnessCommand) -> RobustnessResult:
    """Score the model at the places that lie somewhere, and write what was found."""
    began = time.monotonic()
    if bool(command.split) != bool(command.values):
        raise ConfigError("robustness: `--split` and `--values` belong together. Try: --split fold --values 5.")
    if command.quick and command.harms != FULL:
        raise ConfigError("robustness: `--quick` chooses the severities that `--harms` would. Try: one of them.")
    console.print(str(found), markup=False)
    source = found.open()
    places = split_by_text(source.info, command.split, command.values) if command.split else np.arange(len(source))
    accelerator = start("no")
    rank, world = accelerator.process_index, accelerator.num_processes
    predictor = load(model, device=str(accelerator.device) if world > 1 else command.device)
    module = predictor.model
    if not isinstance(module, FusionModel):
        raise ConfigError(f"{model}: predicts nothing, it only embeds. Try: a fine-tuned model.")
    check_labels(module, source, model, found.path)
    names = shared_sensors(source.modalities, predictor.modalities, command.sensors, found.path)
    view = SensorView(source, names)

    def batches() -> Iterator[Batch]:
        return evaluation_batches(view, places, command.batch_size, workers=command.workers, rank=rank, world=world)

    with progress_bar("robustness") as progress:
        result = robustness(
            module,
            lambda: _counted(batches(), len(places) * (rank + 1) // world - len(places) * rank // world, progress),
            {name: predictor.modalities[name] for name in names},
            metric_of(module.config.labels),
            command.seed,
            size=source.size,
            config=QUICK if command.quick else command.harms,
            device=next(module.parameters()).device,
            processes=Processes(rank, world),
        )
    if rank == 0:
        ids = {int(number): str(source.info[number]["id"]) for number in places}
        chosen = f" --split {command.split} --values {' '.join(command.values)}" if command.split else ""
        again = f"omnifuse robustness {model} {found.path}{chosen}{' --quick' if command.quick else ''} --seed {command.seed}"
        facts = {"model": model, "data": found.path, "places": len(places), "command": again}
        folder = Path(command.out)
        write_results(folder, {name_of(s): scored for s, scored in result.scored.items()}, ids, to_plain(facts), "robustness")
        write_tables(folder, result, facts)
        page = write_report(folder / "report", report_of(result, facts, to_dict(command), environment(time.monotonic() - began)))
        for line in (*key_lines(result), f"{folder / 'robustness.md'}: table", f"{page}: page"):
            console.print(line, markup=False)
    leave()
    return result


def check_labels(model: FusionModel, source: PlaceSource, name: str, path: str) -> None:
    """Raise `InputError` where a model does not predict what the labels of a source speak of."""
    labels, own = labels_of(source), model.config.labels
    if labels is None:
        raise InputError(f"{path}: has no labels to score against. Try: a labeled store.")
    if type(labels) is not type(own) or labels.names != own.names:
        raise InputError(
            f"{path}: labels are {', '.join(labels.names)}; {name} predicts {', '.join(own.names)}. Try: the labels it was trained on."
        )


def _counted(batches: Iterable[Batch], total: int, progress: Callable[[int, int], None]) -> Iterator[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_places
        progress(done, total)
