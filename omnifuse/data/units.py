"""Units of pixels: how one becomes another, and values that certainly are not in the unit they are said to be in."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Num

from omnifuse.errors import InputError
from omnifuse.modalities import Modality

_SAME = {  # how people write them, without case
    "decibel": "dB",
    "db": "dB",
    "linear": "linear",
    "linear power": "linear",
    "power": "linear",
    "1": "1",
    "reflectance": "reflectance",
    "reflectance*10000": "reflectance*10000",
    "degc": "degC",
    "°c": "degC",
    "celsius": "degC",
    "k": "K",
    "kelvin": "K",
    "m": "m",
    "metre": "m",
    "meter": "m",
    "mm": "mm",
}
_Pixels = Num[np.ndarray, "..."]
_CONVERSIONS: Mapping[tuple[str, str], Callable[[_Pixels], _Pixels]] = {
    ("linear", "dB"): lambda x: 10 * np.log10(np.maximum(x, 1e-6)),
    ("dB", "linear"): lambda x: 10 ** (x / 10),
    ("reflectance", "reflectance*10000"): lambda x: x * 10_000,
    ("reflectance*10000", "reflectance"): lambda x: x / 10_000,
    ("1", "reflectance*10000"): lambda x: x * 10_000,
    ("1", "8-bit"): lambda x: x * 255,
    ("K", "degC"): lambda x: x - 273.15,
    ("degC", "K"): lambda x: x + 273.15,
    ("mm", "m"): lambda x: x / 1000,
    ("m", "mm"): lambda x: x * 1000,
}
SCALED_TO_ONE = {"reflectance*10000": 6.6, "8-bit": 1.5}  # most that their values reach when divided by 10000 (clouds above 1) or 255
_SCALED = {"reflectance*10000": "unit `reflectance` in the table, or scale 10000", "8-bit": "scale 255 in the table"}


def known_unit(text: str) -> str:
    """Return the usual spelling of a unit; the text itself where it has none."""
    return _SAME.get(text.strip().lower(), text.strip())


def converted(values: _Pixels, unit: str, wanted: str, where: str) -> _Pixels:
    """Return values in another unit.

    Raises:
        InputError: where there is no way from the one to the other.
    """
    unit, wanted = known_unit(unit), known_unit(wanted)
    if unit == wanted:
        return values
    if (unit, wanted) not in _CONVERSIONS:
        ways = ", ".join(source for source, target in _CONVERSIONS if target == wanted) or "none"
        raise InputError(f"{where}: unit {unit!r} does not become {wanted!r}. Try: {wanted!r}, or what converts to it: {ways}.")
    return _CONVERSIONS[unit, wanted](values)


def check_plausible(pixels: Num[np.ndarray, "t c h w"], modality: Modality, where: str) -> None:
    """Refuse what is certainly another unit: scaled reflectance or 8-bit values within 0..1, decibels that are power ratios."""
    if not len(pixels) or pixels.dtype.kind != "f":
        return
    for unit, remedy in _SCALED.items():
        bands = [i for i, found in enumerate(modality.units) if found == unit]
        if bands and 0 < float(np.abs(pixels[:, bands]).max()) <= SCALED_TO_ONE[unit]:
            most = float(pixels[:, bands].max())
            raise InputError(f"{where}: values reach {most:.3g}, not plausible in the unit {unit!r}. Try: {remedy}.")
    for i, unit in enumerate(modality.units):
        if unit == "dB" and modality.mean[i] + 3 * modality.std[i] < 0 and float(pixels[:, i].min()) > 0:
            raise InputError(
                f"{where}: band {modality.bands[i]} is positive throughout, not plausible in dB. Try: unit `linear` in the table."
            )
