"""Does every sensor of the landscape carry something that the others lack? Per-pixel trees say so, without any deep learning.

    python benchmarks/landscape.py --places 240 --seeds 0 1

Boosted trees on 16-day means of clear pixels and on the texture of 10 m cells; two thirds of the places train, one third tests.
Mean intersection over union in percent, 13 classes (one core, 3 minutes a seed):

    seed 0    spot 29.6    s1_asc 47.1    s2 67.1    s1_asc+s2 71.2    s1_asc+s2+spot 76.5    all, dem and climate too 76.6
    seed 1    spot 31.3    s1_asc 46.5    s2 69.9    s1_asc+s2 71.7    s1_asc+s2+spot 78.0    all, dem and climate too 76.9
"""

import argparse
import time

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.place import Place, Series

SUBSETS = (("s1_asc",), ("s2",), ("spot",), ("s1_asc", "s2"), ("s1_asc", "s2", "spot"), ("s1_asc", "s2", "spot", "dem", "climate"))
BIN = 16  # days
START, NUM_BINS = 17775, 28
CLEAR = 1500  # Blue of clouds is above it, of bright soil below.


def composite(series: Series, clear: Bool[np.ndarray, "t h w"]) -> Float[np.ndarray, "k h w"]:
    """Return the mean of clear values by band, pixel and period of `BIN` days; a period without any is interpolated."""
    period = np.clip((series.day - START) // BIN, 0, NUM_BINS - 1)
    shape = (NUM_BINS, *series.pixels.shape[1:])
    total, known = np.zeros(shape, np.float32), np.zeros((NUM_BINS, 1, *shape[2:]), np.float32)
    np.add.at(total, period, series.pixels * clear[:, None].astype(np.float32))
    np.add.at(known, period, clear[:, None])
    mean = total / np.maximum(known, 1)
    number = np.arange(NUM_BINS)[:, None, None, None]
    before = np.maximum.accumulate(np.where(known > 0, number, -1), 0)
    after = np.minimum.accumulate(np.where(known > 0, number, NUM_BINS)[::-1], 0)[::-1]
    left, right = np.where(before < 0, after, before) % NUM_BINS, np.where(after >= NUM_BINS, before, after)
    weight = (number - left) / np.maximum(right - left, 1)
    full = np.take_along_axis(mean, left, 0) * (1 - weight) + np.take_along_axis(mean, right, 0) * weight
    return full.reshape(-1, *shape[2:]).astype(np.float32)


def smooth(values: Float[np.ndarray, "k h w"]) -> Float[np.ndarray, "k h w"]:
    """Return means over three periods, against speckle."""
    steps = np.pad(values.reshape(NUM_BINS, -1, *values.shape[1:]), ((1, 1), (0, 0), (0, 0), (0, 0)), mode="edge")
    return ((steps[:-2] + steps[1:-1] + steps[2:]) / 3).reshape(values.shape)


def texture(pixels: UInt8[np.ndarray, "1 3 _hh _hw"], size: int) -> Float[np.ndarray, "k h w"]:
    """Return mean, spread and roughness along both axes of each band within each pixel of 10 m."""
    image = pixels[0].astype(np.float32)
    hr = image.shape[1] // size
    cells = image.reshape(3, size, hr, size, hr).transpose(0, 1, 3, 2, 4)
    down, across = np.abs(np.diff(cells, axis=3)).mean((3, 4)), np.abs(np.diff(cells, axis=4)).mean((3, 4))
    return np.concatenate([cells.mean((3, 4)), cells.std((3, 4)), down, across])


def features(place: Place) -> dict[str, Float[np.ndarray, "k h w"]]:
    """Return what a tree may look at, by sensor."""
    assert place.target is not None
    size = place.target.shape[0]
    result = {}
    for name, series in place.series.items():
        if name == "s2":
            result[name] = composite(series, series.pixels[:, 0] < CLEAR)
        elif name == "s1_asc":
            result[name] = smooth(composite(series, np.ones(series.pixels[:, 0].shape, dtype=np.bool_)))
        elif name == "spot":
            result[name] = texture(series.pixels, size)
        else:
            flat = series.pixels.reshape(-1, *series.pixels.shape[2:]).astype(np.float32)
            result[name] = np.broadcast_to(flat, (len(flat), size, size))
    return result


def mean_iou(truth: Int[np.ndarray, " n"], guess: Int[np.ndarray, " n"], num: int) -> float:
    """Return the mean intersection over union of the classes that occur."""
    matrix = np.bincount(truth * num + guess, minlength=num * num).reshape(num, num)
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return float((matrix.diagonal()[union > 0] / union[union > 0]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--places", type=int, default=150)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--clouds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]

    for seed in arguments.seeds:
        source = Landscape(LandscapeConfig(places=arguments.places, size=arguments.size, seed=seed, clouds=arguments.clouds))
        rng = np.random.default_rng(seed)
        columns: dict[str, list[np.ndarray]] = {}
        truth, test = [], []
        start = time.perf_counter()
        for index, place in enumerate(source[i] for i in range(len(source))):
            assert place.target is not None and source.classes is not None
            held_out = index % 3 == 2
            kept = np.flatnonzero(place.target.ravel() != source.classes.ignore)
            kept = rng.choice(kept, min(len(kept), 100), replace=False)
            truth.append(place.target.ravel()[kept].astype(np.int64))
            test.append(np.full(len(kept), held_out))
            for name, value in features(place).items():
                columns.setdefault(name, []).append(value.reshape(len(value), -1)[:, kept].T)
        print(f"seed {seed}: {len(source)} places in {time.perf_counter() - start:.0f} s")
        label, held = np.concatenate(truth), np.concatenate(test)
        table = {name: np.concatenate(parts) for name, parts in columns.items()}
        for subset in SUBSETS:
            data = np.concatenate([table[name] for name in subset], 1)
            trees = HistGradientBoostingClassifier(
                max_iter=arguments.rounds, learning_rate=0.15, max_leaf_nodes=15, max_features=0.15, random_state=seed
            )
            trees.fit(data[~held], label[~held])
            guess = trees.predict(data[held])
            print(f"  {'+'.join(subset):32s} mIoU {100 * mean_iou(label[held], guess, 13):5.1f}", flush=True)


if __name__ == "__main__":
    main()
