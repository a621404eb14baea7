"""From the files of a sensor to its images of one place: units, types, bands put together, gaps marked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Num

from omnifuse.data.arrays import days_since_1970
from omnifuse.data.gaps import without_gaps
from omnifuse.data.grid import Square, covers, read_square
from omnifuse.data.place import Series
from omnifuse.data.problems import Problem
from omnifuse.data.raster_file import Header, read_header
from omnifuse.data.sources.raster_bands import described_by, differences, images_of
from omnifuse.data.sources.raster_table import RasterRow
from omnifuse.data.units import check_plausible, converted, known_unit
from omnifuse.errors import InputError
from omnifuse.modalities import MODALITIES, Modality


@dataclass(frozen=True)
class Sensor:
    """A sensor and the type in which its pixels are kept, the same for all places."""

    modality: Modality
    dtype: np.dtype[np.generic]

    def stored(self, values: Num[np.ndarray, "h w"], row: RasterRow, header: Header, number: int, band: str) -> Num[np.ndarray, "h w"]:
        """Return the numbers of one band of a file as values in the sensor's unit."""
        scale = header.scales[number - 1] if row.scale is None else row.scale
        offset = header.offsets[number - 1] if row.offset is None else row.offset
        wanted = self.modality.units[self.modality.bands.index(band)]
        unit = known_unit(row.unit or header.units[number - 1] or wanted)
        if (scale, offset) == (1.0, 0.0) and unit == known_unit(wanted):
            if self.dtype.kind != "f" and not np.can_cast(values.dtype, self.dtype, "safe"):
                raise InputError(
                    f"{row.path}: {values.dtype}, the first raster of {self.modality.name!r} has {self.dtype}. "
                    "Try: `scale` 1 in its rows, so that all are kept as float32."
                )
            return values.astype(self.dtype)
        if self.dtype.kind != "f":
            raise InputError(
                f"{row.path}: has a scale or a unit, the first raster of {self.modality.name!r} has none. Try: state them in the table."
            )
        exact = values.astype(np.float64) * scale + offset
        return converted(exact, unit, wanted, f"{row.where}: band {band}").astype(self.dtype)


