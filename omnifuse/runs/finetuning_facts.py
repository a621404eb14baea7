"""What the folder of a fine-tuning or an evaluation says, ended or not, and how its scores are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnifuse.classes import ClassTable
from omnifuse.config import read_json
from omnifuse.evals.figures import sensor_label
from omnifuse.runs.results import RESULTS, Results, read_results
from omnifuse.train.log import Row, read_log

METRICS = {
    "miou": "mIoU",
    "miou_void_error": "mIoU, void is an error",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro F1",
    "accuracy": "accuracy",
    "accuracy_void_error": "accuracy, void is an error",
    "r2": "R²",
}


@dataclass(frozen=True)
class RunFacts:
    """All that a run's folder says.

    Attributes:
        folder: Of the run.
        log: Rows of the training and of its evaluations.
        configuration: `config.json`; what the newest checkpoint says of the training, where the run has not ended.
        results: What was counted at the held-out places; None where that was not written.
        scores: Score of each subset of sensors, best known: of `results`, else of the model's own facts.
        headline: Name of that score.
        labels: Classes of the model; None where they are not known or not exclusive.
        environment: Versions and processes, as the newest checkpoint says.
    """

    folder: Path
    log: list[Row]
    configuration: dict[str, Any]
    results: Results | None
    scores: dict[str, float]
    headline: str
    labels: ClassTable | None
    environment: dict[str, str]

    @property
    def steps(self) -> int:
        """Updates that were asked for; 0 where that is not known."""
        return int(self.configuration.get("train", {}).get("steps", 0))

    @property
    def last_step(self) -> int:
        """Updates in the log."""
        return max((int(row["step"]) for row in self.log), default=0)

    @property
    def selected(self) -> str:
        """Which weights were scored; empty for the last ones."""
        return "" if self.results is None else str(self.results.about.facts.get("selected", ""))

    @property
    def finished(self) -> bool:
        return bool(self.scores)

    @property
    def everything(self) -> str:
        """The view with all sensors."""
        return max(self.scores, key=lambda name: name.count("+"), default="")


def read_facts(folder: Path) -> RunFacts:
    """Read what there is; what a run that is not ended has not written yet is left out.

    Raises:
        OmnifuseError: for a file that is there but damaged; names it.
    """
    about = training_of(folder)
    versions: dict[str, str] = {name: str(about.pop(name)) for name in ("omnifuse", "torch") if name in about}
    processes = {"processes": str(about.pop("world_size"))} if "world_size" in about else {}
    configuration = read_json(folder / "config.json") if (folder / "config.json").is_file() else {"train": about} if about else {}
    results = read_results(folder) if (folder / RESULTS).is_file() else None
    model = read_json(folder / "model" / "config.json") if (folder / "model" / "config.json").is_file() else {}
    known = {name: value for name, value in model.get("facts", {}).items() if name in METRICS and isinstance(value, dict)}
    headline, scores = next(iter(known.items()), ("", {}))
    if results is not None:
        headline = results.metric.headline
        scores = {name: results.scored[name].score for name in results.about.views}  # in the order they were asked for
    return RunFacts(
        folder, read_log(folder / "log.jsonl"), configuration, results, dict(scores), headline, _labels(model), {**versions, **processes}
    )


def training_of(folder: Path) -> dict[str, Any]:
    """Return what the newest checkpoint says of a training: its settings, versions and processes; empty where there is none yet."""
    states = sorted(folder.glob("checkpoints/step_*/state.json"))
    return dict(read_json(states[-1]).get("about", {})) if states else {}


def metric_name(name: str) -> str:
    """Return a score's name for people."""
    return METRICS.get(name, name.replace("_", " "))


def percents(name: str) -> bool:
    """Whether a score is a share, shown in percent."""
    return name in METRICS and name != "r2"


def view_name(view: str) -> str:
    """Return what a model was shown for people: sensors joined by `+` become a legend, other names stay."""
    return view if " " in view else sensor_label(tuple(view.split("+")))


def score_text(value: float, headline: str) -> str:
    """Write a score: shares in percent, others with three digits."""
    return f"{100 * value:.1f} %" if percents(headline) else f"{value:.3f}"


def _labels(model: Mapping[str, Any]) -> ClassTable | None:
    """Return the classes that a model's configuration names, where there are some that exclude each other."""
    found = model.get("architecture", {}).get("model", {})
    table = found.get("labels") or found.get("classes") or {}
    names, colors = table.get("names"), table.get("colors")
    if not names or not colors or not table.get("exclusive", True):
        return None
    return ClassTable(tuple(names), tuple(colors), int(table.get("ignore", -1)))
