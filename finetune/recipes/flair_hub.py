"""Land cover of FLAIR-HUB in 15 classes at 0.2 m, from any subset of aerial image, elevation, SPOT and the Sentinels.

omnifuse data convert flair-hub FLAIR-HUB stores/flair-hub
omnifuse finetune finetune/recipes/flair_hub.py [--init runs/pretrain/flair_hub/pretrained]
omnifuse evaluate runs/finetune/flair_hub stores/flair-hub --protocol flair_hub --subsets full

Encoders as in the pretraining recipe of the same name. Published: 65.8 mIoU (arXiv:2506.07080). Cost: a week on eight 80 GB GPUs is a
guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.published import split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig(widths=(64, 128))  # 10 pixels halve once

config = FinetuneConfig(
    data=StoreData(path="stores/flair-hub"),
    split=split_of("flair_hub"),
    encoders={
        "aerial": ViTConfig(patch=16, stem_widths=(8, 16, 32)),
        "dem": ViTConfig(patch=16, dim=192, depth=4, heads=3, stem_widths=(8, 16)),
        "spot": ViTConfig(patch=8, stem_widths=(16, 32)),
        "s2": SERIES,
        "s1_asc": SERIES,
        "s1_desc": SERIES,
    },
    fusion=CrossAttentionConfig(gsds=(10.24, 3.2, 1.6, 0.8, 0.4), dims=(256, 128, 64, 32, 32)),
    head=SegmentationConfig(dims=(128, 64, 32, 32), gsd=0.2),
    augment=AugmentConfig(most_dates=32, modality_dropout=0.2),
    train=TrainConfig(steps=150000, batch_size=32, learning_rate=5e-4, warmup_steps=1000, workers=12, evaluate_steps=15000),
    folder="runs/finetune/flair_hub",
)
