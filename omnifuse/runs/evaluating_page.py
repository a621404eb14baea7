"""The page of an evaluation, from what its folder holds: written when it ends, and again by `omnifuse report`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from omnifuse.classes import ClassTable
from omnifuse.config import Config, from_dict, read_json
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, write_report
from omnifuse.evals.scoring import Scored
from omnifuse.runs.finetuning_facts import metric_name, percents, read_facts, score_text
from omnifuse.runs.finetuning_report import class_section, key_figures, subset_section
from omnifuse.runs.results import EVALUATION, SEED, read_results

PAGE = "report"  # folder of the page and its pictures


@dataclass(frozen=True, kw_only=True)
class EvaluationFile(Config):
    """The content of `evaluation.json`: what the page says beside the figures, which are those of `results.json`.

    Attributes:
        title: Heading of the page.
        words: What was scored, and by which rule; a paragraph each.
        prints: Names of the scores that the literature prints.
        folds: Of several models: what each was tested on, its name, its score with the 95 % interval, and its places.
        maps: Caption of each map beside the truth, by the name of its picture.
        labels: Classes and their colors; None where the labels are quantities.
        configuration: The command.
        environment: Versions, device, time and memory.
    """

    title: str
    words: tuple[str, ...]
    prints: tuple[str, ...]
    folds: tuple[tuple[str, str, float | None, float | None, float | None, int], ...]
    maps: dict[str, str]
    labels: ClassTable | None
    configuration: dict[str, JsonValue]
    environment: dict[str, str]


def page(folder: Path) -> Path:
    """Write `report/report.html` into the folder of an evaluation; return the page.

    Raises:
        OmnifuseError: for a file that is missing or damaged; names it.
    """
    about = from_dict(EvaluationFile, read_json(folder / EVALUATION), str(folder / EVALUATION))
    results = read_results(folder)
    known, facts = replace(read_facts(folder), labels=about.labels), results.about.facts
    whole = results.scored[known.everything]
    others = [name for name in about.prints if name != whole.metric.headline]
    parts = facts["parts"] if isinstance(facts["parts"], list) else []
    content = Report(
        title=about.title,
        subtitle=f"{facts['model']}; {facts['data']}; {', '.join(map(str, parts))}: {len(whole.place)} places",
        seed=SEED,
        key_figures=(*key_figures(known), *(KeyFigure(metric_name(name), *rest) for name, *rest in printed(whole, others))),
        sections=(
            Section("What was scored, and by which rule", about.words),
            *subset_section(known),
            *class_section(known),
            *_fold_section(about, whole.metric.headline),
            *_map_section(about, folder / PAGE),
        ),
        results={"scores": known.scores, **{name: facts[name] for name in ("notes", "model", "data", "command")}},
        configuration=about.configuration,
        environment=about.environment,
        commands=(str(facts["command"]), "omnifuse compare RUN RUN ..."),
    )
    return write_report(folder / PAGE, content)


def printed(whole: Scored, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return name, value and interval of scores as they are printed."""
    scores, found = whole.scores, []
    for name, edges in whole.intervals(SEED, tuple(dict.fromkeys(names))).items():
        low, high = (score_text(edge, name) for edge in edges)
        found.append((name, score_text(scores[name], name), f"95 % interval over places {low} to {high}"))
    return found


def _fold_section(about: EvaluationFile, head: str) -> list[Section]:
    if not about.folds:
        return []
    scale = 100 if percents(head) else 1
    rows = tuple(
        (part, name, *(None if value is None else scale * value for value in values), places) for part, name, *values, places in about.folds
    )
    header = ("tested on", "model", f"{metric_name(head)}{', %' if scale == 100 else ''}", "low", "high", "places")
    text = "The pooled figure is that of the summed tables, not the mean of these."
    return [Section("Fold by fold", (text,), (), (Table(header, rows, decimals=1 if scale == 100 else 3),))]


def _map_section(about: EvaluationFile, folder: Path) -> list[Section]:
    """Return the maps that were drawn; they take the model and the places, which may be gone, so they are not drawn again."""
    drawn = [(folder / f"{name}.png", name, caption) for name, caption in about.maps.items()]
    pictures = tuple(Picture(name, file, caption) for file, name, caption in drawn if file.is_file())
    return [Section("Maps beside the truth", ("Places spread evenly over those scored, not chosen.",), pictures)] if pictures else []
