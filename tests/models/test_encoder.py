"""What every encoder shares: the context around a place is cut off its maps, whatever their size and however few they are."""

from dataclasses import replace

import pytest
import torch
from tiny import SENSORS

from omnifuse.frames import Frames
from omnifuse.models.encoder import crop_context
from omnifuse.models.timm_encoder import TimmConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig


@pytest.mark.parametrize("side", [40, 20, 10, 5, 1])
@pytest.mark.parametrize("share", [1.0, 0.5, 102.4 / 400, 0.7, 0.001])
def test_a_cut_of_no_maps_has_the_size_of_a_cut_of_one(side, share):
    one, none = (crop_context(torch.zeros(rows, 3, side, side), share) for rows in (1, 0))
    assert none.shape == (0, *one.shape[1:])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("s2", UTAEConfig(widths=(8, 8, 16), heads=4, dim=16)),
        ("spot", ViTConfig(name="vit_tiny_patch16_224", patch=8, dim=24, depth=1, heads=2, stem_widths=(8, 8))),
        ("spot", TimmConfig(name="resnet10t")),
    ],
    ids=["utae", "vit", "timm"],
)
def test_a_batch_without_the_sensor_passes_where_the_place_is_no_whole_number_of_cells(name, config):
    modality = replace(SENSORS[name], context=37.3)
    encoder = config.build(modality)
    features = encoder(Frames(torch.zeros(0, len(modality.bands), 64, 64), torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0])))
    sum(x.sum() for x in features.maps).backward()
    assert all(len(x) == 0 for x in features.maps)
    assert all(p.grad is None or not p.grad.any() for p in encoder.parameters())
