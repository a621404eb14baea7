"""What the processes of a distributed test do: each takes its rows or places, and leaves loss and gradients in a file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny import places, sensors
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from train_jobs import context, finish, free_port, join, quiet

from omnifuse.frames import Batch
from omnifuse.losses import info_nce, info_nce_sums, unit
from omnifuse.nn.exchange import Processes, sizes, total
from omnifuse.nn.negatives import Marks, Negatives
from omnifuse.objectives.base import Comparing, LossOutput
from omnifuse.objectives.combined import Combined
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.masked import MaskedConfig
from omnifuse.objectives.mil_nce import MilNCEConfig

Result = dict[str, Tensor]


def in_processes(world: int, folder: Path, job: Callable[..., Result], *arguments: object) -> list[Result]:
    """Run `job(rank, world, *arguments)` in gloo processes and return what each answers; none may hang."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    processes = [context.Process(target=_rank, args=(rank, world, port, folder, job, *arguments)) for rank in range(world)]
    for process in processes:
        process.start()
    assert finish(*processes, seconds=60) == [0] * world
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def _rank(rank: int, world: int, port: int, folder: Path, job: Callable[..., Result], *arguments: object) -> None:
    quiet()
    join(rank, world, port)
    dist.init_process_group("gloo")
    torch.save(job(rank, world, *arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


class Pair(nn.Module):
    """Two linear encoders and a temperature: the smallest thing that is trained by contrast."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a = nn.Linear(6, 5, dtype=dtype)
        self.b = nn.Linear(4, 5, dtype=dtype)
        self.log_scale = nn.Parameter(torch.tensor(1.5, dtype=dtype))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return unit(self.a(x)), unit(self.b(y)), (-self.log_scale).exp()


def rows(n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Marks]:
    """Return the whole batch of a pair: inputs of both sensors; rows 2i and 2i+1 are cells of place i, some of them near."""
    generator = torch.Generator().manual_seed(n)
    x, y = (torch.randn(n, d, generator=generator, dtype=dtype) for d in (6, 4))
    position = torch.rand(n, 2, generator=generator) * 60
    return x, y, Marks.of(torch.arange(n), torch.arange(n) // 2, position)


def plain(n: int, dtype: torch.dtype, radius: float, cosine: float) -> Result:
    """Return loss and gradients of one process with the whole matrix, and the near and the alike marked one by one."""
    model = Pair(dtype)
    x, y, marks = rows(n, dtype)
    a, b, temperature = model(x, y)
    near = (torch.cdist(marks.position.double(), marks.position.double()) < radius) & (marks.place[:, None] == marks.place)
    loss = 0.5 * info_nce_one_way(a, b, temperature, near, cosine) + 0.5 * info_nce_one_way(b, a, temperature, near, cosine)
    loss.backward()
    return {"loss": loss.detach(), **{name: parameter.grad for name, parameter in model.named_parameters()}}


def info_nce_one_way(a: Tensor, b: Tensor, temperature: Tensor, near: Tensor, cosine: float) -> Tensor:
    ignored = near | (b @ b.T > cosine) if cosine < 1 else near
    logits = (a @ b.T / temperature).masked_fill(ignored & ~torch.eye(len(a), dtype=torch.bool), -torch.inf)
    return nn.functional.cross_entropy(logits, torch.arange(len(a)), reduction="sum") / max(len(a), 1)


def shared(rank: int, world: int, shares: tuple[int, ...], dtype: torch.dtype, negatives: Negatives) -> Result:
    """Do it with the shares of all processes, as `Contrast` does."""
    processes = replace(Processes.joined(), ring=negatives.processes.ring)
    assert (processes.rank, processes.world) == (rank, world)

    def loss(a: Tensor, b: Tensor, temperature: Tensor, marks: Marks) -> Tensor:
        (held,) = sizes([len(a)], processes, a.device)
        found = info_nce_sums(a, b, temperature, marks, replace(negatives, processes=processes), held)
        return found.loss * world / max(sum(held), 1)

    return averaged(rank, shares, dtype, loss)


def shared_in_both_types(rank: int, world: int, shares: tuple[int, ...], negatives: Negatives) -> Result:
    answers = {dtype: shared(rank, world, shares, dtype, negatives) for dtype in (torch.float32, torch.float64)}
    return {f"{dtype} {name}": value for dtype, answer in answers.items() for name, value in answer.items()}


def averaged(rank: int, shares: tuple[int, ...], dtype: torch.dtype, loss: Callable[[Tensor, Tensor, Tensor, Marks], Tensor]) -> Result:
    """Return the loss and the gradients that DDP ends with."""
    model = DistributedDataParallel(Pair(dtype))
    x, y, marks = rows(sum(shares), dtype)
    own = slice(sum(shares[:rank]), sum(shares[: rank + 1]))
    value = loss(*model(x[own], y[own]), marks[own])
    value.backward()
    mean = total(value.detach()[None], Processes.joined())[0] / dist.get_world_size()
    return {"loss": mean, **{name: parameter.grad for name, parameter in model.module.named_parameters()}}


def mistaken(rank: int, world: int, shares: tuple[int, ...], dtype: torch.dtype, mistake: str) -> Result:
    """Do what is usually done wrong; `shares` are equal, as `all_gather` demands."""

    def gathered(x: Tensor) -> Tensor:
        everyone = [torch.empty(n, x.shape[1], dtype=x.dtype) for n in shares]
        dist.all_gather(everyone, x.detach().contiguous())
        everyone[rank] = x  # own rows keep their gradient
        return torch.cat(everyone)

    def loss(a: Tensor, b: Tensor, temperature: Tensor, marks: Marks) -> Tensor:
        if mistake == "no gather":
            return info_nce(a, b, temperature)
        if mistake == "gather without gradient, loss of all":
            return info_nce(gathered(a), gathered(b), temperature)
        if mistake == "gather without gradient, own loss":
            target = torch.arange(len(a)) + sum(shares[:rank])
            pairs = ((a, gathered(b)), (b, gathered(a)))
            return sum(nn.functional.cross_entropy(x @ y.T / temperature, target) for x, y in pairs) / 2
        held = list(shares)
        found = info_nce_sums(a, b, temperature, marks, Negatives(Processes.joined()), held)
        if mistake == "own mean in place of that of all":
            return found.loss / len(a)
        assert mistake == "not scaled for the average of DDP", mistake
        return found.loss / sum(held)

    return averaged(rank, shares, dtype, loss)


HIDDEN = MaskedConfig(cell_gsd=40.0, num_cells=4, dim=8, hidden=16, sensor_ratio=0.3)
BUILD: dict[str, Callable[[dict[str, Any]], Comparing]] = {
    "contrast": lambda changes: ContrastConfig(**changes).build(sensors()),
    "mil_nce": lambda changes: MilNCEConfig(**changes).build(sensors()),
    "masked": lambda changes: HIDDEN.build(sensors()),
    "contrast and masked": lambda changes: Combined(ContrastConfig(**changes).build(sensors()), HIDDEN, 0.5),
    "mil_nce and masked": lambda changes: Combined(MilNCEConfig(**changes).build(sensors()), HIDDEN, 0.5),
}


def objective(kind: str, dtype: torch.dtype, **changes: object) -> Comparing:
    torch.manual_seed(0)
    own = BUILD[kind]({"dim": 8, "hidden": 16, "num_cells": 5, **changes}).to(dtype)
    for module in own.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # what it draws depends on the process
    return own


COUNTS: dict[str, dict[str, tuple[int, ...]]] = {
    "ragged": {"s2": (2, 0, 1, 1, 2), "s1_asc": (1, 1, 1, 0, 2), "spot": (1, 1, 0, 1, 1)},
    "missing on some": {"s2": (2, 1, 1, 1, 1), "s1_asc": (1, 2, 0, 0, 0), "spot": (0, 0, 0, 1, 1)},
    "missing on all": {"s2": (1, 1, 2, 1, 1), "s1_asc": (1, 0, 1, 1, 1), "spot": (0, 0, 0, 0, 0)},
    "missing on all but one": {"s2": (1, 1, 1, 1, 1), "s1_asc": (0, 0, 0, 0, 2), "spot": (1, 1, 0, 1, 1)},
    "nothing to pair": {"s2": (1, 1, 1, 0, 0), "s1_asc": (0, 0, 0, 1, 1)},
    "nothing to hide on some": {"s2": (1, 1, 1, 6, 5), "s1_asc": (0, 0, 0, 4, 6), "spot": (0, 0, 0, 1, 0)},
    "series": {"s2": (5, 4, 6, 0, 5), "s1_asc": (4, 0, 5, 6, 4), "spot": (1, 1, 0, 1, 1)},
}


def batch(case: str, dtype: torch.dtype) -> Batch:
    return places(seed=3, dtype=dtype, **COUNTS[case])


def step(model: Callable[[Any], LossOutput], objective: Comparing, batch: Batch | list[Batch]) -> Result:
    """Return loss, metrics and gradients of a training step."""
    objective.train()
    output = model(batch)
    output.loss.backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters() if parameter.requires_grad}
    return {"loss": output.loss.detach(), **{f"metric {name}": value for name, value in output.metrics.items()}, **gradients}


def model_step(rank: int, world: int, cases: list[tuple[str, str, tuple[int, ...], dict[str, object]]], dtype: torch.dtype) -> Result:
    """Do a training step under DDP for each (kind of objective, case, places of each process, changes)."""
    answer: Result = {}
    for number, (kind, case, shares, changes) in enumerate(cases):
        own = objective(kind, dtype, **changes)
        places = torch.arange(sum(shares[:rank]), sum(shares[: rank + 1]))
        found = step(DistributedDataParallel(own), own, batch(case, dtype).select(places))
        found["loss"] = total(found["loss"][None], Processes.joined())[0] / world
        answer |= {f"{number} {name}": value for name, value in found.items()}
    return answer
