"""`omnifuse report`: the page of any run, ended or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnifuse.config import Config, read_json
from omnifuse.errors import InputError
from omnifuse.runs.results import EVALUATION, RESULTS
from omnifuse.runs.stages import console
from omnifuse.train.log import Row, read_log

_PRETRAINING = ("loss_", "masked/", "top1_", "eval/rank/", "eval/top1/")  # begin names in the log of a pretraining alone


@dataclass(frozen=True, kw_only=True)
class ReportCommand(Config):
    """Write the page of a run from what its folder holds: pretraining, fine-tuning, evaluation or quickstart, ended or not."""


def report_run(folder: Path) -> list[Path]:
    """Write the pages of a run from what its folder holds, and return them.

    Of a quickstart, the pages of all its runs; its own is written at its end, and is the first where it is there.

    Raises:
        InputError: where the folder is no run, or nothing is recorded in it yet.
        OmnifuseError: for a file in it that is damaged; names it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Try: the folder of a run, such as the one that `--folder` named.")
    if (folder / "quickstart.json").is_file():
        pages = _quickstart(folder)
    elif _is_run(folder):
        pages = [_page(folder)]
    else:
        pages = [page for page in (folder / "report.html", folder / "report" / "report.html") if page.is_file()][:1]
        if not pages:
            raise _no_run(folder)
    for page in pages:
        console.print(str(page), markup=False)
    return pages


def _quickstart(folder: Path) -> list[Path]:
    runs = _runs_in(folder)
    if not runs:
        raise InputError(f"{folder}: a quickstart that has not begun to train. Try: again in a minute, or the same command as before.")
    pages = [_page(run) for run in runs]
    own = folder / "report.html"
    if own.is_file():
        return [own, *pages]
    console.print(f"{folder}: the quickstart has not ended; its own page comes last. So far:", markup=False)
    return pages


def _page(folder: Path) -> Path:
    """Write the page of one run."""
    configuration: dict[str, Any] = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    log = read_log(folder / "log.jsonl")
    if not log and (folder / EVALUATION).is_file():  # with a log it is a training, whose folder an evaluation was written to
        from omnifuse.runs.evaluating_page import page

        return page(folder)
    if not _is_pretraining(configuration, log):
        from omnifuse.runs.finetuning_report import report as finetuning  # matplotlib takes a second

        return finetuning(folder)
    from omnifuse.runs.finetuning_facts import training_of
    from omnifuse.runs.pretraining_report import report as pretraining

    training = configuration.get("train") or training_of(folder)
    done, steps = max(int(row["step"]) for row in log), int(training.get("steps", 0))
    known = read_json(folder / "pretrained" / "config.json").get("facts", {}) if (folder / "pretrained" / "config.json").is_file() else {}
    places = f"{known['places']} places" if "places" in known else ""
    updates = f"{done} of {steps} updates" if steps else f"{done} updates"
    subtitle = "; ".join(part for part in (places, ", ".join(configuration.get("encoders", {})), updates) if part)
    return pretraining(folder, subtitle, configuration or {"train": training}, int(training.get("seed", 0)))


def _is_pretraining(configuration: dict[str, Any], log: list[Row]) -> bool:
    """Whether a run has no labels: its configuration has no head; before it is written, what its log tells of."""
    if configuration:
        return "head" not in configuration
    return any(name.startswith(_PRETRAINING) for row in log for name in row)


def _is_run(folder: Path) -> bool:
    """Whether something was trained here and recorded, or evaluated with its counts kept."""
    if (folder / "log.jsonl").is_file() and read_log(folder / "log.jsonl"):
        return True
    return (folder / RESULTS).is_file() and read_json(folder / RESULTS).get("format") == "omnifuse-results"


def _runs_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and (path / "log.jsonl").is_file() and _is_run(path)]


def _no_run(folder: Path) -> InputError:
    if (folder / "log.jsonl").is_file() or (folder / "lock").is_file():
        return InputError(f"{folder}: a run that has recorded nothing yet. Try: again after its first updates.")
    inside = _runs_in(folder)
    remedy = f"one of its runs: {', '.join(str(path) for path in inside[:8])}" if inside else "the folder that holds its log.jsonl"
    return InputError(f"{folder}: no run: neither log.jsonl nor {RESULTS}, found {_content(folder)}. Try: {remedy}.")


def _content(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "nothing"
