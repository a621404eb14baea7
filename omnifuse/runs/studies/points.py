"""Real labelled points, one pixel each: crops of WorldCereal by H3 cell, and algal blooms by site as the negative control."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource
from omnifuse.data.subset import split
from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.harms import RobustnessConfig, name_of, settings_of
from omnifuse.evals.metrics import metric_of
from omnifuse.evals.scoring import Scored, score_views
from omnifuse.models.fusion_stacked import EarlyConfig
from omnifuse.models.heads import PlaceConfig
from omnifuse.models.model import EncoderConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.regression import RegressConfig
from omnifuse.objectives.tasks import TaskConfig
from omnifuse.runs.finetuning import FinetuneConfig, Finetuned
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.results import SEED
from omnifuse.runs.sources import AlgaeBloomsData, DataConfig, WorldCerealPixelsData
from omnifuse.runs.studies.landscape import training
from omnifuse.runs.studies.study import Entry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import folds_joined, markdown, share, with_interval

FOLDS = (1, 2, 3, 4, 5)
SENSORS = ("s1", "s2")
COVARIATES = ("weather", "dem")
LABELS = (10, 25, 100)
_FLOORS = {"s1": ".676 / .298", "s2": ".634 / .273", "s1+s2": ".703 / .314"}  # a random forest of 200 trees on raw monthly values
_BLOOMS = {"S1": "s1", "S2": "s2", "S1 + S2": "s1+s2", "all": "s1+s2+weather+dem"}
_MONTHS = RobustnessConfig(rates=(), looks=(), clouds=(), drift=(), noise=(), shifts=(), dates=(12, 6, 3), gaps=(3.0, 6.0))


def encoders(origin: int, season: tuple[int, int], sensors: tuple[str, ...], width: int = 128, dim: int = 256) -> dict[str, EncoderConfig]:
    """Return an L-TAE per pixel for every series, and the same, smaller, for covariates."""
    series = UTAEConfig(widths=(width,), kernel=1, heads=8, dim=dim, dropout=0.3, origin=origin, season=season)
    covariate = replace(series, widths=(32,), dim=64)
    return {name: covariate if name in COVARIATES else series for name in sensors}


def tuning(seed: int, scale: Scale, fold: int, data: DataConfig, used: dict[str, EncoderConfig], task: TaskConfig) -> FinetuneConfig:
    """Return a fine-tuning on the other four folds."""
    return FinetuneConfig(
        data=data,
        split=SplitConfig(train=tuple(other for other in FOLDS if other != fold), test=(fold,)),
        encoders=used,
        fusion=EarlyConfig(gsds=(10.0,), dims=(128,), depth=0),
        head=PlaceConfig(dim=128, dropout=0.3),
        objective=task,
        augment=AugmentConfig(modality_dropout=0.2, date_dropout=0.2, symmetry=False),
        train=training(seed, scale.updates(300), batch_size=128, learning_rate=2e-3),
    )


def months_missing(tuned: Finetuned, source: PlaceSource, config: FinetuneConfig) -> Mapping[str, Scored]:
    """Score the held-out points with months missing from all series."""
    model, places = tuned.model, split(source.info, config.split.key, config.split.test)
    views = {k: v for k, v in settings_of(model.config.sensors.modalities, source.size, SEED, _MONTHS).items() if k.protocol == "dates"}
    found = score_views(model, partial(evaluation_batches, source, places, 64), views, metric_of(model.config.labels))
    return {name_of(setting): scored for setting, scored in found.items()}


def crop_entries(seed: int, scale: Scale) -> Sequence[Measured]:
    data = WorldCerealPixelsData(path=scale.data, min_points=15)  # the 13 classes of the floor
    own = encoders(17167, (0, 540), SENSORS)
    found: list[Measured] = []
    for fold in FOLDS:
        base = tuning(seed, scale, fold, data, own, ClassifyConfig())
        before = PretrainConfig(
            data=data,
            split=base.split,
            encoders=own,
            objective=ContrastConfig(cell_gsd=10.0, num_cells=1, cell_weight=0.0),
            augment=AugmentConfig(date_dropout=0.2, symmetry=False),
            train=training(seed, scale.updates(300), batch_size=256, learning_rate=4e-3),
            probe_places=0,
        )
        for labels in LABELS:
            config = replace(base, label_fraction=labels / 100)
            found.append(Entry(f"pretrained, {labels} %, fold {fold}", config, before, measure=months_missing))
            found.append(Entry(f"from scratch, {labels} %, fold {fold}", config))
        everything = replace(base, encoders=encoders(17167, (0, 540), (*SENSORS, *COVARIATES)))
        found.append(Entry(f"with covariates, 100 %, fold {fold}", everything))
        for name in SENSORS:
            alone = replace(base, encoders={name: own[name]}, augment=replace(base.augment, modality_dropout=0.0))
            found.append(Entry(f"{name} alone, 100 %, fold {fold}", alone))
    return found


def tell_crops(found: Found) -> str:
    text = "Overall accuracy / macro F1 in percent over the points of all five folds, with 95 % intervals over points.\n\n"
    rows = []
    for row in ("pretrained", "from scratch"):
        for labels in LABELS:
            together = {view: folds_joined(found, f"{row}, {labels} %", FOLDS, view) for view in ("s1", "s2", "s1+s2")}
            rows.append((row, f"{labels} %", *(share(together[view], ("accuracy", "macro_f1")) for view in ("s1", "s2", "s1+s2"))))
    text += markdown(("model", "labels", "S1", "S2", "S1 + S2"), rows)
    rows = [("random forest, the floor", *_FLOORS.values())]
    for row in ("pretrained", "from scratch"):
        joined = (folds_joined(found, f"{row}, 100 %", FOLDS, view) for view in ("s1", "s2", "s1+s2"))
        rows.append((row, *(with_interval(one, ("accuracy", "macro_f1")) for one in joined)))
    views = ("s1+weather+dem", "s2+weather+dem", "s1+s2+weather+dem")
    joined = (folds_joined(found, "with covariates, 100 %", FOLDS, view) for view in views)
    rows.append(("with weather and terrain", *(with_interval(one, ("accuracy", "macro_f1")) for one in joined)))
    joined = (folds_joined(found, f"{name} alone, 100 %", FOLDS, name) for name in SENSORS)
    rows.append(("a model for each sensor", *(with_interval(one, ("accuracy", "macro_f1")) for one in joined), ""))
    text += "\nAll labels:\n\n" + markdown(("model", "S1", "S2", "S1 + S2"), rows)
    first = next(name for name, _ in found.more)
    ranked = sorted(found.more[first, found.seeds[0]].scored, key=lambda view: (view.split("|")[1], float(view.split("|")[2])))
    rows = []
    for view in ranked:
        _, harm, severity, unit, _ = view.split("|")
        missing = folds_joined(found, "pretrained, 100 %", FOLDS, view, more=True)
        rows.append((f"{harm}: {float(severity):g} {unit}", share(missing, ("accuracy", "macro_f1"))))
    return text + "\nMonths missing from both series, pretrained:\n\n" + markdown(("what is left", "S1 + S2"), rows)


def bloom_entries(seed: int, scale: Scale) -> Sequence[Measured]:
    data = AlgaeBloomsData(path=scale.data, dated=False)  # dates alone would tell much of it
    found: list[Measured] = []
    for fold in FOLDS:
        base = tuning(seed, scale, fold, data, encoders(0, (0, 330), SENSORS), RegressConfig())
        # 900 noisy samples are soon learned by heart: a small network and much decay, chosen on seed 0.
        base = replace(base, train=replace(base.train, weight_decay=1.0))
        for row, sensors in (("S1", ("s1",)), ("S2", ("s2",)), ("S1 + S2", SENSORS), ("all", (*SENSORS, *COVARIATES))):
            own = encoders(0, (0, 330), sensors, width=32, dim=64)
            found.append(Entry(f"{row}, fold {fold}", replace(base, encoders=own)))
    return found


def tell_blooms(found: Found) -> str:
    floors = {"S1": ".09", "S2": ".25", "S1 + S2": ".25", "all": ".38"}
    rows = []
    for row, floor in floors.items():
        rows.append((row, with_interval(folds_joined(found, row, FOLDS, _BLOOMS[row]), ("r2",)), floor))
    return "R² in percent over the samples of all five folds of whole sites.\n\n" + markdown(("sensors", "omnifuse", "random forest"), rows)


def crop_bars(found: Found) -> Sequence[Bar]:
    made = []
    for labels in LABELS:
        for row in ("pretrained", "from scratch"):
            joined = folds_joined(found, f"{row}, {labels} %", FOLDS, "s1+s2")
            made.append(Bar(f"{labels} % of the labels", row, joined.scores["macro_f1"], joined.interval(SEED, "macro_f1")))
    return made


def bloom_bars(found: Found) -> Sequence[Bar]:
    joined = {row: folds_joined(found, row, FOLDS, view) for row, view in _BLOOMS.items()}
    return [Bar(row, "omnifuse", one.score, one.interval(SEED)) for row, one in joined.items()]


CROPS = Study(
    "crops",
    "Real crops at field points, by H3 cell",
    crop_entries,
    tell_crops,
    crop_bars,
    "macro F1, %",
    "the folder of worldcereal_pixels",
)
BLOOMS = Study(
    "blooms", "Algal blooms, where radar has little to add", bloom_entries, tell_blooms, bloom_bars, "R², %", "the folder of algae_blooms"
)
