"""The pure parts of training: configuration, schedule, parameter groups, average, log and display."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from train_jobs import Tiny, small

from omnifuse.config import from_dict, to_dict
from omnifuse.errors import CheckpointError, ConfigError, OmnifuseError
from omnifuse.train.config import TrainConfig
from omnifuse.train.console import Display, Pace, duration
from omnifuse.train.ema import Ema
from omnifuse.train.log import RunLog, read_log
from omnifuse.train.optimizer import build_optimizer, gradient_norm, load_optimizer, optimizer_tensors, parameter_groups
from omnifuse.train.ranks import mean, refuse_fewer
from omnifuse.train.schedule import lr_at


def test_the_learning_rate_rises_to_its_peak_and_falls_to_its_floor() -> None:
    config = TrainConfig(steps=110, batch_size=1, learning_rate=0.5, warmup_steps=10, final_ratio=0.1)
    rates = [lr_at(step, config) for step in range(111)]
    assert rates[:10] == pytest.approx([0.05 * (step + 1) for step in range(10)])
    assert rates[10] == 0.5 and rates[60] == pytest.approx(0.5 * 0.55) and rates[110] == pytest.approx(0.05)
    assert all(a >= b for a, b in pairwise(rates[9:])) and min(rates) > 0


def test_no_warm_up_starts_at_the_peak_and_only_warm_up_ends_there() -> None:
    assert lr_at(0, TrainConfig(steps=1, batch_size=1, learning_rate=0.5)) == 0.5
    assert lr_at(9, TrainConfig(steps=10, batch_size=1, learning_rate=0.5, warmup_steps=10)) == 0.5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("keep", 1),
        ("ema", 1.0),
        ("warmup_steps", 21),
        ("final_ratio", 1.5),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("log_steps", 0),
        ("accumulation", 3),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        small(**{field: value})
    with pytest.raises(ConfigError, match=rf"run\.json.*{field}"):
        from_dict(TrainConfig, {**to_dict(small()), field: value}, "run.json")


def test_choices_and_unknown_fields_are_refused() -> None:
    with pytest.raises(ConfigError, match="precision"):
        from_dict(TrainConfig, {"steps": 1, "batch_size": 1, "precision": "fp8"}, "run.json")
    with pytest.raises(ConfigError, match="leraning_rate"):
        from_dict(TrainConfig, {"steps": 1, "batch_size": 1, "leraning_rate": 1}, "run.json")
    assert from_dict(TrainConfig, to_dict(small()), "run.json") == small()


def test_the_micro_batch_divides_the_global_batch() -> None:
    assert small(batch_size=24, accumulation=2).micro_batch_size(3) == 4
    with pytest.raises(ConfigError, match=r"batch_size \(8\).*accumulation \(2\) × processes \(3\)"):
        small().micro_batch_size(3)
    with pytest.raises(ConfigError, match="2 processes were asked for, the launcher started 1"):
        small(processes=2).micro_batch_size(1)


class Zoo(nn.Module):
    """One of every kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv, self.norm = nn.Linear(3, 4), nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)
        self.attention, self.table = nn.MultiheadAttention(4, 2), nn.Embedding(5, 4)
        self.query, self.temperature = nn.Parameter(torch.zeros(1, 2, 4)), nn.Parameter(torch.zeros(()))
        self.frozen = nn.Linear(3, 4).requires_grad_(False)


def test_only_weights_of_linear_and_convolution_layers_decay() -> None:
    decaying, others = parameter_groups(Zoo(), 0.05)
    assert set(decaying["names"]) == {"linear.weight", "conv.weight", "attention.in_proj_weight", "attention.out_proj.weight"}
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    trainable = {name for name, parameter in Zoo().named_parameters() if parameter.requires_grad}
    assert {*decaying["names"], *others["names"]} == trainable and len(trainable) == 13


def test_the_optimizer_comes_back_by_name() -> None:
    model, other = Tiny(), Tiny()
    optimizers = [build_optimizer(m, small()) for m in (model, other)]
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizers[0].step()
    other.load_state_dict(model.state_dict())
    load_optimizer(optimizers[1], optimizer_tensors(optimizers[0]), "here")
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        a.grad = b.grad = torch.ones_like(a)
    for optimizer in optimizers:
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(CheckpointError, match=r"here: optimizer state `elsewhere.weight/exp_avg` of shape \(1,\)"):
        load_optimizer(optimizers[1], {"elsewhere.weight/exp_avg": torch.zeros(1)}, "here")


