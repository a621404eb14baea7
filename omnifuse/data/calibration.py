"""From stored numbers to values in a sensor's unit, as stated by the user or the file; and what cannot be the unit it is said to be."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num

from omnifuse.data.units import SCALED_TO_ONE, converted, known_unit
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

_log = logging.getLogger(__name__)
_OFFSETS = {"baseline 04.00": -1000.0, "04.00": -1000.0, "n0400": -1000.0}  # ESA's BOA_ADD_OFFSET, in units of 1/10000
_NO_UNIT = ("", "dn", "digital number", "digital numbers", "counts", "none", "unknown", "unitless", "-")  # say nothing
_LIMITS = {  # what values of a unit lie within: 16 bits hold no reflectance above 6.5535, and no scatterer returns 60 dB
    "reflectance": (-2.0, 6.6),
    "1": (-2.0, 6.6),
    "reflectance*10000": (-20_000.0, 66_000.0),
    "8-bit": (0.0, 255.0),
    "dB": (-300.0, 60.0),
    "degC": (-100.0, 100.0),
    "K": (150.0, 400.0),
}
_OTHER = {  # unit: the one that it is taken for, and what to do without stating it
    "reflectance*10000": ("reflectance", "multiply by 10000"),
    "reflectance": ("reflectance*10000", "divide by 10000"),
    "8-bit": ("1", "multiply by 255"),
    "1": ("8-bit", "divide by 255"),
    "dB": ("linear", "10 * log10 of the power"),
    "linear": ("dB", "10 ** (dB / 10)"),
    "degC": ("K", "subtract 273.15"),
    "K": ("degC", "add 273.15"),
}


@dataclass(frozen=True)
class Calibration:
    """How the stored numbers of one band become values: stored × scale + offset in `unit`, and from that to `wanted`.

    Attributes:
        band: Name in the sensor.
        unit: Of the scaled numbers.
        wanted: The sensor's.
        scale: Factor of the stored numbers.
        offset: Summand after scaling.
        stated: Whether someone has spoken of an offset, be it 0.
    """

    band: str
    unit: str
    wanted: str
    scale: float = 1.0
    offset: float = 0.0
    stated: bool = False

    @property
    def trivial(self) -> bool:
        """Whether stored numbers are the values."""
        return (self.scale, self.offset) == (1.0, 0.0) and self.unit == self.wanted

    def scaled(self, stored: Num[np.ndarray, "..."]) -> Num[np.ndarray, "..."]:
        """Return values in `unit`."""
        return stored if (self.scale, self.offset) == (1.0, 0.0) else stored.astype(np.float64) * self.scale + self.offset

    def apply(self, stored: Num[np.ndarray, "..."]) -> Num[np.ndarray, "..."]:
        """Return values in the sensor's unit, as float32 unless they are the stored numbers."""
        if self.trivial:
            return stored
        return converted(self.scaled(stored).astype(np.float64), self.unit, self.wanted, f"band {self.band}").astype(np.float32)


def calibration(
    band: str,
    modality: Modality,
    where: str,
    *,
    unit: str = "",
    own_unit: str = "",
    scale: float = 1.0,
    offset: float = 0.0,
    add: Any = None,
) -> Calibration:
    """Return how the stored numbers of a band become values.

    Args:
        band: Name in the sensor.
        modality: The sensor.
        where: For messages.
        unit: As the user states it; goes before `own_unit`.
        own_unit: As the data say it.
        scale: The data's own factor.
        offset: The data's own summand.
        add: What the user wants added to the stored numbers: a number, or `baseline 04.00` for Sentinel-2's.

    Raises:
        InputError: for a unit from which there is no way to the sensor's, or two offsets.
    """
    wanted = known_unit(modality.units[modality.bands.index(band)])
    own = "" if own_unit.strip().lower() in _NO_UNIT else known_unit(own_unit)
    found = known_unit(unit) if unit else own
    if not found and wanted == "reflectance*10000" and np.isclose(scale, 1e-4):
        found = "reflectance"  # the factor says it
    found = "reflectance" if found == "1" and wanted == "reflectance*10000" else found or wanted
    converted(np.zeros(1), found, wanted, f"{where}: band {band} of {modality.name!r}")
    if not scale or not np.isfinite([scale, offset]).all():
        raise InputError(
            f"{where}: band {band} of {modality.name!r} has factor {scale:g} and offset {offset:g}, which make no values. "
            "Try: correct them, as by `gdal_edit.py -scale 1 -offset 0`."
        )
    number = _number(add, found, scale, modality, where)
    if number and offset:
        raise InputError(
            f"{where}: band {band} of {modality.name!r} has its own offset {offset:g}, which is applied. Try: leave out "
            f"offset={{{modality.name!r}: {add!r}}}."
        )
    return Calibration(band, found, wanted, float(scale), float(offset) + number * float(scale), add is not None or offset != 0)


