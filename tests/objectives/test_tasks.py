"""Classification and regression as objectives: what counts, what is unknown, and that one batch can be learned by heart."""

from dataclasses import replace

import pytest
import torch
from tiny import model_config, places

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch
from omnifuse.losses import binary_cross_entropy, smooth_l1
from omnifuse.models.heads import HeadConfig, PlaceConfig, SegmentationConfig
from omnifuse.models.model import FusionModel
from omnifuse.objectives.base import Objective
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.objectives.regression import RegressConfig
from omnifuse.objectives.segmentation import SegmentConfig
from omnifuse.objectives.tasks import TaskConfig

ONE = ClassTable(("meadow", "wheat", "corn"), ("#88cc66", "#eedd66", "#ffaa00"), ignore=9)
MANY = replace(ONE, exclusive=False, present_above=0.07)
HEIGHT = Quantities(("height", "cover"), ("m", ""), (10.0, 0.5), (4.0, 0.2))
PLACE = PlaceConfig(dim=16)
DENSE = SegmentationConfig(dims=(8, 8))

TASKS: dict[str, tuple[HeadConfig, Labels, TaskConfig, torch.Tensor]] = {
    "one class": (PLACE, ONE, ClassifyConfig(), torch.tensor([0, 2])),
    "several classes": (PLACE, MANY, ClassifyConfig(), torch.tensor([[0.05, 0.5, 0.2], [0.9, 0.0, 0.0]])),
    "quantities of a place": (PLACE, HEIGHT, RegressConfig(), torch.tensor([[14.0, 0.1], [3.0, 0.9]])),
    "quantities of a pixel": (
        DENSE,
        HEIGHT,
        RegressConfig(),
        torch.tensor([[14.0, 0.1], [3.0, 0.9]])[:, :, None, None].expand(2, 2, 16, 16),
    ),
}


def task(name: str) -> tuple[Objective, Batch]:
    head, labels, config, target = TASKS[name]
    torch.manual_seed(0)
    objective = config.build(FusionModel(replace(model_config(), head=head, labels=labels)))
    return objective, replace(places(s2=(1, 2)), target=target.contiguous())


@pytest.mark.parametrize("name", TASKS)
def test_one_batch_is_learned_by_heart(name):
    objective, batch = task(name)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-2)
    first = objective.eval()(batch).loss.item()
    for _ in range(25):
        optimizer.zero_grad()
        objective.train()(batch).loss.backward()
        optimizer.step()
    assert objective.eval()(batch).loss.item() < 0.35 * first


@pytest.mark.parametrize("name", TASKS)
def test_labels_that_are_not_known_give_zero_gradients(name):
    objective, batch = task(name)
    assert batch.target is not None
    unknown = torch.full_like(batch.target, torch.nan if batch.target.is_floating_point() else ONE.ignore)
    out = objective(replace(batch, target=unknown))
    out.loss.backward()
    assert out.loss.item() == 0 and all(value.isfinite() for value in out.metrics.values())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() == 0 for parameter in objective.parameters())


@pytest.mark.parametrize("name", TASKS)
def test_labels_of_another_shape_are_named(name):
    objective, batch = task(name)
    with pytest.raises(InputError, match=r"labels are \(2, 5, 7\)"):
        objective(replace(batch, target=torch.zeros(2, 5, 7)))
    with pytest.raises(InputError, match="no labels"):
        objective(replace(batch, target=None))


def test_a_share_above_the_threshold_is_presence_and_unknown_values_do_not_count():
    objective, batch = task("several classes")
    logits = objective.eval().model(batch)
    present = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(objective(batch).loss, torch.nn.functional.binary_cross_entropy_with_logits(logits, present))
    some = batch.target.clone()
    some[0, 1] = torch.nan
    known = torch.tensor([[True, False, True], [True, True, True]])
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, present, reduction="none")
    torch.testing.assert_close(objective(replace(batch, target=some)).loss, each[known].mean())


def test_quantities_are_predicted_in_their_units_and_learned_by_standard_deviations():
    objective, batch = task("quantities of a place")
    assert objective.model.spread.tolist() == pytest.approx([4.0, 0.2])
    out = objective.eval()(batch)
    error = (objective.model(batch) - batch.target) / torch.tensor([4.0, 0.2])
    torch.testing.assert_close(out.loss, torch.nn.functional.smooth_l1_loss(error, torch.zeros_like(error)))
    torch.testing.assert_close(out.metrics["mae/height"], (error[:, 0] * 4).abs().mean())


def test_class_weights_weigh_and_are_checked():
    head, labels, _, _ = TASKS["one class"]
    model = FusionModel(replace(model_config(), head=head, labels=labels))
    _, batch = task("one class")
    with pytest.raises(ConfigError, match="one weight ≥ 0 for each"):
        ClassifyConfig(class_weights=(1.0, 2.0)).build(model)
    logits = model.eval()(batch)
    expected = torch.nn.functional.cross_entropy(logits, batch.target, torch.tensor([1.0, 0.0, 3.0]))
    torch.testing.assert_close(ClassifyConfig(class_weights=(1.0, 0.0, 3.0)).build(model).eval()(batch).loss, expected)


def test_a_task_that_the_labels_do_not_allow_is_refused():
    with pytest.raises(ConfigError, match="no classes"):
        SegmentConfig().build(FusionModel(replace(model_config(), labels=HEIGHT)))
    with pytest.raises(ConfigError, match="expected quantities"):
        RegressConfig().build(FusionModel(model_config()))
    with pytest.raises(ConfigError, match="several classes at once"):
        SegmentConfig().build(FusionModel(replace(model_config(), labels=MANY)))


def test_losses_over_what_is_known():
    values = torch.tensor([[0.3, torch.nan]])
    assert smooth_l1(torch.zeros(1, 2), values).item() == pytest.approx(0.045)
    assert binary_cross_entropy(torch.zeros(1, 2), values.round()).item() == pytest.approx(0.6931, abs=1e-4)
    guess = torch.zeros(1, 2, requires_grad=True)
    smooth_l1(guess, values).backward()
    assert guess.grad is not None and guess.grad[0].tolist() == pytest.approx([-0.3, 0.0])


@pytest.mark.parametrize("name", TASKS)
def test_a_place_is_predicted_alone_as_in_a_batch_and_from_any_sensor(name):
    objective, _ = task(name)
    model = objective.model.double().eval()
    batch = replace(places(dtype=torch.float64), target=None)
    together = model(batch)
    for i, alone in enumerate(batch.split()):
        torch.testing.assert_close(model(alone)[0], together[i], rtol=1e-10, atol=1e-10)
        assert together[i].isfinite().all()
