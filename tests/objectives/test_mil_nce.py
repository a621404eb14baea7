"""MIL-NCE: the published rule of negatives, missing sensors, and agreement with a slow loop."""

import math

import pytest
import torch
from tiny import SENSORS, places, sensors

from omnifuse.errors import ConfigError
from omnifuse.losses import unit
from omnifuse.models.model import EncodersConfig
from omnifuse.nn.negatives import Marks, Negatives
from omnifuse.objectives.mil_nce import MilNCE, MilNCEConfig, mil_nce_sum

PRESENT = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1]], dtype=torch.bool)


def views(k: int = 3, d: int = 4) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [unit(torch.randn(int(here.sum()), k, d, dtype=torch.float64)).requires_grad_() for here in PRESENT]


def marks(k: int = 3) -> list[Marks]:
    result = []
    for here in PRESENT:
        place = here.nonzero()[:, 0]
        ground = (place[:, None] * 100 + torch.arange(k)).flatten()
        result.append(Marks.of(ground, place.repeat_interleave(k), torch.zeros(len(ground), 2)))
    return result


def slow(embedded: list[torch.Tensor], temperature: float) -> torch.Tensor:
    """The published rule, token by token."""
    tokens = []  # (sensor, place, cell, vector)
    for sensor, here in enumerate(PRESENT):
        for row, place in enumerate(here.nonzero()[:, 0].tolist()):
            tokens += [(sensor, place, cell, embedded[sensor][row, cell]) for cell in range(embedded[sensor].shape[1])]
    total = torch.zeros((), dtype=torch.float64)
    for sensor, place, cell, x in tokens:
        positives, candidates = [], []
        for other, there, where, y in tokens:
            value = (x @ y / temperature).exp()
            if other == sensor and there == place:
                continue
            candidates.append(value)
            if (there, where) == (place, cell):
                positives.append(value)
        if positives:
            total = total - (torch.stack(positives).sum() / torch.stack(candidates).sum()).log()
    return total


@pytest.mark.parametrize("tile", [2, 100])
def test_it_agrees_with_a_slow_loop_and_so_does_its_gradient(tile: int) -> None:
    fast, loop = views(), views()
    held = [[x.shape[0] * 3] for x in fast]
    value, expected = mil_nce_sum(fast, PRESENT, marks(), held, 0.1, Negatives(tile=tile)), slow(loop, 0.1)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    for x, y in zip(fast, loop, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-12)


def test_two_sensors_of_equal_embeddings_give_the_log_of_the_candidates() -> None:
    same = [torch.ones(2, 3, 4) / 2 for _ in range(2)]
    here = torch.ones(2, 2, dtype=torch.bool)
    place = torch.arange(2).repeat_interleave(3)
    both = [Marks.of(torch.arange(6), place, torch.zeros(6, 2))] * 2
    value = mil_nce_sum(same, here, both, [[6], [6]], 0.1, Negatives())
    assert value.item() / 12 == pytest.approx(math.log(6 + 3), rel=1e-6)  # all of the other sensor, and the other image of its own


def objective(**changes: object) -> MilNCE:
    torch.manual_seed(0)
    return MilNCEConfig(**{"dim": 8, "hidden": 16, "num_cells": 6, **changes}).build(sensors())


@pytest.mark.parametrize(
    "counts",
    [{"s2": (1,), "s1_asc": (1,)}, {"s2": (2, 1), "s1_asc": (0, 0)}, {"s2": (1, 0), "spot": (0, 1)}, {"s2": (2, 1), "s1_asc": (1, 0)}],
    ids=["one place", "one sensor", "nowhere both", "a place of one sensor"],
)
def test_it_is_finite_and_touches_every_parameter_whatever_is_missing(counts: dict[str, tuple[int, ...]]) -> None:
    model = objective()
    output = model(places(**counts))
    output.loss.backward()
    paired = any(a and b for a, b in zip(counts.get("s2", ()), counts.get("s1_asc", ()), strict=False))
    assert (output.loss > 0) == paired == bool(output.metrics)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learned)
    assert len(list(model.parameters())) == len(learned) + 2  # the temperatures of the contrast that is handed on


def test_it_learns() -> None:
    model, batch = objective(dim=32), places(s2=(1, 2, 1), s1_asc=(2, 1, 1), spot=(1, 0, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = model.train()(batch).loss.item()
    for _ in range(8):
        optimizer.zero_grad()
        output = model(batch)
        output.loss.backward()
        optimizer.step()
    assert output.loss.item() < 0.7 * first


def test_configurations_that_cannot_be_honoured_are_refused() -> None:
    only = EncodersConfig(modalities={"s2": SENSORS["s2"]}, encoders={"s2": sensors().encoders["s2"]})
    with pytest.raises(ConfigError, match="two sensors"):
        MilNCEConfig().build(only)
    with pytest.raises(ConfigError, match="`temperature` is 0"):
        MilNCEConfig(temperature=0)
