"""The report of a run: one page that needs nothing but itself, its pictures as files, its figures as strict JSON."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from omnifuse.config import write_json
from omnifuse.data.pictures.look import DPI, save_png
from omnifuse.errors import InputError


@dataclass(frozen=True)
class KeyFigure:
    """One of the few numbers that are read first.

    Attributes:
        label: What was measured.
        value: The number as shown, such as `72.4 %`.
        note: What to compare it with, or its interval.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        name: Name of its PNG file without the ending: lower-case letters, digits, `-` and `_`.
        figure: What is shown; or the file of a PNG that was drawn before.
        caption: Text below it.
        alt: What a reader who cannot see it should know; the caption if empty.
    """

    name: str
    figure: Figure | Path
    caption: str
    alt: str = ""

    @property
    def inches(self) -> float:
        """Width."""
        if isinstance(self.figure, Figure):
            return float(self.figure.get_figwidth())
        with Image.open(self.figure) as image:
            return image.width / DPI


@dataclass(frozen=True)
class Table:
    """Rows under a header. Numbers are shown with `decimals`, right-aligned; None and NaN as a dash."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    caption: str = ""
    decimals: int = 1


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then pictures, then tables."""

    heading: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a run has to say. All text is plain text.

    Attributes:
        title: What this is about.
        subtitle: Data, size and purpose in one line.
        seed: Seed of the run.
        key_figures: Three to six numbers that are read first.
        sections: The body.
        results: Every measured figure by name, nested as needed; goes into `results.json`, not onto the page.
        configuration: The configuration as plain types.
        environment: Facts such as versions, device and wall time.
        commands: Commands that make this report again, and what to try next.
    """

    title: str
    subtitle: str
    seed: int
    key_figures: tuple[KeyFigure, ...] = ()
    sections: tuple[Section, ...] = ()
    results: Mapping[Any, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()


def write_report(folder: Path, report: Report) -> Path:
    """Write `report.html`, one PNG per picture and `results.json` into `folder`; return the page.

    Raises:
        InputError: for a picture name that is no file name or stands twice, or a table row of the wrong length.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check(report)
    images = {}
    for picture in (picture for section in report.sections for picture in section.pictures):
        path = picture.figure if isinstance(picture.figure, Path) else folder / f"{picture.name}.png"
        if isinstance(picture.figure, Figure):
            save_png(picture.figure, path)
        images[picture.name] = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    environment = Environment(
        loader=PackageLoader("omnifuse.evals"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = format_cell
    template = environment.get_template("report.html.j2")
    page = template.render(report=report, images=images, configuration=flatten(to_plain(report.configuration)))
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    write_results(folder / "results.json", report)
    return path


def write_results(path: Path, report: Report) -> None:
    """Write every figure of a report with its seed and configuration: strict JSON, always in the same order."""
    tables = {
        f"{section.heading} / {table.caption or index}": [dict(zip(table.header, row, strict=True)) for row in table.rows]
        for section in report.sections
        for index, table in enumerate(section.tables)
    }
    value = {
        "title": report.title,
        "seed": report.seed,
        "key_figures": [{"label": key.label, "value": key.value, "note": key.note} for key in report.key_figures],
        "results": report.results,
        "tables": tables,
        "configuration": report.configuration,
        "environment": report.environment,
        "commands": report.commands,
    }
    write_json(path, to_plain(value))


def to_plain(value: Any) -> Any:
    """Return JSON types: numbers of numpy and torch as Python's, tuples as lists, what is not finite as None."""
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else "+".join(map(str, key)) if isinstance(key, tuple) else str(key): to_plain(v)
            for key, v in value.items()
        }
    if isinstance(value, Sequence):
        return [to_plain(item) for item in value]
    if callable(getattr(value, "tolist", None)):
        return to_plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    raise InputError(f"report: {type(value).__name__} is no plain value, found {value!r:.80}. Try: numbers, texts, lists and dictionaries.")


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested settings as `a.b.c` and text, in order; lists stay on one line."""
    if isinstance(value, dict) and value:
        return {k: v for name, item in value.items() for k, v in flatten(item, f"{prefix}.{name}" if prefix else name).items()}
    if isinstance(value, list):
        return {prefix: ", ".join(str(item) for item in value)}
    return {prefix: "none" if value is None else str(value)} if prefix else {}


def format_cell(value: str | int | float | None, decimals: int) -> str:
    """Return a table cell as text."""
    if isinstance(value, float):
        return f"{value:.{decimals}f}" if math.isfinite(value) else "–"
    return "–" if value is None else str(value)


def _check(report: Report) -> None:
    names = [picture.name for section in report.sections for picture in section.pictures]
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or names.count(name) > 1:
            raise InputError(f"report: picture name {name!r}, expected a unique one of a-z, 0-9, - and _. Try: another name.")
    for table in (table for section in report.sections for table in section.tables):
        for row in table.rows:
            if len(row) != len(table.header):
                raise InputError(
                    f"report: a row of {len(row)} cells under a header of {len(table.header)}: {row}. Try: None for an empty cell."
                )
