"""`omnifuse robustness MODEL STORE`: one model under missing and bad sensors, as one table, one picture and one page.

On several GPUs: `torchrun --nproc-per-node N --no-python omnifuse robustness MODEL STORE`, with the same result.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from omnifuse.config import Config, to_dict
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.sensors import SensorView
from omnifuse.errors import ConfigError
from omnifuse.evals.figures.robustness import key_lines
from omnifuse.evals.harms import FULL, QUICK, RobustnessConfig, view_of
from omnifuse.evals.protocols import protocol
from omnifuse.evals.report import to_plain, write_report
from omnifuse.evals.robustness import RobustnessResult, robustness
from omnifuse.frames import Batch
from omnifuse.inference.embedding_rows import shared_sensors
from omnifuse.models.model import FusionModel
from omnifuse.nn.exchange import Processes
from omnifuse.runs.evaluating import metric_for, relabeled
from omnifuse.runs.evaluating_plan import Seen, check_labels, entrants, missing_rows, plan, scored_labels
from omnifuse.runs.finetuning_facts import percents
from omnifuse.runs.opening import Found
from omnifuse.runs.quickstart import environment
from omnifuse.runs.repeating import again
from omnifuse.runs.results import write_results
from omnifuse.runs.robustness_report import report_of, write_tables
from omnifuse.runs.stages import console, progress_bar
from omnifuse.train.ranks import leave, start
from omnifuse.zoo import load


@dataclass(frozen=True, kw_only=True)
class RobustnessCommand(Config):
    """Score a model under missing sensors, bad sensors and missing dates.

    Attributes:
        out: Folder for the table (`robustness.md`, `robustness.json`), the page (`report/report.html`) with its picture, and what was
            counted at each place, for comparisons with other models.
        protocol: Rule of the literature to follow, as of `omnifuse evaluate`. Without one, the places that the model was tested on in
            training, and the score of its kind of labels.
        rows: Row of the protocol (from 1) of the model, where it does not say what it was trained on.
        split: Metadata that tells the places apart, such as fold.
        values: Values whose places are scored, such as 5.
        seen: Whether the model may be scored at places that it was trained on; the page then says so.
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
    protocol: str = ""
    rows: tuple[int, ...] = ()
    split: str = ""
    values: tuple[str, ...] = ()
    seen: Seen = "refuse"
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
    models, rule = entrants(model), protocol(command.protocol) if command.protocol else None
    if len(models) > 1:
        raise ConfigError(f"robustness: {model} is {len(models)} models. Try: one of them, such as {models[0].name}.")
    console.print(str(found), markup=False)
    source = relabeled(found.open(), models, rule, found.path)
    check_labels(models[0].content.architecture.labels, source, models[0].name, found.path, rule)
    split = (command.split, command.values) if command.split else None
    [planned] = plan(models, source.info, rule, command.rows, split, command.seen)
    places = planned.places
    accelerator = start("no")
    rank, world = accelerator.process_index, accelerator.num_processes
    predictor = load(models[0].name, device=str(accelerator.device) if world > 1 else command.device)
    module = predictor.model
    assert isinstance(module, FusionModel)  # it has labels
    names = shared_sensors(source.modalities, predictor.modalities, command.sensors, found.path)
    view = SensorView(source, names)

    def batches() -> Iterator[Batch]:
        return evaluation_batches(view, places, command.batch_size, workers=command.workers, rank=rank, world=world, labels=True)

    with progress_bar("robustness") as progress:
        result = robustness(
            module,
            lambda: _counted(batches(), len(places) * (rank + 1) // world - len(places) * rank // world, progress),
            {name: predictor.modalities[name] for name in names},
            metric_for(rule, scored_labels(module.config.labels, source)),
            command.seed,
            size=source.size,
            config=QUICK if command.quick else command.harms,
            device=next(module.parameters()).device,
            processes=Processes(rank, world),
        )
    if rank == 0:
        ids = {int(number): str(source.info[number]["id"]) for number in places}
        notes = [*missing_rows(rule, 1), *planned.notes]
        facts = {
            "model": model,
            "data": found.path,
            "places": len(places),
            "part": planned.part,
            "notes": notes,
            "command": again(("omnifuse", "robustness", model, found.path), command, found),
        }
        name = f"{rule.name}, robustness" if rule is not None else "robustness"
        folder = Path(command.out)
        write_results(folder, {view_of(s): scored for s, scored in result.scored.items()}, ids, to_plain(facts), name)
        write_tables(folder, result, facts)
        page = write_report(folder / "report", report_of(result, facts, to_dict(command), environment(time.monotonic() - began)))
        lines = key_lines(result, percents(result.metric.headline)) + [f"note: {note}" for note in notes]
        for line in (f"{len(places)} places, {planned.part}", *lines, f"{folder / 'robustness.md'}: table", f"{page}: page"):
            console.print(line, markup=False)
    leave()
    return result


def _counted(batches: Iterable[Batch], total: int, progress: Callable[[int, int], None]) -> Iterator[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_places
        progress(done, total)
