"""Contrast of Sentinel-2, both Sentinel-1 orbits and SPOT at 1 m on PASTIS-HD, with masked modelling beside it, from a store of it.

omnifuse data convert pastis-hd PASTIS-HD stores/pastis-hd
omnifuse pretrain pretrain/recipes/pastis_hd_infonce.py --data.path stores/pastis-hd

Series as in `pastis_r_infonce.py`; SPOT by a small ViT with tokens of 16 m. Crops of 640 m, as 1280 m of SPOT are 6,400 tokens; cells of
40 m are compared. Folds 1 to 3 are trained on and fold 4 is watched. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.masked import MaskedConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig()

config = PretrainConfig(
    data=StoreData(path="stores/pastis-hd"),
    split=SplitConfig(key="fold", train=(1, 2, 3), test=(4,)),
    encoders={"s2": SERIES, "s1_asc": SERIES, "s1_desc": SERIES, "spot": ViTConfig(patch=16, stem_widths=(8, 16, 32))},
    objective=ContrastConfig(cell_gsd=40.0, num_cells=64),
    masked=MaskedConfig(cell_gsd=40.0),
    masked_weight=0.5,
    augment=AugmentConfig(most_dates=50, crop=640.0),
    train=TrainConfig(steps=20000, batch_size=64, learning_rate=1e-3, warmup_steps=500, workers=12, evaluate_steps=1000),
    folder="runs/pretrain/pastis_hd_infonce",
)
