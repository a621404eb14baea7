"""The tracker never ends a run, whatever it finds; the local log is complete."""

import logging
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from train_jobs import curve, finish, quiet, run, small, start

from omnifuse.train.log import read_log
from omnifuse.train.tracker import Tracker, has_key, usable_folder


def picture(path: Path) -> Path:
    """Draw what a report might show."""
    from matplotlib.figure import Figure

    Figure().savefig(path)
    return path


def wandb_job(folder: Path, variables: dict[str, str]) -> None:
    quiet()
    os.environ.update(HOME=str(folder), **variables)
    logging.basicConfig(filename=folder / "messages.txt")
    began = time.monotonic()
    run(folder / "run", small(tracker="wandb"), report=lambda: [picture(folder / "run" / "loss.png")])
    (folder / "seconds.txt").write_text(str(time.monotonic() - began), encoding="utf-8")


def test_offline_rows_wait_in_the_run_folder(tmp_path: Path) -> None:
    assert finish(start(wandb_job, tmp_path, {"WANDB_MODE": "offline"})) == [0]
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(read_log(tmp_path / "run" / "log.jsonl")) == 24
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/report/loss_*.png"))


def test_the_tracker_gets_the_rows_of_the_log_and_the_pictures_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    class Run:
        def log(self, row: dict[str, Any], step: int | None = None) -> None:
            told.append(row if step is None else {**row, "step": step})

        def finish(self) -> None:
            told.append({"finished": True})

    fake = types.ModuleType("wandb")
    monkeypatch.setattr(fake, "Settings", dict, raising=False)
    monkeypatch.setattr(fake, "Image", lambda path: path, raising=False)
    monkeypatch.setattr(fake, "init", lambda **options: Run(), raising=False)
    monkeypatch.setitem(sys.modules, "wandb", fake)

    def report() -> list[Path]:
        assert len(read_log(tmp_path / "log.jsonl")) == 24  # all rows are there by now
        return [tmp_path / "retrieval.png"]

    run(tmp_path, small(tracker="wandb"), report=report)
    assert told[:-2] == read_log(tmp_path / "log.jsonl")
    assert told[-2:] == [{"report/retrieval": str(tmp_path / "retrieval.png")}, {"finished": True}]


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"WANDB_API_KEY": "0" * 40}, {}])
def test_without_network_or_account_the_run_goes_on(tmp_path: Path, variables: dict[str, str]) -> None:
    closed = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_DIR": "/proc/nowhere"}
    assert finish(start(wandb_job, tmp_path, {**closed, **variables})) == [0]
    run(tmp_path / "reference")
    assert curve(tmp_path / "run") == curve(tmp_path / "reference")
    assert "WANDB_DIR=/proc/nowhere cannot be used" in (tmp_path / "messages.txt").read_text(encoding="utf-8")
    seconds = float((tmp_path / "seconds.txt").read_text(encoding="utf-8"))
    print(f"{seconds:.1f} s with a tracker that cannot be reached")
    assert seconds < 25


def test_a_tracker_that_breaks_in_the_middle_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Run:
        def log(self, row: dict[str, Any], step: int) -> None:
            if step > 5:
                raise ConnectionError("gone")

        def finish(self) -> None:
            raise ConnectionError("still gone")

    fake = types.ModuleType("wandb")
    monkeypatch.setattr(fake, "Settings", dict, raising=False)
    monkeypatch.setattr(fake, "init", lambda **options: Run(), raising=False)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert run(tmp_path, small(tracker="wandb")).step == 20
    assert caplog.text.count("wandb failed at step 6") == 1
    assert len(read_log(tmp_path / "log.jsonl")) == 24


def test_a_start_that_fails_falls_back_to_offline_then_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    modes: list[str] = []

    def init(**options: Any) -> None:
        modes.append(options["mode"])
        raise TimeoutError("no answer")

    fake = types.ModuleType("wandb")
    monkeypatch.setattr(fake, "Settings", dict, raising=False)
    monkeypatch.setattr(fake, "init", init, raising=False)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tracker = Tracker(tmp_path, "project", {})
    tracker.write({"step": 1, "loss": 1.0})
    tracker.close()
    assert modes == ["online", "offline"] and caplog.text.count("no answer") == 2


def test_a_key_is_looked_for_where_wandb_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_key()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password 0000\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    assert has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "0000")
    assert has_key()


def test_a_folder_that_wandb_cannot_use_is_replaced_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "file" / "below"))
    assert usable_folder(tmp_path) == tmp_path and "cannot be used" in caplog.text
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "good"))
    assert usable_folder(tmp_path) == tmp_path / "good"
