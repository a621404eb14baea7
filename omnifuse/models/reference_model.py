"""The published U-TAE as a model of a model folder: what it reads, how dates are counted, what it maps."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from omnifuse.classes import ClassTable
from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features, Frames
from omnifuse.modalities import Modality, check_names
from omnifuse.models.encoder import Normalize
from omnifuse.models.model import EncodersConfig
from omnifuse.models.utae import UTAEConfig, check_images
from omnifuse.models.utae_reference import ReferenceUTAE


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig(Config):
    """A published U-TAE (arXiv:2107.07933).

    Attributes:
        modality: The one sensor that it reads, with the statistics that its training normalized by.
        encoder: Widths, stride, attention, padding, aggregation, and the day that its training counted from.
        decoder: Decoder channels, full resolution to coarse.
        hidden: Channels before the last layer.
        labels: What it maps.
    """

    modality: Modality
    encoder: UTAEConfig
    decoder: tuple[int, ...]
    hidden: int
    labels: ClassTable

    def __post_init__(self) -> None:
        if len(self.decoder) != len(self.encoder.widths):
            raise ConfigError(f"reference: `decoder` {self.decoder} has not one width for each of {self.encoder.widths}.")

    @property
    def sensors(self) -> EncodersConfig:
        return EncodersConfig(modalities={self.modality.name: self.modality}, encoders={self.modality.name: self.encoder})


class ReferenceModel(nn.Module):
    """`Batch -> logits` of one sensor at its own resolution; batch norms, and a ReLU on the logits, as published."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = config
        self.normalize = Normalize(config.modality)
        self.utae = ReferenceUTAE(
            widths=encoder.widths,
            decoder=config.decoder,
            out=(config.hidden, len(config.labels.names)),
            bands=len(config.modality.bands),
            stride=encoder.stride,
            heads=encoder.heads,
            key_dim=encoder.key_dim,
            dim=encoder.dim,
            aggregation=encoder.aggregation,
            padding=encoder.padding,
        )

    def forward(self, batch: Batch) -> Float[Tensor, "b k h w"]:
        """Return logits; those of a place without images are zero."""
        frames = self._frames(batch)
        logits, _ = self.utae(frames)
        present = frames.present.nonzero()[:, 0].to(logits.device)
        return logits.new_zeros(batch.num_places, *logits.shape[1:]).index_copy(0, present, logits)

    def fuse(self, batch: Batch) -> Features:
        """Return the maps of the decoder, coarse to fine; the coarsest is what the temporal attention gives."""
        frames = self._frames(batch)
        maps, _ = self.utae.maps(frames)
        return Features(maps, frames.present.nonzero()[:, 0].to(maps[0].device), batch.num_places)

    def _frames(self, batch: Batch) -> Frames:
        modality = self.config.modality
        check_names(list(batch.frames), [modality.name], "batch")
        frames = batch.frames[modality.name]
        check_images(modality, frames.pixels.shape, self.config.encoder)
        return replace(frames, pixels=self.normalize(frames.pixels), day=frames.day - self.config.encoder.origin)
