"""How fast a store is read, against mapped .npy files of the published layout and the published loader; and how large it is.

    python benchmarks/data.py                      # all of it, about 5 minutes on two cores
    python benchmarks/data.py read subset --places 8 --json figures.json

The places have the shape of PASTIS-HD: 38 to 61 Sentinel-2 dates of 10×128² int16, about 65 Sentinel-1 dates of 3×128² float16 and one
image of 3×1024² uint8. Their content is the landscape's, with its clouds, speckle and texture, so that it compresses like images do.

All figures are ratios of interleaved runs, medians over repetitions, so that other load on the machine cancels; the time is that of the
processor, but for the cold cache and for workers, where it is that of the clock. Nothing is decoded or copied lazily: a read ends
with arrays in memory. "Cold" is after `posix_fadvise(DONTNEED)` on every file.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset

from omnifuse.data.bucketing import even_parts, work_of
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.loading import PlaceDataset, step_keys, training_batches
from omnifuse.data.memory import InMemory
from omnifuse.data.place import Place, PlaceSource, Series
from omnifuse.data.store import Store, write_store
from omnifuse.modalities import MODALITIES

SENSORS = ("s2", "s1_asc", "spot")
SERIES = ("s2", "s1_asc")
Figures = dict[str, dict[str, float]]


class PastisLike:
    """Landscape places with as many Sentinel-2 dates as those of PASTIS (a `PlaceSource`)."""

    def __init__(self, places: int) -> None:
        self.landscape = Landscape(LandscapeConfig(places=places, size=128, seed=1))
        self.modalities = {name: self.landscape.modalities[name] for name in SENSORS}
        self.classes = self.landscape.classes
        self.size, self.info, self.provenance = self.landscape.size, self.landscape.info, self.landscape.provenance

    def __len__(self) -> int:
        return len(self.landscape)

    def __getitem__(self, index: int) -> Place:
        place, rng = self.landscape[index].only(SENSORS), np.random.default_rng(index)
        s2 = place.series["s2"]
        kept = np.sort(rng.choice(len(s2.day), min(len(s2.day), int(rng.integers(38, 62))), replace=False))
        return Place({**place.series, "s2": Series(s2.pixels[kept], s2.day[kept])}, place.size, place.target, place.info)


class Native:
    """The published layout: one .npy file per place and sensor."""

    def __init__(self, folder: Path, source: PlaceSource) -> None:
        self.folder = folder
        self.days = []
        folder.mkdir()
        for index in range(len(source)):
            place = source[index]
            for name, series in place.series.items():
                np.save(self.file(index, name), series.pixels)
            self.days.append({name: series.day for name, series in place.series.items()})

    def file(self, index: int, name: str) -> Path:
        return self.folder / f"{name}_{index}.npy"

    def mapped(self, index: int, name: str) -> Any:
        return np.load(self.file(index, name), mmap_mode="r")


class PublishedLoader(Dataset[dict[str, tuple[Tensor, Tensor]]]):
    """np.load → float32 → (x - mean) / std → padded to the longest series of the batch, as in the published PASTIS code."""

    def __init__(self, native: Native) -> None:
        self.native = native
        self.scale = {name: [torch.tensor(v)[:, None, None] for v in (MODALITIES[name].mean, MODALITIES[name].std)] for name in SENSORS}

    def __getitem__(self, index: int) -> dict[str, tuple[Tensor, Tensor]]:
        found = {}
        for name, (mean, std) in self.scale.items():
            values = torch.from_numpy(np.load(self.native.file(index, name)).astype(np.float32))
            found[name] = ((values - mean) / std, torch.from_numpy(self.native.days[index][name]))
        return found


def pad_collate(items: list[dict[str, tuple[Tensor, Tensor]]]) -> dict[str, tuple[Tensor, Tensor]]:
    def stacked(parts: list[Tensor]) -> Tensor:
        longest = max(len(part) for part in parts)
        return torch.stack([pad(part, [0, 0] * (part.ndim - 1) + [0, longest - len(part)]) for part in parts])

    return {name: tuple(stacked([item[name][i] for item in items]) for i in range(2)) for name in items[0]}  # type: ignore[misc]


def compared(runs: dict[str, Callable[[], Any]], repetitions: int, clock: Callable[[], float] = time.process_time) -> Figures:
    """Return for each run its median milliseconds, and the median of (the first run's time / its own) over interleaved repetitions."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    first = np.array(next(iter(seconds.values())))
    return {k: {"ms": float(np.median(v)) * 1e3, "speed": float(np.median(first / np.array(v)))} for k, v in seconds.items()}


def forget(*folders: Path) -> None:
    """Drop the files of folders from the page cache."""
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def through_zarr(path: Path, counts: dict[str, Int[np.ndarray, " n"]]) -> Callable[[], None]:
    import zarr

    zarr.config.set({"async.concurrency": 4, "threading.max_workers": 1})
    arrays = {name: zarr.open_array(path / name / "pixels", mode="r") for name in SENSORS}

    def read() -> None:
        for index in range(len(counts["s2"])):
            _ = {name: array[index, : int(counts[name][index])] for name, array in arrays.items()}

    return read


def whole(native: Native, stores: dict[str, Path], places: int, repetitions: int) -> tuple[Figures, Figures]:
    """Return the figures of reading all sensors of all places in random order, warm and cold."""
    order = np.random.default_rng(0).permutation(places)
    known = {profile: Store(path) for profile, path in stores.items()}
    always, counts = Store(stores["training"], verify="always"), known["training"].num_frames()

    def all_of(store: Store) -> None:
        for index in order:
            store.read(int(index), SENSORS)

    def mapped() -> None:
        for index in order:
            _ = {name: np.array(native.mapped(index, name)) for name in SENSORS}

    def loaded() -> None:
        for index in order:
            _ = {name: np.load(native.file(index, name)) for name in SENSORS}

    all_of(known["training"])
    warm = {
        "mapped .npy": mapped,
        "np.load": loaded,
        "training": lambda: all_of(known["training"]),
        'training, first read or verify="always"': lambda: all_of(always),
        "training through zarr": through_zarr(stores["training"], counts),
        "archive": lambda: all_of(known["archive"]),
        "archive through zarr": through_zarr(stores["archive"], counts),
    }
    seconds: Figures = {}
    times: dict[str, list[float]] = {}
    for _ in range(max(3, repetitions // 4)):
        for name, run in {"mapped .npy": mapped, "training": warm["training"], "archive": warm["archive"]}.items():
            forget(native.folder, *stores.values())
            began = time.perf_counter()
            run()
            times.setdefault(name, []).append(time.perf_counter() - began)
    for name, found in times.items():
        seconds[name] = {"ms": float(np.median(found)) * 1e3, "speed": float(np.median(np.array(times["mapped .npy"]) / np.array(found)))}
    mapped()
    return compared(warm, repetitions), seconds


def parts(native: Native, stores: dict[str, Path], places: int, repetitions: int) -> Figures:
    """Return the figures of reading 24 dates of each series, or 64² pixels of all, of random places; relative to whole reads."""
    opened = {profile: Store(path) for profile, path in stores.items()}
    counts = opened["training"].num_frames()
    rng = np.random.default_rng(0)
    dates = [{name: np.sort(rng.choice(counts[name][i], 24, replace=False)) for name in SERIES} for i in range(places)]

    def read(store: Store, chosen: bool) -> None:
        for index in range(places):
            store.read(index, SERIES, dates[index] if chosen else None)

    def mapped(part: Callable[[Any, int, str], Any]) -> None:
        for index in range(places):
            _ = {name: part(native.mapped(index, name), index, name) for name in SERIES}

    def cropped(store: Store) -> None:
        for index in range(places):
            for series in store.read(index, SERIES).series.values():
                np.ascontiguousarray(series.pixels[..., 32:96, 32:96])

    import zarr

    arrays = {name: zarr.open_array(stores["archive"] / name / "pixels", mode="r") for name in SERIES}

    def indexed() -> None:
        for index in range(places):
            _ = {name: array.oindex[index, dates[index][name]] for name, array in arrays.items()}

    read(opened["training"], False)
    return compared(
        {
            "training, whole": lambda: read(opened["training"], False),
            "training, 24 dates": lambda: read(opened["training"], True),
            "archive, whole": lambda: read(opened["archive"], False),
            "archive, 24 dates": lambda: read(opened["archive"], True),
            "archive, 24 dates, zarr's oindex": indexed,
            "mapped .npy, 24 dates": lambda: mapped(lambda series, i, name: series[dates[i][name]]),
            "training, 64² crop": lambda: cropped(opened["training"]),
            "mapped .npy, whole": lambda: mapped(lambda series, i, name: np.array(series)),
            "mapped .npy, 64² crop": lambda: mapped(lambda series, i, name: np.array(series[..., 32:96, 32:96])),
        },
        repetitions,
    )


def loaders(native: Native, stores: dict[str, Path], places: int, workers: int, repetitions: int) -> Figures:
    """Return places per second of loaders with batches of 4, and MB handed over per place; the first batches are not counted."""
    steps = 2 * places // 4

    def published() -> Iterator[Any]:
        order = [[int(i) for _, i in step_keys(places, 4, 0, step)] for step in range(steps + 2)]
        return iter(DataLoader(PublishedLoader(native), batch_sampler=order, collate_fn=pad_collate, num_workers=workers))

    def ours(path: Path) -> Iterator[Any]:
        return training_batches(PlaceDataset(Store(path), np.arange(places), 0), batch_size=4, seed=0, workers=workers)(0)

    def bytes_of(batch: Any) -> int:
        values = batch.items() if isinstance(batch, dict) else {k: (f.pixels, f.day) for k, f in batch.frames.items()}.items()
        return sum(tensor.nbytes for _, tensors in values for tensor in tensors)

    kinds = {"published loader": published, "training": lambda: ours(stores["training"]), "archive": lambda: ours(stores["archive"])}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    size: dict[str, float] = {}
    for _ in range(repetitions):
        for name, make in kinds.items():
            batches, total = make(), 0
            next(batches), next(batches)
            began = time.perf_counter()
            for _ in range(steps - 2):
                total += bytes_of(next(batches))
            rates[name].append(4 * (steps - 2) / (time.perf_counter() - began))
            size[name] = total / (4 * (steps - 2)) / 1e6
            del batches  # ends its workers
    first = np.array(rates["published loader"])
    return {
        k: {"places/s": float(np.median(v)), "speed": float(np.median(np.array(v) / first)), "MB/place": size[k]} for k, v in rates.items()
    }


def sizes(native: Native, stores: dict[str, Path]) -> Figures:
    """Return bytes on disk relative to the .npy files, pixels of each sensor alone."""
    found: Figures = {}
    for name in SENSORS:
        raw = sum(file.stat().st_blocks * 512 for file in native.folder.glob(f"{name}_*.npy"))
        found[name] = {
            profile: sum(file.stat().st_blocks * 512 for file in (path / name / "pixels").glob("c.*")) / raw
            for profile, path in stores.items()
        }
        found[name]["MB"] = raw / 1e6
    total = sum(row["MB"] for row in found.values())
    found["all"] = {
        k: sum(row["MB"] * (1 if k == "MB" else row[k]) for row in found.values()) / (1 if k == "MB" else total) for k in found["s2"]
    }
    return found


def codecs(source: PlaceSource, native: Native, repetitions: int) -> Figures:
    """Return size and decoding speed of codecs and chunks within a shard, relative to .npy; Sentinel-2 and Sentinel-1, two places."""
    from numcodecs import blosc

    blosc.use_threads = False
    kinds = [("lz4", 5, 1), ("lz4", 5, 2), ("lz4hc", 5, 2), ("zstd", 1, 1), ("zstd", 1, 2), ("zstd", 3, 2)]
    images = {name: [source[i].series[name].pixels for i in range(2)] for name in SERIES}
    found: Figures = {}
    for label, cut in (("1 date", 1), ("8 dates", 8), ("all dates", 1000)):
        for codec, level, shuffle in kinds if cut == 1 else kinds[1:2]:
            row: dict[str, float] = {}
            for name, series in images.items():
                pieces = [(s.shape, [(i, np.ascontiguousarray(s[i : i + cut])) for i in range(0, len(s), cut)]) for s in series]
                began = time.process_time()
                encoded = [(n, [(i, p.shape, blosc.compress(p, codec.encode(), level, shuffle, 0, 2)) for i, p in ps]) for n, ps in pieces]
                raw = sum(s.nbytes for s in series)
                row[f"{name} write MB/s"] = raw / 1e6 / (time.process_time() - began)
                row[f"{name} size"] = sum(len(c) for _, cs in encoded for _, _, c in cs) / raw
                row[f"{name} speed"] = compared(
                    {
                        "mapped": partial(mapped, native, name),
                        "decoded": partial(decoded, encoded),
                    },
                    repetitions,
                )["decoded"]["speed"]
            found[f"{codec}-{level} {'bit' if shuffle == 2 else 'byte'} shuffle, {label}"] = row
    return found


def mapped(native: Native, name: str) -> None:
    for index in range(2):
        np.array(native.mapped(index, name))


def decoded(encoded: list[Any]) -> None:
    from numcodecs import blosc

    for shape, chunks in encoded:
        out = np.empty(shape, np.int16)
        for start, part, chunk in chunks:
            blosc.decompress(chunk, out[start : start + part[0]])


def balance(steps: int = 200) -> Figures:
    """Return how uneven work is among processes and steps: (most / mean), mean over steps, in the order of places and in even shares."""
    landscape = InMemory(Landscape(LandscapeConfig(places=256, size=16, seed=0)))
    rng = np.random.default_rng(0)
    ragged = work_of(landscape, np.arange(256), most_dates=0)
    assert ragged is not None
    cases = {
        "PASTIS, 38 to 61 dates": rng.integers(38, 62, 1455),
        "three sensors, each missing at a third of the places": (rng.random((1455, 3)) < 2 / 3) @ np.array([48, 70, 64]) + 12,
        "landscape": ragged,
    }
    found: Figures = {}
    for name, work in cases.items():
        for world, share in ((8, 4), (64, 4)):
            rows = [np.array([work[i] for _, i in step_keys(len(work), world * share, 0, step)]) for step in range(steps)]
            found[f"{name}; {world} processes × {share} places"] = {
                "in order": float(np.mean([uneven(row.reshape(world, share).sum(1)) for row in rows])),
                "even shares": float(np.mean([uneven(np.array([row[p].sum() for p in even_parts(row, world)])) for row in rows])),
                "steps": uneven(np.array([row.sum() for row in rows])),
            }
    return found


def uneven(loads: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]) -> float:
    return float(loads.max() / loads.mean())


def table(title: str, figures: Figures) -> None:
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    print(f"\n{title}\n\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, row in figures.items():
        print(f"| {name} | {' | '.join(f'{row[c]:.2f}' if row[c] < 10 else f'{row[c]:.0f}' for c in columns)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("read", "subset", "loader", "size", "codec", "balance")
    parser.add_argument(
        "sections", nargs="*", choices=[[], *sections], metavar="SECTION", help=f"{', '.join(sections)}; all if none is named"
    )
    parser.add_argument("--places", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as work:
        source = InMemory.build(PastisLike(flags.places), workers=2)
        native = Native(Path(work) / "native", source)
        stores = {profile: Path(work) / profile for profile in ("training", "archive")}
        for profile, path in stores.items():
            write_store(source, path, profile=profile)
        wanted: dict[str, Callable[[], dict[str, Figures]]] = {
            "read": lambda: dict(zip(("Whole places, warm", "Whole places, cold"), whole(native, stores, *numbers), strict=True)),
            "subset": lambda: {"Parts of places, warm, relative to whole reads": parts(native, stores, *numbers)},
            "loader": lambda: {f"Batches of 4, {w} workers": loaders(native, stores, flags.places, w, 5) for w in (0, 2)},
            "size": lambda: {"Size on disk, relative to .npy": sizes(native, stores)},
            "codec": lambda: {"Codecs and chunks in a shard": codecs(source, native, flags.repetitions)},
            "balance": lambda: {"Work of the busiest process relative to the mean": balance()},
        }
        numbers = (flags.places, flags.repetitions)
        for section in flags.sections or sections:
            for title, figures in wanted[section]().items():
                results[title] = figures
                table(title, figures)
    if flags.json:
        flags.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