@dataclass(frozen=True)
class _Image:
    """Bands of one moment as they are found, from one or more files; `row` is that of the first."""

    pixels: dict[str, Num[np.ndarray, "h w"]]
    missing: dict[str, Bool[np.ndarray, "h w"]]
    row: RasterRow

    def complete(self, modality: Modality, time: str) -> tuple[Num[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]:
        """Return all bands of the sensor; a band that is the difference of two others is computed where it is lacking."""
        for band, (one, other) in differences(modality).items():
            if band not in self.pixels and one in self.pixels and other in self.pixels:
                self.pixels[band] = self.pixels[one] - self.pixels[other]
                self.missing[band] = self.missing[one] | self.missing[other]
        lacking = [band for band in modality.bands if band not in self.pixels]
        if lacking:
            raise InputError(
                f"{self.row.where}: no band {', '.join(lacking)} of {modality.name!r}{f' at {time}' if time else ''}, found "
                f"{', '.join(self.pixels)} in {self.row.path}. Try: a row for it, its name in `bands`, or a sensor without it in "
                "modalities.json."
            )
        return np.stack([self.pixels[band] for band in modality.bands]), np.stack([self.missing[band] for band in modality.bands])


@dataclass(frozen=True)
class Stack:
    """Images of a sensor in the order of their dates, gaps included, with the first file of each."""

    pixels: Num[np.ndarray, "t c h w"]
    missing: Bool[np.ndarray, "t c h w"]
    day: Int[np.ndarray, " t"]
    paths: tuple[str, ...]

    def series(self, modality: Modality) -> Series:
        """Return the images without gaps."""
        series = without_gaps(self.pixels, self.missing, self.day)
        check_plausible(series.pixels, modality, ", ".join(dict.fromkeys(self.paths[:3])))
        return series

    def gaps(self, place: str, modality: Modality) -> Iterator[Problem]:
        """Yield what is dropped and what is filled."""
        for path, missing in zip(self.paths, self.missing, strict=True):
            share = missing.mean((1, 2))
            worst = int(share.argmax())
            if share[worst] == 1:
                yield Problem(path, f"band {modality.bands[worst]} has no data here; the image is dropped", "remove its row", place)
            elif share[worst]:
                what = f"{share[worst]:.1%} of band {modality.bands[worst]} has no data and takes the median of the rest"
                yield Problem(path, what, "remove its row if that is too much", place)


def read_stack(rows: Sequence[RasterRow], sensor: Sensor, square: Square, edge: str) -> Stack:
    """Return the images of a sensor over a square in the order of their dates, gaps included.

    Args:
        rows: Of this sensor at this place.
        sensor: What it is.
        square: The place, without surroundings.
        edge: `error` or `drop`: what becomes of an image that does not cover the square.
    """
    modality = sensor.modality
    side = modality.pixels(square.size)
    square = square.grown(0.0 if modality.per_place else modality.context)
    images: dict[str, _Image] = {}
    for row in rows:
        header = read_header(row.path)
        if edge == "drop" and not covers(header, square, side):
            continue
        layout = images_of(row, header, modality)
        index = tuple(number for image in layout for number in image.values())
        values, missing = read_square(header, index, square, side, header.nodata if row.nodata is None else row.nodata)
        values = np.where(missing, values.dtype.type(0), values)
        at = 0
        for time, image in zip(row.times, layout, strict=True):
            taken = images.setdefault(time, _Image({}, {}, row))
            for band, number in image.items():
                if band in taken.pixels:
                    raise InputError(
                        f"{row.where}: band {band} of {modality.name!r} at {time or 'no date'} is in {taken.row.path} too. "
                        "Try: name the bands of each file in `bands`, or the time of each image in `datetime`."
                    )
                taken.pixels[band] = sensor.stored(values[at], row, header, number, band)
                taken.missing[band] = missing[at]
                at += 1
    times = sorted(images)
    found = [images[time].complete(modality, time) for time in times]
    empty = np.zeros((0, len(modality.bands), side, side), sensor.dtype)
    pixels = np.stack([image for image, _ in found]) if found else empty
    gaps = np.stack([gap for _, gap in found]) if found else empty.astype(bool)
    day = days_since_1970([time[:10] or 0 for time in times], modality.name)
    return Stack(pixels.astype(sensor.dtype, copy=False), gaps, day, tuple(images[time].row.path for time in times))


def find_sensors(
    rows: Mapping[str, Sequence[RasterRow]], headers: Mapping[str, Header], described: Mapping[str, Modality]
) -> dict[str, Sensor]:
    """Return what each sensor of the table is: described, of the catalogue, or as its first file says.

    Raises:
        InputError: naming the row of a series that has no date, or of a second date of what is a single image.
    """
    sensors = {}
    for name, own in rows.items():
        header = headers[own[0].path]
        modality = described.get(name) or MODALITIES.get(name) or described_by(own, header)
        undated = next((row for row in own if not all(row.times)), None)
        if modality.series and undated is not None:
            raise InputError(f"{undated.where}: `datetime` is empty, {name!r} is a series. Try: the date of the image.")
        moments: dict[str, set[str]] = {}
        for row in own:
            moments.setdefault(row.place, set()).update(row.times)
            if not modality.series and len(moments[row.place]) > 1:
                raise InputError(
                    f"{row.where}: a second date of {name!r} at place {row.place!r}, which is a single image by nature. "
                    f"Try: one date, or `series` true for it in modalities.json."
                )
        scaled = any(row.unit or row.scale is not None or row.offset is not None for row in own)
        scaled = scaled or set(header.scales) != {1.0} or set(header.offsets) != {0.0} or bool(differences(modality))
        dtype = np.dtype(header.dtype)
        if dtype.kind not in "iuf":
            raise InputError(f"{header.path}: pixels of type {dtype}. Try: integers or floats, such as the power of complex values.")
        sensors[name] = Sensor(modality, np.dtype(np.float32) if scaled or dtype.kind == "f" else dtype)
    return sensors
