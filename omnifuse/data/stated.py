"""What a user says of inputs that do not say it themselves: dates, band names, units, offsets, and what means no data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnifuse.data.units import known_unit
from omnifuse.errors import InputError
from omnifuse.modalities import Modality, check_names

BySensor = Mapping[str, Any]


@dataclass(frozen=True)
class Stated:
    """What is said of one sensor's input.

    Attributes:
        days: Date of each image (or file); None where nothing is said.
        bands: Name of each band in the order of the input; empty where nothing is said.
        unit: Of all bands; empty where nothing is said.
        units: By band, where they differ; goes before `unit`.
        offset: Added to the stored numbers: a number, or `baseline 04.00`; None where nothing is said. Checked by `calibration`.
        nodata: Stored number that means no data; None where the file's own holds.
    """

    days: tuple[Any, ...] | None = None
    bands: tuple[str, ...] = ()
    unit: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    offset: Any = None
    nodata: float | None = None

    def unit_of(self, band: str) -> str:
        return self.units.get(band, self.unit)


def stated(
    given: Sequence[str],
    modalities: Mapping[str, Modality],
    *,
    days: BySensor | None = None,
    bands: BySensor | None = None,
    units: BySensor | None = None,
    offset: BySensor | None = None,
    nodata: BySensor | None = None,
) -> dict[str, Stated]:
    """Return what is said of each sensor that is given, checked.

    Raises:
        InputError: naming the argument and the sensor.
    """
    said = {"days": days, "bands": bands, "units": units, "offset": offset, "nodata": nodata}
    for argument, by_sensor in said.items():
        if by_sensor is None:
            continue
        if not isinstance(by_sensor, Mapping):
            raise InputError(
                f"{argument}: {type(by_sensor).__name__}, expected a value by sensor. Try: {argument}={{{next(iter(modalities))!r}: ...}}."
            )
        check_names([str(name) for name in by_sensor], list(modalities), argument)
        lacking = next((name for name in by_sensor if name not in given), None)
        if lacking is not None:
            what = "dates" if argument == "days" else f"`{argument}`"
            raise InputError(f"input: {what} for {lacking!r} but no images. Try: give both, or neither.")
    return {
        name: Stated(
            days=_days(_of(days, name), name),
            bands=_bands(_of(bands, name), name),
            unit=_unit(_of(units, name), name),
            units=_units(_of(units, name), modalities[name]),
            offset=_of(offset, name),
            nodata=_nodata(_of(nodata, name), name),
        )
        for name in given
    }


def _of(by_sensor: BySensor | None, name: str) -> Any:
    return None if by_sensor is None else by_sensor.get(name)


def _days(value: Any, name: str) -> tuple[Any, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        value = [value]
    try:
        array = np.asarray(value)
        values = list(array) if array.dtype.kind == "M" else array.tolist()
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"days: {name!r}: {error}. Try: a list of dates, one per image.") from None
    return tuple(np.atleast_1d(array)) if not isinstance(values, list) else tuple(values)


def _bands(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or not all(isinstance(band, str) for band in value):
        raise InputError(f"bands: {name!r}: {value!r}. Try: a list of names in the order of the input, such as ['B02', 'B03'].")
    return tuple(map(str, value))


def _unit(value: Any, name: str) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"units: {name!r}: {value!r}. Try: a text such as 'reflectance', 'reflectance*10000', 'dB' or 'linear'.")
    return known_unit(value)


def _units(value: Any, modality: Modality) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    for band, unit in value.items():
        if band not in modality.bands or not isinstance(unit, str):
            raise InputError(f"units: {modality.name!r}: {band!r}: {unit!r}. Try: a text for bands among {', '.join(modality.bands)}.")
    return {str(band): known_unit(unit) for band, unit in value.items()}


def _nodata(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"nodata: {name!r}: {value!r}. Try: the number that means no data, such as 0.")
    return float(value)
