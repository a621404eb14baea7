"""Masked modelling: hidden things are not seen, limits are exact, and both objectives share what is computed once."""

from dataclasses import replace

import pytest
import torch
from tiny import SENSORS, places, sensors

from omnifuse.errors import ConfigError
from omnifuse.frames import Batch
from omnifuse.models.model import EncodersConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.base import Comparing
from omnifuse.objectives.combined import Combined
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.masked import Masked, MaskedConfig, RandomProjection, hide

SMALL = MaskedConfig(cell_gsd=40.0, num_cells=6, dim=8, hidden=16, sensor_ratio=0.4)


def masked(**changes: float) -> Masked:
    torch.manual_seed(0)
    return replace(SMALL, **changes).build(sensors())


def combined(weight: float = 0.5) -> Combined:
    torch.manual_seed(0)
    return Combined(ContrastConfig(dim=8, hidden=16, cell_gsd=40.0, num_cells=6).build(sensors()), SMALL, weight)


def days(batch: Batch) -> set[tuple[str, int, int, float]]:
    """Return every frame of a batch by sensor, place, day and a pixel."""
    return {
        (name, place, day, pixel)
        for name, frames in batch.frames.items()
        for place, day, pixel in zip(frames.place.tolist(), frames.day.tolist(), frames.pixels[:, 0, 0, 0].tolist(), strict=True)
    }


@pytest.mark.parametrize("seed", range(5))
def test_hidden_and_visible_are_apart_and_something_stays(seed):
    batch = places(seed)
    visible, hidden = hide(batch, replace(SMALL, most_targets=99, date_ratio=0.7))
    assert days(visible) | days(hidden) == days(batch) and not days(visible) & days(hidden)
    assert torch.equal(visible.present.any(0), batch.present.any(0))
    _, few = hide(batch, replace(SMALL, most_targets=1, date_ratio=0.7))
    for name, frames in few.frames.items():
        assert torch.equal(frames.count, hidden.frames[name].count.clamp(max=1))
        assert (frames.day.diff() >= 0)[frames.place.diff() == 0].all()
    assert days(few) <= days(hidden)


def test_what_is_hidden_depends_on_the_draw_of_the_place_alone():
    batch = places(2)
    visible, hidden = hide(batch, SMALL)
    for index, alone in enumerate(batch.split()):
        for whole, part in zip((visible, hidden), hide(alone, SMALL), strict=True):
            one = whole.select(torch.tensor([index]))
            assert all(torch.equal(one.frames[name].day, part.frames[name].day) for name in batch.frames)


def test_nothing_hidden_is_zero_and_touches_every_parameter():
    for objective in (masked(sensor_ratio=0, date_ratio=0), masked(), combined()):
        batch = places() if objective.config.sensor_ratio == 0 else places(s2=(1,), s1_asc=(0,), spot=(0,), climate=(0,))
        loss = objective(batch).loss
        loss.backward()
        assert loss.item() == 0
        assert all(p.grad is not None and not p.grad.any() for p in objective.parameters())


def test_constant_targets_have_an_exact_solution():
    objective = masked().eval()
    batch = places()
    frames = {
        name: replace(f, pixels=torch.tensor(SENSORS[name].mean)[:, None, None].expand_as(f.pixels)) for name, f in batch.frames.items()
    }
    batch = replace(batch, frames=frames)
    with torch.no_grad():
        for name, head in objective.prediction.heads.items():
            projection = objective.prediction.targets[name]
            head.weight.zero_()
            head.bias.copy_(1000 * projection.weight[:, -1])  # of the mean only the constant is left
    assert objective(batch).loss.item() == pytest.approx(0, abs=1e-5)


def test_a_target_is_the_projection_of_the_cells_own_pixels():
    config = replace(SMALL, detail=2)
    projection = RandomProjection(SENSORS["s2"], config)
    frames = places(s2=(1,)).frames["s2"]
    found = projection(frames, 4)[0]  # 4 × 4 cells of 40 m: 4 × 4 pixels each
    modality = SENSORS["s2"]
    x = (frames.pixels[0] - torch.tensor(modality.mean)[:, None, None]) / torch.tensor(modality.std)[:, None, None]
    cell = x[:, 4:8, 8:12]  # row 1, column 2
    means = torch.stack([cell[:, i : i + 2, j : j + 2].mean((1, 2)) for i in (0, 2) for j in (0, 2)], 1).flatten()
    expected = projection.weight @ torch.cat([means, torch.ones(1)])
    torch.testing.assert_close(found[6], expected / expected.norm(), atol=1e-4, rtol=1e-4)
    assert torch.equal(projection.weight, RandomProjection(SENSORS["s2"], config).weight)
    assert not torch.equal(projection.weight[:, :31], RandomProjection(SENSORS["s1_asc"], config).weight[:, :31])
    assert not list(projection.parameters()) and not projection.state_dict()  # frozen, and rebuilt from the configuration


