"""A tiny contrast trained by the whole loop, on one or several processes, that leaves which places it saw and when."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from train_jobs import Batches, free_port, join, quiet, start

from omnifuse.data.loading import PlaceDataset, training_batches
from omnifuse.data.place import Place, Series
from omnifuse.frames import Batch
from omnifuse.modalities import Modality
from omnifuse.models.model import EncodersConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import Contrast, ContrastConfig
from omnifuse.train.config import TrainConfig
from omnifuse.train.loop import TrainResult, train


def _modality(name: str, bands: int) -> Modality:
    names = tuple(f"B{i}" for i in range(bands))
    return Modality(name=name, title=name, bands=names, gsd=10.0, units=("1",) * bands, mean=(0.0,) * bands, std=(1.0,) * bands)


class Ground:
    """Twenty places of 40 m; radar sees what optical sees, in noise. Place i lacks `radar` where i % 7 == 1, `optical` where i % 9 == 4."""

    modalities = {"optical": _modality("optical", 3), "radar": _modality("radar", 2)}  # noqa: RUF012  (never changed)
    classes = None
    size = 40.0
    provenance: dict[str, str] = {}  # noqa: RUF012
    info = [{"id": str(i)} for i in range(20)]  # noqa: RUF012

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        draw = np.random.default_rng(index)
        pattern, series = draw.normal(size=(1, 1, 4, 4)), {}
        for name, frames in (("optical", 0 if index % 9 == 4 else 2), ("radar", 0 if index % 7 == 1 else 1)):
            bands = len(self.modalities[name].bands)
            pixels = pattern + 0.5 * draw.normal(size=(frames, bands, 4, 4))
            series[name] = Series(pixels.astype(np.float32), np.arange(frames, dtype=np.int32))
        return Place(series, self.size, None, self.info[index])


def contrast(dtype: torch.dtype, dropout: float, ring: bool) -> Contrast:
    torch.manual_seed(0)
    encoder = UTAEConfig(widths=(8,), kernel=1, heads=4, dim=16, dropout=dropout, attention_dropout=dropout)
    sensors = EncodersConfig(modalities=Ground.modalities, encoders=dict.fromkeys(Ground.modalities, encoder))
    config = ContrastConfig(dim=8, hidden=16, cell_gsd=20.0, num_cells=3, tile=8, radius=25.0, ring=ring)
    return config.build(sensors).to(dtype)


def settings(accumulation: int, **changes: Any) -> TrainConfig:
    base: dict[str, Any] = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "precision": "no", "save_steps": 3, "log_steps": 1}
    return TrainConfig(accumulation=accumulation, **{**base, **changes})


def told(batches: Batches, file: Path, first: int, accumulation: int) -> Iterator[Batch]:
    """Write down which places come in which step."""
    with file.open("a", encoding="utf-8") as out:
        for number, batch in enumerate(batches(first)):
            out.write(json.dumps([first + number // accumulation, batch.place.tolist()]) + "\n")
            out.flush()
            yield batch


def run_contrast(
    folder: Path,
    config: TrainConfig,
    dtype: torch.dtype = torch.float64,
    dropout: float = 0.0,
    ring: bool = False,
    rank: int = 0,
    world: int = 1,
    disturb: Callable[[Batches], Batches] | None = None,
    objective: Contrast | None = None,
) -> TrainResult:
    places = PlaceDataset(Ground(), np.arange(20), seed=0)
    batches = training_batches(places, batch_size=config.batch_size, seed=0, accumulation=config.accumulation, rank=rank, world=world)
    seen = folder.parent / f"{folder.name}_places_{rank}.jsonl"
    disturbed = disturb(batches) if disturb else batches
    objective = objective or contrast(dtype, dropout, ring)
    return train(objective, lambda first: told(disturbed, seen, first, config.accumulation), config, folder)


def _rank(
    folder: Path,
    config: TrainConfig,
    dtype: torch.dtype,
    dropout: float,
    ring: bool,
    environment: Mapping[str, str],
    rank: int,
    world: int,
    port: int,
) -> None:
    quiet()
    os.environ.update(environment)
    join(rank, world, port)
    run_contrast(folder, config, dtype, dropout, ring, rank, world)
    torch.distributed.destroy_process_group()


def start_contrast(
    world: int,
    folder: Path,
    config: TrainConfig,
    dtype: torch.dtype,
    dropout: float = 0.0,
    ring: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[Any]:
    """Start the processes; `environment` is what a launcher leaves, such as a strategy."""
    port = free_port()
    return [start(_rank, folder, config, dtype, dropout, ring, dict(environment), rank, world, port) for rank in range(world)]


def places_by_step(folder: Path) -> dict[int, list[int]]:
    """Return the places of each step over all processes and micro-batches, sorted."""
    steps: dict[int, list[int]] = {}
    for file in folder.parent.glob(f"{folder.name}_places_*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            step, places = json.loads(line)
            steps[step] = sorted(steps.get(step, []) + places)
    return steps


def stop_at(batches: Batches, config: TrainConfig, step: int) -> Batches:
    """End the data at a step, as a kill would."""

    def ended(first: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches(first)):
            if first + number // config.accumulation == step:
                raise KeyboardInterrupt
            yield batch

    return ended
