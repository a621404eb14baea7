"""What can be wrong with a folder of PASTIS, beyond what reading its places tells."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnifuse.data.npy import check_npy, read_npy
from omnifuse.data.problems import Problem
from omnifuse.data.sources.pastis_metadata import METADATA, Patch, read_norm
from omnifuse.errors import InputError

if TYPE_CHECKING:
    from omnifuse.data.sources.pastis import Pastis

PLACES = 2433
FOLDS = {4: 482, 5: 496}  # the sizes of the first three folds are not published
TILES = {"t30uxv": 531, "t31tfj": 623, "t31tfm": 723, "t32ulu": 556}
DAYS = (17_575, 18_374)  # the published loader's window: 200 days before 2018-09-01 to 599 days after it
S2_MAX = 22_626  # largest of the published maxima over the whole set
S1_RANGE = (-43.2, 52.0)  # dB; published extremes of VV, VH and their difference
RATIO_TOLERANCE = 0.05  # dB; float16 rounding makes 0.016 at most on real patches
_AGAIN = "download this file again"


def problems(source: "Pastis", values: bool) -> Iterator[Problem]:
    """Yield what is wrong with the whole set, then with each patch; see `Pastis.problems`."""
    from omnifuse.data.sources.pastis import PUBLISHED

    metadata = str(source.folder / METADATA)
    if source.about == PUBLISHED and len(source) > PLACES // 2:
        yield from _counts(source, metadata)
    yield from _norms(source)
    for patch, info in zip(source.patches, source.info, strict=True):
        place = str(patch.number)
        for field, why in (("fold", "no `Fold`"), ("tile", "no `TILE`"), ("left", f"the outline is no square of {source.size:g} m")):
            if field not in info:
                yield Problem(metadata, f"{why}: `{field}` stays unknown", "take metadata.geojson from the published data set", place)
        yield from _patch(source, patch, values)


def _counts(source: "Pastis", metadata: str) -> Iterator[Problem]:
    remedy = "download metadata.geojson again, or ignore this where a subset is meant"
    if len(source) != PLACES:
        yield Problem(metadata, f"{len(source)} patches, published are {PLACES}", remedy)
    folds, tiles = Counter(patch.fold for patch in source.patches), Counter(patch.tile.lower() for patch in source.patches)
    for fold, count in FOLDS.items():
        if folds[fold] != count:
            yield Problem(metadata, f"fold {fold} has {folds[fold]} patches, published are {count}", remedy)
    for tile, count in TILES.items():
        if tiles[tile] != count:
            yield Problem(metadata, f"tile {tile} has {tiles[tile]} patches, published are {count}", remedy)


def _norms(source: "Pastis") -> Iterator[Problem]:
    from omnifuse.data.sources.pastis import SERIES

    for name in source.sensors:
        if name in SERIES:
            file = source.folder / f"NORM_{SERIES[name].name}_patch.json"
            try:
                norm = read_norm(file)
            except InputError as error:
                yield as_problem(error, file, "")
                continue
            if len(set(norm.values())) == 1:
                what = "the statistics of all folds are the same, as a tool of others writes them on a file system that ignores case"
                yield Problem(str(file), what, _AGAIN)


def _patch(source: "Pastis", patch: Patch, values: bool) -> Iterator[Problem]:
    from omnifuse.data.sources.pastis import IMAGES, SERIES, check_dates

    place = str(patch.number)
    for name in source.sensors:
        if name in IMAGES:
            image = source.image_file(patch)
            if not image.is_file():
                yield Problem(str(image), f"no image: {name} counts as missing at this place", _AGAIN + ", if it is published", place)
            continue
        native, file = SERIES[name], source.series_file(name, patch)
        days, column = patch.days[native.name], f"`dates-{native.name}` of patch {place}"
        metadata = str(source.folder / METADATA)
        step = np.diff(days)
        if np.any(step < 0):
            yield Problem(metadata, f"{column} are not in order", "nothing: frames are sorted by date when read", place)
        if len(set(days.tolist())) < len(days):
            yield Problem(
                metadata, f"{column} has a date twice", "nothing: both frames are read; the published loader fails on them", place
            )
        if len(days) and not DAYS[0] <= days.min() <= days.max() <= DAYS[1]:
            first, last = (str(np.datetime64(int(day), "D")) for day in (days.min(), days.max()))
            yield Problem(metadata, f"{column} run from {first} to {last}, outside the published years", "check the dates", place)
        shape = source.series_shape(name)

        def header(file: Path = file, native: Any = native, shape: Any = shape, days: Any = days) -> None:
            check_dates(file, check_npy(file, native.dtype, shape, "dates, bands, y, x")[0], len(days), native.name)

        wrong = list(_try(header, file, place))
        yield from wrong
        if values and not wrong:
            pixels = read_npy(file, native.dtype, shape, "dates, bands, y, x")
            for what in _optical(pixels, native.nodata) if native.nodata is not None else radar(pixels):
                yield Problem(str(file), what, _AGAIN, place)
    yield from _try(lambda: source.labels(patch), source.folder / "ANNOTATIONS", place)


def _optical(pixels: np.ndarray, nodata: float) -> Iterator[str]:
    low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if low < nodata or high > S2_MAX:
        yield f"values from {low} to {high}, published are {nodata:g} (no data) to {S2_MAX}"


def radar(pixels: np.ndarray) -> Iterator[str]:
    """Yield what is wrong with radar in dB: not finite, out of range, or a third band that is not VV-VH."""
    wide = pixels.astype(np.float32)  # float16 loses up to 0.03 dB in a difference
    if not np.isfinite(wide).all():
        yield f"{int((~np.isfinite(wide)).sum())} values are not finite"
        return
    if wide.size and not S1_RANGE[0] <= wide.min() <= wide.max() <= S1_RANGE[1]:
        yield f"values from {wide.min():.1f} to {wide.max():.1f} dB, published are {S1_RANGE[0]} to {S1_RANGE[1]}: is this dB?"
    away = float(np.abs(wide[:, 0] - wide[:, 1] - wide[:, 2]).max(initial=0))
    if away > RATIO_TOLERANCE:
        yield f"the third band differs from VV-VH by up to {away:.2f} dB, expected at most {RATIO_TOLERANCE}"


def _try(check: Callable[[], object], file: Path, place: str) -> Iterator[Problem]:
    try:
        check()
    except InputError as error:
        yield as_problem(error, file, place)


def as_problem(error: InputError, file: Path, place: str) -> Problem:
    """Return an error as the record of a problem: `<file>: <what>. Try: <remedy>.`"""
    what, _, remedy = str(error).partition(" Try: ")
    named, colon, rest = what.partition(": ")
    return Problem(named if colon else str(file), (rest if colon else what).rstrip("."), remedy.rstrip(".") or _AGAIN, place)
