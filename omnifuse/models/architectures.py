"""Architectures by name: what each sensor's encoder is, how sensors are fused and how maps are decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from omnifuse.config import Config
from omnifuse.modalities import Modality
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncoderConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig


@dataclass(frozen=True, kw_only=True)
class Architecture(Config):
    """A model for any sensors, but for its labels.

    Attributes:
        series: Encoder of a series, and of a single image no finer than the labels.
        image: Encoder of a single image finer than the labels.
        point: Encoder of a sensor with one pixel for the whole place.
        fusion: How sensors are brought together.
        head: How the fused maps become labels.
    """

    series: UTAEConfig
    image: ViTConfig
    point: UTAEConfig
    fusion: CrossAttentionConfig
    head: SegmentationConfig

    def encoders(self, modalities: Mapping[str, Modality]) -> dict[str, EncoderConfig]:
        """Return the encoder of each sensor, chosen by what its pixels are."""
        return {name: self._encoder(modality) for name, modality in modalities.items()}

    def _encoder(self, modality: Modality) -> EncoderConfig:
        if modality.per_place:
            return self.point
        return self.series if modality.series or modality.gsd >= self.head.gsd else self.image


# `tiny` learns on two CPU cores in minutes: series at 10, 20 and 40 m, images in cells of 16 pixels.
# `base` has the published U-TAE (arXiv:2107.07933) for series and timm's ViT-S with rotary positions for images.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "tiny": Architecture(
            series=UTAEConfig(widths=(16, 32, 64), heads=8, dim=128),
            image=ViTConfig(patch=16, dim=96, depth=3, heads=3, stem_widths=(16, 32)),
            point=UTAEConfig(widths=(64,), kernel=1, heads=8, dim=128),
            fusion=CrossAttentionConfig(gsds=(40.0, 20.0, 10.0), dims=(96, 48, 32), heads=4, depth=1),
            head=SegmentationConfig(dims=(48, 32), gsd=10.0),
        ),
        "base": Architecture(
            series=UTAEConfig(),
            image=ViTConfig(),
            point=UTAEConfig(widths=(128,), kernel=1),
            fusion=CrossAttentionConfig(),
            head=SegmentationConfig(),
        ),
    }
)
