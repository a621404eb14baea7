"""The page itself: one HTML file with its style, its script and every pixel inside; nothing is loaded from elsewhere."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined

from omnifuse.errors import InputError
from omnifuse.inference.web_map.classified import Classified
from omnifuse.inference.web_map.ground import lattice, pixel_metres, true_north
from omnifuse.inference.web_map.picture import Picture
from omnifuse.inference.web_map.png import indexed_png

_LATTICE = 33  # points a side at which the page knows longitude and latitude; linear between them
# Cividis (doi:10.1371/journal.pone.0199239), which the color-blind read as others do.
_RAMP = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")


@dataclass(frozen=True)
class WebMap:
    """What the page shows. All text is plain text.

    Attributes:
        title: What this is a map of.
        shown: The classes.
        pictures: Imagery of the scene; the first is shown at first.
        confidence: Percent on the pixels of the reduced map, 255 where there is none; None without.
        probabilities: Percent of each class, as `confidence`; empty without.
        facts: Sensors, model and what else is known, by name.
    """

    title: str
    shown: Classified
    pictures: tuple[Picture, ...] = ()
    confidence: UInt8[np.ndarray, "h w"] | None = None
    probabilities: tuple[UInt8[np.ndarray, "h w"], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def write_web_map(path: Path, content: WebMap) -> Path:
    """Write the page; the same content gives the same bytes.

    Raises:
        InputError: where it cannot be written.
    """
    loader = PackageLoader("omnifuse.inference.web_map", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["area"] = area_text
    source = files("omnifuse.inference.web_map")
    script = source.joinpath("map.js").read_text(encoding="utf-8")
    page = environment.get_template("map.html.j2").render(
        content=content,
        legend=_legend(content.shown),
        facts=_facts(content),
        style=source.joinpath("map.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),  # no other script may run
        data=_inert(_data(content)),
        image=_data_uri("image/png", indexed_png(content.shown.classes, [_rgb(color) for color in content.shown.colors])),
        ramp=_RAMP,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}). Try: another --out.") from None
    return path


def _legend(shown: Classified) -> list[dict[str, Any]]:
    """Return a row for each class, and for what has none where there is any; shares are of the area that has a class."""
    mapped = float(shown.hectares[:-1].sum())
    rows = [
        {"name": name, "color": color, "hectares": float(area), "share": float(area) / mapped if mapped else 0.0, "number": number}
        for number, (name, color, area) in enumerate(zip(shown.names, shown.colors, shown.hectares[:-1], strict=True))
    ]
    return sorted(rows, key=lambda row: -row["hectares"])


def _facts(content: WebMap) -> dict[str, str]:
    """Return what is said of the map, in words."""
    header, factor = content.shown.header, content.shown.factor
    across, down = pixel_metres(header)
    mapped = float(content.shown.hectares[:-1].sum())
    facts = {
        **content.facts,
        "Size": f"{header.width} × {header.height} pixels of {_size(across, down)}",
        "Mapped": f"{area_text(mapped)}; areas are on the WGS 84 ellipsoid, at full resolution",
        "Reference system": header.crs if len(header.crs) < 80 else header.crs[:79] + "…",
    }
    if factor > 1:
        facts["Shown at"] = f"1/{factor} of its resolution: each pixel shown is the most frequent class of {factor} × {factor} pixels" + (
            ", and their mean confidence" if content.confidence is not None else ""
        )
    for picture in content.pictures:
        facts[f"Imagery {picture.name}"] = picture.note
    return facts


def _size(across: float, down: float) -> str:
    return f"{across:.3g} m" if abs(across / down - 1) < 0.02 else f"{across:.3g} m × {down:.3g} m"


def area_text(hectares: float) -> str:
    """Write an area with about three digits: square metres below a tenth of a hectare, square kilometres above ten thousand."""
    if not hectares:
        return "–"
    if hectares < 0.1:
        return f"{hectares * 1e4:.3g} m²"
    if hectares >= 10_000:
        return f"{hectares / 100:,.0f} km²"
    return f"{hectares:,.0f} ha" if hectares >= 100 else f"{hectares:.1f} ha"


def _data(content: WebMap) -> dict[str, Any]:
    """Return what the script works on."""
    shown, header = content.shown, content.shown.header
    longitude, latitude = lattice(header, _LATTICE)
    return {
        "width": header.width,
        "height": header.height,
        "factor": shown.factor,
        "left": header.left,
        "top": header.top,
        "pixelWidth": header.pixel_width,
        "pixelHeight": header.pixel_height,
        "metres": pixel_metres(header),
        "north": true_north(header),
        "crs": header.crs if len(header.crs) < 24 else "map coordinates",
        "digits": max(0, 1 - int(np.floor(np.log10(header.pixel_width)))),
        "longitude": [[round(value, 8) for value in row] for row in longitude.tolist()],
        "latitude": [[round(value, 8) for value in row] for row in latitude.tolist()],
        "classes": [{"name": name, "color": color} for name, color in zip(shown.names, shown.colors, strict=True)],
        "ramp": _RAMP,
        "confidence": None if content.confidence is None else _share_uri(content.confidence),
        "probabilities": [_share_uri(share) for share in content.probabilities],
        "pictures": [{"name": p.name, "image": _data_uri("image/webp", p.webp())} for p in content.pictures],
    }


def _share_uri(percent: UInt8[np.ndarray, "h w"]) -> str:
    return _data_uri("image/png", indexed_png(percent, ramp_colors(_RAMP, 101)))


def ramp_colors(stops: Sequence[str], number: int) -> list[tuple[int, int, int]]:
    """Return colors evenly between stops."""
    at = np.linspace(0, len(stops) - 1, number)
    parts = [np.interp(at, range(len(stops)), [_rgb(stop)[channel] for stop in stops]).round().astype(int) for channel in range(3)]
    return list(zip(*(part.tolist() for part in parts), strict=True))


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _inert(value: Any) -> str:
    """Return JSON that cannot end the element it stands in, whatever names hold."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
