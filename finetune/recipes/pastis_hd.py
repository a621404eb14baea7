"""Crops of PASTIS-HD from Sentinel-2, both orbits of Sentinel-1 and SPOT at 1 m, any subset of them; folds 1 to 3, 4 and 5.

omnifuse data convert pastis-hd PASTIS-HD stores/pastis-hd
omnifuse finetune finetune/recipes/pastis_hd.py [--init runs/pretrain/pastis_hd_infonce/pretrained]
omnifuse evaluate runs/finetune/pastis_hd stores/pastis-hd --protocol pastis_fold1

Crops of 640 m, as 1280 m of SPOT are 6,400 tokens. Published on this split, with other models: 66.5 to 68.6 mIoU. Cost: a day on one
80 GB GPU is a guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.published import SERIES, SPOT, split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

config = FinetuneConfig(
    data=StoreData(path="stores/pastis-hd"),
    split=split_of("pastis_fold1"),
    encoders={"s2": SERIES, "s1_asc": SERIES, "s1_desc": SERIES, "spot": SPOT},
    fusion=CrossAttentionConfig(),
    head=SegmentationConfig(),
    augment=AugmentConfig(most_dates=50, modality_dropout=0.2, crop=640.0),
    train=TrainConfig(steps=40000, batch_size=16, learning_rate=1e-3, warmup_steps=500, workers=12, evaluate_steps=4000, best="miou"),
    folder="runs/finetune/pastis_hd",
)
