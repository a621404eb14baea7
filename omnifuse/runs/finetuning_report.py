"""What a fine-tuning shows of itself: how it learned, what every subset of sensors is worth, where it errs, and what looks wrong."""

from pathlib import Path

from omnifuse.classes import ClassTable
from omnifuse.evals.figures import Bar, Panel, draw_bars, draw_confusion, draw_curves, sensor_label
from omnifuse.evals.metrics import Confusion
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, write_report
from omnifuse.evals.scoring import paired_difference
from omnifuse.runs.finetuning_facts import RunFacts, metric_name, percents, read_facts, score_text, view_name
from omnifuse.runs.finetuning_warnings import warnings
from omnifuse.runs.log_curves import curve, keys_of
from omnifuse.runs.pretraining_report import cost_section, medians, plain
from omnifuse.runs.results import SEED
from omnifuse.train.log import CLOCK

_SUBSETS_DRAWN = 31  # of five sensors; more make a picture that nobody reads


def report(folder: Path) -> Path:
    """Write `report/report.html` with its pictures and figures into a run's folder, finished or not; return the page.

    A folder of its own, as `results.json` of the run holds what was counted, for comparisons.
    """
    facts = read_facts(folder)
    notes = warnings(facts)
    nothing = "Nothing looks wrong: the loss falls, held-out scores rise, no waiting for data."
    sections = [
        Section("How is it going?" if not facts.finished else "Did it go well?", (state(facts), *(notes or [nothing]))),
        *subset_section(facts),
        *class_section(facts),
        *learning_section(facts),
        *([cost_section(facts.log)] if medians(facts.log) else []),
    ]
    content = Report(
        title="Fine-tuning" if facts.log else "Evaluation",
        subtitle=subtitle(facts),
        seed=int(facts.configuration.get("train", {}).get("seed", SEED)),
        key_figures=key_figures(facts),
        sections=tuple(sections),
        results={"warnings": notes, "scores": facts.scores, "log": facts.log},
        configuration=facts.configuration,
        environment=facts.environment,
        commands=(*([f"omnifuse finetune {folder / 'config.json'}"] if "head" in facts.configuration else []), f"omnifuse report {folder}"),
    )
    return write_report(folder / "report", content)


def subtitle(facts: RunFacts) -> str:
    """Return what was trained on what, as far as it is known."""
    config = facts.configuration
    parts = [sensor_label(tuple(config.get("encoders", {}) or facts.everything.split("+")))]
    if "kind" in config.get("data", {}):
        parts.append(f"data: {config['data']['kind']}")
    if config.get("label_fraction", 1) != 1:
        parts.append(f"{100 * config['label_fraction']:g} % of the labels")
    if "init" in config:
        parts.append(f"from {Path(config['init']).name}" if config["init"] else "from random weights")
    if facts.log:
        parts.append(f"{facts.last_step} of {facts.steps} updates" if facts.steps else f"{facts.last_step} updates")
    return "; ".join(part for part in parts if part)


def state(facts: RunFacts) -> str:
    """Return in words how far the run is."""
    if not facts.log:
        return "An evaluation: nothing was trained here."
    if facts.finished:
        which = f" It is not the last one: {facts.selected}." if facts.selected else ""
        return f"The run has ended after {facts.last_step} updates, and its model is scored.{which}"
    share = f" of {facts.steps}" if facts.steps else ""
    return (
        f"The run has not ended: {facts.last_step}{share} updates are in its log. It is still going, or it was stopped; "
        "the command that began it goes on from its last checkpoint. This page shows what there is."
    )


def key_figures(facts: RunFacts) -> tuple[KeyFigure, ...]:
    """Return the numbers that are read first."""
    figures, headline = [], facts.headline
    if facts.finished:
        whole = facts.scores[facts.everything]
        note = "held-out places"
        if facts.results is not None:
            low, high = facts.results.scored[facts.everything].interval(SEED)
            note = f"95 % interval over places {score_text(low, headline)} to {score_text(high, headline)}"
        figures.append(KeyFigure(f"{metric_name(headline)}, all sensors", score_text(whole, headline), note))
        figures += [KeyFigure(label, value, note) for label, value, note in _comparisons(facts)]
    else:
        for key in keys_of(facts.log, "eval/")[:1]:
            values = [row[key] for row in facts.log if key in row]
            name = key.removeprefix("eval/")
            figures.append(KeyFigure(f"{metric_name(name)} so far", score_text(values[-1], name), f"best {score_text(max(values), name)}"))
        if facts.log:
            figures.append(KeyFigure("updates", f"{facts.last_step:,}", f"of {facts.steps:,}" if facts.steps else ""))
    speed = medians(facts.log)
    if "places_per_second" in speed:
        share = f"waiting for data {100 * speed['data_share']:.0f} % of the time" if "data_share" in speed else ""
        figures.append(KeyFigure("places per second, median", plain(speed["places_per_second"]), share))
    return tuple(figures)


def _comparisons(facts: RunFacts) -> list[tuple[str, str, str]]:
    """Return what fusion gains over the best sensor alone, and what the loss of one sensor costs at worst, both at the same places."""
    names = facts.everything.split("+")
    singles = [name for name in names if name in facts.scores]
    without = {name: "+".join(other for other in names if other != name) for name in names}
    without = {name: view for name, view in without.items() if view in facts.scores}
    if len(names) < 2 or not singles or not without:
        return []
    best = max(singles, key=lambda name: facts.scores[name])
    gone = min(without, key=lambda name: facts.scores[without[name]])
    return [
        ("fusion gain", *_difference(facts, best, 1, f"over {sensor_label((best,))} alone")),
        ("one sensor gone, at worst", *_difference(facts, without[gone], -1, f"without {sensor_label((gone,))}")),
    ]


