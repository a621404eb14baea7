"""Supervised segmentation: what counts, and that one batch can be learned by heart."""

from dataclasses import replace

import pytest
import torch
from tiny import CLASSES, model_config, places

from omnifuse.errors import InputError
from omnifuse.losses import cross_entropy, dice
from omnifuse.models.model import FusionModel
from omnifuse.objectives.segmentation import Segment, SegmentConfig


def objective(dice_weight: float = 1.0) -> Segment:
    torch.manual_seed(0)
    return SegmentConfig(dice_weight=dice_weight).build(FusionModel(model_config()))


def test_the_loss_is_cross_entropy_plus_dice():
    segment, batch = objective(0.5).eval(), places()
    logits = segment.model(batch)
    expected = cross_entropy(logits, batch.target, CLASSES.ignore) + 0.5 * dice(logits, batch.target, CLASSES.ignore)
    torch.testing.assert_close(segment(batch).loss, expected)


def test_a_class_without_weight_is_not_trained_on():
    torch.manual_seed(0)
    segment = SegmentConfig(class_weights=(1.0, 1.0, 0.0)).build(FusionModel(model_config())).eval()
    batch = places()
    only = segment(replace(batch, target=torch.full_like(batch.target, 2)))
    only.loss.backward()
    assert only.loss == 0 and all(parameter.grad is None or not parameter.grad.any() for parameter in segment.parameters())
    ignored = replace(batch, target=batch.target.masked_fill(batch.target == 2, CLASSES.ignore))
    torch.testing.assert_close(segment(batch).loss, segment(ignored).loss)


def test_one_batch_is_learned_by_heart():
    segment = objective()
    batch = places(s2=(2, 3), spot=(1, 1))
    batch = replace(batch, target=torch.arange(3).repeat_interleave(6)[:16].expand(2, 16, 16).contiguous())
    optimizer = torch.optim.AdamW(segment.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        segment(batch).loss.backward()
        optimizer.step()
    assert segment.eval()(batch).metrics["accuracy"] > 0.95


def test_places_without_any_label_give_zero_gradients():
    segment = objective()
    batch = places(s2=(2, 1))
    out = segment(replace(batch, target=torch.full((2, 16, 16), CLASSES.ignore)))
    out.loss.backward()
    assert out.loss.item() == 0
    assert all(parameter.grad is not None and parameter.grad.abs().sum() == 0 for parameter in segment.parameters())


def test_missing_or_misplaced_labels_are_named():
    batch = places(s2=(2, 1))
    with pytest.raises(InputError, match="no labels"):
        objective()(replace(batch, target=None))
    with pytest.raises(InputError, match=r"\(2, 8, 8\).*\(2, 16, 16\).*gsd"):
        objective()(replace(batch, target=torch.zeros(2, 8, 8, dtype=torch.long)))
