"""Damage of files as it happens: cut, flipped, lost, doubled, swapped, renamed, of another type, with other text."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Mutator = Callable[[Path, Rng], list[Path]]  # changes the file, returns the files that are not what they were


def pick(rng: Rng, items: list[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def truncate(file: Path, rng: Rng) -> list[Path]:
    raw = file.read_bytes()
    file.write_bytes(raw[: int(rng.integers(len(raw)))] if raw else b"x")
    return [file]


def empty(file: Path, rng: Rng) -> list[Path]:
    file.write_bytes(b"")
    return [file]


def delete(file: Path, rng: Rng) -> list[Path]:
    file.unlink()
    return [file]


def flip(file: Path, rng: Rng) -> list[Path]:
    """Flip a bit, every other time among the first 512 bytes, where headers are."""
    raw = bytearray(file.read_bytes())
    if raw:
        position = int(rng.integers(min(len(raw), 512) if rng.random() < 0.5 else len(raw)))
        raw[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(raw)
    return [file]


def zero(file: Path, rng: Rng) -> list[Path]:
    """Put a hole where a block was, as a disk does."""
    raw = bytearray(file.read_bytes())
    start = int(rng.integers(max(len(raw), 1)))
    raw[start : start + 4096] = bytes(len(raw[start : start + 4096]))
    file.write_bytes(raw)
    return [file]


def append(file: Path, rng: Rng) -> list[Path]:
    with file.open("ab") as stream:
        stream.write(rng.bytes(int(rng.integers(1, 100))))
    return [file]


def scramble(file: Path, rng: Rng) -> list[Path]:
    file.write_bytes(rng.bytes(max(1, file.stat().st_size)))
    return [file]


def rename(file: Path, rng: Rng) -> list[Path]:
    other = file.with_name(pick(rng, ["x" + file.name, file.name + ".part", file.name.upper() + "_", file.stem]))
    file.rename(other)
    return [file, other]


def swap(file: Path, rng: Rng) -> list[Path]:
    """Exchange two files of one folder."""
    others = _siblings(file)
    if not others:
        return delete(file, rng)
    other = pick(rng, others)
    held = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(held)
    return [file, other]


def duplicate(file: Path, rng: Rng) -> list[Path]:
    """Put a copy of another file of the folder in the place of one, or beside it under a number of its own."""
    others = _siblings(file)
    if others and rng.random() < 0.5:
        shutil.copyfile(pick(rng, others), file)
        return [file]
    beside = file.with_name(re.sub(r"\d+", lambda found: str(int(found[0]) + 7), file.name, count=1))
    if not beside.exists():
        shutil.copyfile(file, beside)
    return [file, beside]


def npy_array(file: Path, rng: Rng) -> list[Path]:
    """Save another array: of another type, with NaN, without an axis, a frame more or less, objects."""
    array = np.load(file)
    kind = int(rng.integers(8))
    if kind == 0:
        array = array.astype(pick(rng, [np.float64, np.int64, np.uint8, np.complex64, bool, ">i2", "S3"]))
    elif kind == 1:
        array = array.astype(np.float32)
        array.reshape(-1)[int(rng.integers(array.size))] = pick(rng, [np.nan, np.inf])
    elif kind == 2 and array.dtype.kind == "f":
        array.reshape(-1)[int(rng.integers(array.size))] = pick(rng, [np.nan, np.inf, -np.inf])
    elif kind == 3:
        array = array[0]
    elif kind == 4:
        array = array[: len(array) - 1]
    elif kind == 5:
        array = np.concatenate([array, array[:1]])
    elif kind == 6:
        array = array.astype(object)
    else:
        array = array.swapaxes(0, 1)
    np.save(file, array, allow_pickle=True)
    return [file]


def json_value(file: Path, rng: Rng) -> list[Path]:
    """Change, remove or double one value somewhere in a document."""
    document = json.loads(file.read_text(encoding="utf-8"))
    holders = list(_holders(document))
    if holders:
        holder, key = pick(rng, holders)
        kind = int(rng.integers(6))
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = pick(rng, [None, "", "x", -1, 1e30, 0, [], {}, True, 20190230])
        elif kind == 2 and isinstance(holder[key], int | float):
            holder[key] += int(rng.integers(-40, 40)) or 1
        elif kind == 3 and isinstance(holder, list):
            holder.append(holder[key])
        elif kind == 4 and isinstance(holder, dict):
            holder[str(key) + "x"] = holder.pop(key)
        else:
            holder[key] = [holder[key]]
    file.write_text(json.dumps(document), encoding="utf-8")
    return [file]


def text_line(file: Path, rng: Rng) -> list[Path]:
    """Remove, double or change a line."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) or ["\n"]
    number, kind = int(rng.integers(len(lines))), int(rng.integers(4))
    if kind == 0:
        del lines[number]
    elif kind == 1:
        lines.insert(number, lines[number])
    elif kind == 2:
        position = int(rng.integers(len(lines[number])))
        lines[number] = lines[number][:position] + pick(rng, list('0aZ;,"\n\x00é-')) + lines[number][position + 1 :]
    else:
        lines[number] = lines[number].replace(",", ";")
    file.write_text("".join(lines), encoding="utf-8")
    return [file]


