"""What an evaluation has to say: the number of the literature first, then every subset, every class, every fold, and some maps."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omnifuse.classes import ClassTable
from omnifuse.data.place import PlaceSource
from omnifuse.evals.figures import draw_place, sensor_label
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, write_report
from omnifuse.evals.scoring import Scored
from omnifuse.runs.evaluating import Evaluation
from omnifuse.runs.finetuning_facts import METRICS, RunFacts, metric_name, percents, read_facts, score_text, view_name
from omnifuse.runs.finetuning_report import class_section, key_figures, subset_section
from omnifuse.runs.results import SEED


def report(
    folder: Path,
    result: Evaluation,
    facts: Mapping[str, Any],
    configuration: Mapping[str, Any],
    environment: Mapping[str, str],
    source: PlaceSource,
) -> Path:
    """Write `report/report.html` with its pictures into the folder of an evaluation; return the page."""
    labels = result.labels
    known = replace(read_facts(folder), labels=labels if isinstance(labels, ClassTable) else None)
    printed = [KeyFigure(metric_name(name), value, note) for name, value, note in _figures(result) if name != result.whole.metric.headline]
    content = Report(
        title=f"Evaluation by the protocol {_name(result)}" if result.protocol else "Evaluation",
        subtitle=f"{facts['model']}; {facts['data']}; {', '.join(facts['parts'])}: {len(result.whole.place)} places",
        seed=SEED,
        key_figures=(*key_figures(known), *printed),
        sections=(
            Section("What was scored, and by which rule", tuple(_words(result))),
            *subset_section(known),
            *class_section(known),
            *_fold_section(result),
            *_map_section(result, source, known),
        ),
        results={"scores": known.scores, "notes": result.notes, **{name: facts[name] for name in ("model", "data", "command")}},
        configuration=configuration,
        environment=environment,
        commands=(str(facts["command"]), "omnifuse compare RUN RUN ..."),
    )
    return write_report(folder / "report", content)


def said(result: Evaluation) -> list[str]:
    """Return the figures as lines for a terminal: those that the literature prints, then every subset."""
    head, whole = result.whole.metric.headline, result.whole
    lines = [f"{_name(result)}, {len(whole.place)} places, all sensors:"]
    lines += [f"  {metric_name(name)} {value} ({note})" for name, value, note in _figures(result)]
    if len(result.models) > 1:
        lines += [f"  {one.part} alone: {metric_name(head)} {score_text(scored.score, head)}" for one, scored in result.models]
    for view, scored in result.scored.items():
        if len(scored.place) and scored is not whole:
            low, high = (score_text(edge, head) for edge in scored.interval(SEED))
            lines.append(f"  {view_name(view)}: {metric_name(head)} {score_text(scored.score, head)} ({low} to {high})")
    return lines + [f"note: {note}" for note in result.notes]


def _name(result: Evaluation) -> str:
    """Return what the figures are of; of a cross-validation that is not whole, how much of it."""
    rule = result.protocol
    if rule is None or len(result.models) >= len(rule.rows):
        return rule.name if rule else "evaluation"
    return f"{rule.name} ({len(result.models)} of {len(rule.rows)} rows)"


def _figures(result: Evaluation) -> list[tuple[str, str, str]]:
    """Return name, value and interval of every score that is printed, the headline first."""
    whole: Scored = result.whole
    names = (
        result.protocol.prints
        if result.protocol
        else (whole.metric.headline, *(name for name in whole.scores if name in METRICS and not name.endswith("_void_error")))
    )
    scores, found = whole.scores, []
    for name in dict.fromkeys(names):
        low, high = (score_text(edge, name) for edge in whole.interval(SEED, name))
        found.append((name, score_text(scores[name], name), f"95 % interval over places {low} to {high}"))
    return found


def _words(result: Evaluation) -> list[str]:
    rule = result.protocol
    words = [f"{rule.words} Source: {rule.source}."] if rule else ["No protocol of the literature was asked for."]
    words.append("Full series, nothing drawn and nothing dropped: the same command gives the same figures, on any number of processes.")
    if len(result.models) > 1:
        words.append(f"{len(result.models)} models, each at the places of its own test; their tables are summed, and then scored.")
    return words + [f"Note: {note}" for note in result.notes]


def _fold_section(result: Evaluation) -> list[Section]:
    if len(result.models) < 2:
        return []
    head = result.whole.metric.headline
    scale = 100 if percents(head) else 1
    rows: tuple[tuple[str | float, ...], ...] = tuple(
        (one.part, one.entrant.name, scale * scored.score, *(scale * edge for edge in scored.interval(SEED)), len(scored.place))
        for one, scored in result.models
    )
    header = ("tested on", "model", f"{metric_name(head)}{', %' if scale == 100 else ''}", "low", "high", "places")
    text = "The pooled figure is that of the summed tables, not the mean of these."
    return [Section("Fold by fold", (text,), (), (Table(header, rows, decimals=1 if scale == 100 else 3),))]


def _map_section(result: Evaluation, source: PlaceSource, facts: RunFacts) -> list[Section]:
    if not result.sheets or not isinstance(result.labels, ClassTable):
        return []
    pictures = tuple(
        Picture(
            f"place-{number}",
            draw_place(
                place,
                {name: source.modalities[name] for name in place.series},
                result.labels,
                {f"{sensor_label(tuple(facts.everything.split('+')))}": prediction},
                title=f"Place {place.info['id']}",
            ),
            f"Place {place.info['id']}: what the sensors saw, the labels, and what the model makes of it.",
        )
        for number, (place, prediction) in enumerate(result.sheets)
    )
    return [Section("Maps beside the truth", ("Places spread evenly over those scored, not chosen.",), pictures)]
