"""Fusion strategies at equal budget, on segmentation, classification and regression (after arXiv:2507.13385)."""

from collections.abc import Sequence
from dataclasses import replace

from omnifuse.data.targets import PresenceConfig, SharesConfig
from omnifuse.evals.figures.bars import Bar
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.fusion_stacked import EarlyConfig, GatedConfig
from omnifuse.models.fusion_weighted import AttentionConfig, LateConfig
from omnifuse.models.fusions import FusionConfig
from omnifuse.models.heads import PlaceConfig
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.objectives.regression import RegressConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.landscape import small_fusion
from omnifuse.runs.studies.landscape import ALL, tuning
from omnifuse.runs.studies.study import Entry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import bar, cell, difference, markdown, signed, values

CROPS = ("meadow", "winter wheat", "corn", "winter rapeseed", "sunflower", "grapevine")
_FUSIONS: tuple[tuple[str, type[FusionConfig], str], ...] = (
    ("cross-attention (ours)", CrossAttentionConfig, ""),
    ("early", EarlyConfig, "1st"),
    ("gated", GatedConfig, "2nd"),
    ("attention-weighted", AttentionConfig, "3rd"),
    ("late", LateConfig, ""),
)
_TASKS = ("segmentation", "classification", "regression")


def task(config: FinetuneConfig, name: str) -> FinetuneConfig:
    """Return a fine-tuning for another task of the same places: crops present in a place, or the shares of six of them."""
    if name == "classification":
        rule = PresenceConfig(without=("background",), above=0.02)
        return replace(config, target=(rule,), head=PlaceConfig(dim=64), objective=ClassifyConfig())
    if name == "regression":
        return replace(config, target=(SharesConfig(classes=CROPS),), head=PlaceConfig(dim=64), objective=RegressConfig())
    return config


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    ours = small_fusion()
    shape = {"gsds": ours.gsds, "dims": ours.dims, "heads": ours.heads, "depth": ours.depth}
    base = tuning(seed, scale, steps=200)
    return [
        Entry(f"{name}, {what}", replace(task(base, what), fusion=cls(**shape)))  # type: ignore[arg-type]
        for name, cls, _ in _FUSIONS
        for what in _TASKS
    ]


def tell(found: Found) -> str:
    rows = []
    for name, _, theirs in _FUSIONS:
        cells = [cell(values(found, f"{name}, {what}", ALL)) for what in _TASKS]
        gone = [cell(values(found, f"{name}, segmentation", view)) for view in ("s2+s1_asc", "s1_asc+spot")]
        rows.append((name, *cells, *gone, theirs))
    scores = ("segmentation, mIoU %", "classification, macro F1 %", "regression, R² %")
    text = markdown(("fusion", *scores, "SPOT gone, mIoU %", "S2 gone, mIoU %", "their rank"), rows)
    ours = _FUSIONS[0][0]
    rows = []
    for name, _, _ in _FUSIONS[1:]:
        gaps = [difference(found, (f"{name}, {what}", ALL), (f"{ours}, {what}", ALL)) for what in _TASKS]
        rows.append((name, *map(signed, gaps)))
    return text + "\nAgainst cross-attention, place by place:\n\n" + markdown(("fusion", *_TASKS), rows)


def bars(found: Found) -> Sequence[Bar]:
    return [bar(found, what, name, f"{name}, {what}", ALL) for what in _TASKS for name, _, _ in _FUSIONS]


STUDY = Study("fusions", "Fusion strategies at equal budget", entries, tell, bars, "mIoU, macro F1 and R², %")
