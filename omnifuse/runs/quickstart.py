"""The main job on one machine in minutes: landscape, pretraining, fine-tuning, every subset of sensors, report."""

import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from omnifuse import __version__
from omnifuse.config import Config, from_dict, read_json, to_dict, write_json
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.data.store import Store, write_store
from omnifuse.data.subset import split
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch
from omnifuse.objectives.base import Objective
from omnifuse.runs.finetuning import FinetuneConfig, Finetuned, build_model, finetune
from omnifuse.runs.landscape import (
    SENSORS,
    finetune_augment,
    pretrain_augment,
    small_contrast,
    small_encoders,
    small_fusion,
    small_head,
)
from omnifuse.runs.places import training_places
from omnifuse.runs.pretraining import PretrainConfig, build_objective, pretrain
from omnifuse.runs.quickstart_report import Facts, report
from omnifuse.runs.sources import StoreData
from omnifuse.runs.stages import console, progress_bar
from omnifuse.train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig(Config):
    """Make the landscape, pretrain on it without labels, fine-tune on a few labels, score every subset of sensors, report.

    Attributes:
        folder: Where everything goes: `report.html`, `results.json`, pictures, `model/`.
        minutes: Fit the work into so many minutes on this machine; 0 does the default work, the same on every machine.
        seed: Of the landscape and of everything drawn in training.
        places: Places of 320 m; a fifth is held out.
        label_fraction: Share of the training places whose labels are used.
        pretrain_steps: Updates of the pretraining.
        finetune_steps: Updates of each of the three fine-tunings.
        workers: Processes that make the landscape.
        overwrite: Whether a finished quickstart in `folder` is replaced; an unfinished one goes on.
    """

    folder: str = "omnifuse-quickstart"
    minutes: float = 0.0
    seed: int = 0
    places: int = 300
    label_fraction: float = 0.1
    pretrain_steps: int = 800
    finetune_steps: int = 900
    workers: int = 2
    overwrite: bool = False


STAGES = 6
# Name of each fine-tuning, whether it starts from the pretraining, and its modality dropout.
RUNS = (("pretrained", True, 0.15), ("from scratch", False, 0.15), ("no modality dropout", True, 0.0))


def quickstart(config: QuickstartConfig) -> Path:
    """Run everything and return the report's page."""
    began = time.monotonic()
    folder = Path(config.folder)
    prepare(folder, config)
    places = min(config.places, max(60, round(30 * config.minutes))) if config.minutes else config.places
    stage(1, "landscape", f"{places} places of 320 m, seed {config.seed}")
    store = folder / "landscape.zarr"
    if not store.exists():
        landscape = LandscapeConfig(places=places, size=32, seed=config.seed, sensors=SENSORS)
        with progress_bar("  making") as progress:
            write_store(Landscape(landscape), store, workers=config.workers, progress=progress)
    with progress_bar("  reading") as progress:
        source = InMemory.build(Store(store), progress=progress)

    config = settled(config, folder, lambda: fit(config, source, 60 * config.minutes - (time.monotonic() - began)))
    pretraining, runs = plan(config, folder)

    stage(2, "pretraining", f"no labels, {pretraining.train.steps} updates of {pretraining.train.batch_size} places")
    pretrain(pretraining, source)
    finished: dict[str, Finetuned] = {}
    for number, (name, run) in enumerate(runs.items(), 3):
        labelled = round(run.label_fraction * 0.8 * places)
        stage(number, f"fine-tuning, {name}", f"labels of {labelled} places, {run.train.steps} updates, then every subset of sensors")
        finished[name] = finetune(run, source)

    stage(6, "report", str(folder / "report.html"))
    shutil.copytree(folder / "finetune-pretrained" / "model", folder / "model", dirs_exist_ok=True)
    page = report(
        folder,
        source,
        finished,
        Facts(config=to_dict(config), pretraining=pretraining, runs=runs, environment=environment(time.monotonic() - began)),
    )
    best = finished["pretrained"].subsets
    for subset, found in best.items():
        console.print(f"  {' + '.join(subset):24} mIoU {100 * found.score:5.1f} %", markup=False)
    console.print(f"done in {(time.monotonic() - began) / 60:.1f} minutes: {page}", markup=False)
    return page


def stage(number: int, name: str, what: str) -> None:
    """Say what begins."""
    console.print(f"[{number}/{STAGES}] {name}: {what}", markup=False)


def prepare(folder: Path, config: QuickstartConfig) -> None:
    """Make the folder ours: refuse a finished or foreign one, go on with an unfinished one of the same configuration."""
    if (folder / "report.html").exists():
        if not config.overwrite:
            raise ConfigError(f"{folder}: holds a finished quickstart. Try: --overwrite, or another --folder.")
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()) and not (folder / "landscape.zarr").exists():
        raise ConfigError(f"{folder}: exists and is no quickstart. Try: another --folder.")
    folder.mkdir(parents=True, exist_ok=True)


