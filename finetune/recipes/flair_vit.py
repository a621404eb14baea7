"""Baseline: a ViT-S on the aerial image of FLAIR alone, its stem down to 0.4 m.

omnifuse data convert flair2 FLAIR stores/flair2 --protocol flair13
omnifuse finetune finetune/recipes/flair_vit.py
omnifuse evaluate runs/finetune/flair_vit stores/flair2 --protocol flair_12

Trained as `flair.py`, without what is for several sensors, by cross-entropy alone and "other" without weight, as published.
What `flair.py` is without Sentinel-2 and its fusion: the figures tell what these are worth. No figure of this model on this data was
looked for. Cost: a day on one 80 GB GPU is a guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.runs.baselines import PUBLISHED, parts, vit_highres
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.published import split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

config = FinetuneConfig(
    data=StoreData(path="stores/flair2"),
    split=split_of("flair_12"),
    **parts(vit_highres(PUBLISHED, "aerial", 0.2, 0.2)),
    objective=SegmentConfig(dice_weight=0.0, class_weights=(1.0,) * 12 + (0.0,)),
    train=TrainConfig(steps=100000, batch_size=16, learning_rate=5e-4, warmup_steps=1000, workers=12, evaluate_steps=10000),
    folder="runs/finetune/flair_vit",
)
