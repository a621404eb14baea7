"""What can be wrong with a folder of PASTIS, beyond what reading its places tells."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Num

from omnifuse.data.npy import check_npy, read_npy
from omnifuse.data.problems import Problem
from omnifuse.data.sources.pastis_layout import IMAGES, PUBLISHED, SERIES, NativeSeries
from omnifuse.data.sources.pastis_metadata import METADATA, Patch, read_norm
from omnifuse.data.sources.pastis_spot import image_problems
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
    metadata = str(source.folder / METADATA)
    if source.about == PUBLISHED and len(source) > PLACES // 2:
        yield from _counts(source, metadata)
    yield from _norms(source)
    for patch, info in zip(source.patches, source.info, strict=True):
        place = str(patch.number)
        why = f"the outline is no square of {source.size:g} m in the UTM zone of the tile" if patch.zone else "no `TILE` with a UTM zone"
        for field, reason in (("fold", "no `Fold`"), ("longitude", "no outline"), ("left", why)):
            if field not in info:
                yield Problem(metadata, f"{reason}: `{field}` stays unknown", "take metadata.geojson from the published data set", place)
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
    for name in source.sensors:
        if name in SERIES:
            file = source.folder / f"NORM_{SERIES[name].name}_patch.json"
            try:
                norm = read_norm(file)
            except InputError as error:
                yield as_problem(error, file, "")
                continue
            absent = {patch.fold for patch in source.patches if patch.fold is not None} - set(norm)
            if absent:
                yield Problem(str(file), f"no statistics of folds {sorted(absent)}", _AGAIN)
            if len(norm) > 1 and len(set(norm.values())) == 1:
                what = "the statistics of all folds are the same, as a tool of others writes them on a file system that ignores case"
                yield Problem(str(file), what, _AGAIN)


def _patch(source: "Pastis", patch: Patch, values: bool) -> Iterator[Problem]:
    place = str(patch.number)
    for name in source.sensors:
        if name in IMAGES:
            yield from _image(source.image_file(patch), source.modalities[name].pixels(source.size), values, place)
        else:
            yield from _dates(SERIES[name], patch, str(source.folder / METADATA))
            yield from _series(source.series_file(name, patch), SERIES[name], source.series_shape(name), patch, values)
    yield from _try(lambda: source.labels(patch), source.folder / "ANNOTATIONS", place)


def _dates(native: NativeSeries, patch: Patch, metadata: str) -> Iterator[Problem]:
    days, place = patch.days[native.name], str(patch.number)
    column = f"`dates-{native.name}` of patch {place}"
    if np.any(np.diff(days) < 0):
        yield Problem(metadata, f"{column} are not in order", "nothing: frames are sorted by date when read", place)
    if len(set(days.tolist())) < len(days):
        remedy = "nothing: both frames are read; the published loader fails on them"
        yield Problem(metadata, f"{column} have a date twice", remedy, place)
    if len(days) and not DAYS[0] <= days.min() <= days.max() <= DAYS[1]:
        first, last = (str(np.datetime64(int(day), "D")) for day in (days.min(), days.max()))
        yield Problem(metadata, f"{column} run from {first} to {last}, outside the published years", "check the dates", place)


def _series(file: Path, native: NativeSeries, shape: tuple[int | None, ...], patch: Patch, values: bool) -> Iterator[Problem]:
    place, axes = str(patch.number), "dates, bands, y, x"

    def header() -> None:
        check_dates(file, check_npy(file, native.dtype, shape, axes)[0], len(patch.days[native.name]), native.name)

    wrong = list(_try(header, file, place))
    yield from wrong
    if values and not wrong:
        pixels = read_npy(file, native.dtype, shape, axes)
        for what in _radar(pixels) if native.nodata is None else _optical(pixels, native.nodata):
            yield Problem(str(file), what, _AGAIN, place)


def _image(file: Path, side: int, values: bool, place: str) -> Iterator[Problem]:
    if not file.is_file():
        yield Problem(
            str(file), "no image: the sensor counts as missing at this place", f"{_AGAIN}, or nothing where none was published", place
        )
        return
    try:
        for what in image_problems(file, side, values):
            yield Problem(str(file), what, f"{_AGAIN}, or nothing where it was published so", place)
    except InputError as error:
        yield as_problem(error, file, place)


def _optical(pixels: Int[np.ndarray, "t c h w"], nodata: float) -> Iterator[str]:
    low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if low < nodata or high > S2_MAX:
        yield f"values from {low} to {high}, published are {nodata:g} (no data) to {S2_MAX}"


def _radar(pixels: Float[np.ndarray, "t 3 h w"]) -> Iterator[str]:
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


def check_dates(file: Path, frames: int, dates: int, native: str) -> None:
    """Raise `InputError` where a series has not one date per frame."""
    if frames != dates:
        raise InputError(
            f"{file}: {frames} frames, but `dates-{native}` in metadata.geojson has {dates} dates for this patch. "
            f"Try: take both files from one download."
        )


def check_finite(file: Path, pixels: Num[np.ndarray, "t c h w"]) -> None:
    """Raise `InputError` for a value that is not a number."""
    finite = np.isfinite(pixels)
    if not finite.all():
        frame = int(np.argmin(finite.all((1, 2, 3))))
        raise InputError(f"{file}: {int((~finite).sum())} values are not finite, first in frame {frame}. Try: download this file again.")


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
