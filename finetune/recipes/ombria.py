"""Flood maps from Sentinel-1 and Sentinel-2 before and after (OMBRIA), tested on scenes that were not trained on.

omnifuse finetune finetune/recipes/ombria.py --data.path FOLDER [--init runs/pretrain/ombria/pretrained]
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.sources import OmbriaData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig(widths=(16, 32, 64), heads=8, dim=128, padding="zeros", origin=0, season=(0, 0))

config = FinetuneConfig(
    data=OmbriaData(path="OMBRIA", tile=64),
    encoders={"s1": SERIES, "s2": SERIES},
    fusion=CrossAttentionConfig(gsds=(40.0, 20.0, 10.0), dims=(96, 48, 32), heads=4, depth=1),
    head=SegmentationConfig(dims=(48, 32), gsd=10.0),
    augment=AugmentConfig(crop=320.0, modality_dropout=0.2),
    train=TrainConfig(steps=300, batch_size=16, learning_rate=3e-3, warmup_steps=20, evaluate_steps=150),
    in_memory=True,
    folder="runs/finetune/ombria",
)
