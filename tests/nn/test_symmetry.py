"""Symmetries of the square, image by image."""

import torch

from omnifuse.nn.symmetry import turn, turn_back


def test_turning_is_rot90_of_each_image():
    x = torch.arange(8 * 2 * 9).view(8, 2, 3, 3)
    turned = turn(x, torch.arange(8))
    for k in range(8):
        expected = torch.rot90(x[k].flip(-1) if k >= 4 else x[k], k % 4, (-2, -1))
        assert torch.equal(turned[k], expected)
    assert len({tuple(image.flatten().tolist()) for image in turn(x[:1].expand(8, -1, -1, -1), torch.arange(8))}) == 8


def test_turning_back_undoes_it_at_any_resolution():
    which = torch.arange(8)
    for side in (1, 2, 5):
        x = torch.randn(8, 3, side, side)
        assert torch.equal(turn_back(turn(x, which), which), x)
    assert turn(torch.zeros(0, 3, 4, 4), torch.zeros(0).long()).shape == (0, 3, 4, 4)