@pytest.mark.parametrize(("limit", "kept"), [(0.0, 5.0), (1.0, 1.0), (10.0, 5.0)])
def test_the_gradient_is_cut_to_the_limit_and_its_true_norm_told(limit: float, kept: float) -> None:
    model = nn.Linear(1, 1)
    model.weight.grad, model.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    assert gradient_norm(build_optimizer(model, small()), limit) == 5
    assert math.hypot(model.weight.grad.item(), model.bias.grad.item()) == pytest.approx(kept, rel=1e-5)


def test_the_average_forgets_its_start_then_decays() -> None:
    model = nn.Linear(1, 1, bias=False)
    ema, expected = Ema(model, 0.5), model.weight.item()
    for step in range(30):
        model.weight.data.fill_(step)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert ema.tensors()["weight"].item() == pytest.approx(expected)


def test_the_average_stands_in_and_goes_bit_for_bit() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    ema = Ema(model, 0.9)
    nn.init.normal_(model.get_parameter("0.weight"))
    own, average = {k: v.clone() for k, v in model.state_dict().items()}, {k: v.clone() for k, v in ema.tensors().items()}
    with ema.applied():
        assert all(torch.equal(value, average[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, average[name]) for name, value in ema.tensors().items())


def test_a_torn_last_line_is_left_out_and_any_other_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_bytes(b'{"step": 1, "loss": 2.5}\n{"step": 2, "lo\xc3')
    assert read_log(path) == [{"step": 1, "loss": 2.5}]
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(OmnifuseError, match=r"log\.jsonl: line 2"):
        read_log(path)


def test_a_log_goes_on_from_the_resumed_step_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "eval/iou": 0.5}\n{"step": 3}\n{"step"', encoding="utf-8")
    log = RunLog(path, 2)
    assert log.evaluated(2) and not log.evaluated(1)
    log.write({"step": 3, "loss": 1.0, "undefined": math.nan})
    assert read_log(path) == [{"step": 1}, {"step": 2, "eval/iou": 0.5}, {"step": 3, "loss": 1.0}]  # before it is closed
    assert log.last(evaluation=True) == {"iou": 0.5} and log.last(evaluation=False)["step"] == 3
    log.close()


def test_a_metric_is_averaged_where_it_has_a_meaning() -> None:
    assert mean([{"a": 1.0, "b": math.nan}, {"a": 3.0, "b": 5.0}, {"c": math.nan}]) == {"a": 2.0, "b": 5.0}


def test_the_end_is_told_without_the_wait_for_the_first_data(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("omnifuse.train.console.time.monotonic", lambda: now[0])
    pace = Pace()
    for seconds in (1000.0, 2.0, 4.0):
        now[0] += seconds
        pace.tick()
    assert pace.seconds == 3.0
    for _ in range(5000):
        now[0] += 1.0
        pace.tick()
    assert pace.seconds == pytest.approx(1.0, abs=0.01)
    assert duration(3723.9) == "1:02:03"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Display("training", 10, 4) as display:
        display.step(5)
        display.show({"step": 5, "loss": 0.125, "lr": 0.1})
        display.show({"step": 5, "eval/miou": 0.75})
    shown = capsys.readouterr().out
    assert "5/10" in shown and "loss 0.125" in shown and "miou 0.75" in shown


CLUSTER = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "joined", "said"),
    [
        ({"WORLD_SIZE": "4"}, 1, r"WORLD_SIZE is 4, but 1 process was joined.*Try: `torchrun --nproc-per-node 4"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 2, "4, but 2 processes were joined"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, 1, "SLURM_STEP_NUM_TASKS is 2"),
        ({**CLUSTER, "ACCELERATE_DYNAMO_BACKEND": "NO"}, 1, "`accelerate launch` was asked for several processes and started one"),
    ],
)
def test_fewer_processes_than_asked_for_is_an_error(environment: dict[str, str], joined: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_fewer(environment, joined)


@pytest.mark.parametrize(
    ("environment", "joined"),
    [
        ({}, 1),
        ({"WORLD_SIZE": "2", **CLUSTER}, 2),
        ({"ACCELERATE_DYNAMO_BACKEND": "NO"}, 1),  # accelerate launch of one process
        ({"WORLD_SIZE": "8", "ACCELERATE_DYNAMO_BACKEND": "NO", "SLURM_STEP_NUM_TASKS": "2", **CLUSTER}, 8),  # one launcher per node
        (CLUSTER, 1),  # a cluster's shell, without a launcher
        ({"WORLD_SIZE": "1", "ACCELERATE_DYNAMO_BACKEND": "NO", **CLUSTER}, 1),
    ],
)
def test_as_many_processes_as_asked_for_is_none(environment: dict[str, str], joined: int) -> None:
    refuse_fewer(environment, joined)
