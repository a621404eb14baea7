"""Missing and bad sensors, with and without modality dropout (after arXiv:2503.18445)."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any, get_args

from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource
from omnifuse.data.subset import split
from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.harms import FULL as SEVERITIES
from omnifuse.evals.harms import Protocol, Setting, name_of
from omnifuse.evals.metrics import metric_of
from omnifuse.evals.robustness import RobustnessResult, robustness
from omnifuse.evals.scoring import Scored
from omnifuse.runs.finetuning import FinetuneConfig, Finetuned
from omnifuse.runs.landscape import SENSORS
from omnifuse.runs.results import SEED
from omnifuse.runs.studies.landscape import pretraining, tuning
from omnifuse.runs.studies.study import Entry, Found, Scale, Study
from omnifuse.runs.studies.tables import cell, markdown

WITH, WITHOUT = "full", "without modality dropout"
_MEANS = {"EMM": "mean over all subsets", "RMM": "sensors missing at random", "NM": "bad sensors", "dates": "missing dates"}


def harmed(tuned: Finetuned, source: PlaceSource, config: FinetuneConfig) -> Mapping[str, Scored]:
    """Score the held-out places under every harm."""
    model, places = tuned.model, split(source.info, config.split.key, config.split.test)
    batches = partial(evaluation_batches, source, places, 16)
    found = robustness(model, batches, model.config.sensors.modalities, metric_of(model.config.labels), SEED, size=source.size)
    return {name_of(setting): scored for setting, scored in found.scored.items()}


def entries(seed: int, scale: Scale) -> Sequence[Entry]:
    """Return the two models, which the ablation takes from here."""
    before = pretraining(seed, scale)
    return (
        Entry(WITH, tuning(seed, scale), before, measure=harmed),
        Entry(WITHOUT, tuning(seed, scale, dropout=0.0), before, measure=harmed),
    )


def tell(found: Found) -> str:
    results = {row: [result_of(found.more[row, seed].scored) for seed in found.seeds] for row in (WITH, WITHOUT)}
    settings = list(results[WITH][0].scored)
    summaries = {row: [result.summary for result in of_row] for row, of_row in results.items()}

    def line(title: str, value: Any) -> tuple[str, ...]:
        return (title, *(cell([value(summary) for summary in summaries[row]]) for row in (WITH, WITHOUT)))

    failures = list(summaries[WITH][0]["expected"])
    rows = [
        line("all sensors", lambda s: s["all sensors"]),
        line("mean over all subsets (EMM)", lambda s: s["mean"]["EMM"]),
        *(line(f"expected, each sensor fails with {float(p):.0%}", lambda s, p=p: s["expected"][p]) for p in failures),
        line("mean with sensors missing at random (RMM)", lambda s: s["mean"]["RMM"]),
        line("mean with bad sensors (NM)", lambda s: s["mean"]["NM"]),
        line("mean with missing dates", lambda s: s["mean"]["dates"]),
        line("**fusion gain** over the best single sensor", lambda s: s["fusion gain"]["value"]),
        line("**worst-case loss** with one sensor gone", lambda s: s["worst-case loss"]["value"]),
    ]
    text = markdown(("mIoU, %", "with modality dropout", "without"), rows) + "\nEvery harm, mIoU in percent:\n\n"
    each = [(words(setting), *(cell([r.scored[setting].score for r in results[row]]) for row in (WITH, WITHOUT))) for setting in settings]
    return text + markdown(("harm", "with modality dropout", "without"), each)


def result_of(scored: Mapping[str, Scored]) -> RobustnessResult:
    """Return the evaluation that `harmed` has written down, settings in the order of severity."""
    settings: dict[Setting, Scored] = {}
    order = {name: number for number, name in enumerate(get_args(Protocol))}
    for name, found in scored.items():
        protocol, harm, severity, unit, sensors = name.split("|")
        kept = tuple(sensor for sensor in SENSORS if sensor in sensors.split("+"))
        settings[Setting(protocol, harm, float(severity), unit, kept)] = found  # type: ignore[arg-type]
    ranked = sorted(settings, key=lambda s: (order[s.protocol], s.harm, len(s.sensors), s.sensors, s.severity))
    metric = next(iter(scored.values())).metric
    return RobustnessResult(SENSORS, {setting: settings[setting] for setting in ranked}, metric, SEED, SEVERITIES.failures)


def words(setting: Setting) -> str:
    """Return a setting for people."""
    sensors = " + ".join(setting.sensors)
    if setting.protocol == "EMM":
        return f"only {sensors}"
    return f"{setting.harm}{f' of {sensors}' if sensors else ''}, {setting.severity:g} {setting.unit}"


def bars(found: Found) -> Sequence[Bar]:
    made = []
    for row, model in ((WITH, "with modality dropout"), (WITHOUT, WITHOUT)):
        summaries = [result_of(found.more[row, seed].scored).summary for seed in found.seeds]
        made.append(Bar("all sensors", model, fmean(summary["all sensors"] for summary in summaries)))
        made += [Bar(title, model, fmean(summary["mean"][key] for summary in summaries)) for key, title in _MEANS.items()]
    return made


STUDY = Study("robustness", "Missing and bad sensors", entries, tell, bars, "mIoU, %")
