"""One, two and four processes at a fixed total batch: the same loss to rounding, and what the exchange costs.

    python benchmarks/processes.py [--places 64] [--steps 6] [--worlds 1 2 4] [--json out.json]
    python benchmarks/processes.py --paper     # arithmetic for up to 1,024 GPUs; nothing is run

Trains a small contrast (two sensors, 64 cells a place) with gloo on this machine's CPU, each process on one thread, once with rows
gathered and once in a ring. `loss` is the largest difference to one process over the steps, relative; the model is in float64 for that,
so that rounding is far below anything else. `CPU-s` adds up the CPU-seconds of all processes in the timed steps, in float32, and
`× one` compares them with one process: above 1 is what several processes cost more. `comparing` is the share of it that the forward
pass of the contrast takes. `sent` is what a process sends in a step for the contrast by the formulas below, without DDP's gradients.

Seconds on the clock mean little where processes share cores; CPU-seconds hold.
"""

import argparse
import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from omnifuse.frames import Batch, Frames
from omnifuse.modalities import MODALITIES
from omnifuse.models.model import EncodersConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import Contrast, ContrastConfig

SENSORS = ("s2", "s1_asc")
SIZE = 160.0  # metres


def places(count: int, seed: int, dtype: torch.dtype) -> Batch:
    """Return a global batch of noise: two dates of each sensor, radar missing at every seventh place."""
    generator = torch.Generator().manual_seed(seed)
    frames = {}
    for name in SENSORS:
        modality = MODALITIES[name]
        side, bands = modality.pixels(SIZE), len(modality.bands)
        dates = torch.full((count,), 2)
        if name == "s1_asc":
            dates[::7] = 0
        mean, std = (torch.tensor(x, dtype=dtype)[:, None, None] for x in (modality.mean, modality.std))
        noise = torch.randn(int(dates.sum()), bands, side, side, generator=generator, dtype=dtype)
        days = (torch.arange(len(noise)) % 2 * 30).int()
        frames[name] = Frames(mean + std * noise, days, dates)
    return Batch(frames, SIZE, torch.arange(count), torch.arange(count) + 1000 * seed)


def objective(dtype: torch.dtype, ring: bool) -> Contrast:
    torch.manual_seed(0)
    encoder = UTAEConfig(widths=(16, 16), heads=4, dim=32, dropout=0.0, attention_dropout=0.0)
    modalities = {name: MODALITIES[name] for name in SENSORS}
    sensors = EncodersConfig(modalities=modalities, encoders=dict.fromkeys(SENSORS, encoder))
    return ContrastConfig(dim=128, hidden=64, cell_gsd=20.0, num_cells=64, ring=ring).build(sensors).to(dtype)


def job(rank: int, world: int, port: int, arguments: dict[str, Any], answers: Any) -> None:
    """Train as one of several processes; rank 0 answers."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    losses, ring = [], arguments["ring"]
    for dtype in (torch.float64, torch.float32):
        own = objective(dtype, ring).train()
        model = DistributedDataParallel(own)
        optimizer = torch.optim.AdamW(own.parameters(), lr=1e-4)
        share = arguments["places"] // world
        comparing = Watch(own.compare)
        own.compare = comparing  # type: ignore[method-assign]
        spent = 0.0
        for step in range(arguments["steps"]):
            batch = places(arguments["places"], step, dtype).select(torch.arange(rank * share, (rank + 1) * share))
            began = time.process_time()
            optimizer.zero_grad()
            output = model(batch)
            output.loss.backward()
            optimizer.step()
            spent += time.process_time() - began
            if step == 0:  # a warm-up
                spent = comparing.spent = 0.0
            loss = output.loss.detach().clone()
            dist.all_reduce(loss)
            if dtype == torch.float64:
                losses.append(loss.item() / world)
    figures = torch.tensor([spent, comparing.spent])
    dist.all_reduce(figures)
    if rank == 0:
        answers.put({"losses": losses, "seconds": figures[0].item(), "comparing": figures[1].item()})
    dist.destroy_process_group()


class Watch:
    """Calls a function and adds up its CPU-seconds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.spent = function, 0.0

    def __call__(self, *arguments: Any) -> Any:
        began = time.process_time()
        result = self.function(*arguments)
        self.spent += time.process_time() - began
        return result


