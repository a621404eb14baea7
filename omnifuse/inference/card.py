"""The card of a model folder: what it is, what it reads, how well it does, in Markdown with the front matter of model hubs."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from omnifuse.classes import ClassTable
from omnifuse.modalities import Modality


def card(name: str, modalities: Mapping[str, Modality], classes: ClassTable | None, facts: Mapping[str, JsonValue]) -> str:
    """Return the card.

    Args:
        name: Name of the folder, used in the snippet.
        modalities: What the model reads.
        classes: What it maps; None for pretrained encoders without labels.
        facts: `title`, `description`, `limits` and `license` have places of their own, everything else becomes a row of a table.
    """
    own = {key: str(facts[key]) for key in ("title", "description", "limits", "license") if key in facts}
    rest = _rows({key: value for key, value in facts.items() if key not in own})
    what = "A map maker" if classes else "Pretrained encoders"
    call = "model.predict(arrays).to_xarray()" if classes else "model.embed(arrays).to_xarray()"
    first = next(iter(modalities.values()))
    parts = [
        "---",
        "library_name: omnifuse",
        f"pipeline_tag: {'image-segmentation' if classes else 'image-feature-extraction'}",
        *([f"license: {own['license'].lower()}"] if "license" in own else []),
        "tags: [earth-observation, remote-sensing, multimodal]",
        "---",
        "",
        f"# {own.get('title', name)}",
        "",
        own.get("description", f"{what} for any subset of {', '.join(m.title for m in modalities.values())}."),
        "",
        "```python",
        "import omnifuse",
        "",
        f'model = omnifuse.load("{name}")  # or the path of this folder',
        f'arrays = {{"{first.name}": ...}}  # DataArrays with dims (time, band, y, x), for any of the sensors below',
        call,
        "```",
        "",
        "## Sensors",
        "",
        "Any non-empty subset will do. Values are as stored, in these units; the model normalizes them.",
        "",
        "| name | sensor | bands | unit | metres per pixel | dates | mean | std |",
        "|---|---|---|---|---|---|---|---|",
        *(_sensor(modality) for modality in modalities.values()),
        "",
    ]
    if classes:
        parts += ["## Classes", "", "| value | name | color |", "|---|---|---|"]
        parts += [f"| {i} | {name} | `{color}` |" for i, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))]
        parts += ["", f"Value {classes.ignore} counts for nothing and is never predicted." if classes.ignore >= 0 else "", ""]
    parts += ["## Training and metrics", "", *(["| | |", "|---|---|", *rest] if rest else ["Not stated."]), ""]
    parts += [
        "## Limits",
        "",
        own.get("limits", "Not stated. Expect less on ground, seasons and products unlike those of the training."),
        "",
    ]
    parts += ["## License", "", own.get("license", "Not stated: ask before you use these weights."), ""]
    return "\n".join(parts)


def _sensor(m: Modality) -> str:
    numbers = [", ".join(f"{value:.4g}" for value in values) for values in (m.mean, m.std)]
    units = ", ".join(dict.fromkeys(m.units))
    return (
        f"| `{m.name}` | {m.title} | {', '.join(m.bands)} | {units} | {m.gsd:g} | {'many' if m.series else 'one'} | {' | '.join(numbers)} |"
    )


def _rows(facts: Mapping[str, Any], prefix: str = "") -> list[str]:
    rows: list[str] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{key}: ")
        else:
            rows.append(f"| {prefix}{key} | {f'{value:.4g}' if isinstance(value, float) else value} |")
    return rows
