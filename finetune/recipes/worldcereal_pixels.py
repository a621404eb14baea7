"""Crops at field points from monthly Sentinel-1 and Sentinel-2 series of one pixel, tested on H3 cells that were not trained on.

omnifuse finetune finetune/recipes/worldcereal_pixels.py --data.path FOLDER [--init runs/pretrain/worldcereal_pixels/pretrained]
omnifuse evaluate runs/finetune/worldcereal_pixels FOLDER

Encoders as in the pretraining recipe of the same name. Minutes on two CPU cores; what it scores, and beside which floor, is in the results
that `omnifuse reproduce` makes.
"""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import PlaceConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.sources import WorldCerealPixelsData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig(widths=(128,), kernel=1, heads=8, dim=256, dropout=0.3, origin=17167, season=(0, 540))

config = FinetuneConfig(
    data=WorldCerealPixelsData(path="worldcereal_pixels"),
    split=SplitConfig(key="fold", train=(2, 3, 4, 5), test=(1,)),
    encoders={"s2": SERIES, "s1": SERIES},
    fusion=CrossAttentionConfig(gsds=(10.0,), dims=(128,), heads=4, depth=1),
    head=PlaceConfig(),
    objective=ClassifyConfig(),
    augment=AugmentConfig(date_dropout=0.2, modality_dropout=0.2, symmetry=False),
    train=TrainConfig(steps=600, batch_size=128, learning_rate=1e-3, warmup_steps=50, evaluate_steps=300),
    in_memory=True,
    folder="runs/finetune/worldcereal_pixels",
)
