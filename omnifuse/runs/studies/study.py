"""What a study is: entries to measure over seeds, and what is told of them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from omnifuse.config import Config, to_dict
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.data.sensors import SensorView
from omnifuse.data.subset import split
from omnifuse.data.targets import retargeted
from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.forest import ForestConfig, fit_forest
from omnifuse.evals.metrics import metric_of
from omnifuse.evals.scoring import Scored
from omnifuse.evals.subsets import all_subsets, evaluate_subsets
from omnifuse.runs.finetuning import FinetuneConfig, Finetuned, finetune
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.results import Results, by_name, read_results, write_results

Info = dict[str, str | int | float]
Columns = Callable[[Info], Info]
Measure = Callable[[Finetuned, PlaceSource, FinetuneConfig], Mapping[str, Scored]]
DONE = "done"


@dataclass(frozen=True)
class Scale:
    """How large a study is.

    Attributes:
        places: Factor on the places of the landscape.
        steps: Factor on the updates of every training.
        data: Folder of the data set that a study reads; empty for the landscape.
    """

    places: float = 1.0
    steps: float = 1.0
    data: str = ""

    def updates(self, number: int) -> int:
        """Return a number of updates at this scale, at least two."""
        return max(2, round(number * self.steps))


@runtime_checkable
class Measured(Protocol):
    """One thing that is measured, a row of a table: how it is run, and where its results lie."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> FinetuneConfig: ...

    @property
    def pretraining(self) -> PretrainConfig | None: ...

    @property
    def columns(self) -> Columns | None: ...

    def folder(self, root: Path) -> Path: ...

    def run(self, root: Path, source: PlaceSource) -> None: ...


@dataclass(frozen=True)
class Entry:
    """A training and its scores on held-out places.

    Attributes:
        name: Its row.
        config: The fine-tuning; `folder` and, with a pretraining, `init` are filled in.
        pretraining: What its encoders come from; None starts from random weights.
        columns: More metadata of a place, from what there is, that the split may speak of.
        measure: More scores of the trained model, by name.
    """

    name: str
    config: FinetuneConfig
    pretraining: PretrainConfig | None = None
    columns: Columns | None = None
    measure: Measure | None = None

    def folder(self, root: Path) -> Path:
        """Return where its results lie: entries of two studies that are the same are run once."""
        return root / "runs" / digest(self.config, self.pretraining, self.columns, self.measure)

    def run(self, root: Path, source: PlaceSource) -> None:
        """Do what has not been done yet."""
        folder = self.folder(root)
        if (folder / DONE).exists():
            return
        config = replace(self.config, folder=str(folder))
        if self.pretraining is not None:
            config = replace(config, init=str(pretraining_folder(self.pretraining, root) / "pretrained"))
        tuned = finetune(config, source)
        if self.measure is not None:
            seen = retargeted(SensorView(source, tuple(config.encoders)), config.target)
            write_results(folder / "more", self.measure(tuned, seen, config), ids_of(source), {"of": self.name})
        (folder / DONE).touch()


@dataclass(frozen=True)
class ForestEntry:
    """A random forest on the series of pixels, in the same table.

    Attributes:
        name: Its row.
        config: Data, split, target and sensors are those of this fine-tuning, which is not run.
        forest: The forest, one for all sensors and one for each of the subsets below.
        columns: As of `Entry`.
        alone: Subsets of sensors that a forest of its own is fitted to.
    """

    name: str
    config: FinetuneConfig
    forest: ForestConfig = field(default_factory=ForestConfig)
    columns: Columns | None = None
    alone: tuple[tuple[str, ...], ...] = ()
    pretraining: None = None

    def folder(self, root: Path) -> Path:
        """Return where its results lie."""
        return root / "runs" / digest(self.config, self.forest, self.columns, list(self.alone))

    def run(self, root: Path, source: PlaceSource) -> None:
        """Fit and score, if that has not been done yet."""
        folder, config = self.folder(root), self.config
        if (folder / DONE).exists():
            return
        seen = retargeted(source, config.target)
        labels = labels_of(seen)
        assert labels is not None
        known, held_out = (split(seen.info, config.split.key, part) for part in (config.split.train, config.split.test))
        found: dict[str, Scored] = {}
        for sensors in self.alone or (tuple(config.encoders),):
            forest = fit_forest(replace(self.forest, sensors=sensors), labels, seen.modalities, evaluation_batches(seen, known, 64))
            scored = evaluate_subsets(forest, partial(evaluation_batches, seen, held_out, 64), [sensors], metric_of(labels))
            found |= by_name(scored)
        write_results(folder, found, ids_of(source), {"trees": self.forest.trees})
        (folder / DONE).touch()


@dataclass(frozen=True)
class Found:
    """What was measured of a study.

    Attributes:
        results: By row and seed.
        more: What `Entry.measure` found, by row and seed.
        seeds: In order.
    """

    results: dict[tuple[str, int], Results]
    more: dict[tuple[str, int], Results]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Study:
    """A table to make again.

    Attributes:
        name: As the command knows it.
        title: What it is about, and the paper whose question it asks.
        entries: What is measured for a seed at a scale.
        tell: Markdown from what was measured.
        bars: The picture; empty draws none.
        unit: Of the bars.
        needs: Data set that `Scale.data` must name; empty for the landscape.
    """

    name: str
    title: str
    entries: Callable[[int, Scale], Sequence[Measured]]
    tell: Callable[[Found], str]
    bars: Callable[[Found], Sequence[Bar]]
    unit: str = "mIoU, %"
    needs: str = ""


def collect(entries: Mapping[int, Sequence[Measured]], root: Path) -> Found:
    """Read what the entries of every seed have left."""
    results, more = {}, {}
    for seed, of_seed in entries.items():
        for entry in of_seed:
            folder = entry.folder(root)
            results[entry.name, seed] = read_results(folder)
            if (folder / "more").is_dir():
                more[entry.name, seed] = read_results(folder / "more")
    return Found(results, more, tuple(entries))


def pretraining_folder(config: PretrainConfig, root: Path) -> Path:
    """Return where a pretraining lies."""
    return root / "pretraining" / digest(config)


def run_pretraining(config: PretrainConfig, root: Path, source: PlaceSource) -> None:
    """Pretrain, if that has not been done yet."""
    folder = pretraining_folder(config, root)
    if not (folder / DONE).exists():
        pretrain(replace(config, folder=str(folder)), source)
        (folder / DONE).touch()


def everything(tuned: Finetuned, source: PlaceSource, places: Any) -> dict[str, Scored]:
    """Score a trained model on other places, by subset of sensors."""
    subsets = all_subsets(list(tuned.model.config.sensors.modalities))
    metric = metric_of(tuned.model.config.labels)
    return by_name(evaluate_subsets(tuned.model, partial(evaluation_batches, source, places, 16), subsets, metric))


def ids_of(source: PlaceSource) -> dict[int, str]:
    """Return the id of every place by its number."""
    return {number: str(row["id"]) for number, row in enumerate(source.info)}


def digest(*what: Any) -> str:
    """Name a piece of work by all that it depends on."""

    def plain(value: Any) -> Any:
        if isinstance(value, Config):
            return {key: item for key, item in to_dict(value).items() if key not in ("folder", "in_memory")}
        if isinstance(value, partial):
            return [plain(value.func), plain(list(value.args)), plain(value.keywords)]
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return f"{value.__module__}.{value.__qualname__}" if callable(value) else value

    return hashlib.sha256(json.dumps([plain(item) for item in what], sort_keys=True, default=str).encode()).hexdigest()[:12]
