"""`omnifuse map`: a classified raster as one page that can be opened, mailed and clicked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omnifuse.config import Config
from omnifuse.data.raster_file import is_zarr
from omnifuse.errors import ConfigError
from omnifuse.inference.web_map import (
    Picture,
    WebMap,
    read_classified,
    read_confidence,
    read_facts,
    read_picture,
    read_probabilities,
    write_web_map,
)
from omnifuse.runs.stages import console

_MOST = 4096  # pixels a side; a canvas of more is refused by browsers on phones


@dataclass(frozen=True, kw_only=True)
class MapCommand(Config):
    """Show a map over the scene's own imagery: one HTML page without tile server or network, to swipe, zoom and click.

    Attributes:
        image: Imagery of the scene, in any reference system; several can be chosen from on the page.
        bands: Three bands of the imagery for red, green and blue, or one; names, or numbers from 1. Told from names without it.
        confidence: Raster of how sure the map is, on its grid; the one beside the map, `<map>_confidence.tif`, without it.
        probabilities: Raster with the share of each class, on its grid; the one beside the map, `<map>_probabilities.tif`, without it.
        classes: `classes.json` with names and colors, in place of those of the raster.
        title: Heading of the page; the name of the file without one.
        pixels: Pixels along the longer side of what is shown, at most; a larger raster is reduced by a whole factor, to its most
            frequent classes.
        out: Page to write; beside the map without a name.
    """

    image: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    confidence: str = ""
    probabilities: str = ""
    classes: str = ""
    title: str = ""
    pixels: int = 2048
    out: str = ""


def map_page(path: str, command: MapCommand) -> Path:
    """Write the page of a map and return where it lies.

    Raises:
        InputError: for a raster that cannot be read, is no map of classes, or lies elsewhere than the map.
        ConfigError: for a number of pixels that no browser shows.
    """
    if not 16 <= command.pixels <= _MOST:
        raise ConfigError(f"pixels: {command.pixels}, expected 16 to {_MOST}. Try: 2048.")
    file = Path(path)
    path = path if "#" in path else _layer(path, "classes") or path
    shown = read_classified(path, command.pixels, Path(command.classes) if command.classes else None)
    confidence = command.confidence or _layer(str(file), "confidence")
    probabilities = command.probabilities or _layer(str(file), "probabilities")
    content = WebMap(
        title=command.title or file.name,
        shown=shown,
        pictures=told_apart([read_picture(image, shown.header, command.pixels, command.bands) for image in command.image], command.image),
        confidence=read_confidence(confidence, shown) if confidence else None,
        probabilities=read_probabilities(probabilities, shown) if probabilities else (),
        facts=read_facts(path),
    )
    out = write_web_map(Path(command.out) if command.out else file.with_suffix(".html"), content)
    reduced = f", shown at 1/{shown.factor} of its resolution" if shown.factor > 1 else ""
    size = f"{shown.header.width} × {shown.header.height} pixels{reduced}"
    console.print(f"{out}: {size}, {out.stat().st_size / 1e6:.1f} MB; open it in any browser", markup=False)
    return out


def told_apart(pictures: Sequence[Picture], paths: Sequence[str]) -> tuple[Picture, ...]:
    """Give pictures whose files have the same name the name of their folder, too."""
    names = [picture.name for picture in pictures]
    folders = [Path(path).absolute().parent.name for path in paths]
    return tuple(
        replace(picture, name=f"{folder}/{picture.name}") if names.count(picture.name) > 1 else picture
        for picture, folder in zip(pictures, folders, strict=True)
    )


def _layer(path: str, what: str) -> str:
    """Return the raster of a layer that `omnifuse predict` writes beside a map, or into one store with it; empty where there is none."""
    if is_zarr(path):
        store = path.partition("#")[0]
        return f"{store}#{what}" if (Path(store) / what).is_dir() else ""
    if what == "classes":
        return path
    found = Path(path).with_name(f"{Path(path).stem}_{what}.tif")
    return str(found) if found.is_file() else ""
