"""Land cover of FLAIR#2 at 0.2 m from the aerial image and a year of Sentinel-2 around it, either or both.

omnifuse data convert flair2 FLAIR stores/flair2 --protocol flair13
omnifuse finetune finetune/recipes/flair.py
omnifuse evaluate runs/finetune/flair stores/flair2 --protocol flair_12

A ViT on the aerial image, its stem down to 0.4 m; U-TAE on 40×40 pixels of Sentinel-2, of which the place is the middle. "other", the last
of 13 classes, has no weight in the loss, as published. Published: U-Net alone 54.7, with Sentinel-2 55.9 mIoU (arXiv:2310.13336).
Cost: two days on one 80 GB GPU is a guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.published import SERIES, split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

config = FinetuneConfig(
    data=StoreData(path="stores/flair2"),
    split=split_of("flair_12"),
    encoders={"aerial": ViTConfig(patch=16, stem_widths=(8, 16, 32)), "s2": SERIES},
    fusion=CrossAttentionConfig(gsds=(10.0, 3.2, 1.6, 0.8, 0.4), dims=(256, 128, 64, 32, 32)),
    head=SegmentationConfig(dims=(128, 64, 32, 32), gsd=0.2),
    objective=SegmentConfig(class_weights=(1.0,) * 12 + (0.0,)),
    augment=AugmentConfig(modality_dropout=0.2),
    train=TrainConfig(steps=100000, batch_size=16, learning_rate=5e-4, warmup_steps=1000, workers=12, evaluate_steps=10000),
    folder="runs/finetune/flair",
)
