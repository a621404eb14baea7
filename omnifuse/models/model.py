"""The whole model: encoders, fusion and head, from one configuration."""

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features, Frames
from omnifuse.modalities import Modality, check_names
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusions import FusionConfig
from omnifuse.models.heads import HeadConfig
from omnifuse.models.timm_encoder import TimmConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.nn.segments import segment_mean

EncoderConfig = Annotated[UTAEConfig | ViTConfig | TimmConfig, Field(discriminator="kind")]


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
    """A model for any subset of its sensors.

    Attributes:
        sensors: Modalities and their encoders.
        fusion: How sensors are brought together.
        head: How the fused maps become predictions: per pixel or per place.
        labels: What is predicted: classes with names and colors, or quantities with units.
    """

    sensors: EncodersConfig
    fusion: FusionConfig
    head: HeadConfig
    labels: Labels

    @property
    def classes(self) -> ClassTable:
        """The classes.

        Raises:
            ConfigError: where the labels are quantities.
        """
        if not isinstance(self.labels, ClassTable):
            raise ConfigError(f"model: predicts {', '.join(self.labels.names)}, no classes. Try: a model of classes.")
        return self.labels


class FusionModel(nn.Module):
    """Predicts from whatever sensors each place has: one set of weights for every subset."""

    level: Tensor
    spread: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config.sensors)
        self.fusion = config.fusion.build(self.encoders.items())
        self.head = config.head.build(config.fusion.dims, len(config.labels.names))
        measured = config.labels if isinstance(config.labels, Quantities) else None
        self.register_buffer("level", torch.tensor(measured.mean if measured else 0.0), persistent=False)
        self.register_buffer("spread", torch.tensor(measured.std if measured else 1.0), persistent=False)

    def encode(self, batch: Batch) -> dict[str, Features]:
        """Return each sensor's own maps."""
        return self.encoders(batch)

    def fuse(self, batch: Batch) -> Features:
        """Return the fused maps, coarse to fine: one row per place, or of a late fusion one per place and sensor."""
        return self.fusion(self.encoders(batch), batch.size)

    def forward(self, batch: Batch) -> Float[Tensor, "b k ..."]:
        """Return predictions over each place on the labels' grid (b, k, h, w), or of each place (b, k).

        Logits of classes, or quantities in their units. Rows of one place, as a late fusion has them, are averaged.
        """
        fused = self.fuse(batch)
        predicted = segment_mean(self.head(fused, batch.size), fused.place, fused.num_places)
        if isinstance(self.config.labels, ClassTable):
            return predicted
        shape = (-1, *[1] * (predicted.ndim - 2))
        return predicted * self.spread.view(shape) + self.level.view(shape)
