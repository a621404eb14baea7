"""What a robustness evaluation has to say: tables as Markdown and JSON, and the page."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnifuse.config import write_json
from omnifuse.data.pictures.look import sensor_label
from omnifuse.evals.figures.robustness import draw_robustness
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, format_cell, to_plain
from omnifuse.evals.robustness import RobustnessResult, Row
from omnifuse.runs.finetuning_facts import metric_name, percents, score_text

_Row = tuple[str | int | float | None, ...]
_PROTOCOLS = {
    "EMM": "Entire sensors missing: every subset",
    "RMM": "Sensors missing at random, per place",
    "NM": "Noisy sensors",
    "dates": "Missing dates",
}
_TEXT = (
    "Every row is the same model at the same places under one harm (after arXiv:2503.18445); what is drawn is drawn per place and is the "
    "same for every model. Change: difference from all sensors, unharmed, with its paired 95 % interval over places.",
    "Mean: over all subsets (EMM), rates (RMM), or harms, each the mean of its severities (NM, dates). Expected: over subsets, when each "
    "sensor fails independently with the stated probability and not all do. Drop: share of the score with all sensors that is lost.",
    "The best single sensor and the sensor that is missed most are chosen at these very places.",
)


def summary_table(result: RobustnessResult) -> Table:
    """Return the few numbers of the evaluation as rows: means, expected scores, the gain of fusion and the worst loss."""
    summary, scale = result.summary, _scale(result)

    def row(title: str, score: float, low: float | None = None, high: float | None = None, drop: float | None = None) -> _Row:
        return (title, *(None if x is None else scale * x for x in (score, low, high)), None if drop is None else 100 * drop)

    rows = [row("all sensors", summary["all sensors"], *summary["interval"])]
    for protocol, mean in summary["mean"].items():
        rows.append(row(f"mean, {_PROTOCOLS[protocol].lower()}", mean, drop=summary["relative drop"][protocol]))
    rows += [row(f"expected, each sensor fails with {p}", value) for p, value in summary["expected"].items()]
    for found, words in ((result.fusion_gain(), "fusion gain over {} alone"), (result.worst_loss(), "worst-case loss, without {}")):
        if found is not None:
            name, by = found
            rows.append(row(words.format(sensor_label((name,))), by.value, by.low, by.high))
    return Table(("", _title(result), "low", "high", "drop, %"), tuple(rows), "Summary", _decimals(scale))


def protocol_tables(result: RobustnessResult) -> tuple[Table, ...]:
    """Return one table per protocol, one row per setting."""
    header = ("setting", "severity", _title(result), "low", "high", "change", "change, low", "change, high", "places", "skipped")
    rows, scale = result.table(), _scale(result)
    found = {protocol: [_cells(row, scale) for row in rows if row.setting.protocol == protocol] for protocol in _PROTOCOLS}
    return tuple(Table(header, tuple(part), _PROTOCOLS[protocol], _decimals(scale)) for protocol, part in found.items() if part)


def write_tables(folder: Path, result: RobustnessResult, facts: Mapping[str, Any]) -> None:
    """Write `robustness.md` for people and `robustness.json` for programs."""
    tables = (summary_table(result), *protocol_tables(result))
    about = f"`{facts['command']}`: {_subject(facts)}."
    parts = ["# Robustness", "", about, "", *(line for text in (*_notes(facts), *_TEXT) for line in (text, ""))]
    for table in tables:
        parts += [f"## {table.caption}", "", *markdown(table), ""]
    (folder / "robustness.md").write_text("\n".join(parts), encoding="utf-8")
    rows = [asdict(row) for row in result.table()]
    write_json(folder / "robustness.json", to_plain({"facts": facts, "seed": result.seed, "summary": result.summary, "rows": rows}))


def markdown(table: Table) -> list[str]:
    """Return the lines of a table in Markdown, numbers to the right."""
    numbers = [all(isinstance(row[i], int | float | None) for row in table.rows) for i in range(len(table.header))]
    lines = [table.header, tuple("---:" if number else "---" for number in numbers)]
    lines += [tuple(format_cell(cell, table.decimals).replace("|", "\\|") for cell in row) for row in table.rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def report_of(result: RobustnessResult, facts: Mapping[str, Any], configuration: dict[str, object], versions: dict[str, str]) -> Report:
    """Return the page: the few numbers, the picture, the tables."""
    title, scale, headline = _title(result), _scale(result), result.metric.headline
    low, high = (score_text(edge, headline) for edge in result.summary["interval"])
    keys = [KeyFigure(metric_name(headline), score_text(result.whole.score, headline), f"all sensors, {low} to {high}")]
    for found, label, words in ((result.fusion_gain(), "Fusion gain", "over"), (result.worst_loss(), "Worst-case loss", "without")):
        if found is not None:
            name, by = found
            value, low, high = (f"{scale * x:.{_decimals(scale)}f}" for x in (by.value, by.low, by.high))
            keys.append(KeyFigure(label, value, f"{words} {sensor_label((name,))}, {low} to {high}"))
    figure = draw_robustness(result, "Robustness to missing and bad sensors", title, percents(headline))
    picture = Picture("robustness", figure, "Scores under every subset of sensors, and by severity of each harm.")
    return Report(
        title="Robustness to missing and bad sensors",
        subtitle=_subject(facts),
        seed=result.seed,
        key_figures=tuple(keys),
        sections=(
            Section("Summary", (*_notes(facts), *_TEXT), (picture,), (summary_table(result),)),
            *(Section(table.caption, tables=(table,)) for table in protocol_tables(result)),
        ),
        results=result.summary,
        configuration=configuration,
        environment=versions,
        commands=(str(facts["command"]),),
    )


def _subject(facts: Mapping[str, Any]) -> str:
    return f"{facts['model']} at {facts['places']} places ({facts['part']}) of {facts['data']}"


def _notes(facts: Mapping[str, Any]) -> list[str]:
    return [f"Note: {note}" for note in facts["notes"]]


def _cells(row: Row, scale: int) -> _Row:
    setting = row.setting
    subset = setting.protocol == "EMM"
    what = (
        sensor_label(setting.sensors) if subset else " of ".join([setting.harm, *([sensor_label(setting.sensors)] * bool(setting.sensors))])
    )
    severity = "" if subset else f"{setting.severity:g} {setting.unit}"
    change = (None, None, None) if row.change is None else (scale * x for x in (row.change.value, row.change.low, row.change.high))
    return (what, severity, *(scale * x for x in (row.score, *row.interval)), *change, row.places, row.skipped)


def _scale(result: RobustnessResult) -> int:
    """Return 100 where scores are shares, which are written in percent and points."""
    return 100 if percents(result.metric.headline) else 1


def _decimals(scale: int) -> int:
    return 1 if scale == 100 else 3


def _title(result: RobustnessResult) -> str:
    return metric_name(result.metric.headline) + (", %" if _scale(result) == 100 else "")
