"""Contrast of the aerial image with elevation, SPOT and both Sentinel series on FLAIR-HUB, from a store of it.

omnifuse data convert flair-hub FLAIR-HUB stores/flair-hub
omnifuse pretrain pretrain/recipes/flair_hub.py --data.path stores/flair-hub

A place is 102.4 m: 512 aerial pixels of 0.2 m, 64 of SPOT, 10 of the Sentinels (10.24 m), which are the cells compared. The published
departments for training (arXiv:2506.07080); those for validation are watched. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig(widths=(64, 128))  # 10 pixels halve once
FINE = ViTConfig(patch=16, stem_widths=(8, 16, 32))  # tokens of 3.2 m

config = PretrainConfig(
    data=StoreData(path="stores/flair-hub"),
    split=SplitConfig(key="split", train=("train",), test=("val",)),
    encoders={
        "aerial": FINE,
        "dem": ViTConfig(patch=16, dim=192, depth=4, heads=3, stem_widths=(8, 16)),
        "spot": ViTConfig(patch=8, stem_widths=(16, 32)),  # tokens of 12.8 m
        "s2": SERIES,
        "s1_asc": SERIES,
        "s1_desc": SERIES,
    },
    objective=ContrastConfig(cell_gsd=10.24, num_cells=32),
    augment=AugmentConfig(most_dates=32, modality_dropout=0.2),
    train=TrainConfig(steps=50000, batch_size=128, learning_rate=5e-4, warmup_steps=1000, workers=12, evaluate_steps=2500),
    folder="runs/pretrain/flair_hub",
)
