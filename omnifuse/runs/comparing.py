"""`omnifuse compare RUN RUN ...`: runs side by side, with paired differences from the first at the places that both were scored at."""

import os
from dataclasses import dataclass
from pathlib import Path

from omnifuse.config import Config, write_json
from omnifuse.errors import ConfigError
from omnifuse.evals.comparison import Measured, class_differences, differences, matched
from omnifuse.evals.figures import Bar, draw_bars
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, to_plain, write_report
from omnifuse.evals.scoring import Difference
from omnifuse.runs.finetuning_facts import metric_name, percents, score_text, view_name
from omnifuse.runs.results import SEED, Results, read_results
from omnifuse.runs.robustness_report import markdown
from omnifuse.runs.stages import console

_ALL = "all of its sensors"
_DRAWN = 31  # views in the picture; more are in the table alone
_TEXT = (
    "Intervals are 95 % over places drawn again, the same places for both runs of a difference. They speak of other places like these "
    "under the same weights: runs of several seeds tell what another training would give.",
    "A difference is called clear where its interval leaves out zero. Of twenty comparisons of equal runs, one is expected to look clear.",
)


@dataclass(frozen=True, kw_only=True)
class CompareCommand(Config):
    """Lay runs side by side.

    Attributes:
        out: Folder for the table (`comparison.md`, `comparison.json`) and the page (`report/report.html`).
    """

    out: str = "comparison"


@dataclass(frozen=True)
class Comparison:
    """Runs with places numbered alike, and how much better each is than the first by (run, view); view `""`: each with all its sensors."""

    runs: list[Measured]
    found: dict[tuple[str, str], Difference]

    @property
    def headline(self) -> str:
        return self.runs[0].metric.headline

    @property
    def scale(self) -> int:
        """100 where scores are shown in percent."""
        return 100 if percents(self.headline) else 1

    @property
    def views(self) -> list[str]:
        """Views of any run, fewest sensors first."""
        return sorted(dict.fromkeys(view for run in self.runs for view in run.scored), key=lambda view: view.count("+"))


def compare(folders: list[str], command: CompareCommand) -> Comparison:
    """Compare runs by what they counted, and write what was found.

    Raises:
        ConfigError: for fewer than two.
        InputError: for runs that cannot be compared; says why.
    """
    if len(set(folders)) < 2:
        raise ConfigError("compare: takes two runs or more, each once. Try: omnifuse compare runs/a runs/b.")
    results = [read_results(Path(folder)) for folder in folders]
    runs = matched([_measured(one, name) for one, name in zip(results, names(folders), strict=True)])
    result = Comparison(runs, differences(runs, SEED))
    out = Path(command.out)
    out.mkdir(parents=True, exist_ok=True)
    tables = (score_table(result), difference_table(result), *class_tables(result))
    words = sentences(result)
    parts = ["# Comparison", "", *(line for text in (*words, *_TEXT) for line in (text, ""))]
    for table in tables:
        parts += [f"## {table.caption}", "", *markdown(table), ""]
    (out / "comparison.md").write_text("\n".join(parts), encoding="utf-8")
    found = [{"run": run, "view": view or _ALL, "clear": by.clear, **vars(by)} for (run, view), by in result.found.items()]
    listed = [
        {"name": run.name, "folder": folder, "facts": one.about.facts, "views": one.about.views}
        for run, folder, one in zip(runs, folders, results, strict=True)
    ]
    write_json(out / "comparison.json", to_plain({"metric": result.headline, "runs": listed, "differences": found}))
    page = _page(out, result, tables, words, f"omnifuse compare {' '.join(folders)}")
    for line in (*words, f"{out / 'comparison.md'}: table", f"{page}: page"):
        console.print(line, markup=False)
    return result


def names(folders: list[str]) -> list[str]:
    """Return short names of folders: their last parts, as many as tell them apart."""
    paths = [Path(os.path.normpath(folder)).parts for folder in folders]
    for length in range(1, max(map(len, paths)) + 1):
        short = ["/".join(path[-length:]) for path in paths]
        if len(set(short)) == len(short):
            return short
    return folders


def sentences(result: Comparison) -> list[str]:
    """Say in words how each run does beside the first, and which differences by view are clear."""
    first, said = result.runs[0], []
    for run in result.runs[1:]:
        by = result.found[run.name, ""]
        how = "clearly better than" if by.clear and by.value > 0 else "clearly worse than" if by.clear else "not clearly other than"
        said.append(
            f"{run.name} ({view_name(run.whole)}) is {how} {first.name} ({view_name(first.whole)}): {_signed(result, by.value)} "
            f"{metric_name(result.headline)} (95 % interval {_signed(result, by.low)} to {_signed(result, by.high)}) at {by.places} places."
        )
        of_run = {view: by for (name, view), by in result.found.items() if name == run.name and view}
        better, worse = ([view_name(v) for v, by in of_run.items() if by.clear and (by.value > 0) == up] for up in (True, False))
        if better or worse:
            said.append(
                f"Of {len(of_run)} views that both have, {run.name} is clearly better with {', '.join(better) or 'none'}, "
                f"and clearly worse with {', '.join(worse) or 'none'}."
            )
    return said