def _number(add: Any, unit: str, scale: float, modality: Modality, where: str) -> float:
    if add is None:
        return 0.0
    if isinstance(add, str):
        if add.strip().lower() not in _OFFSETS or "reflectance" not in unit:
            raise InputError(f"{where}: offset {add!r} of {modality.name!r}. Try: a number, or 'baseline 04.00' for Sentinel-2.")
        whole = _OFFSETS[add.strip().lower()]
        return whole / 10_000 if unit == "reflectance" and scale == 1.0 else whole  # in units of what is stored
    if isinstance(add, bool) or not isinstance(add, int | float | np.number) or not np.isfinite(add):
        raise InputError(f"{where}: offset {add!r} of {modality.name!r}. Try: a finite number, such as -1000.")
    return float(add)


def check_values(
    values: Mapping[str, Num[np.ndarray, "..."]], calibrations: Mapping[str, Calibration], modality: Modality, where: str
) -> None:
    """Refuse values that cannot be in the unit they are said to be in; warn of Sentinel-2's offset where it seems to be in them.

    Args:
        values: Stored numbers with data, by band; any number of them, such as a sample of a large raster.
        calibrations: By band.
        modality: The sensor.
        where: For messages.

    Raises:
        InputError: naming band, value, unit and remedy.
    """
    scaled = {band: _finite(calibrations[band].scaled(np.asarray(stored))) for band, stored in values.items()}
    scaled = {band: found for band, found in scaled.items() if found.size}
    for band, found in scaled.items():
        unit = calibrations[band].unit
        low, high = _LIMITS.get(unit, (-np.inf, np.inf))
        least, most = float(found.min()), float(found.max())
        if least < low or most > high:
            what = f"reaches {most:.6g}, above {high:g}" if most > high else f"reaches down to {least:.6g}, below {low:g}"
            raise _refusal(band, what, calibrations[band], modality, where)
        if unit == "linear" and (float(np.median(found)) < 0 or float(np.median(found)) > 100):
            raise _refusal(band, f"has a median of {float(np.median(found)):.4g}", calibrations[band], modality, where)
        mean, std = (numbers[modality.bands.index(band)] for numbers in (modality.mean, modality.std))
        if unit == "dB" and calibrations[band].wanted == "dB" and mean + 3 * std < 0 and least > 0:
            raise _refusal(band, f"is positive throughout, from {least:.3g}", calibrations[band], modality, where)
    for unit, limit in SCALED_TO_ONE.items():
        own = {band: found for band, found in scaled.items() if calibrations[band].unit == unit and found.dtype.kind == "f"}
        most = max((float(np.abs(found).max()) for found in own.values()), default=0.0)
        if 0 < most <= limit:
            band = next(iter(own))
            raise _refusal(band, f"reaches {float(own[band].max()):.3g}", calibrations[band], modality, where)
    _warn_of_offset(scaled, calibrations, modality, where)


def _warn_of_offset(
    scaled: Mapping[str, Num[np.ndarray, "..."]], calibrations: Mapping[str, Calibration], modality: Modality, where: str
) -> None:
    factor = {"reflectance": 10_000.0, "reflectance*10000": 1.0}
    own = [band for band in scaled if calibrations[band].unit in factor and not calibrations[band].stated]
    least = min((float(scaled[band].min()) * factor[calibrations[band].unit] for band in own), default=0.0)
    if 1000 <= least < 1500 and len(own) == len(scaled):
        warnings.warn(
            f"{where}: no value of {modality.name!r} lies below {least:.0f}, as if the offset of 1000 of Sentinel-2's processing baseline "
            f"04.00 were still in it. Try: offset={{{modality.name!r}: -1000}}, or 0 if the ground is that bright.",
            stacklevel=2,
        )


def _refusal(band: str, what: str, own: Calibration, modality: Modality, where: str) -> InputError:
    other, by_hand = _OTHER.get(own.unit, ("", "give values in another unit"))
    remedy = f"units={{{modality.name!r}: {other!r}}} if they are that, or {by_hand}" if other else by_hand
    mean = modality.mean[modality.bands.index(band)]
    return InputError(
        f"{where}: band {band!r} of {modality.name!r} {what}, not plausible in its unit {own.unit!r} "
        f"(the model's mean is {mean:g} {own.wanted}). Try: {remedy}."
    )


def _finite(values: Num[np.ndarray, "..."]) -> Num[np.ndarray, " n"]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
