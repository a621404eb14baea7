"""Does the contrast look at the ground, or at where a cell lies in the image?

    python benchmarks/position.py [--steps 200]

Trains the small landscape encoders twice on whole places: with zero padding and all sensors the same way up, and as shipped, with
reflected borders and each sensor of a place turned its own way. Then looks, for each cell of a held-out place as Sentinel-2 saw it,
for the nearest cell of *another* place as Sentinel-1 saw it. The share that ends at the same position is what position alone
gives; chance is 1 in 256. The top-1 of the last training steps shows how well each version believes it is doing.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.memory import InMemory
from omnifuse.data.subset import split
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import Contrast
from omnifuse.runs.landscape import SENSORS, small_encoders
from omnifuse.runs.places import AugmentConfig, training_places
from omnifuse.runs.pretraining import PretrainConfig, build_objective
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig
from omnifuse.train.log import read_log
from omnifuse.train.loop import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    data = LandscapeConfig(places=300, size=32, sensors=SENSORS)
    source = InMemory.build(Landscape(data), workers=2)
    encoders = small_encoders()
    plain = {name: replace(e, padding="zeros") if isinstance(e, UTAEConfig) else e for name, e in encoders.items()}
    for name, chosen in (("zero padding, not turned", plain), ("as shipped", encoders)):
        with TemporaryDirectory() as folder:
            config = PretrainConfig(
                data=LandscapeData(landscape=data),
                encoders=chosen,
                augment=AugmentConfig(most_dates=12),
                train=TrainConfig(steps=steps, batch_size=16, learning_rate=3e-3, warmup_steps=20, save_steps=0, log_steps=5),
                folder=folder,
            )
            config = replace(config, objective=replace(config.objective, num_cells=16, cell_gsd=20.0))
            places = split(source.info, "fold", (1, 2, 3, 4))
            objective = build_objective(config, source, places)
            if chosen is plain:
                objective.encode_turned = objective.encoders.forward  # type: ignore[method-assign]
            train(objective, training_places(source, places, config.augment, config.train), config.train, Path(folder))
            last = [row["top1_cell/s2-s1_asc"] for row in read_log(Path(folder) / "log.jsonl")[-10:]]
            print(
                f"{name}: top-1 in training {np.mean(last):.3f}, same position in another place {leak(objective, source):.3f}", flush=True
            )


@torch.no_grad()
def leak(objective: Contrast, source: InMemory) -> float:
    """Return the share of cells whose nearest cell in the next place, seen by the other sensor, lies at the same position."""
    objective.eval()
    same = []
    for batch in evaluation_batches(source, split(source.info, "fold", (5,)), 20):
        embedded = objective.embed(batch)
        a, b = embedded["s2"][0], embedded["s1_asc"][0].roll(1, 0)
        same.append(((a @ b.mT).argmax(-1) == torch.arange(a.shape[1])).float().mean())
    return float(torch.stack(same).mean())


if __name__ == "__main__":
    main()
