"""One place of a source as a picture: for a file, and for a notebook, which shows it by itself."""

import io
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from omnifuse.classes import Quantities
from omnifuse.data.loading import read_place
from omnifuse.data.pictures.look import save_png
from omnifuse.data.pictures.sheet import draw_place
from omnifuse.data.place import Place, PlaceSource, Series, quantities_of
from omnifuse.errors import InputError
from omnifuse.modalities import Modality

Info = dict[str, str | int | float]


@dataclass(frozen=True)
class PlacePicture:
    """A picture of one place; a notebook shows it where it is the last value of a cell."""

    place: Place
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The picture as a PNG file; the same place gives the same bytes."""
        stream = io.BytesIO()
        save_png(self.figure, stream)
        return stream.getvalue()

    def save(self, path: Path) -> None:
        """Write the picture as a PNG file."""
        Path(path).write_bytes(self.png)

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"PlacePicture({self.place.info.get('id', '')!r}: {about_place(self.place.info, self.place.size)})"


def show(source: PlaceSource, index: int | str, num_dates: int = 8) -> PlacePicture:
    """Draw a place of a source: its series over time, its single images, all its dates on one axis, its labels with a legend.

    Args:
        source: Where the place comes from.
        index: Its position, or its id.
        num_dates: Images per series, at most, evenly spread.

    Raises:
        InputError: where there is no such place; names the nearest ids.
    """
    number = index if isinstance(index, int) else find_place(source.info, index)
    if not 0 <= number < len(source):
        raise InputError(f"place {number}: there are {len(source)} places. Try: 0 to {len(source) - 1}.")
    place = read_place(source, number)
    title = f"Place {place.info.get('id', number)}"
    measured = quantities_of(source)
    about = about_place(place.info, place.size)
    drawn, modalities = place, source.modalities
    if measured is not None and place.target is not None:
        if place.target.ndim == 1:
            values = zip(measured.names, place.target.tolist(), measured.units, strict=True)
            about = " · ".join([about, *(f"{name} {value:g} ({unit})" for name, value, unit in values)])
        else:
            images, added = quantity_images(place.target, measured, place.size)
            drawn, modalities = replace(place, series={**place.series, **images}), {**modalities, **added}
        drawn = replace(drawn, target=None)
    figure = draw_place(drawn, modalities, source.classes, num_dates=num_dates, title=title, about=about, dates=True)
    return PlacePicture(place, figure)


def quantity_images(
    target: Float[np.ndarray, "q h w"], quantities: Quantities, size: float
) -> tuple[dict[str, Series], dict[str, Modality]]:
    """Return each quantity as a grey image of its own, from its least to its greatest value; where it is unknown it is the least."""
    images, modalities = {}, {}
    for name, unit, values in zip(quantities.names, quantities.units, target, strict=True):
        known = values[np.isfinite(values)]
        filled = np.where(np.isfinite(values), values, known.min() if len(known) else 0.0).astype(np.float32)
        images[f"label {name}"] = Series(filled[None, None], np.zeros(1, np.int32))
        modalities[f"label {name}"] = Modality(
            name=f"label {name}",
            title=f"Label: {name}",
            bands=(name,),
            gsd=size / values.shape[-1],
            units=(unit,),
            mean=(0.0,),
            std=(1.0,),
            series=False,
        )
    return images, modalities


def find_place(info: list[Info], name: str) -> int:
    """Return the position of the place with this id; a number that is no id is a position.

    Raises:
        InputError: where there is none; names the nearest ids.
    """
    ids = [str(row["id"]) for row in info]
    if name in ids:
        return ids.index(name)
    if name.isdecimal() and int(name) < len(ids):
        return int(name)
    near = get_close_matches(name, ids, 5, 0.3) or ids[:5]
    raise InputError(f"place {name!r}: no place has this id, and there are {len(ids)}. Try: {', '.join(near)}.")


def about_place(info: Info, size: float) -> str:
    """Return what is known of a place in one line: where it is, how large, and the rest of its metadata."""
    words = []
    known = {"id", "longitude", "latitude", "crs", "left", "top"}
    if "longitude" in info and "latitude" in info:
        longitude, latitude = float(info["longitude"]), float(info["latitude"])
        words.append(f"{abs(latitude):.4f}° {'N' if latitude >= 0 else 'S'}, {abs(longitude):.4f}° {'E' if longitude >= 0 else 'W'}")
    elif "crs" in info and "left" in info and "top" in info:
        words.append(f"{info['crs']} {float(info['left']):.0f}, {float(info['top']):.0f}")
    words.append(f"{size:g} m" if size < 10_000 else f"{size / 1000:g} km")
    words += [f"{name.replace('_', ' ')} {value}" for name, value in info.items() if name not in known]
    return " · ".join(words)
