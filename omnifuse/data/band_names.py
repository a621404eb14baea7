"""Which band of an input is which band of a sensor: by name in any spelling, by common name, or by position where nothing is named."""

import re
from collections.abc import Iterable, Sequence

from omnifuse.data.sources.raster_bands import band_key, differences
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

# Wavelengths in nm of the common names of the STAC `eo` extension and of Earth Search; Sentinel-2 is what they were made for.
_COMMON = {
    "coastal": 443.0,
    "blue": 490.0,
    "green": 560.0,
    "red": 665.0,
    "rededge1": 705.0,
    "rededge2": 740.0,
    "rededge3": 783.0,
    "nir": 833.0,
    "nir08": 865.0,
    "nir09": 945.0,
    "cirrus": 1375.0,
    "swir16": 1614.0,
    "swir22": 2202.0,
}
_ALIASES = {
    "rededge071": "rededge1",
    "rededge075": "rededge2",
    "rededge078": "rededge3",
    "re1": "rededge1",
    "re2": "rededge2",
    "re3": "rededge3",
    "nirnarrow": "nir08",
    "narrownir": "nir08",
    "nir2": "nir08",
    "nira": "nir08",
    "nirbroad": "nir",
    "nearinfrared": "nir",
    "swir1": "swir16",
    "swir2": "swir22",
    "r": "red",
    "g": "green",
    "b": "blue",
}
_SLACK = 0.05  # of a wavelength: sensors of one common name differ by less


def positions(found: Sequence[str], modality: Modality, where: str) -> dict[str, int]:
    """Return the position (from 0) of each of the sensor's bands among the bands `found`; others are left out.

    A band is found by its name whatever its case and zeros (`b02` is `B2`), by its name as one word of a longer one
    (`Sigma0_VV_db`, `B4, central wavelength 665 nm`), or by its common name (`red`, `nir`), through the wavelength. A band that is
    the difference of two others (`VV-VH`) may be lacking. Where no name is known the order counts, if the number fits.

    Raises:
        InputError: naming the band that is missing or stands twice.
    """
    found = [str(name) for name in found]
    at = named(found, modality, where)
    computed = differences(modality)
    if not at:
        stored = [band for band in modality.bands if band not in computed]
        order = next((bands for bands in (list(modality.bands), stored) if len(bands) == len(found)), None)
        if order is None:
            raise InputError(
                f"{where}: {len(found)} bands, {', '.join(filter(None, found[:20])) or 'without names'}; expected {_described(modality)}. "
                f"Try: bands={{{modality.name!r}: [...]}} with a name for each of the {len(found)}, in their order."
            )
        return {band: number for number, band in enumerate(order)}
    check_complete(at, found, modality, where)
    return at


def named(found: Sequence[str], modality: Modality, where: str) -> dict[str, int]:
    """Return the positions of the bands that `found` names, which need not be all; nothing where it names none.

    Raises:
        InputError: where two of `found` are the same band.
    """
    at: dict[str, int] = {}
    keys = {band_key(band): band for band in modality.bands}
    for number, name in enumerate(found):
        band = keys.get(band_key(name)) or _only(keys[word] for word in _words(name) if word in keys)
        if band is None:
            continue
        if band in at:
            raise InputError(f"{where}: bands {found[at[band]]!r} and {name!r} are both {band}. Try: remove one of them.")
        at[band] = number
    taken = set(at.values())
    for band, number in _by_wavelength(found, modality).items():
        if band not in at and number not in taken:
            at[band] = number
    return at


def check_complete(at: dict[str, int], found: Sequence[str], modality: Modality, where: str) -> None:
    """Raise `InputError` for a band of the sensor that is neither there nor the difference of two that are."""
    computed = differences(modality)
    for band, unit in zip(modality.bands, modality.units, strict=True):
        if band not in at and not (band in computed and set(computed[band]) <= set(at)):
            raise InputError(
                f"{where}: band {band} ({unit}) is missing among {', '.join(filter(None, found[:30]))}. "
                f"Try: add it, state the names as bands={{{modality.name!r}: [...]}}, or use a model trained without it."
            )


def _by_wavelength(found: Sequence[str], modality: Modality) -> dict[str, int]:
    """Return the positions of common names: name and band must be the nearest of each other."""
    waves = {number: wave for number, name in enumerate(found) if (wave := _wavelength(name))}
    result: dict[str, int] = {}
    for band, wavelength in zip(modality.bands, modality.wavelengths, strict=True):
        near = [number for number in waves if wavelength and abs(waves[number] - wavelength) <= _SLACK * wavelength]
        if not near:
            continue
        best = min(near, key=lambda number: abs(waves[number] - wavelength))
        if min(modality.wavelengths, key=lambda other: abs(other - waves[best])) == wavelength:
            result[band] = best
    return result


def _wavelength(name: str) -> float:
    """Return the wavelength in nm that a common name stands for; 0 where it is none."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return _COMMON.get(_ALIASES.get(plain, plain), 0.0)


def _words(name: str) -> list[str]:
    return [band_key(word) for word in re.split(r"[^A-Za-z0-9]+", name) if word]


def _only(bands: Iterable[str]) -> str | None:
    found = set(bands)
    return found.pop() if len(found) == 1 else None


def _described(modality: Modality) -> str:
    return ", ".join(f"{band} ({unit})" for band, unit in zip(modality.bands, modality.units, strict=True))
