"""Contrast of Sentinel-2 and both Sentinel-1 orbits on PASTIS-R, from a store of it.

omnifuse data convert pastis-r PASTIS-R stores/pastis-r
omnifuse pretrain pretrain/recipes/pastis_r_infonce.py --data.path stores/pastis-r

Encoders are the published U-TAE (arXiv:2107.07933): 64, 64, 64 and 128 channels, 16 heads, dates counted from September 2018; at most 50
dates, drawn at random, as OmniSat does (arXiv:2404.08351). Folds 1 to 3 are trained on and fold 4 is watched, so that fold 5 stays unseen.
Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig()

config = PretrainConfig(
    data=StoreData(path="stores/pastis-r"),
    split=SplitConfig(key="fold", train=(1, 2, 3), test=(4,)),
    encoders={"s2": SERIES, "s1_asc": SERIES, "s1_desc": SERIES},
    objective=ContrastConfig(cell_gsd=40.0, num_cells=64),
    augment=AugmentConfig(most_dates=50, modality_dropout=0.2),
    train=TrainConfig(steps=20000, batch_size=32, learning_rate=1e-3, warmup_steps=500, workers=8, evaluate_steps=1000),
    folder="runs/pretrain/pastis_r_infonce",
)
