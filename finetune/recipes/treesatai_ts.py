"""Genera of trees of a tile of TreeSatAI-TS, several at once, from any subset of the aerial image and both Sentinels' series.

omnifuse data convert treesatai-ts TreeSatAI-TS stores/treesatai-ts
omnifuse finetune finetune/recipes/treesatai_ts.py [--init runs/pretrain/treesatai_ts/pretrained]
omnifuse evaluate runs/finetune/treesatai_ts stores/treesatai-ts --protocol treesatai

Encoders as in the pretraining recipe of the same name. Published macro F1: 74.2 with all sensors, 62.9 with Sentinel-2 alone
(arXiv:2404.08351). Cost: half a day on one 80 GB GPU is a guess. Not run at this size by this project: no figure is claimed.
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import PlaceConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.published import split_of
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig(widths=(64, 128))  # 6 pixels halve once

config = FinetuneConfig(
    data=StoreData(path="stores/treesatai-ts"),
    split=split_of("treesatai"),
    encoders={
        "aerial": ViTConfig(patch=20, dim=384, depth=6, heads=6, stem_widths=(16, 32)),  # tokens of 4 m
        "s2": SERIES,
        "s1_asc": SERIES,
        "s1_desc": SERIES,
    },
    fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(256, 128)),
    head=PlaceConfig(),
    objective=ClassifyConfig(),
    augment=AugmentConfig(most_dates=50, modality_dropout=0.2),
    train=TrainConfig(steps=20000, batch_size=64, learning_rate=5e-4, warmup_steps=500, workers=12, evaluate_steps=2000),
    folder="runs/finetune/treesatai_ts",
)
