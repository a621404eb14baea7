"""Fusion strategies at equal budget, on segmentation, classification and regression (after arXiv:2507.13385)."""

from collections.abc import Sequence
from dataclasses import replace

from omnifuse.data.targets import DominantConfig, SharesConfig
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
from omnifuse.runs.sources import DataConfig
from omnifuse.runs.studies.landscape import ALL, pretraining, quarters, tuning
from omnifuse.runs.studies.study import Entry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import bar, cell, difference, headlined, markdown, signed, values

CROPS = ("meadow", "winter wheat", "corn", "winter rapeseed", "sunflower", "grapevine")
_FUSIONS: tuple[tuple[str, type[FusionConfig], str], ...] = (
    ("cross-attention (ours)", CrossAttentionConfig, ""),
    ("early", EarlyConfig, "1st"),
    ("gated", GatedConfig, "2nd"),
    ("attention-weighted", AttentionConfig, "3rd"),
    ("late", LateConfig, ""),
)
_TASKS = ("segmentation", "classification", "regression")
_LONGER = ("cross-attention (ours)", "gated")  # does the order stay when all are trained for three times as long?


def task(config: FinetuneConfig, name: str, whole: DataConfig) -> FinetuneConfig:
    """Return a fine-tuning for another task of the same landscape: the main crop of a place, or the shares of six crops.

    Args:
        config: For segmentation, on crops.
        name: Of the task.
        whole: Places to say something of as a whole.
    """
    if name == "segmentation":
        return config
    places = replace(config, data=whole, head=PlaceConfig(dim=64), augment=replace(config.augment, crop=0.0))
    if name == "classification":
        return replace(places, target=(DominantConfig(without=("background",)),), objective=ClassifyConfig())
    return replace(places, target=(SharesConfig(classes=CROPS),), objective=RegressConfig())


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    ours, before = small_fusion(), pretraining(seed, scale)
    shape = {"gsds": ours.gsds, "dims": ours.dims, "heads": ours.heads, "depth": ours.depth}
    base, whole = tuning(seed, scale, steps=200), quarters(seed, scale)
    found = [
        Entry(f"{name}, {what}", replace(task(base, what, whole), fusion=cls(**shape)), before)  # type: ignore[arg-type]
        for what in _TASKS
        for name, cls, _ in _FUSIONS
    ]
    for one in [one for one in found if one.name in [f"{name}, classification" for name in _LONGER]]:
        longer = replace(one.config, train=replace(one.config.train, steps=scale.updates(600)))
        found.append(replace(one, name=f"{one.name}, longer", config=longer))
    return found


def tell(found: Found) -> str:
    found = headlined(found, "classification", "macro_f1")
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
    text += "\nAgainst cross-attention, place by place:\n\n" + markdown(("fusion", *_TASKS), rows)
    rows = [(name, *(cell(values(found, f"{name}, classification{more}", ALL)) for more in ("", ", longer"))) for name in _LONGER]
    header = ("fusion", "classification, macro F1 %, 200 updates", "600 updates")
    return text + "\n" + markdown(header, rows)


def bars(found: Found) -> Sequence[Bar]:
    found = headlined(found, "classification", "macro_f1")
    return [bar(found, what, name, f"{name}, {what}", ALL) for what in _TASKS for name, _, _ in _FUSIONS]


STUDY = Study("fusions", "Fusion strategies at equal budget", entries, tell, bars, "mIoU, macro F1 and R², %")
