"""What an evaluation has to say: the number of the literature first, then every subset, every class, every fold, and some maps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnifuse.classes import ClassTable
from omnifuse.config import to_dict, write_json
from omnifuse.data.pictures.look import save_png
from omnifuse.data.place import PlaceSource
from omnifuse.evals.figures import draw_place, sensor_label
from omnifuse.evals.report import to_plain
from omnifuse.runs.evaluating import Evaluation
from omnifuse.runs.evaluating_page import PAGE, EvaluationFile, page, printed
from omnifuse.runs.finetuning_facts import METRICS, metric_name, score_text, view_name
from omnifuse.runs.results import EVALUATION, SEED


def report(folder: Path, result: Evaluation, configuration: Mapping[str, Any], environment: Mapping[str, str], source: PlaceSource) -> Path:
    """Write `evaluation.json` and `report/report.html` with its pictures beside the results of an evaluation; return the page."""
    about = EvaluationFile(
        title=f"Evaluation by the protocol {_name(result)}" if result.protocol else "Evaluation",
        words=tuple(_words(result)),
        prints=_prints(result),
        folds=tuple(
            (one.part, one.entrant.name, *to_plain((scored.score, *scored.interval(SEED))), len(scored.place))
            for one, scored in result.models
            if len(result.models) > 1
        ),
        maps=_draw_maps(folder / PAGE, result, source),
        labels=result.labels if isinstance(result.labels, ClassTable) else None,
        configuration=dict(configuration),
        environment=dict(environment),
    )
    write_json(folder / EVALUATION, to_dict(about))
    return page(folder)


def said(result: Evaluation) -> list[str]:
    """Return the figures as lines for a terminal: those that the literature prints, then every subset."""
    head, whole = result.whole.metric.headline, result.whole
    lines = [f"{_name(result)}, {len(whole.place)} places, all sensors:"]
    lines += [f"  {metric_name(name)} {value} ({note})" for name, value, note in printed(whole, _prints(result))]
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


def _prints(result: Evaluation) -> tuple[str, ...]:
    """Return the names of the scores that are printed, the headline first."""
    if result.protocol:
        return result.protocol.prints
    whole = result.whole
    return (whole.metric.headline, *(name for name in whole.scores if name in METRICS and not name.endswith("_void_error")))


def _words(result: Evaluation) -> list[str]:
    rule = result.protocol
    words = [f"{rule.words} Source: {rule.source}."] if rule else ["No protocol of the literature was asked for."]
    words.append("Full series, nothing drawn and nothing dropped: the same command gives the same figures, on any number of processes.")
    if len(result.models) > 1:
        words.append(f"{len(result.models)} models, each at the places of its own test; their tables are summed, and then scored.")
    return words + [f"Note: {note}" for note in result.notes]


def _draw_maps(folder: Path, result: Evaluation, source: PlaceSource) -> dict[str, str]:
    """Draw the maps of classes; return the caption of each by the name of its picture."""
    if not isinstance(result.labels, ClassTable):
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    view = sensor_label(tuple(list(result.scored)[-1].split("+")))
    captions = {}
    for number, (place, prediction) in enumerate(result.sheets):
        modalities = {name: source.modalities[name] for name in place.series}
        figure = draw_place(place, modalities, result.labels, {view: prediction}, title=f"Place {place.info['id']}")
        save_png(figure, folder / f"place-{number}.png")
        captions[f"place-{number}"] = f"Place {place.info['id']}: what the sensors saw, the labels, and what the model makes of it."
    return captions
