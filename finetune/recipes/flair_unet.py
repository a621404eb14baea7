"""Baseline: a U-Net with a ResNet-34 on the aerial image of FLAIR alone, the baseline of its authors.

omnifuse data convert flair2 FLAIR stores/flair2 --protocol flair13
omnifuse finetune finetune/recipes/flair_unet.py
omnifuse evaluate runs/finetune/flair_unet stores/flair2 --protocol flair_12

Trained as `flair.py`, without what is for several sensors, by cross-entropy alone and "other" without weight, as published.
Published: 54.7 mIoU, by SGD (arXiv:2310.13336). From scratch; `--encoders.aerial.weights resnet34.safetensors` starts from timm weights of
your own. Cost: a day on one 80 GB GPU is a guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.runs.baselines import PUBLISHED, parts, unet_highres
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.published import split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

config = FinetuneConfig(
    data=StoreData(path="stores/flair2"),
    split=split_of("flair_12"),
    **parts(unet_highres(PUBLISHED, "aerial", 0.2, 0.2)),
    objective=SegmentConfig(dice_weight=0.0, class_weights=(1.0,) * 12 + (0.0,)),
    train=TrainConfig(steps=100000, batch_size=16, learning_rate=5e-4, warmup_steps=1000, workers=12, evaluate_steps=10000),
    folder="runs/finetune/flair_unet",
)
