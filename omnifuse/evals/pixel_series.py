"""Series of single pixels on the labels' grid, and their values on dates of even spacing: features for models without space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate

from omnifuse.frames import Batch
from omnifuse.modalities import Modality


@dataclass(frozen=True)
class PixelSeries:
    """What each sensor saw of the pixels of one place.

    Attributes:
        values: By sensor, date, band and pixel; no dates where the sensor is missing.
        day: Days since 1970-01-01 by sensor, or days of the year, in ascending order.
        series: Whether each sensor has many dates.
    """

    values: dict[str, Float[np.ndarray, "_t _c p"]]
    day: dict[str, Int[np.ndarray, " _t"]]
    series: dict[str, bool]

    def at(self, pixels: Int[np.ndarray, " k"]) -> "PixelSeries":
        """Return the series of some pixels."""
        return PixelSeries({name: values[:, :, pixels] for name, values in self.values.items()}, self.day, self.series)


def pixel_series(batch: Batch, modalities: Mapping[str, Modality], side: int, season: bool = False, around: int = 1) -> list[PixelSeries]:
    """Return the series of every pixel of every place, row by row, on a grid of `side` pixels.

    Finer images are averaged over the pixels of the grid, coarser ones give the nearest pixel; context around the place is cut off. A
    sensor that the batch does not know is missing.

    Args:
        batch: The places.
        modalities: Sensors that are taken, in this order.
        side: Pixels along a place.
        season: Whether days of the year take the place of dates.
        around: Side in pixels, odd, of the square around each pixel whose means follow the bands; 1 adds nothing.
    """
    found: list[PixelSeries] = [PixelSeries({}, {}, {}) for _ in range(batch.num_places)]
    for name, modality in modalities.items():
        if name in batch.frames:
            frames = batch.frames[name]
            pixels = with_means(on_grid(frames.pixels.cpu(), modality, batch.size, side), around).flatten(2).numpy()
            days, counts = frames.day.cpu().numpy().astype(np.int64), frames.count.tolist()
        else:
            bands = len(modality.bands) * (1 if around == 1 else 2)
            pixels, days, counts = np.zeros((0, bands, side**2), np.float32), np.zeros(0, np.int64), [0] * len(found)
        ends = np.cumsum(counts)
        for place, end, count in zip(found, ends, counts, strict=True):
            day, values = days[end - count : end], pixels[end - count : end]
            if season and modality.series:
                day = day_of_year(day)
                order = np.argsort(day, kind="stable")
                day, values = day[order], values[order]
            place.values[name], place.day[name], place.series[name] = values, day, modality.series
    return found


def on_grid(pixels: Num[Tensor, "n c h w"], modality: Modality, size: float, side: int) -> Float[Tensor, "n c side side"]:
    """Return images of a place on a grid of `side` pixels that covers exactly the place of `size` metres."""
    values = pixels.float()
    if modality.context:
        margin = round(modality.context / modality.gsd)
        values = values[:, :, margin : values.shape[2] - margin, margin : values.shape[3] - margin]
    if not len(values):
        return values.new_zeros(0, values.shape[1], side, side)
    if values.shape[-1] > side:
        return adaptive_avg_pool2d(values, side)
    return values if values.shape[-1] == side else interpolate(values, size=(side, side), mode="nearest-exact")


def with_means(values: Float[Tensor, "n c h w"], around: int) -> Float[Tensor, "n c2 h w"]:
    """Return images and, as further bands, the mean of the square of `around` pixels around each pixel, of what lies in the place."""
    if around == 1:
        return values
    if not len(values):
        return values.repeat(1, 2, 1, 1)
    return torch.cat([values, avg_pool2d(values, around, stride=1, padding=around // 2, count_include_pad=False)], 1)


def day_of_year(day: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
    """Return days of the year, 0 for 1 January, of days since 1970-01-01."""
    date = day.astype("datetime64[D]")
    return (date - date.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)


def first_and_last(places: Sequence[PixelSeries]) -> tuple[int, int]:
    """Return the first and the last day of all series; (0, 0) where there is none, as with single images alone."""
    days = [place.day[name] for place in places for name, is_series in place.series.items() if is_series and len(place.day[name])]
    return (int(min(day[0] for day in days)), int(max(day[-1] for day in days))) if days else (0, 0)


def interpolated(place: PixelSeries, modalities: Mapping[str, Modality], grid: Int[np.ndarray, " g"]) -> Float[np.ndarray, "p f"]:
    """Return one row of features per pixel: every band of every series on every day of the grid, and the bands of single images.

    Between dates linearly, before the first and after the last as at these. NaN where a sensor is missing.
    """
    parts = []
    for name, modality in modalities.items():
        values, day = place.values[name], place.day[name]
        if not modality.series:
            rows = values.mean(0) if len(values) else np.full(values.shape[1:], np.nan, np.float32)
        elif len(values):
            rows = np.einsum("gt,tcp->gcp", _weights(day, grid), values).reshape(len(grid) * values.shape[1], values.shape[2])
        else:
            rows = np.full((len(grid) * values.shape[1], values.shape[2]), np.nan, np.float32)
        parts.append(rows)
    return np.concatenate(parts).T.astype(np.float32)


def _weights(day: Int[np.ndarray, " t"], grid: Int[np.ndarray, " g"]) -> Float[np.ndarray, "g t"]:
    """Return what each date counts for on each day of the grid; rows add up to 1."""
    after = np.searchsorted(day, grid, side="left")
    low, high = np.clip(after - 1, 0, None), np.clip(after, None, len(day) - 1)
    gap = day[high] - day[low]
    part = np.where(gap > 0, (grid - day[low]) / np.maximum(gap, 1), 0.0).clip(0, 1)
    weights = np.zeros((len(grid), len(day)), np.float32)
    rows = np.arange(len(grid))
    np.add.at(weights, (rows, low), 1 - part)
    np.add.at(weights, (rows, high), part)
    return weights
