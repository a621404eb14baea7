"""Which files of a FLAIR#1 or FLAIR#2 download belong together, whatever its folders are called.

Images, masks and Sentinel areas are found by their names anywhere below one folder. A folder with the word `test` in its name holds
test data: of FLAIR#1 with a 1 (`flair_1_aerial_test`, `flair#1-test`), of FLAIR#2 with a 2, of either without a number.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnifuse.errors import InputError


def _departments(*numbers: int) -> frozenset[str]:
    return frozenset(f"D{number:03}" for number in numbers)


TRAIN = _departments(
    6, 7, 8, 9, 13, 16, 17, 21, 23, 30, 32, 33, 34, 35, 38, 41, 44, 46, 49, 51, 52, 55, 60, 63, 70, 72, 74, 78, 80, 81, 86, 91
)  # fmt: skip
VALIDATION = _departments(4, 14, 29, 31, 58, 66, 67, 77)
TEST = {  # by generation
    1: _departments(12, 22, 26, 64, 68, 71, 75, 76, 83, 85),
    2: _departments(15, 22, 26, 36, 61, 64, 68, 69, 71, 84),
}
_DOMAIN = re.compile(r"D\d{3}_\d{4}")
_AREA = re.compile(r"SEN2_sp_(D\d{3}_\d{4})-(.+)_(data|masks|products)\.(?:npy|txt)")
_METADATA = ("flair_aerial_metadata.json", "flair-1_metadata_aerial.json")
_CENTROIDS = ("flair-2_centroids_sp_to_patch.json", "flair_2_centroids_sp_to_patch.json", "centroids_sp_to_patch.json")


@dataclass(frozen=True)
class Patch:
    """One aerial image and what belongs to it; `mask` is None without labels."""

    number: int
    image: Path
    mask: Path | None
    domain: str
    zone: str
    test: bool

    @property
    def id(self) -> str:
        return self.image.stem


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        patches: In the order of their numbers.
        areas: Files of each Sentinel area by (domain, zone), then by `data`, `masks`, `products`.
        metadata: Of aerial images by `IMG_<n>`: date, position, camera.
        centroids: (row, column) of a patch in its Sentinel area, by `IMG_<n>.tif`.
        centroids_file: Where these stand; None without it.
        metadata_file: Where the metadata stand; None without it.
    """

    patches: tuple[Patch, ...]
    areas: dict[tuple[str, str], dict[str, Path]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    centroids: dict[str, Any] = field(default_factory=dict)
    centroids_file: Path | None = None
    metadata_file: Path | None = None


def read_layout(folder: Path, generation: int) -> Layout:
    """List the patches of FLAIR#1 or FLAIR#2 below a folder; test data of the other one are passed over.

    Raises:
        InputError: where there is no patch, a number occurs twice, or a JSON file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Try: the folder that holds `flair_aerial_train`, or `data` and `aux-data`.")
    images: dict[int, Path] = {}
    masks: dict[int, Path] = {}
    areas: dict[tuple[str, str], dict[str, Path]] = {}
    tables: dict[str, Path] = {}
    for file in _files(folder):
        area = _AREA.fullmatch(file.name)
        kind, number = file.name[:4], file.stem.rpartition("_")[2]
        if file.name in _METADATA + _CENTROIDS:
            tables[file.name] = file
        elif _test_of(file, folder) not in (None, 0, generation):
            continue
        elif area:
            _add(areas.setdefault((area[1], area[2]), {}), area[3], file)
        elif kind in ("IMG_", "MSK_") and file.suffix == ".tif" and number.isdigit():
            _add(images if kind == "IMG_" else masks, int(number), file)
    patches = tuple(_patch(number, images[number], masks.get(number), folder) for number in sorted(images))
    if not patches:
        raise InputError(f"{folder}: no images `IMG_<number>.tif` of FLAIR#{generation}. Try: the folder that holds `flair_aerial_train`.")
    metadata, centroids = (next((tables[name] for name in names if name in tables), None) for names in (_METADATA, _CENTROIDS))
    return Layout(patches, areas, _read_json(metadata), _read_json(centroids), centroids, metadata)


def split_of(patch: Patch, generation: int, validation: frozenset[str]) -> str:
    """Return `train`, `val` or `test` by department; `unlisted` for one that no published list has.

    Departments of the usual lists that `validation` has exchanged go the other way.
    """
    department = patch.domain[:4]
    if patch.test:
        return "test"
    if department in validation:
        return "val"
    if department in TRAIN | VALIDATION:
        return "train"
    return "test" if department in TEST[generation] else "unlisted"


def _files(folder: Path) -> list[Path]:
    return [Path(where) / name for where, folders, names in os.walk(folder, followlinks=True) for name in _sorted(folders, names)]


def _sorted(folders: list[str], names: list[str]) -> list[str]:
    folders.sort()  # so that a walk does not depend on the file system
    return sorted(names)


def _add(files: dict[Any, Path], key: Any, file: Path) -> None:
    if key in files:
        raise InputError(f"{file}: there is {files[key]} of the same name. Try: remove one of them, or give the folder of one download.")
    files[key] = file


def _test_of(file: Path, folder: Path) -> int | None:
    """Return 1 or 2 for test data of that generation, 0 for test data without a number, None for others."""
    for part in reversed(file.relative_to(folder).parts[:-1]):
        words = re.findall(r"[a-z]+|\d+", part.lower())
        if "train" in words:
            return None
        if "test" in words:
            return next((int(word) for word in words if word in ("1", "2")), 0)
    return None


def _patch(number: int, image: Path, mask: Path | None, folder: Path) -> Patch:
    parts = image.relative_to(folder).parts[:-1]
    domain = next((at for at, part in enumerate(parts) if _DOMAIN.fullmatch(part)), None)
    if domain is None or domain + 1 >= len(parts):
        raise InputError(f"{image}: not below a domain and a zone, `D004_2021/Z10_AU/img/`. Try: the folder above the domains.")
    return Patch(number, image, mask, parts[domain], parts[domain + 1], _test_of(image, folder) is not None)


def _read_json(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: neither text nor JSON
        raise InputError(f"{file}: not JSON ({error}). Try: download this file again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds a {type(content).__name__}, expected an entry per image. Try: download this file again.")
    return content
