"""Contrast of the aerial image with series of Sentinel-2 and both Sentinel-1 orbits on TreeSatAI-TS, from a store of it.

omnifuse data convert treesatai-ts TreeSatAI-TS stores/treesatai-ts
omnifuse pretrain pretrain/recipes/treesatai_ts.py --data.path stores/treesatai-ts

A place is 60 m: 300 aerial pixels of 0.2 m and 6 of the Sentinels. All 36 cells of 10 m are compared, as in OmniSat (arXiv:2404.08351). The
published split train is trained on and val is watched. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig(widths=(64, 128))  # 6 pixels halve once

config = PretrainConfig(
    data=StoreData(path="stores/treesatai-ts"),
    split=SplitConfig(key="split", train=("train",), test=("val",)),
    encoders={
        "aerial": ViTConfig(patch=20, dim=384, depth=6, heads=6, stem_widths=(16, 32)),  # tokens of 4 m
        "s2": SERIES,
        "s1_asc": SERIES,
        "s1_desc": SERIES,
    },
    objective=ContrastConfig(cell_gsd=10.0, num_cells=36),
    augment=AugmentConfig(most_dates=50),
    train=TrainConfig(steps=20000, batch_size=256, learning_rate=1e-3, warmup_steps=500, workers=12, evaluate_steps=1000),
    folder="runs/pretrain/treesatai_ts",
)
