"""What each ingredient of pretraining is worth on the landscape: retrieval of held-out places and ground cells across sensors.

    python benchmarks/pretraining.py [--seeds 0 1 2] [--variants "contrast" ...] [--out runs/ingredients]

400 places of 160 m, a fifth held out; 12 dates; 200 updates of 24 places for every variant, the small landscape encoders. Retrieval is
top-1 as a mean over both directions, of places by their embedding, and of four ground cells in each of them; chance is one over their
number. One JSON per variant and seed; what is there is not run again, so a stopped benchmark goes on, and two calls with different
`--variants` may run beside each other. A complete call prints the table, mean and standard deviation over seeds, and leaves it in
`table.md`.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.memory import InMemory
from omnifuse.data.place import PlaceSource
from omnifuse.data.subset import split
from omnifuse.objectives.masked import MaskedConfig
from omnifuse.runs.landscape import SENSORS, small_contrast, small_encoders
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.pretraining import PretrainConfig, build_objective, contrast_of, health_of, pretrain
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig
from omnifuse.train.log import read_log

DATA = LandscapeConfig(places=400, size=16, sensors=SENSORS)
BASE = PretrainConfig(
    data=LandscapeData(landscape=DATA),
    encoders=small_encoders(),
    objective=replace(small_contrast(), num_cells=8),
    masked=MaskedConfig(num_cells=8),
    augment=AugmentConfig(most_dates=12),
    train=TrainConfig(steps=200, batch_size=24, learning_rate=4e-3, warmup_steps=20, evaluate_steps=40, save_steps=0, log_steps=20),
    probe_places=0,
)
VARIANTS: dict[str, PretrainConfig] = {
    "contrast": BASE,
    "without the cell level": replace(BASE, objective=replace(BASE.objective, cell_weight=0.0)),
    "without the place level": replace(BASE, objective=replace(BASE.objective, cell_weight=1.0)),
    "with modality dropout of 30 %": replace(BASE, augment=replace(BASE.augment, modality_dropout=0.3)),
    "with modality dropout rising to 60 %": replace(BASE, augment=replace(BASE.augment, modality_dropout=0.6, dropout_ramp=1.0)),
    "with cells within 40 m no negatives": replace(BASE, objective=replace(BASE.objective, radius=41.0)),
    "with duplicates above 0.9 no negatives": replace(BASE, objective=replace(BASE.objective, duplicate_cosine=0.9)),
    "with masked modelling of weight 0.5": replace(BASE, masked_weight=0.5),
}
PAIRS = ("s2-s1_asc", "s2-spot", "s1_asc-spot")


def measure(variant: str, seed: int, steps: int, source: PlaceSource) -> dict[str, object]:
    """Run one variant and return its evaluations over training, the first of them untrained."""
    config = VARIANTS[variant]
    train = replace(config.train, seed=seed, steps=steps, warmup_steps=min(20, steps), evaluate_steps=max(1, steps // 5))
    train = replace(train, log_steps=min(20, steps))
    began = time.process_time()
    with TemporaryDirectory() as folder:
        config = replace(config, train=train, folder=f"{folder}/run")
        places, held_out = (split(source.info, config.split.key, part) for part in (config.split.train, config.split.test))
        untrained = health_of(contrast_of(build_objective(config, source, places)), source, places[:0], held_out)
        pretrain(config, source)
        rows = [row for row in read_log(Path(config.folder) / "log.jsonl") if "eval/retrieval_top1/s2-spot" in row]
    curve = [{"step": 0, **untrained}] + [{name.removeprefix("eval/"): value for name, value in row.items()} for row in rows]
    return {"variant": variant, "seed": seed, "steps": steps, "cpu_minutes": (time.process_time() - began) / 60, "curve": curve}


def table(results: dict[tuple[str, int], dict[str, object]], variants: list[str], seeds: list[int]) -> str:
    """Return the table: top-1 in percent at the end, mean ± standard deviation over seeds."""
    header = [*(f"places, {pair}" for pair in PAIRS), *(f"cells, {pair}" for pair in PAIRS)]
    keys = [f"{level}retrieval_top1/{pair}" for level in ("", "cell/") for pair in PAIRS]
    rows: list[tuple[str, list[dict[str, float]]]] = []
    first = [results[variants[0], seed]["curve"][0] for seed in seeds]  # type: ignore[index]
    rows.append(
        ("chance", [{key: 1 / row[f"{key.split('retrieval')[0]}candidates/{key.split('/')[-1]}"] for key in keys} for row in first])
    )
    rows.append(("untrained", first))
    rows += [(name, [results[name, seed]["curve"][-1] for seed in seeds]) for name in variants]  # type: ignore[index]
    lines = [f"| top-1, %, seeds {seeds} | {' | '.join(header)} |", "|---" * (len(header) + 1) + "|"]
    for name, found in rows:
        values = [100 * np.array([row[key] for row in found]) for key in keys]
        lines.append(f"| {name} | {' | '.join(f'{x.mean():.1f} ± {x.std():.1f}' for x in values)} |")
    lines += ["", "Over training, the first variant, mean over seeds:", "", f"| updates | {' | '.join(header)} |"]
    lines.append("|---" * (len(header) + 1) + "|")
    curves = [results[variants[0], seed]["curve"] for seed in seeds]
    for points in zip(*curves, strict=True):  # type: ignore[arg-type, call-overload]
        means = [100 * np.mean([point[key] for point in points]) for key in keys]
        lines.append(f"| {points[0]['step']} | {' | '.join(f'{value:.1f}' for value in means)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("runs/ingredients"))
    parser.add_argument("--quick", action="store_true", help="prove the way: 30 places, 6 updates")
    flags = parser.parse_args()
    steps = 6 if flags.quick else BASE.train.steps
    flags.out.mkdir(parents=True, exist_ok=True)
    results: dict[tuple[str, int], dict[str, object]] = {}
    source: PlaceSource | None = None
    for seed in flags.seeds:  # all variants of a seed first: a stopped benchmark compares like with like
        for variant in flags.variants:
            path = flags.out / f"{variant.replace(' ', '-').replace('-%', '')}-{steps}-{seed}.json"
            if not path.exists():
                source = source or InMemory.build(Landscape(replace(DATA, places=30) if flags.quick else DATA), workers=0)
                path.write_text(json.dumps(measure(variant, seed, steps, source), indent=1), encoding="utf-8")
            results[variant, seed] = json.loads(path.read_text(encoding="utf-8"))
            print(f"{variant}, seed {seed}: {results[variant, seed]['cpu_minutes']:.2f} CPU minutes", flush=True)
    (flags.out / "table.md").write_text(table(results, flags.variants, flags.seeds), encoding="utf-8")
    print((flags.out / "table.md").read_text(encoding="utf-8"), flags.out / "table.md", sep="\n")


if __name__ == "__main__":
    main()
