"""Cross-sensor contrast on the embedded landscape, small.

omnifuse pretrain pretrain/recipes/landscape.py
"""

from omnifuse.data.landscape import LandscapeConfig
from omnifuse.runs.landscape import SENSORS, pretrain_augment, small_contrast, small_encoders
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig

config = PretrainConfig(
    data=LandscapeData(landscape=LandscapeConfig(places=300, size=32, sensors=SENSORS)),
    encoders=small_encoders(),
    objective=small_contrast(),
    augment=pretrain_augment(),
    train=TrainConfig(steps=800, batch_size=24, learning_rate=4e-3, warmup_steps=20, evaluate_steps=200),
    in_memory=True,
    folder="runs/pretrain/landscape",
)
