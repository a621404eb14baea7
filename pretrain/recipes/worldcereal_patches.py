"""Contrast of Sentinel-1 and Sentinel-2 on three WorldCereal sites: every acquisition, real clouds, irregular dates.

omnifuse pretrain pretrain/recipes/worldcereal_patches.py --data.path FOLDER
"""

from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.landscape import small_encoders
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import WorldCerealPatchesData
from omnifuse.train.config import TrainConfig

encoders = small_encoders()

config = PretrainConfig(
    data=WorldCerealPatchesData(path="worldcereal_patches", tile=16),
    split=SplitConfig(key="fold", train=(1, 2), test=(3,)),
    encoders={name: encoders[name] for name in ("s2", "s1_asc")},
    objective=ContrastConfig(cell_gsd=20.0, num_cells=16),
    augment=AugmentConfig(most_dates=16),
    train=TrainConfig(steps=150, batch_size=16, learning_rate=3e-3, warmup_steps=20, evaluate_steps=150),
    in_memory=True,
    folder="runs/pretrain/worldcereal_patches",
)
