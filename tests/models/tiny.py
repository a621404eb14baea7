"""The smallest model with every kind of encoder, and places with ragged, partly missing sensors."""

from dataclasses import replace

import torch

from omnifuse.classes import ClassTable
from omnifuse.frames import Batch, Frames
from omnifuse.modalities import MODALITIES, Modality
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.fusion_stacked import EarlyConfig, GatedConfig
from omnifuse.models.fusion_weighted import AttentionConfig, LateConfig
from omnifuse.models.fusions import FusionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncodersConfig, ModelConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig

SIZE = 160.0  # metres: 16 pixels of Sentinel, 64 of a 2.5 m image
SENSORS: dict[str, Modality] = {
    "s2": MODALITIES["s2"],
    "s1_asc": MODALITIES["s1_asc"],
    "spot": replace(MODALITIES["spot"], gsd=2.5),
    "climate": MODALITIES["climate"],
}
CLASSES = ClassTable(names=("meadow", "wheat", "corn"), colors=("#88cc66", "#eedd66", "#ffaa00"), ignore=9)


def sensors() -> EncodersConfig:
    return EncodersConfig(
        modalities=SENSORS,
        encoders={
            "s2": UTAEConfig(widths=(8, 8, 16), heads=4, dim=16),
            "s1_asc": UTAEConfig(widths=(8,), heads=4, dim=16),
            "spot": ViTConfig(name="vit_tiny_patch16_224", patch=8, dim=24, depth=1, heads=2, stem_widths=(8, 8)),
            "climate": UTAEConfig(widths=(8,), kernel=1, heads=4, dim=16),
        },
    )


FUSIONS: dict[str, FusionConfig] = {
    cls.kind: cls(gsds=(40.0, 20.0, 10.0), dims=(16, 8, 8), heads=2, depth=1)
    for cls in (CrossAttentionConfig, EarlyConfig, LateConfig, GatedConfig, AttentionConfig)
}


def model_config(fusion: str = "cross_attention") -> ModelConfig:
    return ModelConfig(
        sensors=sensors(),
        fusion=FUSIONS[fusion],
        head=SegmentationConfig(dims=(8, 8), gsd=10.0),
        labels=CLASSES,
    )


def places(seed: int = 0, dtype: torch.dtype = torch.float32, **counts: tuple[int, ...]) -> Batch:
    """Return places with plausible values in physical units; by default every sensor misses somewhere."""
    generator = torch.Generator().manual_seed(seed)
    chosen = counts or {"s2": (4, 0, 3, 1), "s1_asc": (2, 5, 0, 0), "spot": (1, 1, 0, 2), "climate": (12, 12, 0, 0)}
    frames = {}
    for name, count in chosen.items():
        modality, n = SENSORS[name], sum(count)
        side = modality.pixels(SIZE)
        noise = torch.randn(n, len(modality.bands), side, side, generator=generator, dtype=dtype)
        mean, std = (torch.tensor(x, dtype=dtype)[:, None, None] for x in (modality.mean, modality.std))
        day = torch.cat([torch.randint(17775, 18140, (c,), generator=generator).sort().values for c in count])
        frames[name] = Frames(mean + std * noise, day, torch.tensor(count))
    b = len(next(iter(chosen.values())))
    target = torch.randint(0, 3, (b, 16, 16), generator=generator)
    target[:, :2] = CLASSES.ignore
    return Batch(frames, SIZE, torch.arange(b), torch.arange(b) + 1000 * seed, target)
