"""A kill, a power cut or a full disk at any point of a save leaves a whole checkpoint; damage is noticed."""

import logging
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from omnifuse.config import read_json, write_json
from omnifuse.errors import CheckpointError
from omnifuse.train import checkpoint


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def tensors(step: int) -> dict[str, dict[str, Tensor]]:
    return {name: {"w": torch.full((300,), float(step)), "b": torch.tensor(step)} for name in ("model", "optimizer", "ema")}


def save(folder: Path, step: int, keep: int = 2) -> Path:
    return checkpoint.save(folder, step, tensors(step), {"about": {"name": "São Paulo"}}, keep)


def holds(path: Path | None, step: int) -> bool:
    assert path is not None
    state = checkpoint.verify(path)
    return state["step"] == step and all(torch.equal(checkpoint.read_tensors(path, n)["w"], t["w"]) for n, t in tensors(step).items())


class FileSystem:
    """Dies before or after the n-th call that changes the disk; a power cut halves every file that was not flushed."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, flushed: set[int]) -> None:
        self.calls, self.at, self.flushed = 0, at, flushed
        for module, name in (
            (os, "mkdir"),
            (os, "rename"),
            (os, "fsync"),
            (shutil, "rmtree"),
            (checkpoint, "save_file"),
            (checkpoint, "write_json"),
        ):
            patch.setattr(module, name, self.wrap(getattr(module, name), name))

    def wrap(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.point()
            result = call(*arguments, **options)
            if name == "fsync":
                self.flushed.add(os.fstat(arguments[0]).st_ino)
            self.point()
            return result

        return wrapped

    def point(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Killed

    def cut_power(self, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file() and file.stat().st_ino not in self.flushed:
                os.truncate(file, file.stat().st_size // 2)


def crash(folder: Path, whole: Path, at: int, power_cut: bool) -> int:
    """Save step 3 after the two of `whole`, dying at the given point; return the points passed."""
    shutil.copytree(whole, folder)
    with pytest.MonkeyPatch.context() as patch:
        disk = FileSystem(patch, at, flushed={file.stat().st_ino for file in folder.rglob("*")})
        try:
            save(folder, 3)
        except Killed:
            if power_cut:
                disk.cut_power(folder)
        return disk.calls


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    save(tmp_path / "whole", 1)
    save(tmp_path / "whole", 2)
    return tmp_path / "whole"


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_crash_at_any_point_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path, whole: Path, power_cut: bool) -> None:
    points = crash(tmp_path / "count", whole, 0, power_cut)
    assert points > 30
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        crash(folder, whole, at, power_cut)
        found = checkpoint.recover(folder)
        assert holds(found, 2) or holds(found, 3), at
        assert len(checkpoint.steps_in(folder)) >= 2, at
        save(folder, 4)
        assert holds(checkpoint.recover(folder), 4)
        assert sorted(path.name for path in folder.iterdir())[-1] == "step_000000004"
        assert len(list(folder.iterdir())) == 2, "leftovers"


def test_without_flushing_a_power_cut_would_damage_the_newest(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above: it can fail."""
    monkeypatch.setattr(checkpoint, "sync", lambda path: None)
    damaged = 0
    points = crash(tmp_path / "count", whole, 0, True)
    for at in range(1, points + 1):
        crash(tmp_path / str(at), whole, at, True)
        damaged += bool(checkpoint.newest(tmp_path / str(at))[1])
    assert damaged > 0


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "flip": lambda path, older: flip(path),
    "truncate": lambda path, older: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path, older: os.truncate(path, 0),
    "delete": lambda path, older: path.unlink(),
    "swap": lambda path, older: shutil.copy(older, path),
}
FILES = ("model.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json", checkpoint.MANIFEST)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_the_previous_one_is_used(tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    older, newer = save(tmp_path, 10), save(tmp_path, 200)
    DAMAGES[damage](newer / file, older / file)
    with caplog.at_level(logging.WARNING):
        assert holds(checkpoint.recover(tmp_path), 10)
    assert str(newer) in caplog.text and "Going back to" in caplog.text
    assert (tmp_path / "step_000000200.bad").is_dir() and not newer.exists()


def test_a_checkpoint_under_another_step_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1).rename(tmp_path / "step_000000007")
    with pytest.raises(CheckpointError, match="holds step 1"):
        checkpoint.verify(tmp_path / "step_000000007")


def test_a_manifest_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    manifest = read_json(path / checkpoint.MANIFEST)
    write_json(path / checkpoint.MANIFEST, {**manifest, "../other": {"size": 0, "sha256": ""}})
    (tmp_path / "other").touch()
    with pytest.raises(CheckpointError, match="missing"):
        checkpoint.verify(path)


def test_if_none_is_whole_nothing_starts_anew_unnoticed(tmp_path: Path) -> None:
    flip(save(tmp_path, 1) / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"none of 1 checkpoints is whole.*model\.safetensors.*Try:"):
        checkpoint.recover(tmp_path)
    assert checkpoint.recover(tmp_path / "new") is None


def test_the_order_is_in_the_name_not_in_the_clock(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save(tmp_path, step, keep=3)
    os.utime(tmp_path / "step_000000009")
    assert holds(checkpoint.recover(tmp_path), 100)


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 10, 100, 500, 1000])
def test_a_write_that_fails_leaves_the_older_ones_whole(tmp_path: Path, small_files: Callable[[int], None], limit: int) -> None:
    save(tmp_path, 1)
    small_files(limit)
    with pytest.raises(CheckpointError) as failure:
        save(tmp_path, 2)
    small_files(10**9)
    assert str(tmp_path / "step_000000002") in str(failure.value) and "MB are free" in str(failure.value) and "Try:" in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000001"]
    assert holds(checkpoint.recover(tmp_path), 1)


def test_saving_over_a_leftover_of_the_same_step(tmp_path: Path) -> None:
    (tmp_path / ".tmp_step_000000001").mkdir()
    (tmp_path / "step_000000001").mkdir()
    assert holds(save(tmp_path, 1), 1)


def test_tied_weights_are_saved_and_loaded(tmp_path: Path) -> None:
    first = nn.Linear(2, 2)
    model = nn.Sequential(first, nn.Linear(2, 2))
    model[1].weight = first.weight
    path = checkpoint.save(tmp_path, 1, {"model": model.state_dict()}, {}, 2)
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    checkpoint.load_strict(other, checkpoint.read_tensors(path, "model"), str(path))
    assert torch.equal(other.get_parameter("1.weight"), first.weight)


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"here: 1 tensors .*weight \(3, 2\).*weight \(2, 2\)"):
        checkpoint.load_strict(nn.Linear(2, 2), {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, "here")


def test_trained_weights_are_the_averaged_ones_and_reading_changes_nothing(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"model": {"w": torch.zeros(1)}, "ema": {"w": torch.ones(1)}}, {}, 2)
    flip(save(tmp_path, 2) / "model.safetensors")
    assert checkpoint.trained_weights(tmp_path)["w"] == 1
    assert len(checkpoint.steps_in(tmp_path)) == 2
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        checkpoint.trained_weights(tmp_path / "nothing")
