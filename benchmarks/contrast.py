"""Memory and time of the contrast in tiles against the full matrix of logits, and the largest batch that fits.

    python benchmarks/contrast.py [--sizes 1024 2048 ...] [--full 8192] [--dim 256] [--tiles 512 1024] [--memory 8] [--json out.json]

Each figure is of a fresh process on one thread: the highest resident memory above that before the first step, and the least
CPU-seconds of a forward and backward pass (`--repeats`). Ratios hold on a busy machine, seconds do not. The largest batch in
`--memory` GB is extrapolated from the two largest sizes of each method, and says so: the full matrix by a quadratic, tiles by a line.
Where there is a GPU, the same is measured there, with its peak of allocated memory and seconds by its clock.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omnifuse.losses import info_nce, info_nce_sums, unit
from omnifuse.nn.negatives import Marks, Negatives


def full(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
    """Contrast with the whole matrix of logits."""
    return info_nce(a, b, temperature)


def tiled(a: Tensor, b: Tensor, temperature: Tensor, tile: int) -> Tensor:
    """Contrast in tiles."""
    row = torch.arange(len(a), device=a.device)
    marks = Marks.of(row, row, torch.zeros(len(a), 2, device=a.device))
    return info_nce_sums(a, b, temperature, marks, Negatives(tile=tile), [len(a)]).loss / len(a)


def measure(size: int, tile: int, dim: int, device: str, repeats: int) -> dict[str, Any]:
    """Return what one method needs for one size; `tile` 0 is the full matrix. To be called in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    a = unit(torch.randn(size, dim, device=device))
    b = unit(a + 0.5 * unit(torch.randn(size, dim, device=device)))
    a, b, temperature = nn.Parameter(a), nn.Parameter(b), nn.Parameter(torch.tensor(0.07, device=device))
    (torch.randn(64, dim, device=device) @ torch.randn(dim, 64, device=device)).sum().item()  # libraries are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    seconds = []
    for _ in range(repeats):
        a.grad = b.grad = temperature.grad = None
        began = clock(device)
        loss = tiled(a, b, temperature, tile) if tile else full(a, b, temperature)
        loss.backward()
        seconds.append(clock(device) - began)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if device != "cpu":
        peak = (torch.cuda.max_memory_allocated() - held) / 2**20
    gradients = [x.grad.double().norm().item() for x in (a, b, temperature)]
    return {"size": size, "tile": tile, "seconds": min(seconds), "mb": peak, "loss": loss.item(), "gradients": gradients}


def clock(device: str) -> float:
    """Return CPU-seconds of this process, or the time when the GPU has done all it was asked."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def fresh(arguments: argparse.Namespace, size: int, tile: int, device: str) -> dict[str, Any] | None:
    """Measure in a new process; None if it was killed for its memory."""
    repeats = 1 if device == "cpu" and size > 8192 else arguments.repeats
    call = f"import contrast, json; print(json.dumps(contrast.measure({size}, {tile}, {arguments.dim}, {device!r}, {repeats})))"
    done = subprocess.run([sys.executable, "-c", call], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            f"size {size}, {'tile ' + str(tile) if tile else 'full matrix'}: {(done.stderr.strip().splitlines() or ['killed'])[-1][:120]}"
        )
        return None
    return json.loads(done.stdout.splitlines()[-1])


def largest(rows: list[dict[str, Any]], memory_mb: float, power: int) -> float:
    """Return the size at which memory = c + k·size^power, through the two largest sizes measured, reaches `memory_mb`."""
    low, high = sorted(rows, key=lambda row: row["size"])[-2:]
    slope = (high["mb"] - low["mb"]) / (high["size"] ** power - low["size"] ** power)
    return ((memory_mb - high["mb"]) / max(slope, 1e-12) + high["size"] ** power) ** (1 / power)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16384, 32768, 65536])
    parser.add_argument("--full", type=int, default=8192, help="largest size at which the full matrix is measured")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--tiles", type=int, nargs="+", default=[1024])
    parser.add_argument("--memory", type=float, default=8.0, help="GB for the largest batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        name = torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread"
        print(f"\n{name}, width {arguments.dim}\n| embeddings | method | seconds | extra MB | × faster | × less memory | loss |")
        print("|---|---|---|---|---|---|---|")
        rows = []
        for size in arguments.sizes:
            base = fresh(arguments, size, 0, device) if size <= arguments.full else None
            for tile in arguments.tiles:
                for row in [base, fresh(arguments, size, tile, device)]:
                    if row and row not in rows:
                        rows.append(row)
                        ratios = (f"{base['seconds'] / row['seconds']:.2f}", f"{base['mb'] / row['mb']:.0f}") if base else ("", "")
                        method = f"tiles of {row['tile']}" if row["tile"] else "full matrix"
                        figures = f"{row['seconds']:.3f} | {row['mb']:.0f} | {ratios[0]} | {ratios[1]} | {row['loss']:.6f}"
                        print(f"| {size:,} | {method} | {figures} |", flush=True)
        for tile in [0, *arguments.tiles]:
            own = [row for row in rows if row["tile"] == tile]
            if len(own) > 1:
                size = largest(own, arguments.memory * 1024, 1 if tile else 2)
                method = f"tiles of {tile}" if tile else "the full matrix"
                print(f"largest batch in {arguments.memory:g} GB with {method}: {size:,.0f} (extrapolated from {own[-1]['size']:,})")
        results[name] = rows
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
