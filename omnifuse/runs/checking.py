"""`omnifuse data check`: every problem with its remedy, and a summary to act on."""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnifuse.config import Config, write_json
from omnifuse.data.checking import Check, check_source, problem_of
from omnifuse.data.problems import Problem
from omnifuse.data.store import Store
from omnifuse.data.store_checking import check_store
from omnifuse.data.survey import survey
from omnifuse.errors import InputError, OmnifuseError
from omnifuse.runs.opening import Found
from omnifuse.runs.stages import console, progress_bar
from omnifuse.runs.surveying import class_table, print_tables, sensor_table, titled


@dataclass(frozen=True, kw_only=True)
class CheckCommand(Config):
    """Read every file of a store or of a data set in its published layout, and say all that is wrong with it.

    Attributes:
        kind: What it is, such as pastis-hd; told from its layout where it is not given.
        workers: Processes that read; 0 reads in this one.
        json: File for the result, as JSON; none without a name.
    """

    kind: str = ""
    workers: int = 2
    json: str = ""


def check(found: Found, command: CheckCommand) -> int:
    """Print every problem and a summary; return 0 where there is none, else the exit code of bad input."""
    console.print(str(found), markup=False)
    result, source = _result(found, command.workers)
    for problem in result.problems:
        place = f" (place {problem.place})" if problem.place else ""
        console.print(f"{problem.file}{place}: {problem.what}. Try: {problem.remedy}.", markup=False)
    kinds = kinds_of_problem(result.problems)
    document: dict[str, Any] = {
        "path": found.path,
        "kind": found.kind,
        "places": result.places,
        "problems": [asdict(problem) for problem in result.problems],
        "kinds": kinds,
        "affected": sorted(result.affected),
    }
    if source is not None:
        known = survey(list(result.facts), source.modalities, source.classes)
        document["read"] = asdict(known)
        print_tables(sensor_table(known))
        if known.classes:
            print_tables(class_table(known))
    if kinds:
        table = titled("What is wrong", "kind", "problems")
        for kind, count in kinds.items():
            table.add_row(kind, str(count))
        print_tables(table)
    console.print(_verdict(result), markup=False)
    if command.json:
        write_json(Path(command.json), document)
    return InputError.exit_code if result.problems else 0


def kinds_of_problem(problems: tuple[Problem, ...]) -> dict[str, int]:
    """Return how many problems read alike, numbers and names apart; the most frequent first."""
    alike = [re.sub(r"'[^']*'|\b[0-9a-f]{8}\b|[-+]?\d[\d.,×:-]*", "…", problem.what.split("\n")[0]) for problem in problems]
    return dict(Counter(text if len(text) <= 90 else text[:89] + "…" for text in alike).most_common())


def _result(found: Found, workers: int) -> tuple[Check, Any]:
    """Return what the check found, and the source where it opens."""
    with progress_bar("check") as progress:
        if found.kind == "store":
            if "://" in found.path:
                raise InputError(f"{found.path}: a store is checked on disk. Try: copy it, or check it where it lies.")
            result = check_store(Path(found.path), workers, progress)
            return result, None if result.places == 0 or not result.facts else Store(Path(found.path))
        try:
            source = found.open()
        except OmnifuseError as error:
            return Check((problem_of(error, found.path, ""),), (), 0, frozenset()), None
        return check_source(source, found.path, workers, progress), source


def _verdict(result: Check) -> str:
    if not result.problems:
        return f"No problem in {result.places} places."
    if not result.places:
        return f"{len(result.problems)} problem(s); the places cannot be read."
    many = f"{len(result.problems)} problem(s)"
    return f"{many}; {len(result.affected)} of {result.places} places affected, {len(result.facts)} can be read."