def _difference(facts: RunFacts, view: str, sign: int, words: str) -> tuple[str, str]:
    """Return the difference of all sensors to a view, times a sign, and its note."""
    scale = 100 if percents(facts.headline) else 1
    value = scale * sign * (facts.scores[facts.everything] - facts.scores[view])
    unit = " points" if scale == 100 else ""
    if facts.results is None:
        return f"{value:+.{1 if unit else 3}f}{unit}", words
    found = paired_difference(facts.results.scored[facts.everything], facts.results.scored[view], SEED)
    low, high = sorted(scale * sign * edge for edge in (found.low, found.high))
    digits = 1 if unit else 3
    return f"{scale * sign * found.value:+.{digits}f}{unit}", f"{words}; 95 % interval {low:+.{digits}f} to {high:+.{digits}f}"


def subset_section(facts: RunFacts) -> list[Section]:
    """Return bars and table of every subset of sensors, or whatever else the model was shown."""
    if not facts.finished:
        return []
    scale, results = (100 if percents(facts.headline) else 1), facts.results
    views = sorted(facts.scores, key=lambda name: name.count("+"))
    title = metric_name(facts.headline)
    intervals = {name: results.scored[name].interval(SEED) for name in views} if results else {}
    bars = [Bar(view_name(name), "model", facts.scores[name], intervals.get(name)) for name in views]
    drawn = percents(facts.headline) and len(bars) <= _SUBSETS_DRAWN
    picture = (
        Picture("subsets", draw_bars(bars, f"{title} by what the model was shown", f"{title}, %"), "Score of each subset.")
        if drawn
        else None
    )
    others = [name for name in results.scored[views[-1]].scores if name != facts.headline] if results else []
    rows: list[tuple[str | int | float | None, ...]] = []
    for name in views:
        row: list[str | int | float | None] = [view_name(name), scale * facts.scores[name]]
        if results:
            found = results.scored[name]
            values = found.scores
            row += [scale * edge for edge in intervals[name]]
            row += [(100 if percents(other) else 1) * values[other] for other in others] + [len(found.place), found.skipped]
        rows.append(tuple(row))
    unit = ", %" if scale == 100 else ""
    header = ["shown", f"{title}{unit}"]
    if results:
        header += ["low", "high", *(f"{metric_name(other)}{', %' if percents(other) else ''}" for other in others), "places", "left out"]
    return [
        Section(
            "Every subset of the sensors, one set of weights",
            (
                "Held-out places, full series, nothing drawn. Intervals are 95 % over places drawn again, not over training seeds."
                if results
                else "Held-out places, full series, nothing drawn. Counts by place were not kept, so there are no intervals.",
            ),
            (picture,) if picture else (),
            (Table(tuple(header), tuple(rows), decimals=1 if scale == 100 else 3),),
        )
    ]


def class_section(facts: RunFacts) -> list[Section]:
    """Return the score of each class, all sensors and each alone, and the confusion of all sensors."""
    if facts.results is None:
        return []
    views = [facts.everything, *(name for name in facts.scores if "+" not in name and name != facts.everything)]
    each = {view: facts.results.scored[view].each for view in views}
    rows: list[tuple[str | float, ...]] = [
        (name, *(100 * each[view].get(name, float("nan")) for view in views)) for name in each[facts.everything]
    ]
    pictures = []
    metric = facts.results.metric
    if isinstance(metric, Confusion):
        table = facts.labels or ClassTable(metric.classes, ("#888888",) * len(metric.classes), metric.void)
        matrix = facts.results.scored[facts.everything].total
        pictures.append(Picture("confusion", draw_confusion(matrix, table), "All sensors: truth by row, prediction by column."))
    what = f"{'R²' if facts.headline == 'r2' else 'Score'} of each, in percent; a dash where it does not occur"
    return [
        Section("Where it errs", (), tuple(pictures), (Table(("", *map(view_name, views)), tuple(rows), what),)),
    ]


def learning_section(facts: RunFacts) -> list[Section]:
    """Return the curves of the training and of the held-out score."""
    log = facts.log
    if not any("loss" in row for row in log):
        return []
    parts = [key for key in keys_of(log, "") if not key.startswith("eval/") and key not in {"step", "loss", "lr", "grad_norm", *CLOCK}]
    shares = [key for key in parts if percents(key)]
    losses = [curve(log, "loss", "loss"), *(curve(log, key, key.replace("_", " ")) for key in parts if key not in shares)]
    panels = [Panel("What is minimized", "lower is better", tuple(losses[:6]))]
    held_out = [key for key in keys_of(log, "eval/") if percents(key.removeprefix("eval/"))]
    named = [(f"{metric_name(key.removeprefix('eval/'))}, held out", key) for key in held_out]
    named += [(f"{metric_name(key)}, training batches", key) for key in shares]
    if named:
        panels.append(Panel("Scores", "%, higher is better", tuple(curve(log, key, name) for name, key in named[:6]), percent=True))
    updates = [
        Panel("Learning rate", "of AdamW", (curve(log, "lr", "rate"),)),
        Panel("Gradient", "norm before clipping", (curve(log, "grad_norm", "norm"),)),
    ]
    return [
        Section(
            "How it was learned",
            (),
            (
                Picture("learning", draw_curves(panels), "Of a long run: single rows faint, on top their running median."),
                Picture("updates", draw_curves(updates), "What the updates look like."),
            ),
        )
    ]
