"""The picture of robustness: every subset and every harm is there, nothing is cut off or covered."""

from dataclasses import replace

import pytest
import torch
from test_figures import assert_legible, texts
from test_robustness import MODS, Knows, evaluate, make
from torch import nn

from omnifuse.evals.figures.robustness import draw_robustness, key_lines
from omnifuse.evals.harms import QUICK
from omnifuse.frames import Batch


@pytest.fixture(scope="module")
def result():
    return evaluate(Knows(), replace(QUICK, rates=(0.25, 0.5), dates=(4, 1)))


def test_every_subset_and_harm_is_in_the_picture(result):
    figure = draw_robustness(result, "A model", "accuracy, %")
    shown = texts(figure)
    for text in (
        "S2 + S1 asc + DEM",
        "S1 asc",
        "90.0",
        "Sensors missing at random",
        "Speckle",
        "Clouds",
        "Misregistration",
        "Gap",
        "0.25",
        "months",
    ):
        assert text in shown, text
    assert_legible(figure)


def test_the_two_numbers_are_always_said(result):
    gain, loss = key_lines(result)
    assert gain.startswith("Fusion gains over S2 alone: 30.0 (") and loss.startswith("Worst loss, without S2: 50.0 (")
    assert {gain, loss} <= set(texts(draw_robustness(result, "A model", "accuracy, %")))


def test_one_sensor_and_absent_sensors_are_drawn():
    alone = evaluate(Knows(), modalities={"dem": MODS["dem"]}, batches=lambda: [_only_dem(make([1, 2, 70]))])
    assert key_lines(alone) == []
    assert_legible(draw_robustness(alone, "A model", "accuracy, %"))
    absent = evaluate(Knows(), batches=lambda: [make([1, 2, 70], absent=("dem",))])
    figure = draw_robustness(absent, "A model", "accuracy, %")
    assert "present nowhere" in texts(figure)


class Wrong(nn.Module):
    """Right nowhere."""

    def forward(self, batch: Batch) -> torch.Tensor:
        return torch.tensor([[0.0, 1.0]]).repeat(batch.num_places, 1)


def test_scores_that_are_all_alike_are_drawn():
    """Without warnings, which are errors here."""
    figure = draw_robustness(evaluate(Wrong(), QUICK), "A model", "accuracy, %")
    assert_legible(figure)
    assert (0.0, 10.0) in {axes.get_xlim() for axes in figure.axes}


def test_scores_that_are_no_shares_are_written_as_they_are(result):
    shown = texts(draw_robustness(result, "A model", "R²", percent=False))
    assert {"0.900", "0.2", "0.8"} <= set(shown) and "90.0" not in shown
    assert key_lines(result, percent=False)[0].startswith("Fusion gains over S2 alone: 0.300 (0.")


def _only_dem(batch: Batch) -> Batch:
    return replace(batch, frames={"dem": batch.frames["dem"]})
