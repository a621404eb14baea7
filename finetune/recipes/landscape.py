"""Segmentation of the embedded landscape with a tenth of its labels, for any subset of S2, S1 and SPOT.

omnifuse finetune finetune/recipes/landscape.py --init runs/pretrain/landscape/pretrained
"""

from omnifuse.data.landscape import LandscapeConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.landscape import SENSORS, finetune_augment, small_encoders, small_fusion, small_head
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig

config = FinetuneConfig(
    data=LandscapeData(landscape=LandscapeConfig(places=300, size=32, sensors=SENSORS)),
    encoders=small_encoders(),
    fusion=small_fusion(),
    head=small_head(),
    augment=finetune_augment(),
    train=TrainConfig(steps=900, batch_size=8, learning_rate=1.5e-3, warmup_steps=20, evaluate_steps=300),
    label_fraction=0.1,
    in_memory=True,
    folder="runs/finetune/landscape",
)