def plan(config: QuickstartConfig, folder: Path) -> tuple[PretrainConfig, dict[str, FinetuneConfig]]:
    """Return the runs of a quickstart."""
    data, encoders = StoreData(path=str(folder / "landscape.zarr")), small_encoders()
    pretraining = PretrainConfig(
        data=data,
        encoders=encoders,
        objective=small_contrast(),
        augment=pretrain_augment(),
        train=training(config, config.pretrain_steps, batch_size=24, learning_rate=4e-3, evaluations=4),
        folder=str(folder / "pretrain"),
    )
    runs = {
        name: FinetuneConfig(
            data=data,
            encoders=encoders,
            fusion=small_fusion(),
            head=small_head(),
            augment=finetune_augment(dropout),
            train=training(config, config.finetune_steps, batch_size=8, learning_rate=1.5e-3, evaluations=2),
            init=str(folder / "pretrain" / "pretrained") if pretrained else "",
            label_fraction=config.label_fraction,
            folder=str(folder / f"finetune-{name.replace(' ', '-')}"),
        )
        for name, pretrained, dropout in RUNS
    }
    return pretraining, runs


def training(config: QuickstartConfig, steps: int, batch_size: int, learning_rate: float, evaluations: int) -> TrainConfig:
    """Return how each run is trained."""
    return TrainConfig(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=min(20, steps),
        seed=config.seed,
        log_steps=5,
        save_steps=100,
        evaluate_steps=max(1, steps // evaluations),
    )


def settled(config: QuickstartConfig, folder: Path, fitted: Callable[[], QuickstartConfig]) -> QuickstartConfig:
    """Return the work to do, as written down when the quickstart was begun, so that going on means the same work."""
    path = folder / "quickstart.json"
    if path.exists():
        value = read_json(path)
        if value["asked"] != to_dict(config):
            changed = [name for name, known in value["asked"].items() if to_dict(config)[name] != known]
            raise ConfigError(f"{folder}: was begun with another {', '.join(changed)}. Try: the same flags, or another --folder.")
        return from_dict(QuickstartConfig, value["settled"], str(path))
    chosen = fitted() if config.minutes else config
    write_json(path, {"asked": to_dict(config), "settled": to_dict(chosen)})
    return chosen


def fit(config: QuickstartConfig, source: InMemory, seconds: float) -> QuickstartConfig:
    """Scale the updates of all runs alike so that they end within `seconds` on this machine, by timing a few of them."""
    pretraining, runs = plan(config, Path(config.folder))
    tuning = next(iter(runs.values()))
    places = split(source.info, "fold", pretraining.split.train)
    contrast = build_objective(pretraining, source, places)
    segment = tuning.objective.build(build_model(replace(tuning, init=""), source, places))
    per_pretrain = seconds_per_step(contrast, training_places(source, places, pretraining.augment, pretraining.train))
    per_finetune = seconds_per_step(segment, training_places(source, places, tuning.augment, tuning.train))
    # Scoring a held-out place under every subset costs about as much as training on six; start-up and report half a minute.
    scoring = len(runs) * 6 * (len(source) / 5) * per_finetune / tuning.train.batch_size
    work = config.pretrain_steps * per_pretrain + len(runs) * config.finetune_steps * per_finetune
    scale = max(0.02, (0.9 * seconds - 30 - scoring) / work)
    console.print(f"  {per_pretrain:.2f} and {per_finetune:.2f} s per update here: the default work × {scale:.2f}", markup=False)
    return replace(
        config,
        pretrain_steps=max(10, round(scale * config.pretrain_steps)),
        finetune_steps=max(10, round(scale * config.finetune_steps)),
    )


def seconds_per_step(objective: Objective, batches: Callable[[int], Iterator[Batch]], steps: int = 4) -> float:
    """Time forward and backward of a few updates on the device that training will use; the first is not counted."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    objective.to(device).train()
    times = []
    data = batches(0)
    for _ in range(steps):
        began = time.perf_counter()
        objective(next(data).to(device)).loss.backward()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return sum(times[1:]) / (steps - 1)


def environment(seconds: float) -> dict[str, str]:
    """Return what a reader must know to compare figures."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    scale = 2**30 if sys.platform == "darwin" else 2**20  # ru_maxrss is in bytes there
    return {
        "omnifuse": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device,
        "wall time": f"{seconds / 60:.1f} min",
        "peak memory": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale:.1f} GiB",
    }
