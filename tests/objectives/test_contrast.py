"""Contrast across sensors: which places count, what is the same for all sensors, and nothing explodes."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import SENSORS, places, sensors

from omnifuse.errors import ConfigError
from omnifuse.frames import Batch
from omnifuse.losses import info_nce
from omnifuse.models.model import EncodersConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.nn.negatives import Marks, Negatives
from omnifuse.objectives.contrast import Contrast, ContrastConfig
from omnifuse.objectives.projection import Temperature, chosen_cells, sampled_cells, symmetries


def contrast(**changes: float) -> Contrast:
    torch.manual_seed(0)
    return ContrastConfig(**{"dim": 8, "hidden": 16, "cell_gsd": 40.0, "num_cells": 6, **changes}).build(sensors())


def test_the_loss_is_the_mean_over_pairs_of_places_that_have_both():
    objective = contrast(cell_weight=0.7).eval()
    batch = places(s2=(2, 1, 0, 1), s1_asc=(1, 1, 1, 0), spot=(0, 0, 1, 0))
    loss = objective(batch).loss
    embedded = objective.embed(batch)
    # Only s2 and s1_asc share more than one place (0 and 1); rows of s2 are places 0, 1, 3, of s1_asc 0, 1, 2.
    chosen = sampled_cells(batch.draw, 16, 6)[:2]
    cells = [torch.cat([embedded[name][0][row][chosen[row]] for row in (0, 1)]) for name in ("s2", "s1_asc")]
    place = [embedded[name][1][:2] for name in ("s2", "s1_asc")]
    expected = 0.7 * info_nce(*cells, 0.1) + 0.3 * info_nce(*place, 0.1)
    torch.testing.assert_close(loss, expected)


def test_the_order_of_places_does_not_matter():
    objective, batch = contrast().eval(), places(s2=(2, 1, 1), s1_asc=(1, 1, 2), spot=(1, 0, 1))
    torch.testing.assert_close(objective(batch).loss, objective(batch.select(torch.tensor([2, 0, 1]))).loss)


def test_cells_depend_on_the_draw_alone():
    draw = torch.tensor([5, 6, 5])
    chosen = sampled_cells(draw, 100, 10)
    assert torch.equal(chosen[0], chosen[2]) and not torch.equal(chosen[0], chosen[1])
    assert torch.equal(sampled_cells(draw[1:2], 100, 10)[0], chosen[1])
    assert all(len(set(row.tolist())) == 10 for row in chosen)


@pytest.mark.parametrize(
    "counts",
    [{"s2": (1,), "s1_asc": (1,)}, {"s2": (2, 1), "s1_asc": (0, 0)}, {"s2": (1, 0), "spot": (0, 1)}, {"climate": (12, 12)}],
    ids=["one place", "one sensor", "nowhere both", "covariate alone"],
)
def test_nothing_to_pair_is_zero_and_touches_every_parameter(counts):
    objective = contrast()
    loss = objective(places(**counts)).loss
    loss.backward()
    assert loss.item() == 0
    assert not [name for name, parameter in objective.named_parameters() if parameter.grad is None]
    assert all(parameter.grad.isfinite().all() for parameter in objective.parameters())


def test_near_cells_of_one_place_are_no_negatives():
    position = 40.0 * torch.tensor([[0, 0], [0, 1], [1, 1], [3, 3]])  # of 4×4 cells of 40 m
    marks = Marks.of(torch.arange(8), torch.arange(8) // 4, torch.cat([position, position]))
    none = torch.zeros(8, 2)
    near, of_columns = Negatives(radius=50.0).excluded(none, none, marks, marks)
    distance = [[0, 40, 56.6, 170], [40, 0, 40, 144], [56.6, 40, 0, 113], [170, 144, 113, 0]]
    expected = torch.tensor([[d < 50 for d in row] for row in distance])
    assert torch.equal(near, torch.block_diag(expected, expected)) and near is of_columns
    batch = places(s2=(2, 1, 1), s1_asc=(1, 1, 2))
    assert contrast(radius=50.0).eval()(batch).loss < contrast().eval()(batch).loss


def test_a_place_that_comes_twice_is_no_negative_of_itself():
    objective, batch = contrast(num_cells=16).eval(), places(s2=(1, 1, 1), s1_asc=(1, 1, 1))
    twice = Batch.cat([batch, batch])
    apart = objective(replace(twice, place=torch.arange(6)))
    assert objective(twice).loss < apart.loss


def planted(seed: int, order: torch.Tensor) -> Batch:
    """Eight places whose sensors see noise of their own and a common pattern; `order` says whose pattern Sentinel-1 sees."""
    batch = places(seed, s2=(1,) * 8, s1_asc=(1,) * 8)
    cells = 3 * torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    pattern = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    frames = {}
    for name, signal in (("s2", pattern), ("s1_asc", pattern[order])):
        std = torch.tensor(SENSORS[name].std)[:, None, None]
        frames[name] = replace(batch.frames[name], pixels=batch.frames[name].pixels + signal * std)
    return replace(batch, frames=frames)


@pytest.mark.parametrize(("order", "found"), [(torch.arange(8), True), (torch.arange(8).roll(3), False)], ids=["planted", "shuffled"])
def test_a_planted_signal_is_found_and_a_shuffled_one_is_not(order, found):
    torch.manual_seed(0)
    encoder = UTAEConfig(widths=(32,), kernel=1, heads=4, dim=32, dropout=0, attention_dropout=0)
    pair = EncodersConfig(modalities={name: SENSORS[name] for name in ("s2", "s1_asc")}, encoders={"s2": encoder, "s1_asc": encoder})
    objective = ContrastConfig(dim=16, hidden=32, cell_gsd=40.0, num_cells=6).build(pair)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    for step in range(60):
        optimizer.zero_grad()
        objective(planted(step, order)).loss.backward()
        optimizer.step()
    with torch.no_grad():  # under new noise, against the true pattern
        metrics = objective.eval()(planted(99, torch.arange(8))).metrics
    assert (metrics["loss_cell/s2-s1_asc"] < 0.85 * math.log(48)) == found


def test_cells_of_two_places_are_never_the_same_ground_however_many():
    batch, side = places(s2=(1, 1), s1_asc=(1, 1)), 1030  # more than 2**20 cells in a place
    embedded = {"s2": (torch.zeros(2, side * side, 1), torch.zeros(2, 1))}
    ground = chosen_cells(embedded, batch, side, side * side).marks["ground"]
    assert ground[0].max() < ground[1].min()


def test_the_temperature_is_learned_but_capped():
    temperature = Temperature(0.1, 0.05)
    assert temperature().item() == pytest.approx(0.1)
    with torch.no_grad():
        temperature.log_scale += 10
    assert temperature().item() == pytest.approx(0.05)
    with pytest.raises(ConfigError, match="minimum"):
        Temperature(0.1, 0.2)


def test_one_sensor_alone_cannot_be_contrasted():
    only = EncodersConfig(modalities={"s2": SENSORS["s2"]}, encoders={"s2": sensors().encoders["s2"]})
    with pytest.raises(ConfigError, match="two sensors"):
        ContrastConfig().build(only)


@pytest.mark.parametrize("seed", range(6))  # enough draws for every symmetry to occur
def test_turning_and_turning_back_changes_nothing_for_an_encoder_that_looks_at_single_pixels(seed):
    torch.manual_seed(0)
    pointwise = UTAEConfig(widths=(8,), kernel=1, heads=4, dim=16)
    pair = {name: SENSORS[name] for name in ("s2", "s1_asc")}
    objective = ContrastConfig(dim=8, hidden=16).build(EncodersConfig(modalities=pair, encoders=dict.fromkeys(pair, pointwise))).eval()
    batch = places(seed=seed, s2=(2, 0, 3, 1), s1_asc=(1, 2, 0, 2))
    straight, turned = objective.encoders(batch), objective.encode_turned(batch)
    for name in pair:
        torch.testing.assert_close(turned[name].maps, straight[name].maps, atol=1e-5, rtol=1e-5)
        assert torch.equal(turned[name].place, straight[name].place)


def test_each_sensor_is_turned_its_own_way_and_by_the_draw_alone():
    draw = torch.arange(400)
    which = symmetries(draw, ["s2", "s1_asc"])
    assert set(which["s2"].tolist()) == set(range(8))
    assert (which["s2"] == which["s1_asc"]).float().mean() < 0.2  # 1/8 by chance
    assert torch.equal(symmetries(draw[50:60], ["s1_asc"])["s1_asc"], which["s1_asc"][50:60])
