"""What a GPU would meet, without one: nothing waits for the device, no process needs a place, and bfloat16 stays in the encoders."""

from contextlib import nullcontext

import pytest
import torch
from tiny import SENSORS, places, sensors

from omnifuse.losses import info_nce_sums, unit
from omnifuse.models.ltae import encode_day
from omnifuse.nn.negatives import Marks, Negatives
from omnifuse.objectives import masked as masked_module
from omnifuse.objectives.base import Comparing
from omnifuse.objectives.combined import Combined
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.masked import MaskedConfig, RandomProjection, hide
from omnifuse.objectives.mil_nce import MilNCEConfig

HIDDEN = MaskedConfig(cell_gsd=40.0, num_cells=4, dim=8, hidden=16, sensor_ratio=0.4)
CONTRAST = ContrastConfig(dim=8, hidden=16, cell_gsd=40.0, num_cells=4, radius=50.0, duplicate_cosine=0.9)
MIL_NCE = MilNCEConfig(dim=8, hidden=16, cell_gsd=40.0, num_cells=4, cell_weight=0.5)
KINDS = {
    "contrast": lambda: CONTRAST.build(sensors()),
    "mil_nce": lambda: MIL_NCE.build(sensors()),
    "masked": lambda: HIDDEN.build(sensors()),
    "contrast and masked": lambda: Combined(CONTRAST.build(sensors()), HIDDEN, 0.5),
    "mil_nce and masked": lambda: Combined(MIL_NCE.build(sensors()), HIDDEN, 0.5),
}


def objective(kind: str) -> Comparing:
    torch.manual_seed(0)
    return KINDS[kind]().train()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_never_waits_for_the_device(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without data refuses whatever needs a value on the host: `.item()`, `.tolist()`, masks as an index."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which that device does not have
    own, batch = objective(kind).to("meta"), places().to("meta")
    assert batch.draw.device.type == "cpu"
    output = own(batch)
    output.loss.backward()
    assert output.loss.device.type == "meta"
    assert all(value.device.type == "meta" for value in output.metrics.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_without_places_takes_part(kind: str) -> None:
    own = objective(kind)
    loss = own(places().select(torch.arange(0))).loss
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in own.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_compared_has_length_one_under_autocast(kind: str) -> None:
    own = objective(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = own.represent(places())
    for name, vectors in seen.vectors.items():
        assert vectors.dtype == torch.float32, name
        if name != "masked":
            torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]), atol=1e-4, rtol=0)


def test_length_one_is_exact_where_the_input_is_not() -> None:
    x = torch.randn(50, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    torch.testing.assert_close(unit(x).norm(dim=-1), torch.ones(50), atol=1e-6, rtol=0)


def test_targets_and_dates_do_not_know_of_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    projection, frames = RandomProjection(SENSORS["s2"], HIDDEN), places().frames["s2"]
    own, batch = objective("masked"), places()
    visible, hidden = hide(batch, HIDDEN)
    dates = []
    monkeypatch.setattr(masked_module, "encode_day", lambda *arguments: (dates.append(encode_day(*arguments)), dates[-1])[1])
    exact = projection(frames, 4)
    own.prediction(own.encoders(visible), hidden)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(projection(frames, 4), exact)
        own.prediction(own.encoders(visible), hidden)
    half = len(dates) // 2
    assert half and all(torch.equal(a, b) for a, b in zip(dates[:half], dates[half:], strict=True))


def test_a_gradient_does_not_depend_on_where_backward_is_called() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [unit(torch.randn(9, 6, generator=generator)) for _ in range(2)]
    marks = Marks.of(torch.arange(9), torch.arange(9), torch.zeros(9, 2))
    gradients = []
    for enabled in (False, True):
        a, b = (x.clone().requires_grad_() for x in inputs)
        loss = info_nce_sums(a, b, torch.tensor(0.05), marks, Negatives(tile=4), [9]).loss
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss.backward()
        gradients.append((a.grad, b.grad))
    assert all(torch.equal(x, y) for x, y in zip(*gradients, strict=True))
