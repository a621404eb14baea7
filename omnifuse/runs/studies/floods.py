"""Real floods of OMBRIA by scene: each sensor, both, and every subset from one model."""

from collections.abc import Sequence
from dataclasses import replace

from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.forest import ForestConfig
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import OmbriaData
from omnifuse.runs.studies.landscape import training
from omnifuse.runs.studies.study import Entry, ForestEntry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import folds_joined, markdown

FOLDS = (1, 2, 3, 4, 5)
_VIEWS = {"s1": ".365", "s2": ".576", "s1+s2": ".643"}  # gradient boosting on pixels and means of 7×7
_BOOSTING = "gradient boosting, these folds"
_MODELS = ("pretrained", "from scratch", _BOOSTING)
_ALONE = (("s1",), ("s2",), ("s1", "s2"))
_FOREST = ForestConfig(trees=100, step=1, around=7, pixels=25, boosted=True)  # 400 pixels of a patch of 16 tiles
SERIES = UTAEConfig(widths=(16, 32, 64), heads=8, dim=128, padding="zeros", origin=0, season=(0, 0))


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    data = OmbriaData(path=scale.data, tile=64)
    found: list[Measured] = []
    for fold in FOLDS:
        split = SplitConfig(train=tuple(other for other in FOLDS if other != fold), test=(fold,))
        base = FinetuneConfig(
            data=data,
            split=split,
            encoders={"s1": replace(SERIES, norm="group"), "s2": SERIES},  # images are stretched one by one, which radar alone minds
            fusion=CrossAttentionConfig(gsds=(40.0, 20.0, 10.0), dims=(96, 48, 32), heads=4, depth=1),
            head=SegmentationConfig(dims=(48, 32), gsd=10.0),
            augment=AugmentConfig(crop=320.0, modality_dropout=0.2),
            train=training(seed, scale.updates(300), batch_size=16),
        )
        before = PretrainConfig(
            data=data,
            split=split,
            encoders=base.encoders,
            objective=ContrastConfig(cell_gsd=40.0, num_cells=16),
            augment=AugmentConfig(crop=320.0),
            train=training(seed, scale.updates(200), batch_size=32, learning_rate=3e-3),
            probe_places=0,
        )
        found.append(Entry(f"pretrained, fold {fold}", base, before))
        found.append(Entry(f"from scratch, fold {fold}", base))
        found.append(ForestEntry(f"{_BOOSTING}, fold {fold}", base, replace(_FOREST, seed=seed), alone=_ALONE))
    return found


def tell(found: Found) -> str:
    rows = [("gradient boosting, the floor, other folds", *_VIEWS.values())]
    rows += [(row, *(_flood(found, row, view) for view in _VIEWS)) for row in _MODELS]
    text = "Flood IoU over all five folds of whole scenes, with the 95 % interval over tiles.\n\n"
    return text + markdown(("model", "S1", "S2", "S1 + S2"), rows)


def _flood(found: Found, row: str, view: str) -> str:
    joined = folds_joined(found, row, FOLDS, view)
    low, high = joined.interval_of_each(0)["flood"]
    return f"{joined.each['flood']:.3f} ({low:.3f}–{high:.3f})"


def bars(found: Found) -> Sequence[Bar]:
    made = []
    for view in _VIEWS:
        for row in _MODELS:
            joined = folds_joined(found, row, FOLDS, view)
            made.append(Bar(view.upper().replace("+", " + "), row, joined.each["flood"], joined.interval_of_each(0)["flood"]))
    return made


STUDY = Study("floods", "Real floods, by scene", entries, tell, bars, "flood IoU, %", "the folder of OMBRIA")
