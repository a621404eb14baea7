"""What a run measured, kept beside it: scores with intervals, and what was counted at each place, so that runs can be compared later."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import torch
from pydantic import Field, JsonValue
from safetensors import safe_open
from safetensors.torch import save_file

from omnifuse.config import Config, from_dict, read_json, to_dict, write_json
from omnifuse.errors import InputError
from omnifuse.evals.metrics import Confusion, Metric, Multilabel, Regression
from omnifuse.evals.scoring import Scored
from omnifuse.evals.subsets import Subset

RESULTS: Final = "results.json"
COUNTS: Final = "counts.safetensors"
EVALUATION: Final = "evaluation.json"
SEED: Final = 0  # of bootstrap intervals

MetricConfig = Annotated[Confusion | Multilabel | Regression, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class ResultsFile(Config):
    """The content of `results.json`.

    Attributes:
        metric: How predictions were scored.
        facts: What is known of the run: data, labels, updates, seed.
        places: Id of each place that was scored, by its number in the data.
        views: Scores, their 95 % intervals over places and the score of each class, by what the model was shown: sensors joined by `+`.
        protocol: The rules that were followed, in words.
    """

    metric: MetricConfig
    facts: dict[str, JsonValue]
    places: dict[int, str]
    views: dict[str, dict[str, JsonValue]]
    protocol: str = ""
    format: str = "omnifuse-results"


@dataclass(frozen=True)
class Results:
    """What a run measured.

    Attributes:
        folder: Where it lies.
        about: The file.
        scored: What was counted at each place, by view.
    """

    folder: Path
    about: ResultsFile
    scored: dict[str, Scored]

    @property
    def metric(self) -> Metric:
        """How predictions were scored."""
        return self.about.metric


def write_results(
    folder: Path, scored: Mapping[str, Scored], ids: Mapping[int, str], facts: dict[str, JsonValue], protocol: str = ""
) -> ResultsFile:
    """Write `results.json` for people and programs, and `counts.safetensors` for comparisons with other runs."""
    metric: Any = next(iter(scored.values())).metric
    views = {name: _view(found) for name, found in scored.items() if len(found.place)}
    about = ResultsFile(
        metric=metric, facts=facts, places={number: ids[number] for number in seen_places(scored)}, views=views, protocol=protocol
    )
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for name, found in scored.items():
        tensors |= {f"{name}/statistics": found.statistics.contiguous(), f"{name}/place": found.place.contiguous()}
        tensors[f"{name}/skipped"] = torch.tensor(found.skipped)
    save_file(tensors, folder / COUNTS)
    write_json(folder / RESULTS, to_dict(about))
    return about


def read_results(folder: Path) -> Results:
    """Read what a run measured.

    Raises:
        InputError: where there is nothing measured, or it is damaged; names the file.
    """
    folder = folder.parent if folder.name == RESULTS else folder
    if not (folder / RESULTS).is_file():
        raise InputError(f"{folder}: no {RESULTS}. Try: the folder of a finished fine-tuning or evaluation.")
    about = from_dict(ResultsFile, read_json(folder / RESULTS), str(folder / RESULTS))
    path = folder / COUNTS
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        names = [name.removesuffix("/place") for name in tensors if name.endswith("/place")]
        scored = {
            name: Scored(tensors[f"{name}/statistics"], tensors[f"{name}/place"], int(tensors[f"{name}/skipped"]), about.metric)
            for name in names
        }
    except Exception as error:  # safetensors raises errors of its own for what is damaged
        raise InputError(f"{path}: cannot be read ({error}). Try: evaluate again.") from None
    return Results(folder, about, scored)


def seen_places(scored: Mapping[str, Scored]) -> list[int]:
    """Return the places that were scored under any view, ascending."""
    return sorted({number for found in scored.values() for number in found.place.tolist()})


def by_name(subsets: Mapping[Subset, Scored]) -> dict[str, Scored]:
    """Return results by the name of their subset of sensors, as `s2+s1_asc`."""
    return {"+".join(subset): found for subset, found in subsets.items()}


def _view(found: Scored) -> dict[str, JsonValue]:
    scores: dict[str, JsonValue] = {name: _number(value) for name, value in found.scores.items()}
    each: dict[str, JsonValue] = {name: _number(value) for name, value in found.each.items()}
    low, high = found.interval(SEED)
    interval: list[JsonValue] = [_number(low), _number(high)]
    counted: dict[str, JsonValue] = {"places": len(found.place), "skipped": found.skipped}
    return {"score": _number(found.score), "interval": interval, "scores": scores, "each": each, **counted}


def _number(value: float) -> float | None:
    """Return a number that JSON knows; what does not occur has none."""
    return value if value == value and abs(value) != float("inf") else None
