"""kill -9 at any moment and started again: the same bits as a run never stopped; and what several processes promise."""

import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch
from train_jobs import curve, ending, finish, run, run_job, small, start, start_ranks

from omnifuse.errors import ConfigError
from omnifuse.train import checkpoint
from omnifuse.train.config import TrainConfig
from omnifuse.train.guard import alone_in
from omnifuse.train.log import read_log

CONFIG = small(steps=40, save_steps=4)


def begin(folder: Path, world: int, config: TrainConfig = CONFIG) -> list[ForkServerProcess]:
    return [start(run_job, folder, config)] if world == 1 else start_ranks(world, folder, config, 0.2, torch.float32)


@pytest.fixture(scope="module", params=[1, 2])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, bytes], float]:
    """Number of processes, the end of a run never stopped, and the seconds it trains."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    processes = begin(folder, request.param)
    while not (folder / "log.jsonl").exists():
        time.sleep(0.005)
    began = time.monotonic()
    assert finish(*processes) == [0] * request.param
    return request.param, ending(folder), time.monotonic() - began


def kill_often(folder: Path, world: int, seconds: float, draw: random.Random, times: int) -> tuple[int, int]:
    """Run to the end through up to `times` kills; return the kills, and those in the middle of a save."""
    kills = torn = 0
    for _ in range(times):
        rows = len(read_log(folder / "log.jsonl"))
        processes = begin(folder, world)
        while len(read_log(folder / "log.jsonl")) in (0, rows) and any(process.is_alive() for process in processes):
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.6 * seconds))
        alive = all(process.is_alive() for process in processes)
        for process in processes:
            process.kill()
        finish(*processes)
        if not alive:
            break
        kills += 1
        torn += any((folder / "checkpoints").glob(".tmp_*"))
    assert finish(*begin(folder, world)) == [0] * world
    return kills, torn


@pytest.mark.parametrize("trials", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_and_resumed_equals_never_stopped(tmp_path: Path, reference: tuple[int, dict[str, bytes], float], trials: int) -> None:
    world, expected, seconds = reference
    kills = torn = 0
    for trial in range(trials if world == 1 or trials > 10 else 3):
        folder = tmp_path / str(trial)
        more = kill_often(folder, world, seconds, random.Random(trial), times=1 if trials == 10 else 3)
        kills, torn = kills + more[0], torn + more[1]
        assert ending(folder) == expected, f"trial {trial}"
        assert not list((folder / "checkpoints").glob(".tmp_*")) and not list((folder / "checkpoints").glob("*.bad"))
    print(f"{kills} kills, {torn} in the middle of a save, {world} processes")
    assert kills > 0


def test_two_processes_equal_one(tmp_path: Path) -> None:
    config = small()
    for world in (1, 2):
        assert finish(*start_ranks(world, tmp_path / str(world), config, 0.0, torch.float64)) == [0] * world
    one, two = curve(tmp_path / "1"), curve(tmp_path / "2")
    assert len(one) == len(two) == 24
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        assert all(a[name] == pytest.approx(b[name], rel=1e-12, abs=1e-12) for name in a)
    weights = [checkpoint.trained_weights(tmp_path / name / "checkpoints") for name in "12"]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-12, atol=1e-12)


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_with_the_same_words(tmp_path: Path) -> None:
    assert finish(*start_ranks(2, tmp_path, small(), 0.2, torch.float32, fault="nan")) == [0, 0]
    texts = {(tmp_path / f"error_{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)}
    assert len(texts) == 1
    assert "NonFiniteError: step 7: the loss on rank 1" in texts.pop()


def test_a_signal_to_one_rank_stops_all_at_the_same_step(tmp_path: Path) -> None:
    assert finish(*start_ranks(2, tmp_path / "run", small(), 0.2, torch.float32, fault="sigterm")) == [0, 0]
    assert {(tmp_path / "run" / f"result_{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)} == {"8 True"}
    for name in ("run", "reference"):
        assert finish(*start_ranks(2, tmp_path / name, small(), 0.2, torch.float32)) == [0, 0]
    assert ending(tmp_path / "run") == ending(tmp_path / "reference")


def test_an_error_of_rank_0_reaches_all(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()  # a file where the folder must be
    assert finish(*start_ranks(2, tmp_path, small(), 0.2, torch.float32)) == [0, 0]
    texts = {(tmp_path / f"error_{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)}
    assert len(texts) == 1 and "CheckpointError" in texts.pop()


def hold(folder: Path) -> None:
    with alone_in(folder):
        time.sleep(60)


def test_a_second_run_in_a_folder_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    process = start(hold, tmp_path)
    while not (tmp_path / "lock").exists() or not (tmp_path / "lock").read_text(encoding="utf-8"):
        time.sleep(0.01)
    with pytest.raises(ConfigError, match=f"another run is writing here \\(pid {process.pid} on .* since "):
        run(tmp_path)
    process.kill()
    assert finish(process) == [-signal.SIGKILL]
    assert run(tmp_path).step == 20
