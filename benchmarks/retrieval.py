"""Does one sensor find, by its embedding alone, the same ground among strangers as another sensor saw it? On real data, held-out regions.

    python benchmarks/retrieval.py worldcereal_pixels FOLDER
    python benchmarks/retrieval.py ombria FOLDER

Field points: whole H3 cells are held out until they hold 650 points, another draw of cells for each seed; the gallery is 650 of these
points. OMBRIA: a fold of whole scenes is held out, another for each seed; the gallery is 4 ground cells of 40 m in each of 200 tiles of
640 m.
Top-1 and top-10 are means over both directions. Beside it: chance, the same model untrained, and PCA + CCA on the stored values (monthly
series without gaps; pixels of the cell and the means around it), with the best of its settings on the gallery itself, which favors it.
Results go to `--out`, one JSON per seed; what is there is not run again.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource
from omnifuse.evals.embeddings import embed_places
from omnifuse.evals.retrieval import ranks
from omnifuse.objectives.projection import sampled_cells
from omnifuse.randomness import numpy_generator
from omnifuse.runs.places import opened
from omnifuse.runs.pretraining import PretrainConfig, build_objective, pretrain
from omnifuse.runs.recipe import read_recipe
from omnifuse.zoo import load

ROOT = Path(__file__).parents[1]
POINTS, TILES, CELLS = 650, 200, 4
Vectors = Callable[[PlaceSource, np.ndarray, str], np.ndarray]


def held_out_cells(source: PlaceSource, seed: int) -> tuple[list[str], list[str], np.ndarray]:
    """Return training cells, held-out cells and the gallery: 650 points of the latter."""
    random = numpy_generator(seed, "retrieval")
    cell = np.array([str(row["cell"]) for row in source.info])
    order = random.permutation(np.unique(cell)).tolist()
    number = int(np.searchsorted(np.cumsum([int((cell == name).sum()) for name in order]), POINTS)) + 1
    gallery = random.permutation(np.flatnonzero(np.isin(cell, order[:number])))[:POINTS]
    return order[number:], order[:number], np.sort(gallery)


def held_out_fold(source: PlaceSource, seed: int) -> tuple[list[int], list[int], np.ndarray]:
    """Return training folds, the held-out fold and the gallery: 200 tiles of the latter."""
    fold = np.array([int(row["fold"]) for row in source.info])
    test = sorted(set(fold.tolist()))[seed % len(set(fold.tolist()))]
    gallery = numpy_generator(seed, "retrieval").permutation(np.flatnonzero(fold == test))[:TILES]
    return [other for other in sorted(set(fold.tolist())) if other != test], [test], np.sort(gallery)


def series_vectors(source: PlaceSource, places: np.ndarray, name: str) -> np.ndarray:
    """Return the monthly values of each point over the 18 months that all share, gaps interpolated; logarithms of reflectance."""
    months = np.arange(np.datetime64("2017-01"), np.datetime64("2018-07")).astype("datetime64[D]").astype(int)
    rows = []
    for index in places.tolist():
        seen = source[index].series[name]
        values = seen.pixels[:, :, 0, 0].astype(float)
        values = np.log1p(values) if values.min(initial=1) >= 0 else values
        rows.append(np.stack([np.interp(months, seen.day, values[:, band]) for band in range(values.shape[1])]).ravel())
    return np.stack(rows)


def cell_vectors(source: PlaceSource, places: np.ndarray, name: str) -> np.ndarray:
    """Return the pixels of each drawn cell of 40 m on both dates, and the means of the 3 × 3 cells around it."""
    rows = []
    for index in places.tolist():
        pixels = source[index].series[name].pixels.astype(float)
        side = pixels.shape[-1] // 4
        means = np.pad(pixels.reshape(*pixels.shape[:2], side, 4, side, 4).mean((3, 5)), ((0, 0), (0, 0), (1, 1), (1, 1)), "edge")
        for cell in sampled_cells(torch.tensor([index]), side * side, CELLS)[0].tolist():
            y, x = divmod(cell, side)
            own = pixels[:, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            rows.append(np.concatenate([own.ravel(), means[:, :, y : y + 3, x : x + 3].ravel()]))
    return np.stack(rows)


def scores(a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
    """Return the shares, in percent, of rows whose counterpart is first or among the first ten, as means over both directions."""
    both = torch.cat([ranks(a, b), ranks(b, a)])
    return {f"top{k}": 100 * (both < k).double().mean().item() for k in (1, 10)}


def canonical(source: PlaceSource, train: np.ndarray, gallery: np.ndarray, vectors: Vectors, names: tuple[str, str]) -> dict[str, float]:
    """Return the best scores of PCA + CCA over its settings."""
    known = [vectors(source, train, name) for name in names]
    asked = [vectors(source, gallery, name) for name in names]
    for i, x in enumerate(known):
        mean, std = x.mean(0), x.std(0) + 1e-9
        known[i], asked[i] = (x - mean) / std, (asked[i] - mean) / std
    found = []
    for components in (10, 20, 36, 60):
        fits = [PCA(min(components, x.shape[1]), random_state=0).fit(x) for x in known]
        small = [fit.transform(x) for fit, x in zip(fits, known, strict=True)]
        for dim in (5, 10, 20):
            if dim <= min(x.shape[1] for x in small):
                cca = CCA(dim, max_iter=2000).fit(*small)
                pair = cca.transform(*(fit.transform(x) for fit, x in zip(fits, asked, strict=True)))
                found.append(scores(*(torch.from_numpy(x).float() for x in pair)))
    return {key: max(one[key] for one in found) for key in found[0]}


def measure(dataset: str, source: PlaceSource, config: PretrainConfig, seed: int) -> dict[str, dict[str, float]]:
    """Return the scores of one seed by method."""
    choose, vectors = (held_out_cells, series_vectors) if dataset == "worldcereal_pixels" else (held_out_fold, cell_vectors)
    train, test, gallery = choose(source, seed)
    key = "cell" if dataset == "worldcereal_pixels" else "fold"
    names = ("s2", "s1")
    places = np.array([i for i, row in enumerate(source.info) if row[key] in train])
    result = {"PCA + CCA": canonical(source, places, gallery, vectors, names)}
    with TemporaryDirectory() as folder:
        split = replace(config.split, key=key, train=tuple(train), test=tuple(test))
        config = replace(
            config,
            split=split,
            probe_places=0,
            folder=f"{folder}/run",
            train=replace(config.train, seed=seed, save_steps=0, evaluate_steps=0),
        )
        untrained = build_objective(config, source, places)
        pretrain(config, source)
        for name, objective in (("untrained", untrained), ("pretrained", load(f"{folder}/run/pretrained").model)):
            seen = embed_places(objective, evaluation_batches(source, gallery, 32), CELLS)
            found = (seen.place, seen.place_row) if dataset == "worldcereal_pixels" else (seen.cell, seen.cell_row)
            assert torch.equal(found[1][names[0]], found[1][names[1]])
            result[name] = scores(*(found[0][sensor] for sensor in names))
    number = len(found[1]["s2"])
    return result | {"chance": {f"top{k}": 100 * k / number for k in (1, 10)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=("worldcereal_pixels", "ombria"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="updates, where more a fifteenth of them warm-up; 0: as the recipe")
    parser.add_argument("--out", type=Path, default=Path("runs/retrieval"))
    parser.add_argument("--quick", action="store_true", help="prove the way with a few updates")
    flags = parser.parse_args()
    config = read_recipe(ROOT / f"pretrain/recipes/{flags.dataset}.py", PretrainConfig)
    config = replace(config, data=replace(config.data, path=str(flags.folder)))  # type: ignore[call-arg]
    steps = flags.steps or (4 if flags.quick else config.train.steps)
    warmup = steps // 15 if steps > config.train.steps else min(config.train.warmup_steps, steps)
    config = replace(config, train=replace(config.train, steps=steps, warmup_steps=warmup))
    flags.out.mkdir(parents=True, exist_ok=True)
    source = opened(config.data, tuple(config.encoders), in_memory=True, workers=0)
    rows = []
    for seed in flags.seeds:
        path = flags.out / f"{flags.dataset}-{steps}-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(measure(flags.dataset, source, config, seed), indent=1), encoding="utf-8")
        rows.append(json.loads(path.read_text(encoding="utf-8")))
        print(f"seed {seed}: {rows[-1]}", flush=True)
    print(f"\n| {flags.dataset}, seeds {flags.seeds} | top-1, % | top-10, % |\n|---|---|---|")
    for name in ("chance", "untrained", "PCA + CCA", "pretrained"):
        cells = [f"{np.mean([row[name][k] for row in rows]):.1f} ± {np.std([row[name][k] for row in rows]):.1f}" for k in ("top1", "top10")]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
