"""What the processes of a run decide together, so that none waits for one that has left."""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs, PartialState
from accelerate.state import AcceleratorState, is_initialized
from accelerate.utils import broadcast_object_list, gather_object, patch_environment
from torch import Tensor

from omnifuse.errors import ConfigError, OmnifuseError
from omnifuse.train.config import Precision

T = TypeVar("T")
# What torchrun, Open MPI, MPICH and SLURM call the number of processes they start.
_ASKED = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
TIMEOUT = timedelta(minutes=10)  # of one collective call; the slowest is waiting for rank 0 to write a checkpoint


def start(precision: Precision) -> Accelerator:
    """Join the processes that the launcher started. "auto" becomes bf16 where a GPU has it.

    Raises:
        ConfigError: where fewer processes were joined than the launcher was asked for: each would train alone.
    """
    AcceleratorState._reset_state()  # accelerate refuses a second precision in one process, e.g. fine-tuning after pretraining
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    cpu = "LOCAL_RANK" in os.environ and not torch.accelerator.is_available()  # else accelerate leaves torchrun's CPU processes apart
    with patch_environment(ACCELERATE_USE_FSDP="false"):  # sharding is ours, see `sharding`
        accelerator = Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[InitProcessGroupKwargs(timeout=TIMEOUT)])
    refuse_fewer(os.environ, accelerator.num_processes)
    return accelerator


def refuse_fewer(environment: Mapping[str, str], joined: int) -> None:
    """Raise `ConfigError` if the launcher, by what it has left in the environment, was asked for more processes than were joined."""
    asked = {name: int(environment[name]) for name in _ASKED if environment.get(name, "").isdigit()}
    for name, number in asked.items():
        if number > joined:
            raise ConfigError(
                f"training: {name} is {number}, but {joined} process{'es were' if joined > 1 else ' was'} joined: each would train "
                f"alone. Try: `torchrun --nproc-per-node {number} ...`."
            )
    # `accelerate launch --cpu --num_processes 2` sets an address to meet at, and then starts one process.
    if joined == 1 and "WORLD_SIZE" not in environment and {"ACCELERATE_DYNAMO_BACKEND", "MASTER_PORT"} <= environment.keys():
        raise ConfigError(
            "training: `accelerate launch` was asked for several processes and started one, as it does with `--cpu`. "
            "Try: `torchrun --nproc-per-node N ...`, or `accelerate launch --num_processes 1`."
        )


def leave() -> None:
    """Part from the other processes at the end of a script, so that none is torn away while another still speaks to it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def this_process() -> tuple[int, int]:
    """Return the number of this process and how many there are: what the launcher says, until `start` has joined them."""
    if not is_initialized():  # asking accelerate would settle how they are joined, and on CPUs leave each alone
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    state = PartialState()
    return state.process_index, state.num_processes


def on_rank_zero(accelerator: Accelerator, action: Callable[..., T], *arguments: Any) -> T:
    """Call `action` on rank 0 alone; every rank gets its result, or its error."""
    if accelerator.num_processes == 1:
        return action(*arguments)
    answer: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            answer[0] = action(*arguments)
        except OmnifuseError as error:
            answer[1] = error
        except Exception as error:
            answer[1] = RuntimeError(f"rank 0: {type(error).__name__}: {error}")
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def any_rank(accelerator: Accelerator, *flags: Tensor | bool) -> list[bool]:
    """Return, for each flag, whether it is set on any rank. The one CPU-GPU sync point of a step."""
    counts = torch.stack([torch.as_tensor(flag, device=accelerator.device).float() for flag in flags])
    return [count > 0 for count in accelerator.reduce(counts, "sum").tolist()]


def from_all_ranks(accelerator: Accelerator, value: T) -> list[T]:
    """Return the plain values of all ranks, in order."""
    return gather_object([value]) if accelerator.num_processes > 1 else [value]


def mean(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Average each key over the rows in which it is finite: NaN is a metric that has no meaning in that micro-batch."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if abs(value) < float("inf"):
                values.setdefault(name, []).append(value)
    return {name: sum(kept) / len(kept) for name, kept in values.items()}


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return the fields that differ, such as `seed is 1, was 0`; empty if none does."""
    names = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    return ", ".join(f"`{name}` is {found.get(name)!r}, was {expected.get(name)!r}" for name in names)


def check_same(accelerator: Accelerator, value: Mapping[str, Any], what: str) -> None:
    """Raise `ConfigError` on every rank if `value` differs between ranks."""
    everyone = from_all_ranks(accelerator, value)
    odd = {rank: text for rank, other in enumerate(everyone) if (text := differences(other, everyone[0]))}
    if odd:
        raise ConfigError(
            f"{what}: on rank {next(iter(odd))} {next(iter(odd.values()))} on rank 0. "
            "Try: start all processes with the same files and flags."
        )
