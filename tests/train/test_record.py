"""What the log says of speed: places, frames, cells and operations per second, and the share of a GPU's peak."""

import pytest
import torch
from tiny import places, sensors
from torch import nn

from omnifuse.frames import Batch
from omnifuse.objectives.base import LossOutput, Objective
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.train import record
from omnifuse.train.log import CLOCK
from omnifuse.train.record import Clock, count_flops


def test_rates_are_those_of_what_passed():
    clock = Clock(flops_per_place=5e11)
    batch = places()  # 4 places of 160 m with 8 + 7 + 4 + 24 frames
    assert [b.num_places for b in clock.counted([batch, batch])] == [4, 4]
    clock.add(1.0, 0.25)
    clock.add(3.0, 0.75)
    row = clock.row(batch_size=8)  # two updates of 8 places in 4 s; this process had half of them
    assert row["places_per_second"] == 4 and row["data_share"] == 0.25
    assert row["frames_per_second"] == pytest.approx(43)
    assert row["cells_per_second"] == pytest.approx(4 * 256)
    assert row["tflops_per_second"] == 2
    assert set(row) <= CLOCK
    assert "frames_per_second" not in clock.row(8)  # begun anew


def test_the_share_of_the_peak_needs_a_known_gpu(monkeypatch):
    assert record.peak_flops() == 0 or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, peak in (("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("Unknown", 0)):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda name=name: name)
        assert record.peak_flops() == peak


class Product(Objective):
    """One linear layer on three numbers per place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, batch: Batch) -> LossOutput:
        x = torch.ones(batch.num_places, 3, requires_grad=True)
        return LossOutput(self.layer(x).sum(), {})


def test_operations_are_counted_forward_and_backward_per_place():
    # forward 2 · 3 · 5; backward as much again for the input and for the weight
    assert count_flops(Product(), places()) == 3 * 2 * 3 * 5
    objective = ContrastConfig(dim=8, hidden=16, cell_gsd=40.0, num_cells=6).build(sensors())
    state = torch.random.get_rng_state()
    assert count_flops(objective, places()) > 1e5
    assert torch.equal(state, torch.random.get_rng_state())  # nothing is drawn
    assert objective.training and all(p.grad is None or not p.grad.any() for p in objective.parameters())
