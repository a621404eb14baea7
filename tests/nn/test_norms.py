"""Norms look where they say, and nowhere else."""

import torch
from torch import nn

from omnifuse.nn.norms import PixelNorm, SegmentGroupNorm


def test_pixel_norm_is_a_layer_norm_of_every_pixel_alone():
    norm, x = PixelNorm(6), torch.randn(3, 6, 4, 5)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    found = norm(x)
    alone = nn.functional.layer_norm(x[1, :, 2, 3], (6,), norm.weight, norm.bias)
    torch.testing.assert_close(found[1, :, 2, 3], alone)
    assert norm(x.contiguous(memory_format=torch.channels_last)).is_contiguous(memory_format=torch.channels_last)


def test_segment_group_norm_is_the_published_group_norm_of_each_place():
    norm, x = SegmentGroupNorm(2, 6).double(), torch.randn(7, 3, 6, dtype=torch.float64)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    count = [4, 0, 2, 1]
    found = norm(x, torch.repeat_interleave(torch.tensor(count)), 4)
    for part, expected in zip(torch.split(found, count), torch.split(x, count), strict=True):
        if len(part):  # published: each pixel's series as (pixel, channels, frames)
            series = nn.functional.group_norm(expected.permute(1, 2, 0), 2, norm.weight, norm.bias)
            torch.testing.assert_close(part, series.permute(2, 0, 1))


def test_segment_group_norm_keeps_its_statistics_out_of_half_precision():
    x = torch.randn(500, 1, 4).bfloat16()
    place = torch.zeros(500, dtype=torch.long)
    torch.testing.assert_close(SegmentGroupNorm(1, 4)(x, place, 1), SegmentGroupNorm(1, 4)(x.float(), place, 1))
