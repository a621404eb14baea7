"""FSDP2 is the same training as DDP, and a run may change from one to the other."""

from pathlib import Path

import pytest
import torch
from contrast_jobs import run_contrast, settings, start_contrast
from safetensors.torch import load_file
from sharding_jobs import OBJECTIVES, start_objective
from test_elastic import close
from train_jobs import Tiny, curve, data, ending, finish, run, small, start_ranks, with_signal

from omnifuse.train import checkpoint
from omnifuse.train.config import TrainConfig
from omnifuse.train.log import Row

FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_TRANSFORMER_CLS_TO_WRAP": "UTAE"}
BLOCKS = {**FSDP2, "FSDP_TRANSFORMER_CLS_TO_WRAP": "UTAE,ViT,Block,EvaBlock"}
ROOT_ONLY = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


def same_tensors(folder: Path, reference: Path, rounding: float) -> None:
    """Compare weights, moments, averages and the best weights."""
    for kind in ("checkpoints", "best"):
        paths = [checkpoint.newest(run / kind)[0] for run in (folder, reference)]
        assert paths[0] and paths[1] and paths[0].name == paths[1].name
        for name in ("model", "optimizer", "ema") if kind == "checkpoints" else ("model",):
            found, expected = (checkpoint.read_tensors(path, name) for path in paths if path)
            assert list(found) == list(expected)
            for key, value in expected.items():
                torch.testing.assert_close(found[key], value, rtol=rounding, atol=rounding, msg=lambda text, key=key: f"{key}: {text}")


def same_curve(rows: list[Row], expected: list[Row], rounding: float) -> None:
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=rounding, abs=rounding)


def test_a_contrast_in_pieces_is_that_of_one_process(tmp_path: Path) -> None:
    """With one place per micro-batch, so that most lack a sensor, temperatures beside the pieces, and an average."""
    run_contrast(tmp_path / "one", settings(1, batch_size=4, ema=0.9))
    config = settings(2, batch_size=4, ema=0.9)
    assert finish(*start_contrast(2, tmp_path / "two", config, torch.float64, environment=FSDP2)) == [0, 0]
    close(tmp_path / "two", tmp_path / "one", 1e-10)
    newest = checkpoint.newest(tmp_path / "two" / "checkpoints")[0]
    assert newest and checkpoint.verify(newest)["about"]["strategy"] == "sharded"
    weights, expected = (checkpoint.trained_weights(tmp_path / name / "checkpoints") for name in ("two", "one"))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-8, atol=1e-10)


def test_a_run_in_pieces_goes_on_whole_and_a_whole_one_in_pieces(tmp_path: Path) -> None:
    config = small(steps=10)
    run(tmp_path / "whole", config, objective=Tiny(0.0, torch.float64), batches=data(config, dtype=torch.float64))

    first = tmp_path / "pieces first"
    assert finish(*start_ranks(2, first, config, 0.0, torch.float64, "signal", ROOT_ONLY)) == [0, 0]
    assert (first / "result_0.txt").read_text(encoding="utf-8") == "8 True"
    run(first, config, objective=Tiny(0.0, torch.float64), batches=data(config, dtype=torch.float64))

    second = tmp_path / "whole first"
    stopping = with_signal(data(config, dtype=torch.float64), config, 3)
    assert run(second, config, objective=Tiny(0.0, torch.float64), batches=stopping).stopped
    assert finish(*start_ranks(2, second, config, 0.0, torch.float64, "", ROOT_ONLY)) == [0, 0]

    averaged = checkpoint.read_tensors(checkpoint.newest(second / "checkpoints")[0], "ema")
    for rank in (0, 1):
        handed = load_file(second / f"handed_{rank}.safetensors")
        assert list(handed) == list(averaged) and all(torch.equal(handed[name], value) for name, value in averaged.items())

    for folder in (first, second):
        same_tensors(folder, tmp_path / "whole", 1e-10)
        same_curve(curve(folder), curve(tmp_path / "whole"), 1e-10)


@pytest.mark.slow
def test_stopping_is_nothing_in_pieces_too(tmp_path: Path) -> None:
    config = small()
    assert finish(*start_ranks(2, tmp_path / "whole", config, 0.2, torch.float32, environment=ROOT_ONLY)) == [0, 0]
    for fault in ("signal", ""):
        assert finish(*start_ranks(2, tmp_path / "cut", config, 0.2, torch.float32, fault, ROOT_ONLY)) == [0, 0]
    assert ending(tmp_path / "cut") == ending(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_pieces_are_the_same_training_as_ddp_at_length(tmp_path: Path, dtype: torch.dtype, rounding: float) -> None:
    """The contrast, gathered and in a ring; on three processes every parameter is cut unevenly."""
    for world, accumulation, ring in ((2, 1, False), (2, 2, True), (3, 1, False)):
        config = settings(accumulation, learning_rate=1e-4, batch_size=12, steps=12)
        folders = [tmp_path / f"{name} {world} {accumulation}" for name in ("ddp", "fsdp2")]
        for folder, environment in zip(folders, ({}, FSDP2), strict=True):
            assert finish(*start_contrast(world, folder, config, dtype, ring=ring, environment=environment)) == [0] * world
        close(folders[1], folders[0], rounding)


@pytest.mark.slow
def test_a_supervised_run_in_pieces_is_that_of_ddp_and_changes_the_number_of_processes(tmp_path: Path) -> None:
    config = small(batch_size=12)
    for name, world, environment in (("ddp", 2, {}), ("fsdp2", 2, ROOT_ONLY)):
        assert finish(*start_ranks(world, tmp_path / name, config, 0.0, torch.float64, environment=environment)) == [0] * world
    for fault, world in (("signal", 3), ("", 2)):
        assert finish(*start_ranks(world, tmp_path / "fewer", config, 0.0, torch.float64, fault, ROOT_ONLY)) == [0] * world
    for name in ("fsdp2", "fewer"):
        same_tensors(tmp_path / name, tmp_path / "ddp", 1e-10)
        same_curve(curve(tmp_path / name), curve(tmp_path / "ddp"), 1e-10)


def test_a_class_that_the_model_has_not_is_an_error_that_lists_those_it_has(tmp_path: Path) -> None:
    environment = {**FSDP2, "FSDP_TRANSFORMER_CLS_TO_WRAP": "Blok"}
    assert finish(*start_ranks(2, tmp_path, small(), 0.0, torch.float32, environment=environment)) == [0, 0]
    error = (tmp_path / "error_1.txt").read_text(encoding="utf-8")
    assert error.startswith("ConfigError") and "Blok" in error and "LayerNorm, Linear, Tiny" in error


SLOWEST = ("compiled contrast", "bf16")  # compilation takes a minute; once is enough


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [(name, kind) for name in OBJECTIVES for kind in ("no", "bf16") if (name, kind) != SLOWEST])
def test_every_objective_is_the_same_in_pieces(tmp_path: Path, name: str, precision: str) -> None:
    """Encoders and the blocks of a ViT are gathered one at a time."""
    config = TrainConfig(steps=4, batch_size=8, accumulation=2, learning_rate=1e-3, ema=0.9, precision=precision, log_steps=1)
    for kind, environment in (("ddp", {}), ("fsdp2", BLOCKS)):
        assert finish(*start_objective(name, 2, tmp_path / kind, config, environment), seconds=300) == [0, 0]
    same_curve(curve(tmp_path / "fsdp2"), curve(tmp_path / "ddp"), 1e-4)
