"""Memory and time of MIL-NCE in tiles against one matrix of all views.

    python benchmarks/mil_nce.py [--places 1 2 4] [--sensors 3] [--cells 1024] [--dim 256] [--tile 1024] [--repeats 2]

All sensors see all cells of all places, so there are sensors × cells × places views. Each figure is of a fresh process on one thread:
the highest resident memory above that before the first step, and the least CPU-seconds of a forward and backward pass. The two losses
are the same number. Ratios hold on a busy machine, seconds do not.
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

from omnifuse.losses import unit
from omnifuse.nn.negatives import Marks, Negatives
from omnifuse.objectives.mil_nce import mil_nce_sum

TEMPERATURE = 0.1


def full(views: Tensor) -> Tensor:
    """MIL-NCE by the published rule (arXiv:2404.08351) on the whole matrix; `views` are sensors × places × cells × width."""
    sensors, places, cells, _ = views.shape
    index = torch.arange(sensors * places * cells).view(sensors, places, cells)
    sensor, place = index // (places * cells), index // cells % places
    image, ground = (sensor * places + place).flatten(), (index % (places * cells)).flatten()
    flat = views.flatten(0, 2)
    logits = flat @ flat.T / TEMPERATURE
    positive = (ground[:, None] == ground) & ~torch.eye(len(flat), dtype=torch.bool)
    everything = logits.masked_fill(image[:, None] == image, -torch.inf)
    return (everything.logsumexp(1) - logits.masked_fill(~positive, -torch.inf).logsumexp(1)).mean()


def tiled(views: Tensor, tile: int) -> Tensor:
    """MIL-NCE of the package."""
    sensors, places, cells, _ = views.shape
    ground = torch.arange(places * cells)
    marks = Marks.of(ground, ground // cells, torch.zeros(len(ground), 2))
    held = [[len(ground)]] * sensors
    present = torch.ones(sensors, places, dtype=torch.bool)
    loss = mil_nce_sum(list(views), present, [marks] * sensors, held, TEMPERATURE, Negatives(tile=tile))
    return loss / (sensors * len(ground))


def measure(sensors: int, places: int, cells: int, dim: int, tile: int, repeats: int) -> dict[str, Any]:
    """Return what one method needs; `tile` 0 is the whole matrix. To be called in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    same = unit(torch.randn(places, cells, dim))
    views = nn.Parameter(unit(same + 0.5 * unit(torch.randn(sensors, places, cells, dim))))
    (torch.randn(64, dim) @ torch.randn(dim, 64)).sum().item()  # libraries are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        views.grad = None
        began = time.process_time()
        loss = tiled(views, tile) if tile else full(views)
        loss.backward()
        seconds.append(time.process_time() - began)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert views.grad is not None
    return {"seconds": min(seconds), "mb": peak, "loss": loss.item(), "gradient": views.grad.double().norm().item()}


def fresh(*arguments: int) -> dict[str, Any]:
    """Measure in a new process."""
    call = f"import json, mil_nce; print(json.dumps(mil_nce.measure{arguments}))"
    done = subprocess.run([sys.executable, "-c", call], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--sensors", type=int, default=3)
    parser.add_argument("--cells", type=int, default=1024, help="per place")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    print("| places | views | method | seconds | extra MB | × faster | × less memory | loss | norm of the gradient |")
    print("|---|---|---|---|---|---|---|---|---|")
    for places in asked.places:
        base = None
        for tile in (0, asked.tile):
            row = fresh(asked.sensors, places, asked.cells, asked.dim, tile, asked.repeats)
            base = base or row
            method = f"tiles of {tile}" if tile else "full matrix"
            ratios = f"{base['seconds'] / row['seconds']:.2f} | {base['mb'] / row['mb']:.0f}"
            figures = f"{row['seconds']:.2f} | {row['mb']:.0f} | {ratios} | {row['loss']:.6f} | {row['gradient']:.6f}"
            print(f"| {places} | {asked.sensors * places * asked.cells:,} | {method} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
