"""Hostile model folders: each a change of a good one, by name; what `load` must refuse in words, at once and in little memory."""

import hashlib
import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Change = Callable[[Path], object]
WEIGHTS, CONFIG = "model.safetensors", "config.json"
HUGE = 2**40


def vouched(folder: Path, data: bytes) -> None:
    """Write weights and have the configuration vouch for them, so that later checks are reached."""
    (folder / WEIGHTS).write_bytes(data)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["weights"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def with_header(folder: Path, change: Callable[[dict[str, Any]], object], length: int | None = None) -> None:
    """Change the header of the weights; `length` is what it claims to be, if not the truth."""
    data = (folder / WEIGHTS).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    changed = change(header)
    text = json.dumps(header if changed is None else changed).encode()
    vouched(folder, struct.pack("<Q", len(text) if length is None else length) + text + data[8 + size :])


def with_config(folder: Path, path: tuple[str | int, ...], value: object) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    at = config
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


def replaced(name: str, make: Callable[[Path], object]) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        file.truncate(size)


def deep(depth: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * depth + "1" + closing * depth


def listed(good: Path) -> dict[str, Change]:
    """Return every case by name; `good` is a folder that loads."""
    data = (good / WEIGHTS).read_bytes()
    config = json.loads((good / CONFIG).read_text(encoding="utf-8"))
    draw = random.Random(0)
    cases: dict[str, Change] = {}

    # Cut and damaged files, with a configuration that does and does not vouch for them.
    for size in (0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1):
        cases[f"weights cut to {size}"] = lambda f, n=size: (f / WEIGHTS).write_bytes(data[:n])
        cases[f"weights cut to {size}, vouched"] = lambda f, n=size: vouched(f, data[:n])
    text = (good / CONFIG).read_bytes()
    for size in (0, 1, 2, 10, len(text) // 2, len(text) - 3):
        cases[f"config cut to {size}"] = lambda f, n=size: (f / CONFIG).write_bytes(text[:n])
    for number in range(20):
        noise = draw.randbytes(draw.choice([3, 50, 4000]))
        cases[f"noise {number} as weights"] = lambda f, b=noise: vouched(f, b)
        cases[f"noise {number} as config"] = lambda f, b=noise: (f / CONFIG).write_bytes(b)
    for _ in range(20):  # in the header alone: what the tensors hold is told by the hash only
        at, bit = draw.randrange(8 * (8 + struct.unpack("<Q", data[:8])[0])), bytearray(data)
        bit[at // 8] ^= 1 << at % 8
        cases[f"bit {at} of the weights"] = lambda f, b=bytes(bit): (f / WEIGHTS).write_bytes(b)

    # What downloads leave behind.
    pages = {
        "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        "web page": b"<!DOCTYPE html><html><body>404</body></html>",
        "HTML": b"\n  <html lang='en'>",
        "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "JSON": b'{"error": "not found"}',
        "pickle": b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.",
        "zip": b"PK\x03\x04" + bytes(100),
        "nothing": b"",
    }
    for kind, page in pages.items():
        cases[f"{kind} as weights"] = lambda f, b=page: (f / WEIGHTS).write_bytes(b)
        cases[f"{kind} as weights, vouched"] = lambda f, b=page: vouched(f, b)
        cases[f"{kind} as config"] = lambda f, b=page: (f / CONFIG).write_bytes(b)
    cases["files swapped"] = lambda f: (
        (f / WEIGHTS).rename(f / "x"),
        (f / CONFIG).rename(f / WEIGHTS),
        (f / "x").rename(f / CONFIG),
    )

    # Things that are not files.
    for name in (WEIGHTS, CONFIG):
        cases[f"no {name}"] = lambda f, n=name: (f / n).unlink()
        cases[f"{name} a folder"] = replaced(name, Path.mkdir)
        cases[f"{name} a pipe"] = replaced(name, os.mkfifo)
        for target in ("/dev/zero", "/dev/stdin", "/etc", "/etc/hostname", "nowhere", "../config.json", name):
            cases[f"{name} linked to {target}"] = replaced(name, lambda p, t=target: p.symlink_to(t))
    cases["weights of a terabyte"] = lambda f: (sparse(f / WEIGHTS, HUGE), with_config(f, ("weights", "bytes"), HUGE))
    cases["config of a terabyte"] = lambda f: sparse(f / CONFIG, HUGE)
    cases["config of 15 MB"] = lambda f: (f / CONFIG).write_text("[" + "0," * 7_500_000 + "0]", encoding="utf-8")
    cases["config of 15 MB of spaces"] = lambda f: (f / CONFIG).write_text(" " * 15_000_000, encoding="utf-8")

    # Headers.
    for length in (0, 1, 2**22 - 1, 2**22 + 1, 2**31, 2**40, 2**63, 2**64 - 1):
        cases[f"header of {length} bytes"] = lambda f, n=length: with_header(f, lambda h: None, n)
    first = next(key for key in json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]]) if key != "__metadata__")
    entries: dict[str, object] = {
        "no shape": {"dtype": "F32", "data_offsets": [0, 4]},
        "no type": {"shape": [1], "data_offsets": [0, 4]},
        "no offsets": {"dtype": "F32", "shape": [1]},
        "another type": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
        "unknown type": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]},
        "negative side": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        "vast side": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]},
        "side past 64 bits": {"dtype": "F32", "shape": [2**70], "data_offsets": [0, 4]},
        "text as shape": {"dtype": "F32", "shape": "wide", "data_offsets": [0, 4]},
        "infinite side": {"dtype": "F32", "shape": [float("inf")], "data_offsets": [0, 4]},
        "offsets past the end": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**60]},
        "offsets backwards": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]},
        "null": None,
        "a list": [],
        "a thousand sides": {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 4]},
    }
    for kind, entry in entries.items():
        cases[f"tensor with {kind}"] = lambda f, e=entry: with_header(f, lambda h: h.update({first: e}))
        cases[f"further tensor with {kind}"] = lambda f, e=entry: with_header(f, lambda h: h.update({"further": e}))
    good_entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for name in ("../../etc/passwd", "/etc/passwd", "a\0b", "", ".", "a" * 100_000, "\ud800", "__class__", "𝕏", "encoders.by_name"):
        cases[f"tensor called {name[:20]!r}"] = lambda f, n=name: with_header(f, lambda h: h.update({n: good_entry}))
    cases["tensors of another model"] = lambda f: with_header(f, lambda h: {f"x.{key}": value for key, value in h.items()})
    cases["a tensor too few"] = lambda f: with_header(f, lambda h: h.pop(first) and None)
    cases["twenty thousand tensors"] = lambda f: with_header(f, lambda h: h.update({f"t{i}": good_entry for i in range(20_000)}))
    cases["metadata that is none"] = lambda f: with_header(f, lambda h: h.update({"__metadata__": {"a": {"b": 1}}}))
    cases["header a list"] = lambda f: with_header(f, lambda h: [1, 2, 3])
    for depth in (500, 100_000):
        nested = deep(depth).encode()
        cases[f"header {depth} deep"] = lambda f, b=nested: vouched(f, struct.pack("<Q", len(b)) + b)

    # Configurations.
    for depth in (200, 900, 5_000, 1_000_000):
        cases[f"config {depth} deep"] = lambda f, n=depth: (f / CONFIG).write_text(deep(n), encoding="utf-8")
        cases[f"config of lists {depth} deep"] = lambda f, n=depth: (f / CONFIG).write_text(deep(n, "[", "]"), encoding="utf-8")
        inside = text.decode().replace('"facts": {', '"facts": {"deep": ' + deep(depth) + ", ", 1)
        if depth > 1000:  # less is a fact like any other
            cases[f"facts {depth} deep"] = lambda f, t=inside: (f / CONFIG).write_text(t, encoding="utf-8")
    cases["a field twice"] = lambda f: (f / CONFIG).write_text(text.decode().replace("{", '{"format": "x", ', 1), encoding="utf-8")
    cases["a number of 5,000 digits"] = lambda f: (f / CONFIG).write_text('{"format_version": ' + "9" * 5000 + "}", encoding="utf-8")
    cases["UTF-16"] = lambda f: (f / CONFIG).write_bytes(text.decode().encode("utf-16"))
    for version in (2, 10**30, "1", None, 1.5, -1, True, [1]):
        if version is not True:  # equals 1
            cases[f"format version {version}"] = lambda f, v=version: with_config(f, ("format_version",), v)
    for path in paths_of({key: config[key] for key in ("architecture", "weights")}):
        if len(path) > 1 and isinstance(path[-1], str) and path[-1] not in ("title", "rgb", "present_above"):
            for wrong in draw.sample([None, [], {}, "x" * 50, -1, 10**9, 2**70, [[1]], {"a": {}}, float("nan"), "../../etc/passwd\0"], 2):
                where = ".".join(map(str, path))
                cases[f"{where} is {str(wrong)[:20]!r}"] = lambda f, p=path, w=wrong: with_config(f, p, w)
    sensors = ("architecture", "model", "sensors")
    vit, series, fusion = (*sensors, "encoders", "spot"), (*sensors, "encoders", "s2"), ("architecture", "model", "fusion")
    for path, value in {
        (*vit, "depth"): 9_000_000,
        (*vit, "dim"): 9_600_000,
        (*vit, "name"): "hf-hub:somebody/vit_something",
        (*vit, "weights"): "/etc/passwd",
        (*vit, "stem_widths"): [8] * 20_000,
        (*series, "widths"): [16] * 100_000,
        (*series, "dim"): 2**40,
        (*series, "frame_chunk"): 2**62,
        (*fusion, "depth"): 9_000_000,
        (*fusion, "dims"): [16] * 50_000,
        ("architecture", "model", "head", "dims"): [8] * 50_000,
        ("architecture", "model", "head", "gsd"): 0.0,
        ("weights", "parameters"): 2**62,
        ("weights", "bytes"): 2**62,
        ("weights", "sha256"): "../" * 1000,
    }.items():
        cases[f"{path[-2]}.{path[-1]} of {str(value)[:30]}"] = lambda f, p=path, v=value: with_config(f, p, v)
    for name in ("", ".", "a.b", "items", "forward", "../s2", "a\0b", "s2/../../x", "training", "x" * 10_000):

        def renamed(folder: Path, name: str = name) -> None:
            value = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            for part in ("modalities", "encoders"):
                table = value["architecture"]["model"]["sensors"][part]
                table[name] = table.pop("s2")
            (folder / CONFIG).write_text(json.dumps(value), encoding="utf-8")

        cases[f"a sensor called {name[:20]!r}"] = renamed
    return cases
