"""What the loop promises of one uninterrupted run, and of one that is stopped in an orderly way."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from train_jobs import Tiny, curve, data, ending, evaluate, run, small, with_nan, with_signal

from omnifuse.errors import CheckpointError, ConfigError, InputError, NonFiniteError
from omnifuse.objectives.base import Objective
from omnifuse.train import checkpoint
from omnifuse.train.log import read_log


def training_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for row in curve(folder) if "loss" in row]


def test_same_seed_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, small(seed=seed))
    assert ending(tmp_path / "a") == ending(tmp_path / "b")
    assert training_rows(tmp_path / "a")[0]["loss"] != training_rows(tmp_path / "c")[0]["loss"]


def test_it_learns_and_tells(tmp_path: Path) -> None:
    result = run(tmp_path / "a", small(steps=150, save_steps=0, evaluate_steps=50, log_steps=50))
    rows = training_rows(tmp_path / "a")
    assert [row["step"] for row in rows] == [50, 100, 150] and rows[-1]["loss"] < 0.5 * training_rows_first(tmp_path)
    assert result.step == 150 and not result.stopped and result.metrics["loss"] == rows[-1]["loss"]
    assert {"lr", "grad_norm", "value", "places_per_second", "data_share", "memory_gb"} <= result.metrics.keys()
    assert 0 <= result.metrics["data_share"] <= 1 and result.evaluation["step"] == 150
    assert [path.name for path in checkpoint.steps_in(tmp_path / "a" / "checkpoints")] == ["step_000000150"]


def training_rows_first(tmp_path: Path) -> float:
    run(tmp_path / "first", small(steps=1, warmup_steps=0))
    return training_rows(tmp_path / "first")[0]["loss"]


def test_evaluation_and_saving_do_not_touch_training(tmp_path: Path) -> None:
    run(tmp_path / "with")
    run(tmp_path / "without", small(evaluate_steps=0, save_steps=0, best=""), evaluate=None)
    assert training_rows(tmp_path / "with") == training_rows(tmp_path / "without")


def test_evaluation_sees_the_averaged_weights_in_eval_mode_and_the_caller_gets_them(tmp_path: Path) -> None:
    seen: dict[int, torch.Tensor] = {}

    def look(objective: Objective, step: int) -> dict[str, float]:
        assert not objective.training
        seen[step] = objective.get_parameter("out.weight").detach().clone()
        return evaluate(objective, step)

    objective = Tiny()
    run(tmp_path, objective=objective, evaluate=look)
    newest = checkpoint.newest(tmp_path / "checkpoints")[0]
    assert newest is not None
    average = checkpoint.read_tensors(newest, "ema")["out.weight"]
    assert torch.equal(seen[20], average) and torch.equal(objective.out.weight, average)
    assert not torch.equal(checkpoint.read_tensors(newest, "model")["out.weight"], average)
    assert torch.equal(checkpoint.trained_weights(tmp_path / "checkpoints")["out.weight"], average)


def test_the_best_evaluation_keeps_its_weights(tmp_path: Path) -> None:
    scores = {5: 0.1, 10: 0.7, 15: 0.3, 20: 0.7}
    kept: dict[int, torch.Tensor] = {}

    def score(objective: Objective, step: int) -> dict[str, float]:
        kept[step] = objective.get_parameter("out.weight").detach().clone()
        return {"score": scores[step], "val_loss": scores[step]}

    result = run(tmp_path / "high", evaluate=score)
    assert result.best["score"] == 0.7
    assert torch.equal(checkpoint.trained_weights(tmp_path / "high" / "best")["out.weight"], kept[10])
    run(tmp_path / "low", small(best="val_loss"), evaluate=score)
    assert torch.equal(checkpoint.trained_weights(tmp_path / "low" / "best")["out.weight"], kept[5])
    with pytest.raises(ConfigError, match=r"'miou'.*\['score', 'val_loss'\]"):
        run(tmp_path / "none", small(best="miou"), evaluate=score)


def test_accumulation_adds_up_to_the_whole_batch(tmp_path: Path) -> None:
    for name, accumulation in (("one", 1), ("four", 4)):
        config = small(accumulation=accumulation)
        run(tmp_path / name, config, objective=Tiny(0.0, torch.float64), batches=data(config, dtype=torch.float64))
    for one, four in zip(training_rows(tmp_path / "one"), training_rows(tmp_path / "four"), strict=True):
        assert one["loss"] == pytest.approx(four["loss"], rel=1e-12)
        assert one["grad_norm"] == pytest.approx(four["grad_norm"], rel=1e-12)


def test_a_finished_run_is_only_loaded(tmp_path: Path) -> None:
    run(tmp_path)
    before = ending(tmp_path)
    objective = Tiny()
    result = run(tmp_path, objective=objective, batches=lambda step: pytest.fail("no data is needed"))
    assert result.step == 20 and ending(tmp_path) == before
    assert torch.equal(objective.out.weight, checkpoint.trained_weights(tmp_path / "checkpoints")["out.weight"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_after_the_step_and_nothing_is_lost(tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture) -> None:
    config, handlers = small(), [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    result = run(tmp_path / "stopped", config, batches=with_signal(data(config), config, 9, number))
    assert (result.step, result.stopped) == (10, True) and "same command goes on" in caplog.text
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert not run(tmp_path / "stopped", config).stopped  # step 10 was due to be evaluated; it is, now
    run(tmp_path / "reference", config)
    assert ending(tmp_path / "stopped") == ending(tmp_path / "reference")


def test_a_second_interrupt_is_at_once(tmp_path: Path) -> None:
    config = small()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, config, batches=with_signal(data(config), config, 9, signal.SIGINT, signal.SIGINT))
    assert checkpoint.steps_in(tmp_path / "checkpoints")[-1].name == "step_000000009"


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_changes_no_weight(tmp_path: Path, where: str) -> None:
    config, objective = small(save_steps=7), Tiny()
    batches = with_nan(data(config), config, 7) if where == "loss" else data(config)
    if where == "gradient":
        calls = iter(range(100))
        broken = torch.full((2, 8), torch.inf)
        objective.query.register_hook(lambda gradient: broken if next(calls) == 15 else gradient)  # type: ignore[no-untyped-call]
    with pytest.raises(NonFiniteError, match=rf"step 7: {'the loss on rank 0' if where == 'loss' else 'a gradient'}.*7000, .*Try:"):
        run(tmp_path, config, objective=objective, batches=batches)
    saved = checkpoint.read_tensors(tmp_path / "checkpoints" / "step_000000007", "model")
    assert all(torch.equal(value, saved[name]) for name, value in objective.state_dict().items())
    assert len(checkpoint.steps_in(tmp_path / "checkpoints")) == 1
    run(tmp_path, config)
    run(tmp_path / "reference", config)
    assert ending(tmp_path) == ending(tmp_path / "reference")


def test_a_full_disk_stops_the_run_and_costs_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))

    def full(*arguments: Any) -> None:
        if next(calls) >= 10:
            raise OSError(28, "No space left on device")
        save_file(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match=r"step_.*No space left.*MB are free.*Try:"):
        run(tmp_path / "full")
    monkeypatch.undo()
    run(tmp_path / "full")
    run(tmp_path / "reference")
    assert ending(tmp_path / "full") == ending(tmp_path / "reference")


def test_a_run_goes_on_only_as_it_began(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = small()
    run(tmp_path, config, batches=with_signal(data(config), config, 9), fingerprint="a1")
    for change in ({"seed": 1}, {"batch_size": 16, "learning_rate": 0.5}, {"accumulation": 1}, {"steps": 30}):
        with pytest.raises(ConfigError) as failure:
            run(tmp_path, small(**change), fingerprint="a1")
        assert all(f"`{name}` is {value}, was " in str(failure.value) for name, value in change.items())
    with pytest.raises(ConfigError, match="`fingerprint` is 'b2', was 'a1'"):
        run(tmp_path, config, fingerprint="b2")
    with pytest.raises(ConfigError, match="a run lies here"):
        run(tmp_path, config, resume=False, fingerprint="a1")
    assert run(tmp_path, small(workers=3, log_steps=2, save_steps=7, keep=4), fingerprint="a1").step == 20


def test_a_best_without_its_checkpoints_is_put_aside(tmp_path: Path) -> None:
    run(tmp_path, small(seed=5))
    (tmp_path / "checkpoints").rename(tmp_path / "moved")
    run(tmp_path)
    assert (tmp_path / "best.old").is_dir()
    run(tmp_path / "reference")
    assert ending(tmp_path) == ending(tmp_path / "reference")


def test_start_is_refused_for_what_the_launcher_cannot_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 processes were asked for, the launcher started 1"):
        run(tmp_path, small(processes=2))
    config = small()
    with pytest.raises(InputError, match="ended at step 4 of 20"):
        run(tmp_path, config, batches=lambda first: data(small(steps=4))(first))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: not a folder that can be written"):
        run(tmp_path / "file")


def test_half_precision_leaves_the_objective_as_it_was_and_another_precision_may_follow(tmp_path: Path) -> None:
    objective = Tiny()
    seen: list[torch.dtype] = []
    objective.out.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    config = small(steps=2, warmup_steps=0)
    run(tmp_path / "bf16", small(steps=2, warmup_steps=0, precision="bf16"), objective=objective, batches=data(config))
    assert seen[0] == torch.bfloat16 and objective.out.weight.dtype == torch.float32
    assert not {"forward", "_original_forward", "_is_accelerate_prepared"} & objective.__dict__.keys()
    seen.clear()
    run(tmp_path / "no", config, objective=objective)
    assert seen[0] == torch.float32


def test_the_log_forgets_what_a_lost_stretch_wrote(tmp_path: Path) -> None:
    run(tmp_path)
    for path in checkpoint.steps_in(tmp_path / "checkpoints")[1:]:
        path.rename(tmp_path / path.name)
    assert checkpoint.steps_in(tmp_path / "checkpoints")[0].name == "step_000000018"
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 21, "lo')
    run(tmp_path)
    steps = [row["step"] for row in read_log(tmp_path / "log.jsonl") if "loss" in row]
    assert steps == list(range(1, 21))


def test_a_run_is_told_on_lines_when_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "quiet", describe="pretraining")
    lines = capsys.readouterr().out.splitlines()
    evaluations = [line for line in lines if "score" in line]
    assert len(evaluations) == 4 and len(lines) == 6  # every evaluation; of a training that is over within seconds, start and end
    monkeypatch.setattr("omnifuse.train.console.PAUSE", -1.0)
    run(tmp_path, describe="pretraining")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 24
    assert lines[0].startswith("pretraining 1/20  loss ") and "eta" not in lines[0] and "eta 0:00:0" in lines[10]
    assert os.linesep not in lines[0]
