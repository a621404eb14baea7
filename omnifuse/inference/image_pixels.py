"""Images of a sensor onto a square of ground: put together from files, in the sensor's unit, gaps filled."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Num

from omnifuse.data.calibration import Calibration, check_values
from omnifuse.data.filling import filled
from omnifuse.data.grid import Square, missing_pixels, read_part
from omnifuse.data.place import Series
from omnifuse.data.raster_file import read_window
from omnifuse.data.sources.raster_bands import differences
from omnifuse.inference.image_files import Image, Piece
from omnifuse.modalities import Modality

_SAMPLE = 128  # pixels along a side of each window that units are judged by
_IMAGES = 4  # images that units are judged by


def kept_type(images: Sequence[Image], modality: Modality) -> np.dtype[np.generic]:
    """Return the type of a sensor's pixels: that of its files if these store its values, else float32."""
    types = {piece.header.dtype for image in images for piece in image.pieces}
    computed = any(band not in piece.index for image in images for piece in image.pieces for band in differences(modality))
    trivial = all(own.trivial for image in images for piece in image.pieces for own in piece.calibrations.values())
    kept = np.dtype(types.pop()) if len(types) == 1 and trivial and not computed else np.dtype(np.float32)
    return kept if kept.kind in "iu" and kept.itemsize <= 2 else np.dtype(np.float32)


def read_series(images: Sequence[Image], modality: Modality, dtype: np.dtype[np.generic], square: Square) -> Series:
    """Return what a sensor saw of a square, without its images that have a band without any data there; gaps take the nearest pixel.

    Raises:
        InputError: where the square is not a whole number of the sensor's pixels, or a file cannot be read.
    """
    side = modality.pixels(square.size)
    ground = square.grown(0.0 if modality.per_place else modality.context)
    found = [(image.day, *_read(image, modality, ground, side)) for image in images]
    kept = [(day, pixels, missing) for day, pixels, missing in found if not missing.all((1, 2)).any()]
    pixels = np.zeros((len(kept), len(modality.bands), side, side), dtype)
    for number, (_, values, missing) in enumerate(kept):
        for band in range(len(values)):
            pixels[number, band] = filled(values[band], missing[band])
    return Series(pixels, np.array([day for day, _, _ in kept], np.int32))


def has_data(piece: Piece, square: Square, cells: int) -> Bool[np.ndarray, "h w"]:
    """Return in which of `cells` × `cells` cells of a square a file has data, told by its first band at the middle of each."""
    number = next(iter(piece.index.values()))
    _, missing = read_part(piece.header, (number,), square, cells, piece.nodata, categories=True)
    return ~missing[0]


def check_sample(images: Sequence[Image], modality: Modality) -> tuple[float, int]:
    """Refuse images whose values cannot be in their unit, judged by windows of a few of them.

    Returns:
        The share of pixels that are 0 in all bands where nothing says that 0 is no data, and the pixels seen.

    Raises:
        InputError: naming band, value, unit and remedy.
    """
    zero = seen = 0
    samples: dict[Calibration, list[Num[np.ndarray, " n"]]] = {}
    path: dict[Calibration, str] = {}
    for number in sorted({*np.linspace(0, len(images) - 1, _IMAGES).round().astype(int).tolist()}) if images else []:
        for piece in images[number].pieces:
            for values, missing in _windows(piece):
                dark = ((values == 0) | missing).all(0) & ~missing.all(0)
                zero, seen = zero + int(dark.sum()), seen + int((~missing.all(0)).sum())
                for band, own, gap in zip(piece.index, values, missing, strict=True):
                    samples.setdefault(piece.calibrations[band], []).append(own[~gap & ~dark])
                    path.setdefault(piece.calibrations[band], piece.header.path)
    kinds = {(own.unit, own.scale, own.offset) for own in samples}
    for kind in sorted(kinds):  # files may differ in what their numbers mean
        bands = {own.band: own for own in samples if (own.unit, own.scale, own.offset) == kind}
        joined = {band: np.concatenate(samples[own]) for band, own in bands.items()}
        check_values(joined, bands, modality, path[next(iter(bands.values()))])
    return (zero / seen if seen else 0.0), seen


def _windows(piece: Piece) -> list[tuple[Num[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]]:
    """Return the middle of a file and of its quarters."""
    header, index, windows = piece.header, tuple(piece.index.values()), []
    for down, across in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        height, width = min(_SAMPLE, header.height), min(_SAMPLE, header.width)
        row, column = int(down * (header.height - height)), int(across * (header.width - width))
        values = read_window(header, index, row, column, height, width)
        windows.append((values, missing_pixels(values, piece.nodata)))
        if (height, width) == (header.height, header.width):
            break
    return windows


def _read(image: Image, modality: Modality, ground: Square, side: int) -> tuple[Num[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]:
    """Return all bands of an image in the sensor's unit, and where they have no data."""
    values: dict[str, Num[np.ndarray, "h w"]] = {}
    missing: dict[str, Bool[np.ndarray, "h w"]] = {}
    for piece in image.pieces:
        wanted = {band: number for band, number in piece.index.items() if band not in missing or missing[band].any()}
        if not wanted:
            continue
        stored, gaps = read_part(piece.header, tuple(wanted.values()), ground, side, piece.nodata)
        for band, own, gap in zip(wanted, stored, gaps, strict=True):
            found = piece.calibrations[band].apply(np.where(gap, own.dtype.type(0), own))
            if band not in values:
                values[band], missing[band] = found, gap
            else:
                values[band] = np.where(missing[band], found, values[band])
                missing[band] = missing[band] & gap
    for band in modality.bands:
        if band not in values and band not in differences(modality):  # its file does not reach here
            values[band], missing[band] = np.zeros((side, side), np.float32), np.ones((side, side), bool)
    for band, (one, other) in differences(modality).items():
        if band not in values:
            values[band], missing[band] = values[one] - values[other], missing[one] | missing[other]
    return np.stack([values[band] for band in modality.bands]), np.stack([missing[band] for band in modality.bands])
