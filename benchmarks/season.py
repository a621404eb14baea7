"""What it is worth that temporal attention starts from a profile of the year (`UTAEConfig.season`).

    python benchmarks/season.py [--steps 180] [--seeds 0 1 2]

Sentinel-2 alone, supervised, 240 places of the landscape, the same updates from both starts; mIoU on 60 held-out places.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.landscape import small_encoders, small_fusion, small_head
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    flags = parser.parse_args()
    data = LandscapeConfig(places=300, size=32, sensors=("s2",))
    source = InMemory.build(Landscape(data), workers=2)
    series = small_encoders()["s2"]
    assert isinstance(series, UTAEConfig)
    for name, season in (("uniform start, as published", (0, 0)), ("profile of the year", series.season)):
        mious = []
        for seed in flags.seeds:
            with TemporaryDirectory() as folder:
                config = FinetuneConfig(
                    data=LandscapeData(landscape=data),
                    encoders={"s2": replace(series, season=season)},
                    fusion=small_fusion(),
                    head=small_head(),
                    augment=AugmentConfig(most_dates=16),
                    train=TrainConfig(steps=flags.steps, batch_size=8, learning_rate=5e-3, warmup_steps=20, seed=seed, save_steps=0),
                    folder=str(Path(folder) / "run"),
                )
                mious.append(100 * finetune(config, source).subsets[("s2",)].score)
        print(f"{name}: mIoU {np.mean(mious):.1f} ± {np.std(mious):.1f} % over seeds {flags.seeds}", flush=True)


if __name__ == "__main__":
    main()
