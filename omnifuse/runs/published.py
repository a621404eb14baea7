"""What fine-tuning recipes of published data sets share: folds of PASTIS, encoders, and a decoder to each data set's own labels."""

from dataclasses import replace

from omnifuse.evals.protocols import PROTOCOLS
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.runs.baselines import PUBLISHED, parts, utae_s2
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.sources import StoreData
from omnifuse.train.config import TrainConfig

SERIES = UTAEConfig()  # of the published widths, and with norms that make a tile the same as the scene it was cut from
SPOT = ViTConfig(patch=16, stem_widths=(8, 16, 32))  # tokens of 16 m
_EPOCH = 1455 // 4  # updates: folds 1 to 3 by fours


def split_of(protocol: str, row: int = 1) -> SplitConfig:
    """Return a row (from 1) of a protocol as the split of a run."""
    rule = PROTOCOLS[protocol]
    one = rule.rows[row - 1]
    return SplitConfig(key=rule.key, train=one.train, val=one.val, test=one.test)


def pastis_fold(row: int) -> FinetuneConfig:
    """Return U-TAE on Sentinel-2 as published (arXiv:2107.07933, code VSainteuf/utae-paps), on a row of the five-fold cross-validation.

    Batches of 4, 100 epochs, learning rate 1e-3 without schedule, decay or clipping, cross-entropy alone, nothing augmented, the weights
    that are best on the watched fold. Not as published: that fold is scored every five epochs, not after each; norms are per pixel
    (`replace(SERIES, norm="group")` has the published ones, which pretraining recipes have not).
    """
    return FinetuneConfig(
        data=StoreData(path="stores/pastis"),
        split=split_of("pastis", row),
        **parts(utae_s2(replace(PUBLISHED, series=SERIES))),
        objective=SegmentConfig(dice_weight=0.0),
        augment=AugmentConfig(symmetry=False),
        train=TrainConfig(
            steps=100 * _EPOCH,
            batch_size=4,
            learning_rate=1e-3,
            final_ratio=1.0,
            weight_decay=0.0,
            clip_norm=0.0,
            seed=row,
            workers=8,
            evaluate_steps=5 * _EPOCH,
            best="miou",
        ),
        folder=f"runs/finetune/pastis_fold{row}",
    )
