"""Crops of three WorldCereal sites from Sentinel-1 and Sentinel-2, tested on the site that was not trained on.

    omnifuse finetune finetune/recipes/worldcereal_patches.py --data.path FOLDER

Three sites allow no claim of accuracy; the recipe shows that the way is whole on real, irregular and cloudy series.
"""

from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.landscape import small_encoders, small_fusion, small_head
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.sources import WorldCerealPatchesData
from omnifuse.train.config import TrainConfig

encoders = small_encoders()

config = FinetuneConfig(
    data=WorldCerealPatchesData(path="worldcereal_patches", tile=16),
    split=SplitConfig(key="fold", train=(1, 2), test=(3,)),
    encoders={name: encoders[name] for name in ("s2", "s1_asc")},
    fusion=small_fusion(),
    head=small_head(),
    augment=AugmentConfig(most_dates=24, modality_dropout=0.2),
    train=TrainConfig(steps=150, batch_size=8, learning_rate=3e-3, warmup_steps=20, evaluate_steps=150),
    in_memory=True,
    folder="runs/finetune/worldcereal_patches",
)
