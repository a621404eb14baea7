"""A model as a STAC item, by the machine learning model extension: what it reads, what it gives, where its weights are.

Names are those of `mlm` 1.5 (https://github.com/stac-extensions/mlm), one `mlm:input` per sensor. A model is not of one place, so the
item's geometry is the whole earth; what ground and seasons it was trained on stands in its card.
"""

import re
from collections import Counter
from typing import Any

from omnifuse import __version__
from omnifuse.classes import ClassTable, Quantities
from omnifuse.inference.folder import CARD, CONFIG, WEIGHTS, ModelFolder, origins
from omnifuse.modalities import Modality

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json".format
_MLM, _EO = _EXTENSION("mlm/v1.5.0"), _EXTENSION("eo/v2.0.0")
_CLASSES, _FILE = _EXTENSION("classification/v1.1.0"), _EXTENSION("file/v2.1.0")
_TASKS = {
    "segmentation": ["semantic-segmentation"],
    "classification": ["scene-classification"],
    "regression": ["regression"],
    "embedding": ["similarity-search"],
}
_EARTH = [-180.0, -90.0, 180.0, 90.0]


def mlm_item(name: str, content: ModelFolder) -> dict[str, Any]:
    """Return the STAC item of a model folder called `name`, meant to lie in that folder."""
    found = content.architecture
    west, south, east, north = _EARTH
    modalities = found.sensors.modalities
    properties = {
        "datetime": None,
        "start_datetime": "1970-01-01T00:00:00Z",
        "end_datetime": "9999-12-31T23:59:59Z",
        "title": str(content.facts.get("title", name)),
        "description": str(content.facts.get("description", "")) or f"omnifuse model for any subset of {', '.join(modalities)}.",
        **({"license": str(content.facts["license"])} if "license" in content.facts else {}),
        "bands": [band for modality in modalities.values() for band in _bands(modality, modalities)],
        "mlm:name": _name(name),
        "mlm:architecture": f"omnifuse {found.kind}",
        "mlm:tasks": _TASKS[found.task],
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": content.weights.parameters,
        "mlm:memory_size": content.weights.bytes,
        "mlm:pretrained": True,
        "mlm:pretrained_source": str(content.facts.get("data", "not stated")),
        "mlm:input": [_input(modality, modalities, content) for modality in modalities.values()],
        "mlm:output": _outputs(content),
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_MLM, _EO, _CLASSES, _FILE],
        "id": _name(name),
        "geometry": {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]]},
        "bbox": _EARTH,
        "properties": properties,
        "links": [],
        "assets": {
            "weights": {
                "href": f"./{WEIGHTS}",
                "type": "application/octet-stream; application=safetensors",
                "title": "Weights",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "safetensors.torch.save_file",
                "file:size": content.weights.bytes,
                "file:checksum": f"1220{content.weights.sha256}",  # multihash: SHA-256 of 32 bytes
            },
            "config": {"href": f"./{CONFIG}", "type": "application/json", "title": f"Configuration for omnifuse {__version__}"},
            "card": {"href": f"./{CARD}", "type": "text/markdown", "title": "Card", "roles": ["metadata"]},
        },
    }


def _input(modality: Modality, modalities: dict[str, Modality], content: ModelFolder) -> dict[str, Any]:
    starts = origins(content.architecture.sensors)
    dates = f" Dates as whole days since 1970-01-01, counted from {starts[modality.name]}." if modality.name in starts else ""
    units = ", ".join(dict.fromkeys(modality.units))
    return {
        "name": modality.name,
        "description": f"{modality.title}, {modality.gsd:g} m per pixel, in {units}; may be missing.{dates}",
        "bands": [band["name"] for band in _bands(modality, modalities)],
        "input": {
            "shape": [-1, -1 if modality.series else 1, len(modality.bands), -1, -1],
            "dim_order": ["batch", "time", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "z-score", "mean": mean, "stddev": std} for mean, std in zip(modality.mean, modality.std, strict=True)
        ],  # done by the model itself
    }


def _outputs(content: ModelFolder) -> list[dict[str, Any]]:
    labels, task = content.architecture.labels, content.architecture.task
    tasks, grid = _TASKS[task], ([-1, -1], ["height", "width"])
    if isinstance(labels, ClassTable):
        on = grid if task == "segmentation" else ([], [])
        result = {"shape": [-1, len(labels.names), *on[0]], "dim_order": ["batch", "class", *on[1]], "data_type": "float32"}
        table = [
            {"value": value, "name": _name(name), "description": name, "color_hint": color.lstrip("#").upper()}
            for value, (name, color) in enumerate(zip(labels.names, labels.colors, strict=True))
        ]
        return [{"name": "probability", "tasks": tasks, "result": result, "classification:classes": table}]
    if isinstance(labels, Quantities):
        described = ", ".join(f"{name} in {unit}" for name, unit in zip(labels.names, labels.units, strict=True))
        result = {"shape": [-1, len(labels.names), *grid[0]], "dim_order": ["batch", "channel", *grid[1]], "data_type": "float32"}
        return [{"name": "quantity", "description": described, "tasks": tasks, "result": result}]
    vector = {"shape": [-1, -1], "dim_order": ["batch", "embedding"], "data_type": "float32"}
    cells = {"shape": [-1, -1, *grid[0]], "dim_order": ["batch", "embedding", *grid[1]], "data_type": "float32"}
    return [{"name": "place", "tasks": tasks, "result": vector}, {"name": "cells", "tasks": tasks, "result": cells}]


def _bands(modality: Modality, modalities: dict[str, Modality]) -> list[dict[str, Any]]:
    """Return the bands of a sensor; a name that another sensor has, too, goes with that of its sensor."""
    known = Counter(band for one in modalities.values() for band in one.bands)
    return [
        {"name": band if known[band] == 1 else f"{modality.name}:{band}", "description": f"{modality.title}, {unit}", "gsd": modality.gsd}
        | ({"eo:center_wavelength": round(wavelength / 1000, 5)} if 0 < wavelength < 1e5 else {})  # micrometres; not of radar
        for band, unit, wavelength in zip(modality.bands, modality.units, modality.wavelengths, strict=True)
    ]


def _name(text: str) -> str:
    """Return text as the extensions want names: letters, digits, - and _, beginning with a letter."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_") or "model"
    return name if name[0].isalpha() and len(name) > 2 else f"model-{name}"