def sent(rows: float, dim: int, world: int, ring: bool) -> tuple[float, float]:
    """Return the bytes that a process sends in the forward and in the backward pass, for `rows` of one pair over all processes.

    Forward: rows of one sensor with their marks, and the running log-sum-exp of each. Backward: the same rows with two numbers each,
    and their gradients. Gathered, the log-sum-exps are added up by an all-reduce and a reduce-scatter; in a ring they travel along.
    """
    vector, marks = dim * 4, 8 + 8 + 2 * 4
    share = (world - 1) / world
    whole = 1.0 if world > 1 else 0.0  # what travels all the way home
    forward = rows * (vector + marks) * share + rows * 4 * (2 * whole if ring else 3 * share)
    backward = rows * (vector + marks + 2 * 4) * share + rows * vector * (whole if ring else share)
    return forward, backward


def paper() -> None:
    """Print what the formulas say of more processes than there are here: 16 places of 64 cells per GPU, three pairs, width 128."""
    rows, dim, pairs, link, flops, latency = 16 * 64, 128, 3, 50e9, 40e12, 10e-6
    print(f"{rows:,} rows per GPU, {pairs} pairs, width {dim}; {link / 1e9:.0f} GB/s per GPU, {flops / 1e12:.0f} TFLOP/s in float32")
    print(
        "| GPUs | rows of all | GFLOP per GPU | ms to compute | MB sent per GPU | ms to send | ms of hops, ring | MB, gathered | MB, ring |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for world in (1, 8, 64, 256, 512, 1024):
        total = rows * world
        work = pairs * 8 * rows * total * dim
        traffic = pairs * sum(sent(total, dim, world, ring=False))
        hops = pairs * 2 * (2 * world - 1) * latency * (world > 1)
        held, block = (4 * n * (dim * 4 + 32) / 2**20 for n in (total, rows))
        figures = f"{work / 1e9:,.1f} | {work / flops * 1e3:.2f} | {traffic / 2**20:,.0f} | {traffic / link * 1e3:.1f} | {hops * 1e3:.1f}"
        print(f"| {world:,} | {total:,} | {figures} | {held:,.0f} | {2 * block:.0f} |")


def measure(world: int, arguments: dict[str, Any]) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    answers = context.Queue()
    ranks = [context.Process(target=job, args=(rank, world, port, arguments, answers)) for rank in range(world)]
    for process in ranks:
        process.start()
    answer = answers.get()
    for process in ranks:
        process.join()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=64, help="of the total batch; a multiple of the processes")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--paper", action="store_true", help="print the arithmetic for up to 1,024 GPUs")
    arguments = parser.parse_args()
    if arguments.paper:
        return paper()
    print("| processes | exchange | loss | CPU-s | × one | comparing | sent, MB a step |\n|---|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    for world in arguments.worlds:
        for ring in (False, True) if world > 1 else (False,):
            asked = {"places": arguments.places, "steps": arguments.steps, "ring": ring}
            row = {"world": world, **asked, **measure(world, asked), "sent": sum(sent(arguments.places * 65 * 6 / 7, 128, world, ring))}
            rows.append(row)
            one = rows[0]
            error = max(abs(a - b) / abs(b) for a, b in zip(row["losses"], one["losses"], strict=True))
            how = ("ring" if ring else "gathered") if world > 1 else "none"
            figures = f"{row['seconds']:.1f} | {row['seconds'] / one['seconds']:.2f} | {row['comparing'] / row['seconds']:.2f}"
            print(f"| {world} | {how} | {error:.1e} | {figures} | {row['sent'] / 2**20:.1f} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
