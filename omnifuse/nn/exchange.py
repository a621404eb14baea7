"""Rows between the processes of a run: each holds some, and all are shown to each.

What a process holds may differ in number, down to none. Every function here that takes `Processes` is a collective call: all processes
make the same calls in the same order, also one that holds no rows. Nothing here carries a gradient; `negatives` has its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Float, Num, UInt8
from torch import Tensor

Rows = tuple[Tensor, ...]  # tensors of the same first axis


@dataclass(frozen=True)
class Processes:
    """The processes that show each other their rows; by default this one alone.

    Attributes:
        rank: Number of this process.
        world: How many there are.
        ring: Blocks of rows travel from process to process, so that memory does not grow with their number; otherwise each
            process holds the rows of all at once, which costs one call in place of `world`.
    """

    rank: int = 0
    world: int = 1
    ring: bool = False

    @staticmethod
    def joined(ring: bool = False) -> "Processes":
        """Return the processes that the launcher started: this one alone without `torch.distributed`."""
        if not (dist.is_available() and dist.is_initialized()):
            return Processes()
        return Processes(dist.get_rank(), dist.get_world_size(), ring)


def total(values: Float[Tensor, " n"], processes: Processes) -> Float[Tensor, " n"]:
    """Return the sums over processes, the same on all."""
    if processes.world > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def sizes(own: Sequence[int], processes: Processes, device: torch.device) -> list[list[int]]:
    """Return what every process counted: one list per number in `own`, one entry per process. Waits for the device."""
    if processes.world == 1:
        return [[number] for number in own]
    everyone = torch.empty(processes.world * len(own), dtype=torch.long, device=device)
    dist.all_gather_into_tensor(everyone, torch.tensor(own, dtype=torch.long, device=device))
    return everyone.view(processes.world, len(own)).T.tolist()


def show(
    fixed: Rows,
    start: Callable[[int], Rows],
    work: Callable[[Rows, Rows], None],
    combine: Callable[[Rows, Sequence[int], Processes], Rows],
    held: Sequence[int],
    processes: Processes,
) -> Rows:
    """Show the rows of every process to `work` on every process, and bring home what it adds up for them.

    Args:
        fixed: This process's rows.
        start: Returns what is added up for that many rows, before anything was.
        work: Called with rows and what is added up for them, which it changes in place. Once with all rows, in the order of
            processes; in a ring once per process, with that process's rows.
        combine: Adds up over processes what `work` did for all rows, and returns this process's part; a ring needs no such call.
        held: Rows of each process.
        processes: Who takes part.

    Returns:
        What all processes together added up for this process's rows.
    """
    if processes.world > 1 and processes.ring:
        return _ring(fixed, start, work, held, processes)
    if processes.world > 1:
        fixed = gather(fixed, held, processes)
    added = start(sum(held))
    work(fixed, added)
    return combine(added, held, processes) if processes.world > 1 else added


def gather(rows: Rows, held: Sequence[int], processes: Processes) -> Rows:
    """Return the rows of all processes, in the order of processes; one call whatever the number of tensors."""
    most = max(held)
    if most == 0:
        return rows
    packed = _pad(_pack(rows), most)
    everyone = packed.new_empty(processes.world * most, packed.shape[1])
    dist.all_gather_into_tensor(everyone, packed)
    return _unpack(torch.cat([part[:n] for part, n in zip(torch.split(everyone, most), held, strict=True)]), rows)


def scatter_sum(added: Num[Tensor, "_all ..."], held: Sequence[int], processes: Processes) -> Num[Tensor, "_own ..."]:
    """Add up rows over processes and return this process's: the transpose of `gather`."""
    most = max(held)
    if most == 0:
        return added
    padded = torch.cat([_pad(part, most) for part in torch.split(added, list(held))])
    own = padded.new_empty(most, *added.shape[1:])
    dist.reduce_scatter_tensor(own, padded)
    return own[: held[processes.rank]]


def _ring(fixed: Rows, start: Callable[[int], Rows], work: Callable[[Rows, Rows], None], held: Sequence[int], processes: Processes) -> Rows:
    """Send rows, and what was added up for them so far, once around."""
    most = max(held)
    added = start(most)
    if most == 0:
        return added
    block = _pad(_pack(fixed), most)
    for hop in range(processes.world):
        source = (processes.rank - hop) % processes.world
        coming = _to_next((block,), processes, tag=0) if hop < processes.world - 1 else None  # travels while we work on it
        work(_unpack(block[: held[source]], fixed), tuple(x[: held[source]] for x in added))
        added = _to_next(added, processes, tag=1)()
        block = coming()[0] if coming else block
    return tuple(x[: held[processes.rank]] for x in added)


def _to_next(rows: Rows, processes: Processes, tag: int) -> Callable[[], Rows]:
    """Send to the next process what the previous one sends us; returns a function that waits for it."""
    received = tuple(torch.empty_like(x) for x in rows)
    after, before = (processes.rank + 1) % processes.world, (processes.rank - 1) % processes.world
    sends = [dist.P2POp(dist.isend, x, after, tag=tag + i) for i, x in enumerate(rows)]
    receives = [dist.P2POp(dist.irecv, x, before, tag=tag + i) for i, x in enumerate(received)]
    calls = dist.batch_isend_irecv(sends + receives)

    def wait() -> Rows:
        for call in calls:
            call.wait()
        return received

    return wait


def _pack(rows: Rows) -> UInt8[Tensor, "n _bytes"]:
    """Lay the tensors side by side, byte by byte, so that they travel in one message."""
    fresh = (x.clone(memory_format=torch.contiguous_format) for x in rows)  # one row may have any stride, and counts as contiguous
    return torch.cat([_bytes(x) for x in fresh], 1)


def _unpack(packed: UInt8[Tensor, "n _bytes"], like: Rows) -> Rows:
    """Return the tensors that were packed; `like` tells their types and widths."""
    rows = tuple(x.new_empty(len(packed), *x.shape[1:]) for x in like)
    parts = torch.split(packed, [_bytes(x).shape[1] for x in rows], 1)
    for x, part in zip(rows, parts, strict=True):
        _bytes(x).copy_(part)  # a view of `part` would not be aligned to its type
    return rows


def _bytes(x: Tensor) -> UInt8[Tensor, "n _bytes"]:
    return x.view(len(x), math.prod(x.shape[1:])).view(torch.uint8)


def _pad(x: Tensor, length: int) -> Tensor:
    """Append rows of zeros up to `length`: what travels has the same shape on all processes."""
    return torch.cat([x, x.new_zeros(length - len(x), *x.shape[1:])])
