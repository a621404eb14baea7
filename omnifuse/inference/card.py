"""The card of a model folder: what it is, what it reads, how well it does, in Markdown with the front matter of model hubs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omnifuse.classes import ClassTable, Quantities
from omnifuse.config import Config, from_dict
from omnifuse.inference.folder import ModelFolder, origins
from omnifuse.modalities import Modality

_OWN = ("title", "description", "data", "scores", "limits", "license")
_HUB_LICENSES = (
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "etalab-2.0",
)
_PIPELINES = {"segmentation": "image-segmentation", "classification": "image-classification", "embedding": "image-feature-extraction"}
# What goes wrong with values of a unit.
_NOTES = {
    "reflectance*10000": "surface reflectance × 10000. Sentinel-2 products of baseline 04.00 and later (since January 2022) have 1000 "
    "added: subtract it first.",
    "dB": "backscatter as 10·log10 of the power, not the power itself.",
    "8-bit": "0 to 255, not 0 to 1.",
}


@dataclass(frozen=True, kw_only=True)
class Score(Config):
    """One figure of a card.

    Attributes:
        metric: Its name, such as `mIoU`.
        sensors: What the model was given, such as `s2+spot`.
        value: The figure; shares lie in 0..1.
        low: Lower end of its interval, and `high` the upper one; None where none is known.
        on: What it was measured on, and what the interval is over.
    """

    metric: str
    sensors: str
    value: float
    low: float | None = None
    high: float | None = None
    on: str = ""

    def __str__(self) -> str:
        spread = "" if self.low is None or self.high is None else f" ({self.low:.3f}–{self.high:.3f})"
        return f"{self.value:.3f}{spread}"


def scores_of(facts: Mapping[str, Any]) -> list[Score]:
    """Return the figures of `facts["scores"]`, best first; none where there is no such entry.

    Raises:
        ConfigError: for an entry that is not a score.
    """
    found = facts.get("scores", [])
    rows = [from_dict(Score, value, "facts: `scores`") for value in (found if isinstance(found, list) else [found])]
    return sorted(rows, key=lambda row: -row.value)


def card(name: str, content: ModelFolder) -> str:
    """Return the card.

    Args:
        name: Name of the folder, used in the snippet.
        content: Its configuration. Of its facts `title`, `description`, `data`, `limits`, `license` (an SPDX identifier) and `scores`
            (a list of `Score` as JSON) have places of their own, everything else becomes a row of a table.
    """
    facts, modalities, labels = content.facts, content.architecture.sensors.modalities, content.architecture.labels
    own = {key: str(facts[key]) for key in _OWN if key in facts and key != "scores"}
    rest = _rows({key: value for key, value in facts.items() if key not in _OWN})
    title = own.get("title", name)
    scores = scores_of(facts)
    what = "Pretrained encoders" if labels is None else "A map maker" if content.architecture.task == "segmentation" else "A model"
    parts = [
        *_front_matter(title, content, scores),
        "",
        f"# {title}",
        "",
        own.get("description", f"{what} for any subset of {', '.join(m.title for m in modalities.values())}."),
        "",
        "```python",
        *_snippet(name, content),
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
    units = dict.fromkeys(unit for modality in modalities.values() for unit in modality.units)
    parts += [f"- {unit}: {_NOTES[unit]}" for unit in units if unit in _NOTES]
    if starts := origins(content.architecture.sensors):
        first = min(starts.values())
        parts += [f"- Dates are whole days; the model counts from {first}. Shift other seasons with `season_start`."]
    parts += [""]
    if isinstance(labels, ClassTable):
        parts += ["## Classes", "", "| value | name | color |", "|---|---|---|"]
        parts += [f"| {i} | {_cell(name)} | `{color}` |" for i, (name, color) in enumerate(zip(labels.names, labels.colors, strict=True))]
        parts += ["", f"Value {labels.ignore} counts for nothing and is never predicted." if labels.ignore >= 0 else "", ""]
    elif isinstance(labels, Quantities):
        parts += ["## Quantities", "", "| name | unit |", "|---|---|"]
        parts += [f"| {_cell(name)} | {_cell(unit)} |" for name, unit in zip(labels.names, labels.units, strict=True)] + [""]
    if scores:
        parts += ["## Scores", "", "| metric | sensors given | value (interval) | measured on |", "|---|---|---|---|"]
        parts += [f"| {_cell(row.metric)} | {_cell(row.sensors)} | {row} | {_cell(row.on)} |" for row in scores] + [""]
    parts += ["## Training", "", own.get("data", ""), "", *(["| | |", "|---|---|", *rest] if rest else ["Not stated."]), ""]
    parts += [
        "## Limits",
        "",
        own.get("limits", "Not stated. Expect less on ground, seasons and products unlike those of the training."),
        "",
    ]
    parts += ["## License", "", own.get("license", "Not stated: ask before you use these weights."), ""]
    return "\n".join(parts)


def _front_matter(title: str, content: ModelFolder, scores: Iterable[Score]) -> list[str]:
    """Return the YAML that hubs read; every text in it is quoted as JSON, which YAML contains."""
    pipeline = _PIPELINES.get(content.architecture.task, "image-feature-extraction")
    license = str(content.facts.get("license", "")).lower()
    lines = ["---", "library_name: omnifuse", f"pipeline_tag: {pipeline}"]
    if license in _HUB_LICENSES:
        lines += [f"license: {license}"]
    elif license:
        lines += ["license: other", f"license_name: {json.dumps(license)}"]
    lines += ["tags: [earth-observation, remote-sensing, multimodal]"]
    rows = list(scores)
    if rows:
        lines += ["model-index:", f"- name: {json.dumps(title)}", "  results:"]
    for row in rows:
        data = json.dumps(row.on or "not stated")
        lines += ["  - task:", f"      type: {pipeline}", "    dataset:", f"      name: {data}", "      type: other", "    metrics:"]
        lines += [f"    - type: {json.dumps(row.metric.lower())}", f"      value: {row.value!r}"]
        lines += [f"      name: {json.dumps(f'{row.metric}, {row.sensors} {row}')}"]
    return [*lines, "---"]


def _snippet(name: str, content: ModelFolder) -> list[str]:
    """Return Python that runs as it stands, on random values: a place as large as in training; of about 320 m where that is not known."""
    modalities = content.architecture.sensors.modalities
    first = next((m for m in modalities.values() if m.series), next(iter(modalities.values())))
    size, starts = content.facts.get("place size (m)"), origins(content.architecture.sensors)
    metres = (size if isinstance(size, int | float) else 320) + 2 * first.context
    side = 1 if first.per_place else max(1, round(metres / first.gsd))  # whole pixels, whatever the context
    dates = 3 if first.series else 1
    call = "embed" if content.architecture.labels is None else "predict"
    mean = ", ".join(f"{value:.4g}" for value in first.mean)
    lines = [
        "import torch",
        "",
        "import omnifuse",
        "",
        f"model = omnifuse.load({json.dumps(name)})  # or the path of this folder",
        f"mean = torch.tensor([{mean}])  # {', '.join(first.bands)} in {', '.join(dict.fromkeys(first.units))}",
        f"{first.name} = mean[:, None, None] * torch.rand({dates}, {len(first.bands)}, {side}, {side})"
        f"  # (date, band, y, x), {first.gsd:g} m per pixel",
    ]
    days = ""
    if first.name in starts:
        year = starts[first.name].year + 1
        lines += [f"days = {json.dumps([f'{year}-04-15', f'{year}-06-01', f'{year}-07-15'][:dates])}"]
        days = f', days={{"{first.name}": days}}'
    return [*lines, f'model.{call}({{"{first.name}": {first.name}}}{days}).to_xarray()  # DataArrays with coordinates will do as well']


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
            rows.append(f"| {_cell(prefix + key)} | {_cell(f'{value:.4g}' if isinstance(value, float) else value)} |")
    return rows


def _cell(value: object) -> str:
    """Return text that stays within its cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
