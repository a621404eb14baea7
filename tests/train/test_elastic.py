"""The same global batch on any number of processes and in any number of micro-batches is the same training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from contrast_jobs import contrast, places_by_step, run_contrast, settings, start_contrast, stop_at
from train_jobs import curve, finish

from omnifuse.train import checkpoint
from omnifuse.train.config import TrainConfig


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, one batch."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    run_contrast(folder, settings(1))
    return folder


def close(folder: Path, reference: Path, rounding: float) -> None:
    rows, expected = curve(folder), curve(reference)
    assert len(rows) == len(expected) and "top1_cell/optical-radar" in rows[0]
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            allowed = rounding if name.startswith("loss") else 1e3 * rounding  # a norm of gradients that cancel
            if not name.startswith("top1"):  # of a near tie, rounding decides
                assert row[name] == pytest.approx(other[name], rel=allowed, abs=allowed), (row["step"], name)


def test_an_accumulated_batch_is_one_contrastive_batch(tmp_path: Path, reference: Path) -> None:
    run_contrast(tmp_path / "four", settings(4))
    close(tmp_path / "four", reference, 1e-12)
    assert places_by_step(tmp_path / "four") == places_by_step(reference)


@pytest.mark.parametrize(("world", "accumulation", "ring"), [(2, 2, False), (4, 1, True)], ids=str)
def test_any_number_of_processes_is_the_same_training(tmp_path: Path, reference: Path, world: int, accumulation: int, ring: bool) -> None:
    config = settings(accumulation)
    assert finish(*start_contrast(world, tmp_path / "run", config, torch.float64, ring=ring)) == [0] * world
    assert places_by_step(tmp_path / "run") == places_by_step(reference)
    close(tmp_path / "run", reference, 1e-12)
    weights, expected = (checkpoint.trained_weights(folder / "checkpoints") for folder in (tmp_path / "run", reference))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_any_number_of_processes_at_length(tmp_path: Path, dtype: torch.dtype, rounding: float) -> None:
    base: dict[str, Any] = {"steps": 20, "learning_rate": 1e-4}  # training amplifies rounding: 1e-3 takes 1e-7 to 5e-5 in 13 steps
    run_contrast(tmp_path / "reference", settings(1, **base), dtype)
    for world in (1, 2, 4):
        for accumulation in (1, 2):
            for ring in (False, True):
                folder = tmp_path / f"{world}_{accumulation}_{ring}"
                assert finish(*start_contrast(world, folder, settings(accumulation, **base), dtype, ring=ring)) == [0] * world
                close(folder, tmp_path / "reference", rounding)
                assert places_by_step(folder) == places_by_step(tmp_path / "reference")


def ended(folder: Path) -> dict[str, bytes]:
    newest = checkpoint.newest(folder / "checkpoints")[0]
    assert newest is not None
    return {file.name: file.read_bytes() for file in newest.glob("*.safetensors")} | {"curve": str(curve(folder)).encode()}


def test_an_accumulated_contrast_with_dropout_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    config = settings(2)
    run_contrast(tmp_path / "whole", config, torch.float32, dropout=0.2)
    with pytest.raises(KeyboardInterrupt):
        run_contrast(tmp_path / "cut", config, torch.float32, dropout=0.2, disturb=lambda batches: stop_at(batches, config, 4))
    run_contrast(tmp_path / "cut", config, torch.float32, dropout=0.2)
    assert ended(tmp_path / "cut") == ended(tmp_path / "whole")


def test_both_passes_draw_the_same(tmp_path: Path) -> None:
    config: TrainConfig = settings(2, steps=2)
    seen: list[list[torch.Tensor]] = [[], []]
    objective = contrast(torch.float32, 0.2, False)
    inner = objective.represent

    def watched(batch: Any) -> Any:
        part = inner(batch)
        seen[torch.is_grad_enabled()].append(part.vectors["cell/optical"].detach().clone())
        return part

    objective.represent = watched  # type: ignore[method-assign]
    run_contrast(tmp_path / "run", config, objective=objective)
    assert len(seen[0]) == len(seen[1]) == 4
    assert all(torch.equal(first, second) for first, second in zip(*seen, strict=True))
