"""Physical values and class ids as colors: a stretch that makes dates comparable, and label maps in the classes' own colors."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Integer, Num
from matplotlib.colors import to_rgb

from omnifuse.classes import ClassTable
from omnifuse.data.pictures.look import RIGHT, WRONG
from omnifuse.data.place import Series
from omnifuse.modalities import Modality

VISIBLE = (380.0, 780.0)  # nanometers
OPTICAL = 3000.0  # nanometers; reflected sunlight is below
CLEAR = 0.3  # quantile over time; the median is a cloud where more than half the dates are cloudy
DARK = 0.1  # quantile over time; a season may be darker than the ground ever varies within one date
FEW = 5  # dates; a quantile over time of fewer of them is one date or another, not the clear ground
HEADROOM = 0.8  # of the range, above
VOID = "#b9c1c9"  # neither learned nor scored


def stretch_limits(pixels: Num[np.ndarray, "t c h w"], modality: Modality) -> Float[np.ndarray, "k 2"]:
    """Return the values shown as black and white for each picture band, common to all frames.

    The darkest and brightest 2 % are cut. Clouds hide the ground from optical series, so theirs, where they have some length, are the
    limits of low quantiles over time, with headroom because a season is brighter: clouds saturate and the ground does not turn black.
    Bands of visible light share their limits, which keeps the hue true.
    """
    chosen = pixels[:, list(modality.rgb)].astype(np.float32)
    wavelengths = [modality.wavelengths[band] for band in modality.rgb]
    clouds = len(chosen) >= FEW and all(0 < wavelength < OPTICAL for wavelength in wavelengths)
    visible = all(VISIBLE[0] <= wavelength <= VISIBLE[1] for wavelength in wavelengths)

    def percentile(images: Float[np.ndarray, "t k h w"], percent: float) -> Float[np.ndarray, " _b"]:
        bands = np.moveaxis(images, 1, 0).reshape(len(wavelengths), -1)
        return np.percentile(bands.reshape(1, -1) if visible else bands, percent, axis=1).astype(np.float64)

    if clouds:
        low, high = (
            percentile(np.quantile(chosen, DARK, axis=0, keepdims=True), 2),
            percentile(np.quantile(chosen, CLEAR, axis=0, keepdims=True), 98),
        )
        high = high + HEADROOM * (high - low)
    else:
        low, high = percentile(chosen, 2), percentile(chosen, 98)
    limits = np.stack([low, np.where(high > low, high, low + 1)], 1)
    return np.broadcast_to(limits, (len(modality.rgb), 2))


def to_picture(image: Num[np.ndarray, "c h w"], bands: Sequence[int], limits: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "h w 3"]:
    """Return an RGB picture in 0..1 of three bands, or a grey one of a single band."""
    chosen = image[list(bands)].astype(np.float64)
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    scaled = np.nan_to_num(np.clip((chosen - low) / (high - low), 0, 1))
    return np.moveaxis(np.broadcast_to(scaled if len(scaled) == 3 else scaled[:1], (3, *scaled.shape[1:])), 0, -1)


def nearest_dates(day: Int[np.ndarray, " t"], targets: Float[np.ndarray, " n"]) -> list[int]:
    """Return the frame nearest to each target day, ascending and without repetition."""
    return sorted({int(np.argmin(np.abs(day - target))) for target in targets})


def with_something_to_see(series: Series, modality: Modality) -> Int[np.ndarray, " n"]:
    """Return the frames that are not almost wholly (90 %) white under the common stretch, as full cloud cover is; all if all are."""
    limits = stretch_limits(series.pixels, modality)
    white = [(to_picture(image, modality.rgb, limits).min(-1) >= 1).mean() for image in series.pixels]
    seen = np.flatnonzero(np.array(white) < 0.9)
    return seen if len(seen) else np.arange(len(white))


def label_picture(labels: Integer[np.ndarray, "h w"], classes: ClassTable) -> Float[np.ndarray, "h w 3"]:
    """Return a label map in the colors of its classes; what is ignored is grey."""
    palette = np.array([to_rgb(color) for color in classes.colors])
    picture = np.empty((*labels.shape, 3))
    picture[:] = to_rgb(VOID)
    counted = (labels != classes.ignore) & (labels >= 0) & (labels < len(palette))
    picture[counted] = palette[labels[counted]]
    return picture


def error_picture(prediction: Integer[np.ndarray, "h w"], target: Integer[np.ndarray, "h w"], ignore: int) -> Float[np.ndarray, "h w 3"]:
    """Return right pixels pale, wrong ones red, ignored ones grey."""
    picture = np.empty((*target.shape, 3))
    picture[:] = to_rgb(RIGHT)
    picture[prediction != target] = to_rgb(WRONG)
    picture[target == ignore] = to_rgb(VOID)
    return picture


def accuracy_note(prediction: Integer[np.ndarray, "h w"], target: Integer[np.ndarray, "h w"], ignore: int) -> str:
    """Return the share of right pixels as a caption."""
    counted = target != ignore
    return f"{100 * (prediction == target)[counted].mean():.1f} % right" if counted.any() else "nothing to score"


def occurring(maps: Sequence[Integer[np.ndarray, "h w"]], classes: ClassTable) -> list[tuple[str, str]]:
    """Return (name, color) of the classes that occur in any of the maps, and of what is not scored."""
    values = np.unique(np.concatenate([np.unique(labels) for labels in maps])) if maps else np.zeros(0, int)
    entries = [(classes.names[i], classes.colors[i]) for i in range(len(classes.names)) if i in values and i != classes.ignore]
    return [*entries, ("not scored", VOID)] if classes.ignore in values else entries


def class_shares(labels: Integer[np.ndarray, "h w"], classes: ClassTable) -> dict[str, float]:
    """Return the share of the map under each name that `occurring` gives."""
    shares = {name: float((labels == i).mean()) for i, name in enumerate(classes.names) if i != classes.ignore}
    return {**shares, "not scored": float((labels == classes.ignore).mean())}


ERROR_KEY = (("right", RIGHT), ("wrong", WRONG), ("not scored", VOID))
