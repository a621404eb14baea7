"""Crops of PASTIS-R from Sentinel-2 and both orbits of Sentinel-1, any subset of them; folds 1 to 3, 4 and 5.

omnifuse data convert pastis-r PASTIS-R stores/pastis-r
omnifuse finetune finetune/recipes/pastis_r.py [--init runs/pretrain/pastis_r_infonce/pretrained]
omnifuse evaluate runs/finetune/pastis_r stores/pastis-r --protocol pastis_fold1

Published, over five folds: U-TAE by late fusion 66.3, by early fusion 65.9 mIoU (arXiv:2112.07558). Cost: about three times
`pastis_fold1.py`, a guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.published import SERIES, split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

config = FinetuneConfig(
    data=StoreData(path="stores/pastis-r"),
    split=split_of("pastis_fold1"),
    encoders={"s2": SERIES, "s1_asc": SERIES, "s1_desc": SERIES},
    fusion=CrossAttentionConfig(),
    head=SegmentationConfig(),
    augment=AugmentConfig(most_dates=50, modality_dropout=0.2),
    train=TrainConfig(steps=20000, batch_size=8, learning_rate=1e-3, warmup_steps=500, workers=8, evaluate_steps=2000, best="miou"),
    folder="runs/finetune/pastis_r",
)
