"""Contrast of Sentinel-1 and Sentinel-2 on OMBRIA, before and after floods, on the folds of whole scenes.

omnifuse pretrain pretrain/recipes/ombria.py --data.path FOLDER
"""

from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import OmbriaData
from omnifuse.train.config import TrainConfig

# Two images, before (day 0) and after (day 1): no season to look across, and no dates to drop.
SERIES = UTAEConfig(widths=(16, 32, 64), heads=8, dim=128, padding="zeros", origin=0, season=(0, 0))

config = PretrainConfig(
    data=OmbriaData(path="OMBRIA", tile=64),
    encoders={"s1": SERIES, "s2": SERIES},
    objective=ContrastConfig(cell_gsd=40.0, num_cells=16),
    augment=AugmentConfig(crop=320.0),
    train=TrainConfig(steps=200, batch_size=32, learning_rate=3e-3, warmup_steps=20, evaluate_steps=150),
    in_memory=True,
    folder="runs/pretrain/ombria",
)
