"""`omnifuse data stats`: statistics of the bands, dates, classes and missing sensors, as tables, JSON, and in the store."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from omnifuse.config import Config, write_json
from omnifuse.data.columns import Json, set_statistics
from omnifuse.data.facts import read_facts
from omnifuse.data.store import Store
from omnifuse.data.subset import split_by_text
from omnifuse.data.survey import Survey, survey
from omnifuse.errors import ConfigError
from omnifuse.modalities import Modality
from omnifuse.runs.opening import Found
from omnifuse.runs.stages import console, progress_bar


@dataclass(frozen=True, kw_only=True)
class StatsCommand(Config):
    """Say what places hold: mean and standard deviation of the bands, dates, missing sensors and classes.

    Attributes:
        split: Metadata that tells the places apart, such as fold; all places without it.
        values: Values whose places count, such as 1 2 3. Statistics belong to the training places.
        write: Whether a store keeps the statistics: models that are trained on it start from these.
        kind: What it is, such as pastis-hd; told from its layout where it is not given.
        workers: Processes that read where nothing is stored; 0 reads in this one.
        json: File for the result, as JSON; none without a name.
    """

    split: str = ""
    values: tuple[str, ...] = ()
    write: bool = True
    kind: str = ""
    workers: int = 2
    json: str = ""


def stats(found: Found, command: StatsCommand) -> None:
    """Print the tables, and write what was asked for."""
    if bool(command.split) != bool(command.values):
        raise ConfigError("data stats: `--split` and `--values` belong together. Try: --split fold --values 1 2 3.")
    path = found.path
    console.print(str(found), markup=False)
    source = found.open()
    indices = split_by_text(source.info, command.split, command.values) if command.split else np.arange(len(source))
    with progress_bar("stats") as progress:
        known = survey(read_facts(source, indices.tolist(), command.workers, progress), source.modalities, source.classes)
    over = f"places with {command.split} {', '.join(command.values)}" if command.split else "all places"
    console.print(f"{over}: {known.places} of {len(source)}, {source.size:g} m wide; {known.labelled} with labels", markup=False)
    print_tables(sensor_table(known), band_table(known, source.modalities), year_table(known))
    if known.classes:
        print_tables(class_table(known))
    if command.write and isinstance(source, Store):
        about: dict[str, Json] = {"places": known.places, "split": command.split, "values": list(command.values)}
        set_statistics(Path(path), known.statistics, about)
        console.print(f"{path}: mean and standard deviation are now those of {over}.", markup=False)
    if command.json:
        document = {"path": path, "kind": found.kind, "split": command.split, "values": list(command.values), **asdict(known)}
        write_json(Path(command.json), document)


def titled(title: str, *columns: str, caption: str = "") -> Table:
    """Return an empty table with one line below its headings."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", caption=caption or None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number > 0)
    return table


def print_tables(*tables: Table) -> None:
    """Print tables; a terminal's width bounds them, a file takes them as they are."""
    wide = console if console.is_terminal else Console(width=160)
    for table in tables:
        caption, table.caption = table.caption, None  # else it is broken at the width of the table
        wide.print(table)
        if caption is not None:
            console.print(f"{caption}\n", markup=False)


def sensor_table(known: Survey) -> Table:
    """Return where each sensor is there, and how often it saw a place."""
    caption = "per place: least, median and most images of a place that has any; repeated: places with two images of one date"
    table = titled("Sensors", "sensor", "places", "missing", "images", "per place", "from", "to", "repeated", caption=caption)
    for name, sensor in known.sensors.items():
        counts = f"{sensor.fewest} {sensor.median:g} {sensor.most}"
        row = (sensor.places, sensor.missing, sensor.frames, counts, sensor.first, sensor.last, sensor.repeated)
        table.add_row(name, *map(str, row))
    return table


def band_table(known: Survey, modalities: dict[str, Modality]) -> Table:
    """Return mean and standard deviation of every band."""
    table = titled("Bands", "sensor", "band", "unit", "mean", "std")
    for name, (mean, std) in known.statistics.items():
        rows = zip(modalities[name].bands, modalities[name].units, mean, std, strict=True)
        for number, (band, unit, middle, spread) in enumerate(rows):
            table.add_row("" if number else name, band, unit, f"{middle:.6g}", f"{spread:.6g}")
    return table


def year_table(known: Survey) -> Table:
    """Return images by sensor and year, and which sensors come together."""
    years = sorted({year for sensor in known.sensors.values() for year in sensor.per_year})
    together = "; ".join(f"{names} at {count} places" for names, count in known.present.items())
    table = titled("Images by year", "sensor", *years, caption=f"There together: {together}")
    for name, sensor in known.sensors.items():
        table.add_row(name, *(str(sensor.per_year.get(year, 0)) for year in years))
    return table


def class_table(known: Survey) -> Table:
    """Return how frequent each class is."""
    table = titled("Classes", "class", "name", "share", "places", caption=f"not scored: {100 * known.ignored:.2f} % of the labels")
    for number, one in enumerate(known.classes):
        table.add_row(str(number), one.name, f"{100 * one.share:.2f} %", str(one.places))
    return table
