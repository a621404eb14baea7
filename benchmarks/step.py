"""What a pretraining step costs, in float32 and in bfloat16, on whatever device there is: time, memory, operations, and the loss.

    python benchmarks/step.py [RECIPE] [--steps 40] [--places 60] [--precisions no bf16] [--checkpoint] [--compile]

Each precision is a run of its own from the same weights over the same places. The first half of the steps warms up and is not counted;
figures are medians of the other half. `memory` is the peak of the GPU where there is one (then give each precision a call of its own:
the peak is that of the process), else that of the process. MFU needs a GPU whose peak is known. A recipe of the landscape is cut to
`--places`; any other is taken as it is, with flags of `omnifuse pretrain` edited into a copy of it.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import torch

from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.recipe import read_recipe
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.log import read_log

ROOT = Path(__file__).parents[1]
COLUMNS = ("places_per_second", "frames_per_second", "tflops_per_second", "mfu", "memory_gb", "data_share")


def rows_of(config: PretrainConfig, precision: str, steps: int) -> list[dict[str, float]]:
    """Train for some steps and return the rows of its log."""
    with TemporaryDirectory() as folder:
        timing = {"steps": steps, "warmup_steps": min(config.train.warmup_steps, steps), "precision": precision}
        train = replace(config.train, **timing, log_steps=1, evaluate_steps=0, save_steps=0)  # type: ignore[arg-type]
        pretrain(replace(config, train=train, probe_places=0, folder=folder))
        return [row for row in read_log(Path(folder) / "log.jsonl") if "loss" in row and "step" in row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?", default=ROOT / "pretrain/recipes/landscape.py")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--places", type=int, default=60)
    parser.add_argument("--precisions", nargs="+", choices=("no", "bf16"), default=["no", "bf16"])
    parser.add_argument("--checkpoint", action="store_true", help="recompute activations")
    parser.add_argument("--compile", action="store_true", help="compile the convolutions of series encoders")
    flags = parser.parse_args()
    config = read_recipe(flags.recipe, PretrainConfig)
    if isinstance(config.data, LandscapeData):
        config = replace(config, data=replace(config.data, landscape=replace(config.data.landscape, places=flags.places)))
    options = {"checkpoint": flags.checkpoint, "compile": flags.compile}
    encoders = {
        name: replace(encoder, **{option: True for option, asked in options.items() if asked and option in encoder.__dataclass_fields__})
        for name, encoder in config.encoders.items()
    }
    config = replace(config, encoders=encoders)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"{flags.recipe.name}, {config.train.batch_size} places per step, {device}, torch {torch.__version__}\n")
    print(f"| precision | ms per step | {' | '.join(COLUMNS)} | mean loss | largest difference of a step's loss |")
    print("|---" * (len(COLUMNS) + 4) + "|")
    first: list[dict[str, float]] = []
    for precision in flags.precisions:
        rows = rows_of(config, precision, flags.steps)
        first = first or rows
        timed = rows[len(rows) // 2 :]
        step = 1000 * config.train.batch_size / median(row["places_per_second"] for row in timed)
        figures = [f"{median(row[name] for row in timed):.3g}" if name in timed[0] else "–" for name in COLUMNS]
        apart = max(abs(row["loss"] / other["loss"] - 1) for row, other in zip(rows, first, strict=True))
        print(
            f"| {precision} | {step:.0f} | {' | '.join(figures)} | {mean(row['loss'] for row in rows):.4f} | {100 * apart:.2f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