def linear_world(seed: int, related: bool) -> Batch:
    """Twelve places where one sensor is a linear function of the other, pixel by pixel; or of another place's."""
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(12, 3, 4, 4, generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    mixing = {name: torch.randn(len(SENSORS[name].bands), 3, generator=torch.Generator().manual_seed(7)) for name in ("s2", "s1_asc")}
    batch = places(seed, s2=(1,) * 12, s1_asc=(1,) * 12)
    frames = {}
    for name, mix in mixing.items():
        seen = signal if related or name == "s2" else signal.roll(1, 0)
        x = torch.einsum("cs,nshw->nchw", mix, seen)
        mean, std = (torch.tensor(v)[:, None, None] for v in (SENSORS[name].mean, SENSORS[name].std))
        frames[name] = replace(batch.frames[name], pixels=mean + std * x)
    return replace(batch, frames=frames)


@pytest.mark.parametrize("related", [True, False], ids=["linear", "shuffled"])
def test_a_linear_world_is_solved_and_a_shuffled_one_is_not(related):
    torch.manual_seed(0)
    encoder = UTAEConfig(widths=(32,), kernel=1, heads=4, dim=32, dropout=0, attention_dropout=0)
    pair = EncodersConfig(modalities={name: SENSORS[name] for name in ("s2", "s1_asc")}, encoders={"s2": encoder, "s1_asc": encoder})
    objective = MaskedConfig(cell_gsd=40.0, dim=16, hidden=64, detail=1, sensor_ratio=0.5).build(pair)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    for step in range(50):
        loss = objective(linear_world(step, related)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        left = objective.eval()(linear_world(9999, related)).loss.item()
    assert left < 0.15 if related else left > 0.3


def test_together_is_the_contrast_of_what_is_visible_plus_the_weighted_rest():
    objective, batch = combined(0.5).eval(), places(1, s2=(3, 2, 4), s1_asc=(2, 3, 3), spot=(1, 1, 1))
    visible, hidden = hide(batch, SMALL)
    contrast = objective.contrast.compare([objective.contrast.represent(visible)]).loss
    sums, counts = objective.prediction(objective.contrast.encoders(visible), hidden)
    means = sums / counts.clamp(min=1)
    found = objective(batch)
    torch.testing.assert_close(found.loss, contrast + 0.5 * means.sum() / (counts > 0).sum())
    assert {"loss_contrast", "loss_masked", "temperature_cell"} <= set(found.metrics)


def test_encoders_run_once_and_only_on_what_is_visible(monkeypatch):
    objective, batch = combined(), places(1, s2=(4, 4), s1_asc=(4, 4))
    seen = []
    encoder = objective.contrast.encoders.by_name["s2"]
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda frames: (seen.append(len(frames.day)), forward(frames))[1])
    objective(batch)
    visible, hidden = hide(batch, SMALL)
    assert seen == [len(visible.frames["s2"].day)] and len(hidden.frames["s2"].day)


@pytest.mark.parametrize("make", [masked, combined])
def test_micro_batches_together_are_one_batch(make):
    objective: Comparing = make().eval()
    batch = places(1, s2=(3, 2, 4, 0), s1_asc=(2, 0, 3, 3), spot=(1, 1, 0, 1))
    parts = [objective.represent(batch.select(torch.tensor(rows))) for rows in ([0, 1], [2, 3])]
    whole = objective(batch)
    torch.testing.assert_close(objective.compare(parts).loss, whole.loss)
    torch.testing.assert_close(objective.compare(parts).metrics, whole.metrics)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="date_ratio"):
        MaskedConfig(date_ratio=1.0)
    with pytest.raises(ConfigError, match="positive"):
        MaskedConfig(dim=0)
    with pytest.raises(ConfigError, match="weight"):
        combined(0.0)
