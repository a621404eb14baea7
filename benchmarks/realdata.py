"""The main job on real satellite data, fold by fold: pretrain, fine-tune (pretrained and from scratch), score every subset.

    python benchmarks/realdata.py ombria FOLDER
    python benchmarks/realdata.py worldcereal_patches FOLDER

Prints mIoU, and for OMBRIA the IoU of flood, as mean and standard deviation over the held-out folds (whole scenes, or sites);
the recipes' settings as they are, nothing tuned on these data.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from omnifuse.data.memory import InMemory
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.recipe import read_recipe
from omnifuse.runs.sources import OmbriaData, WorldCerealPatchesData

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=("ombria", "worldcereal_patches"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, nargs="*", default=[], help="folds to hold out in turn; all if none is named")
    flags = parser.parse_args()
    before = read_recipe(ROOT / f"pretrain/recipes/{flags.dataset}.py", PretrainConfig)
    after = read_recipe(ROOT / f"finetune/recipes/{flags.dataset}.py", FinetuneConfig)
    assert isinstance(before.data, OmbriaData | WorldCerealPatchesData)
    data = replace(before.data, path=str(flags.folder))
    source = InMemory(data.open())
    folds = sorted({int(row["fold"]) for row in source.info})
    scores: dict[tuple[str, str], list[list[float]]] = {}
    for fold in flags.folds or folds:
        split = replace(before.split, train=tuple(other for other in folds if other != fold), test=(fold,))
        with TemporaryDirectory() as work:
            train = replace(before.train, seed=flags.seed, save_steps=0, evaluate_steps=0)
            pretrain(replace(before, data=data, split=split, train=train, folder=f"{work}/pretrain"), source)
            for name, init in (("pretrained", f"{work}/pretrain/pretrained"), ("from scratch", "")):
                train = replace(after.train, seed=flags.seed, save_steps=0, evaluate_steps=0)
                run = replace(after, data=data, split=split, train=train, init=init, folder=f"{work}/{name}")
                for subset, found in finetune(run, source).subsets.items():
                    if len(found.place):
                        row = [found.score, list(found.each.values())[-1]]
                        scores.setdefault((name, "+".join(subset)), []).append(row)
                        print(f"fold {fold}, {name}, {'+'.join(subset)}: mIoU {row[0]:.3f}, last class {row[1]:.3f}", flush=True)
    for (name, sensors), rows in scores.items():
        (miou, last), (spread, last_spread) = np.nanmean(rows, 0), np.nanstd(rows, 0)
        print(f"{name:14} {sensors:12} mIoU {miou:.3f} ± {spread:.3f}   last class {last:.3f} ± {last_spread:.3f}   ({len(rows)} folds)")


if __name__ == "__main__":
    main()
