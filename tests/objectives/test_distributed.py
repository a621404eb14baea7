"""Any number of processes: loss and every gradient are those of one process with the whole batch."""

from pathlib import Path

import pytest
import torch
from comparing_jobs import Result, in_processes, mistaken, model_step, objective, plain, shared, shared_in_both_types, step
from comparing_jobs import batch as whole_batch

from omnifuse.nn.exchange import Processes
from omnifuse.nn.negatives import Negatives

TOLERANCE = {torch.float32: (1e-6, 1e-5), torch.float64: (1e-12, 1e-10)}  # of the loss and of gradients, relative to the largest


def differences(found: Result, expected: Result, dtype: torch.dtype) -> list[str]:
    """Return what is not equal up to rounding."""
    assert found.keys() == expected.keys()
    wrong = []
    for name, value in expected.items():
        rounding = 1e-5 if name.endswith("pos_embed") else TOLERANCE[dtype][name != "loss"]  # timm resamples it in float32
        scale = max(value.abs().max().item(), 1e-3) if value.numel() else 1.0
        error = (found[name].double() - value.double()).abs().max().item() / scale if value.numel() else 0.0
        if name == "gradient":
            error = ((found[name] - value).norm() / value.norm().clamp(min=1e-3)).item()
        if not error <= rounding:
            wrong.append(f"{name}: {error:.1e}")
    return wrong


SPLITS = [(5, 3), (8, 0), (4, 0, 4), (1, 3, 0, 4), (1, 1), (0, 0)]


@pytest.mark.parametrize("ring", [False, True], ids=["gathered", "ring"])
@pytest.mark.parametrize("shares", SPLITS, ids=str)
def test_the_loss_alone(tmp_path: Path, shares: tuple[int, ...], ring: bool) -> None:
    radius, cosine = 25.0, 0.6
    negatives = Negatives(Processes(ring=ring), tile=3, radius=radius, duplicate_cosine=cosine)
    everyone = in_processes(len(shares), tmp_path, shared_in_both_types, shares, negatives)
    for dtype in TOLERANCE:
        expected = plain(sum(shares), dtype, radius, cosine)
        for found in everyone:
            assert not differences({name: found[f"{dtype} {name}"] for name in expected}, expected, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("ring", [False, True], ids=["gathered", "ring"])
@pytest.mark.parametrize("rule", [(0.0, 1.0), (25.0, 1.0), (0.0, 0.6), (25.0, 0.6)], ids=str)
@pytest.mark.parametrize("tile", [7, 1024])
@pytest.mark.parametrize("shares", [(33, 31), (64, 0), (20, 0, 44), (1, 30, 0, 33), (16, 16, 16, 16)], ids=str)
def test_the_loss_alone_at_length(
    tmp_path: Path, shares: tuple[int, ...], tile: int, rule: tuple[float, float], ring: bool, dtype: torch.dtype
) -> None:
    negatives = Negatives(Processes(ring=ring), tile=tile, radius=rule[0], duplicate_cosine=rule[1])
    expected = plain(sum(shares), dtype, *rule)
    for found in in_processes(len(shares), tmp_path, shared, shares, dtype, negatives):
        assert not differences(found, expected, dtype)


MISTAKES = {
    "no gather": ((4, 4), {"loss", "a.weight", "log_scale"}),
    "gather without gradient, loss of all": ((4, 4), {"a.weight", "b.weight"}),  # the direction is right, the length half
    "gather without gradient, own loss": ((4, 4), {"a.weight", "b.weight"}),
    "own mean in place of that of all": ((5, 3), {"loss", "a.weight", "log_scale"}),
    "not scaled for the average of DDP": ((4, 4), {"loss", "a.weight", "log_scale"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_usual_mistakes_fail_the_same_check(tmp_path: Path, mistake: str) -> None:
    shares, wrong = MISTAKES[mistake]
    expected = plain(8, torch.float32, 0.0, 1.0)
    found = in_processes(2, tmp_path, mistaken, shares, torch.float32, mistake)[0]
    assert wrong <= {text.split(":")[0] for text in differences(found, expected, torch.float32)}


def check_models(tmp_path: Path, world: int, cases: list[tuple[str, str, tuple[int, ...], dict[str, object]]], dtype: torch.dtype) -> None:
    found = in_processes(world, tmp_path, model_step, cases, dtype)
    for number, (kind, case, shares, changes) in enumerate(cases):
        model, places = objective(kind, dtype, **{**changes, "ring": False}), whole_batch(case, dtype)
        if dtype == torch.float32:  # an encoder rounds pieces and the whole differently: 1.5e-5 in a gradient, on one process too
            pieces = [places.select(piece) for piece in torch.arange(sum(shares)).split(shares)]
            expected = step(lambda parts, model=model: model.compare([model.represent(part) for part in parts]), model, pieces)
            expected = with_one_gradient(expected)
        else:
            expected = step(model, model, places)
        for one in found:  # metrics and averaged gradients are the same on all
            own = {name.removeprefix(f"{number} "): value for name, value in one.items() if name.startswith(f"{number} ")}
            if dtype == torch.float32:  # where a parameter's gradient nearly cancels, the order of its terms decides 1e-5 of it
                own = with_one_gradient(own)
            assert not differences(own, expected, dtype), (kind, case)


def with_one_gradient(result: Result) -> Result:
    """Return loss and metrics as they are, and the gradients of all parameters as one vector."""
    apart = {name: value for name, value in result.items() if name == "loss" or name.startswith("metric")}
    gradient = torch.cat([value.flatten() for name, value in result.items() if name not in apart])
    return {**apart, "gradient": gradient}


def test_whole_models_with_missing_sensors_on_two_processes(tmp_path: Path) -> None:
    cases = [
        ("contrast", "missing on some", (3, 2), {"radius": 50.0, "duplicate_cosine": 0.9}),
        ("contrast", "missing on all", (1, 4), {"ring": True, "tile": 4}),
        ("contrast", "missing on all but one", (4, 1), {}),
        ("contrast", "nothing to pair", (2, 3), {}),
        ("mil_nce", "ragged", (2, 3), {"tile": 4, "cell_weight": 0.5}),
        ("mil_nce", "nothing to pair", (2, 3), {"ring": True}),
        ("masked", "nothing to hide on some", (3, 2), {}),
        ("contrast and masked", "series", (4, 1), {}),
        ("mil_nce and masked", "missing on some", (3, 2), {}),
    ]
    check_models(tmp_path, 2, cases, torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shares", [(3, 2), (2, 1, 2), (1, 2, 1, 1)], ids=str)
def test_whole_models_at_length(tmp_path: Path, shares: tuple[int, ...], dtype: torch.dtype) -> None:
    changes = [{}, {"ring": True, "tile": 4}, {"radius": 50.0, "duplicate_cosine": 0.9, "tile": 4}]
    cases = [("contrast", case, shares, change) for case in ("ragged", "missing on some", "missing on all but one") for change in changes]
    cases += [("mil_nce", case, shares, change) for case in ("ragged", "missing on all") for change in changes[:2]]
    for case in ("series", "missing on some", "missing on all", "missing on all but one", "nothing to hide on some"):
        cases += [(kind, case, shares, {}) for kind in ("masked", "contrast and masked", "mil_nce and masked")]
    check_models(tmp_path, len(shares), cases, dtype)
