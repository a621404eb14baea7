"""The small landscape model: what the quickstart and the landscape recipes train on two CPU cores in minutes."""

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncoderConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.places import AugmentConfig

SENSORS = ("s2", "s1_asc", "spot")


def small_encoders() -> dict[str, EncoderConfig]:
    """Return encoders of 0.1 M parameters for the series (10, 20 and 40 m) and 0.3 M for the 1.25 m image."""
    series = UTAEConfig(widths=(16, 32, 64), heads=8, dim=128)
    image = ViTConfig(patch=16, dim=96, depth=3, heads=3, stem_widths=(16, 32))
    return {"s2": series, "s1_asc": series, "spot": image}


def small_fusion() -> CrossAttentionConfig:
    """Return a fusion on cells of 40, 20 and 10 m."""
    return CrossAttentionConfig(gsds=(40.0, 20.0, 10.0), dims=(96, 48, 32), heads=4, depth=1)


def small_head() -> SegmentationConfig:
    """Return a decoder to labels of 10 m."""
    return SegmentationConfig(dims=(48, 32), gsd=10.0)


def small_contrast() -> ContrastConfig:
    """Return the contrast over cells of 20 m, few of each place: many small places make better negatives than many cells."""
    return ContrastConfig(cell_gsd=20.0, num_cells=4)


def pretrain_augment() -> AugmentConfig:
    """Return crops of 160 m with 12 dates: a quarter of the work of a whole place, so four times as many of them."""
    return AugmentConfig(most_dates=12, crop=160.0)


def finetune_augment(modality_dropout: float = 0.15) -> AugmentConfig:
    """Return crops of 160 m with 16 dates, and the modality dropout that makes every subset useful."""
    return AugmentConfig(most_dates=16, crop=160.0, modality_dropout=modality_dropout)
