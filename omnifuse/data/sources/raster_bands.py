"""Which band of a file is which band of a sensor, and what a sensor is that only its files describe."""

import re
from collections.abc import Sequence
from pathlib import Path

from omnifuse.config import from_dict, read_json
from omnifuse.data.raster_file import Header
from omnifuse.data.sources.raster_table import RasterRow
from omnifuse.errors import ConfigError, InputError
from omnifuse.modalities import Modality


def band_key(name: str) -> str:
    """Return a band's name without case and leading zeros of its numbers: B02 is B2, and B8A is not B8."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.strip().lower())


def differences(modality: Modality) -> dict[str, tuple[str, str]]:
    """Return the bands that are named as the difference of two others in the same unit: `VV-VH` of `VV` and `VH`."""
    unit = dict(zip(modality.bands, modality.units, strict=True))
    pairs = {band: tuple(band.split("-")) for band in modality.bands if band.count("-") == 1}
    return {band: (pair[0], pair[1]) for band, pair in pairs.items() if {unit.get(pair[0]), unit.get(pair[1])} == {unit[band]}}


def images_of(row: RasterRow, header: Header, modality: Modality) -> list[dict[str, int]]:
    """Return for each image of a file which of its bands (from 1) is which band of the sensor; other bands are left out.

    Names are those of the row, else those of the file. Where neither names a band of the sensor, the bands must be as many as
    the sensor has, in its order.

    Raises:
        InputError: naming the row, and the band or number that does not fit.
    """
    index = row.index or tuple(range(1, len(header.names) + 1))
    if max(index) > len(header.names):
        raise InputError(f"{row.where}: `index` goes to {max(index)}, {row.path} has {len(header.names)} bands. Try: numbers within these.")
    per_image, rest = divmod(len(index), len(row.times))
    if rest or not per_image:
        raise InputError(
            f"{row.where}: {len(index)} bands of {row.path} are not a whole number for each of {len(row.times)} dates. "
            "Try: `index` for the bands that belong to dates, such as `1-24`."
        )
    if row.bands and len(row.bands) != per_image:
        raise InputError(f"{row.where}: names {len(row.bands)} bands, {row.path} has {per_image} an image. Try: one name per band.")
    names = [band_key(name) for name in row.bands or [header.names[i - 1] for i in index[:per_image]]]
    wanted = {band_key(band): band for band in modality.bands}
    found = {wanted[name]: at for at, name in enumerate(names) if name in wanted}
    if not found:
        computed = differences(modality)
        stored = [band for band in modality.bands if band not in computed]
        order = modality.bands if per_image == len(modality.bands) else stored
        if row.bands or len(order) != per_image:
            raise InputError(
                f"{row.where}: {row.path} has {per_image} bands an image, {', '.join(filter(None, names)) or 'without names'}; "
                f"{modality.name!r} has {', '.join(modality.bands)}. Try: their names in the column `bands`, in the order of the file; "
                "or remove the row."
            )
        found = {band: at for at, band in enumerate(order)}
    elif len(found) != sum(name in wanted for name in names):
        raise InputError(f"{row.where}: a band of {row.path} stands twice among {', '.join(names)}. Try: `index` to choose one.")
    return [{band: index[image * per_image + at] for band, at in found.items()} for image in range(len(row.times))]


def read_modalities(file: Path) -> dict[str, Modality]:
    """Return the sensors that a JSON list describes, by name; none where there is no such file.

    Raises:
        ConfigError: naming the entry and the field that is wrong.
    """
    if not file.is_file():
        return {}
    entries = read_json(file)
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: not a list. Try: a JSON list of sensors, each with name, title, bands, gsd, units, mean and std.")
    found = [from_dict(Modality, entry, f"{file}: entry {number}") for number, entry in enumerate(entries, 1)]
    if len({modality.name for modality in found}) != len(found):
        raise ConfigError(f"{file}: two sensors of one name. Try: one entry per sensor.")
    return {modality.name: modality for modality in found}


def described_by(rows: Sequence[RasterRow], header: Header) -> Modality:
    """Return what the first file of a sensor says of it: names or `band1`, ...; its resolution; mean 0 and deviation 1.

    It is a series where a place has images of more than one date.
    """
    row = rows[0]
    index = row.index or tuple(range(1, len(header.names) + 1))
    per_image = index[: max(1, len(index) // len(row.times))]
    if row.bands:
        moment = {(other.place, other.times) for other in rows[:1]}
        names = [band for other in rows if (other.place, other.times) in moment for band in other.bands]
        units = [header.units[0]] * len(names)
    else:
        own = [header.names[i - 1] if i <= len(header.names) else "" for i in per_image]
        names = own if all(own) and len(set(own)) == len(own) else [f"band{number}" for number in range(1, len(per_image) + 1)]
        units = [header.units[i - 1] if i <= len(header.names) else "" for i in per_image]
    times: dict[str, set[str]] = {}
    for other in rows:
        times.setdefault(other.place, set()).update(other.times)
    return Modality(
        name=row.modality,
        title=row.modality,
        bands=tuple(names),
        gsd=header.gsd,
        units=tuple(row.unit or unit or "unknown" for unit in units),
        mean=(0.0,) * len(names),
        std=(1.0,) * len(names),
        series=max(map(len, times.values())) > 1,
        rgb=(0, 1, 2) if len(names) >= 3 else (0,),
    )
