"""What a random forest on the values of single pixels makes of real data: the floor that a model must be above.

    python benchmarks/forest.py worldcereal_pixels FOLDER
    python benchmarks/forest.py algae_blooms FOLDER

Every fold (whole H3 cells; whole sites) is scored by a forest that was fitted to the other four. Intervals are of
places drawn again; places of one site are alike, so they are too narrow.
Algal blooms are scored with and without their months, as the season alone explains a part: what a sensor adds is what it adds to that.
Beside the forest stands a ridge regression on the same values, its strength chosen within the four folds.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omnifuse.data.memory import InMemory
from omnifuse.data.place import PlaceSource
from omnifuse.data.sources.algae_blooms import AlgaeBlooms
from omnifuse.data.sources.worldcereal_pixels import WorldCerealPixels
from omnifuse.data.subset import split
from omnifuse.evals.forest import ForestConfig, cross_validated

SENSORS = (("s1",), ("s2",), ("s1", "s2"), ("s1", "s2", "weather", "dem"))


@dataclass(frozen=True)
class Bench:
    """Data to be scored, and by which sensors and scores."""

    title: str
    source: PlaceSource
    scores: tuple[str, ...]


def benches(name: str, folder: Path) -> list[Bench]:
    """Return what is scored of a data set."""
    if name == "algae_blooms":
        return [
            Bench(f"algal blooms, images {about}", AlgaeBlooms(folder, dated), ("r2",))
            for about, dated in (("numbered", False), ("dated", True))
        ]
    crops = [(points, WorldCerealPixels(folder, points)) for points in (30, 15)]
    return [
        Bench(f"crops of at least {points} points ({len(source.classes.names)})", source, ("accuracy", "macro_f1"))
        for points, source in crops
    ]


def ridge(source: PlaceSource, sensors: Sequence[str], folds: Sequence[Int[np.ndarray, " _n"]]) -> float:
    """Return R² of a line through all values of a place, every fold by one that was fitted to the others."""
    places = [source[index] for index in range(len(source))]
    values = np.stack([np.concatenate([place.series[name].pixels.reshape(-1) for name in sensors]) for place in places])
    wanted = np.array([float(np.ravel(place.target)[0]) for place in places])  # type: ignore[arg-type]
    fold = np.zeros(len(places), np.int64)
    for number, indices in enumerate(folds):
        fold[indices] = number
    line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 11)))
    return float(r2_score(wanted, cross_val_predict(line, values, wanted, cv=PredefinedSplit(fold))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("worldcereal_pixels", "algae_blooms"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    for bench in benches(options.data, options.folder):
        print(bench.title, flush=True)
        source = InMemory(bench.source)
        folds = [split(source.info, "fold", [number]) for number in range(1, 6)]
        for sensors in SENSORS:
            for seed in options.seeds:
                config = ForestConfig(sensors=sensors, trees=options.trees, seed=seed)
                scored = cross_validated(config, source, folds, {"": lambda batch: batch}, batch_size=256)[""]
                found = [
                    f"{name} {scored.scores[name]:.3f} ({', '.join(f'{x:.3f}' for x in scored.interval(0, name))})" for name in bench.scores
                ]
                print(f"  {' + '.join(sensors):25} seed {seed}   {'   '.join(found)}", flush=True)
            if bench.scores == ("r2",):
                print(f"  {' + '.join(sensors):25} ridge    r2 {ridge(source, sensors, folds):.3f}", flush=True)


if __name__ == "__main__":
    main()
