"""The whole model: encoders, fusion and head, from one configuration."""

from dataclasses import dataclass
from typing import Annotated, cast

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from omnifuse.classes import ClassTable
from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features, Frames
from omnifuse.modalities import Modality, check_names
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig

EncoderConfig = Annotated[UTAEConfig | ViTConfig, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class EncodersConfig(Config):
    """One encoder per sensor.

    Attributes:
        modalities: What each sensor's pixels are, by name, with the statistics that the encoder normalises by.
        encoders: The encoder of each of them.
    """

    modalities: dict[str, Modality]
    encoders: dict[str, EncoderConfig]

    def __post_init__(self) -> None:
        check_names(list(self.encoders), list(self.modalities), "model: `encoders`")
        missing = sorted(set(self.modalities) - set(self.encoders))
        if missing or not self.encoders:
            raise ConfigError(f"model: no encoder for {missing or 'any modality'}. Try: one entry in `encoders` per modality.")


class Encoders(nn.Module):
    """`Batch -> {name: Features}`: every encoder runs on every batch, on zero frames where its sensor is missing everywhere."""

    def __init__(self, config: EncodersConfig) -> None:
        super().__init__()
        self.config = config
        self.by_name = nn.ModuleDict({name: config.encoders[name].build(modality) for name, modality in config.modalities.items()})

    def items(self) -> dict[str, Encoder]:
        """Return the encoders by modality name."""
        return cast(dict[str, Encoder], dict(self.by_name.items()))

    def forward(self, batch: Batch) -> dict[str, Features]:
        check_names(list(batch.frames), list(self.config.modalities), "batch")
        features = {}
        for name, encoder in self.items().items():
            modality = self.config.modalities[name]
            frames = batch.frames.get(name)
            if frames is None:
                side = modality.pixels(batch.size)
                frames = Frames.empty(batch.num_places, (len(modality.bands), side, side), batch.place.device)
            features[name] = encoder(frames)
        return features


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """A segmentation model for any subset of its sensors.

    Attributes:
        sensors: Modalities and their encoders.
        fusion: How sensors are brought together.
        head: How the fused maps become logits.
        classes: Names and colors of the labels.
    """

    sensors: EncodersConfig
    fusion: CrossAttentionConfig
    head: SegmentationConfig
    classes: ClassTable


class FusionModel(nn.Module):
    """Segments places from whatever sensors each of them has: one set of weights for every subset."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config.sensors)
        self.fusion = config.fusion.build(self.encoders.items())
        self.head = config.head.build(config.fusion.dims, len(config.classes.names))

    def encode(self, batch: Batch) -> dict[str, Features]:
        """Return each sensor's own maps."""
        return self.encoders(batch)

    def fuse(self, batch: Batch) -> Features:
        """Return the fused maps of all places, coarse to fine."""
        return self.fusion(self.encoders(batch), batch.size)

    def forward(self, batch: Batch) -> Float[Tensor, "b k h w"]:
        """Return logits over each place on the labels' grid."""
        return self.head(self.fuse(batch), batch.size)