def score_table(result: Comparison) -> Table:
    """Return the score of each run by view, with its interval over all places it was scored at."""
    unit = ", %" if result.scale == 100 else ""
    rows = []
    for view in result.views:
        row: list[str | int | float | None] = [view_name(view)]
        for run in result.runs:
            one = run.scored.get(view)
            there = one is not None and len(one.place) > 0
            row += [result.scale * x for x in (one.score, *one.interval(SEED))] + [len(one.place)] if one and there else [None] * 4
        rows.append(tuple(row))
    header = [f"{run.name}{what}" for run in result.runs for what in ("", ", low", ", high", ", places")]
    return Table(("shown", *header), tuple(rows), f"{metric_name(result.headline)}{unit}", 1 if result.scale == 100 else 3)


def difference_table(result: Comparison) -> Table:
    """Return the paired differences from the first run."""
    rows: tuple[tuple[str | int | float | None, ...], ...] = tuple(
        (run, view_name(view) if view else _ALL, *(result.scale * x for x in (by.value, by.low, by.high)), _clear(by), by.places)
        for (run, view), by in result.found.items()
    )
    unit = " in points" if result.scale == 100 else ""
    caption = f"Difference from {result.runs[0].name}{unit}, at the same places"
    return Table(("run", "shown", "difference", "low", "high", "clear", "places"), rows, caption, 1 if result.scale == 100 else 3)


def class_tables(result: Comparison) -> list[Table]:
    """Return the difference of each class or quantity from the first run, each run with all its sensors."""
    first, tables, scale = result.runs[0], [], result.scale
    for run in result.runs[1:]:
        a, b = run.scored[run.whole], first.scored[first.whole]
        rows: tuple[tuple[str | float, ...], ...] = tuple(
            (name, *(scale * x for x in (b.each[name], a.each[name], by.value, by.low, by.high)), _clear(by))
            for name, by in class_differences(a, b, SEED).items()
        )
        caption = f"{run.name} beside {first.name}, {'class by class, in percent' if scale == 100 else metric_name(result.headline)}"
        header = ("", first.name, run.name, "difference", "low", "high", "clear")
        tables.append(Table(header, rows, caption, 1 if scale == 100 else 3))
    return tables


def _measured(results: Results, name: str) -> Measured:
    scored = {view: one for view, one in results.scored.items() if len(one.place)}
    return Measured(name, scored, results.about.places, results.metric, results.about.protocol)


def _clear(by: Difference) -> str:
    return ("better" if by.value > 0 else "worse") if by.clear else "no"


def _signed(result: Comparison, value: float) -> str:
    return f"{100 * value:+.1f} points" if result.scale == 100 else f"{value:+.3f}"


def _page(out: Path, result: Comparison, tables: tuple[Table, ...], words: list[str], command: str) -> Path:
    views = result.views[-_DRAWN:]
    bars = [
        Bar(view_name(view), run.name, run.scored[view].score, run.scored[view].interval(SEED))
        for view in views
        for run in result.runs
        if view in run.scored
    ]
    title = metric_name(result.headline)
    pictures = (
        (Picture("comparison", draw_bars(bars, f"{title} by what the models were shown", f"{title}, %"), "Each run's own places."),)
        if percents(result.headline)
        else ()
    )
    keys = tuple(
        KeyFigure(f"{run.name}, {title}", score_text(run.scored[run.whole].score, result.headline), _note(result, run))
        for run in result.runs
    )
    content = Report(
        title="Comparison",
        subtitle=f"{', '.join(run.name for run in result.runs)}; differences are from {result.runs[0].name}",
        seed=SEED,
        key_figures=keys,
        sections=(
            Section("Which differences are clear", (*words, *_TEXT), pictures),
            Section("By what the models were shown", (), (), tables[:2]),
            Section("Class by class", (), (), tables[2:]),
        ),
        results={"words": words},
        commands=(command,),
    )
    return write_report(out / "report", content)


def _note(result: Comparison, run: Measured) -> str:
    by = result.found.get((run.name, ""))
    return f"{_signed(result, by.value)}, clear: {_clear(by)}" if by else "the others are compared with it"
