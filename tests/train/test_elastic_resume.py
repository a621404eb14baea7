"""A contrast that is killed on two processes goes on with any number of them, and its curve is that of a run never stopped."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from contrast_jobs import run_contrast, settings, start_contrast
from test_elastic import close
from train_jobs import Batches, finish, free_port, join, quiet, start

from omnifuse.frames import Batch
from omnifuse.train import checkpoint

CONFIG = settings(1, steps=8)  # with a checkpoint after three updates


def killed_at(batches: Batches, step: int) -> Batches:
    """Kill this process, as nothing can be caught, when it asks for the data of a step."""

    def cut(first: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches(first)):
            if first + number == step:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    return cut


def rank_that_is_killed(folder: Path, dtype: torch.dtype, rank: int, world: int, port: int) -> None:
    quiet()
    join(rank, world, port)
    run_contrast(folder, CONFIG, dtype, rank=rank, world=world, disturb=lambda batches: killed_at(batches, 5))


def killed_on_two(folder: Path, dtype: torch.dtype) -> None:
    port = free_port()
    codes = finish(*(start(rank_that_is_killed, folder, dtype, rank, 2, port) for rank in range(2)))
    assert codes[0] == -signal.SIGKILL and codes[1] != 0
    newest, _ = checkpoint.newest(folder / "checkpoints")
    assert newest is not None and newest.name.endswith("3")


def goes_on(folder: Path, world: int, dtype: torch.dtype, ring: bool = False) -> None:
    if world == 1:
        run_contrast(folder, CONFIG, dtype)
    else:
        assert finish(*start_contrast(world, folder, CONFIG, dtype, ring=ring)) == [0] * world


def test_killed_on_two_processes_and_resumed_on_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_contrast(tmp_path / "whole", CONFIG)
    killed_on_two(tmp_path / "cut", torch.float64)
    goes_on(tmp_path / "cut", 1, torch.float64)
    assert "world_size was 2 when the run began, is 1 now: the same to rounding" in caplog.text
    close(tmp_path / "cut", tmp_path / "whole", 1e-12)
    weights, expected = (checkpoint.trained_weights(tmp_path / name / "checkpoints") for name in ("cut", "whole"))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_killed_on_two_processes_and_resumed_on_any_number(tmp_path: Path, dtype: torch.dtype, rounding: float) -> None:
    run_contrast(tmp_path / "whole", CONFIG, dtype)
    killed_on_two(tmp_path / "cut", dtype)
    for world in (1, 2, 4):
        for ring in (False, True):
            folder = tmp_path / f"{world}_{ring}"
            shutil.copytree(tmp_path / "cut", folder)
            goes_on(folder, world, dtype, ring)
            close(folder, tmp_path / "whole", rounding)
