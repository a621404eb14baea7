"""What a robustness evaluation has to say: tables as Markdown and JSON, and the page."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnifuse.config import write_json
from omnifuse.data.pictures.look import sensor_label
from omnifuse.evals.figures.robustness import draw_robustness
from omnifuse.evals.harms import Setting
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, format_cell, to_plain
from omnifuse.evals.robustness import RobustnessResult, Row
from omnifuse.evals.scoring import Difference
from omnifuse.runs.finetuning_facts import metric_name

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


def name_of(setting: Setting) -> str:
    """Return a setting as a short name that tells it from all others: of a subset its sensors joined by `+`."""
    severity = [f"{setting.severity:g} {setting.unit}"] if setting.unit else []
    return " ".join(
        [*([] if setting.protocol == "EMM" else [setting.harm]), *(["+".join(setting.sensors)] * bool(setting.sensors)), *severity]
    )


def summary_table(result: RobustnessResult) -> Table:
    """Return the few numbers of the evaluation as rows: means, expected scores, the gain of fusion and the worst loss."""
    summary = result.summary
    low, high = summary["interval"]
    rows: list[tuple[str, float | None, float | None, float | None, float | None]] = [
        ("all sensors", _percent(summary["all sensors"]), _percent(low), _percent(high), None)
    ]
    for protocol, mean in summary["mean"].items():
        rows.append((f"mean, {_PROTOCOLS[protocol].lower()}", _percent(mean), None, None, _percent(summary["relative drop"][protocol])))
    rows += [(f"expected, each sensor fails with {p}", _percent(value), None, None, None) for p, value in summary["expected"].items()]
    for found, words in ((result.fusion_gain(), "fusion gain over {} alone"), (result.worst_loss(), "worst-case loss, without {}")):
        if found is not None:
            name, by = found
            rows.append((words.format(sensor_label((name,))), *_points(by), None))
    return Table(("", _title(result), "low", "high", "drop, %"), tuple(rows), "Summary")


def protocol_tables(result: RobustnessResult) -> tuple[Table, ...]:
    """Return one table per protocol, one row per setting."""
    header = ("setting", "severity", _title(result), "low", "high", "change", "change, low", "change, high", "places", "skipped")
    rows = result.table()
    found = {protocol: [row for row in rows if row.setting.protocol == protocol] for protocol in _PROTOCOLS}
    return tuple(Table(header, tuple(map(_cells, part)), _PROTOCOLS[protocol]) for protocol, part in found.items() if part)


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
    title = _title(result)
    low, high = (_percent(edge) for edge in result.summary["interval"])
    keys = [KeyFigure(title, f"{_percent(result.whole.score):.1f}", f"all sensors, {low:.1f} to {high:.1f}")]
    for found, label, words in ((result.fusion_gain(), "Fusion gain", "over"), (result.worst_loss(), "Worst-case loss", "without")):
        if found is not None:
            value, low, high = _points(found[1])
            keys.append(KeyFigure(label, f"{value:.1f}", f"{words} {sensor_label((found[0],))}, {low:.1f} to {high:.1f}"))
    figure = draw_robustness(result, "Robustness to missing and bad sensors", title)
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


def _cells(row: Row) -> tuple[str | int | float | None, ...]:
    setting = row.setting
    subset = setting.protocol == "EMM"
    what = (
        sensor_label(setting.sensors) if subset else " of ".join([setting.harm, *([sensor_label(setting.sensors)] * bool(setting.sensors))])
    )
    severity = "" if subset else f"{setting.severity:g} {setting.unit}"
    change = (None, None, None) if row.change is None else _points(row.change)
    return (what, severity, _percent(row.score), *map(_percent, row.interval), *change, row.places, row.skipped)


def _points(difference: Difference) -> tuple[float, float, float]:
    return 100 * difference.value, 100 * difference.low, 100 * difference.high


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _title(result: RobustnessResult) -> str:
    return f"{metric_name(result.metric.headline)}, %"