def raster(file: Path, rng: Rng) -> list[Path]:
    """Write another raster: of another type, a band fewer, shifted, in another CRS, cut, with NaN."""
    import rasterio

    with rasterio.open(file) as image:
        pixels, profile = image.read(), dict(image.profile)
    kind = int(rng.integers(6))
    if kind == 0:
        pixels = pixels.astype(pick(rng, ["uint16", "float32", "float64", "int16"]))
    elif kind == 1:
        pixels = np.concatenate([pixels, pixels[:1]])
    elif kind == 2:
        pixels = pixels[:, :-3]
    elif kind == 3:
        profile["crs"] = pick(rng, ["EPSG:32633", "EPSG:3857", None])
    elif kind == 4:
        profile["transform"] = rasterio.Affine.translation(1000, 0) @ profile["transform"]
    else:
        pixels = pixels.astype("float32")
        pixels[0, 1, 1] = np.nan
    keep = {key: profile[key] for key in ("driver", "crs", "transform", "nodata") if profile.get(key) is not None}
    with contextlib.suppress(ValueError, TypeError), rasterio.Env(GTIFF_SRS_SOURCE="EPSG"):
        count, height, width = pixels.shape
        with rasterio.open(file, "w", **keep, count=count, height=height, width=width, dtype=pixels.dtype) as image:
            image.write(pixels)
    return [file]


def hdf5(file: Path, rng: Rng) -> list[Path]:
    """Change one array of a file: gone, another type, shorter, NaN, other text."""
    import h5py

    with h5py.File(file, "r+") as content:
        name = pick(rng, sorted(content))
        values = content[name][...]
        del content[name]
        kind = int(rng.integers(5))
        if values.dtype.kind in "OS":
            values = values.astype("S100")
            if kind == 0:
                values[0] = b"S2A_nonsense"
            elif kind == 1:
                values = values[:-1]
            elif kind == 2:
                values = np.arange(len(values))
            elif kind == 3:
                values = values[::-1]
        elif kind == 1:
            values = values.astype("int32")
        elif kind == 2:
            values = values[:-1]
        elif kind == 3:
            values[0, 0] = np.nan
        elif kind == 4:
            values = values.swapaxes(0, 1)
        if kind:
            content[name] = values
    return [file]


ANY: tuple[Mutator, ...] = (truncate, empty, delete, flip, flip, flip, zero, append, scramble, rename, swap, duplicate)
BY_SUFFIX: dict[str, tuple[Mutator, ...]] = {
    ".npy": (npy_array,) * 4,
    ".json": (json_value,) * 6,
    ".geojson": (json_value,) * 12,
    ".csv": (text_line,) * 6,
    ".lst": (text_line,) * 4,
    ".txt": (text_line,) * 4,
    ".tif": (raster,) * 4,
    ".h5": (hdf5,) * 5,
}


def mutate(folder: Path, rng: Rng) -> tuple[str, list[Path], Callable[[], None]]:
    """Change one file of a folder; return what was done, the files concerned, and what puts them back."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    groups = sorted({(file.parent, file.suffix) for file in files})  # each kind of file as often as any other
    parent, suffix = pick(rng, groups)
    file = pick(rng, [one for one in files if (one.parent, one.suffix) == (parent, suffix)])
    mutator = pick(rng, [*ANY, *BY_SUFFIX.get(suffix, ())])
    held = {one: one.read_bytes() for one in [file, *_siblings(file)]}
    changed = mutator(file, rng)

    def restore() -> None:
        for one in changed:
            if one not in held:
                one.unlink(missing_ok=True)
        for one, raw in held.items():
            if not one.is_file() or one.read_bytes() != raw:
                one.write_bytes(raw)

    return f"{mutator.__name__} {file.relative_to(folder)}", changed, restore


def plain_npy(file: Path) -> np.ndarray:
    """Read an array with nothing but numpy."""
    return np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)


def _siblings(file: Path) -> list[Path]:
    return sorted(one for one in file.parent.iterdir() if one.is_file() and one != file and one.suffix == file.suffix)


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) of a document."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _holders(inner)
