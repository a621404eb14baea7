"""Out of region: optical series alone against optical series with geographic covariates (arXiv:2507.13385)."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from omnifuse.data.landscape.regions import REGIONS
from omnifuse.data.stacked import Stack
from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.scoring import Scored
from omnifuse.runs.baselines import COVARIATES, utae_s2
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.places import SplitConfig
from omnifuse.runs.results import Results
from omnifuse.runs.sources import StackedData
from omnifuse.runs.studies.fusions import task
from omnifuse.runs.studies.landscape import LONG, UPDATES, data, of_architecture, quarters, training, tuning
from omnifuse.runs.studies.study import Entry, Found, Info, Measured, Scale, Study
from omnifuse.runs.studies.tables import cell, headlined, markdown

_ROWS = ("S2", "S2 with stacked covariates", "S2 with learned covariates")
_TASKS = ("segmentation", "classification", "regression")
_LABELS = (10, 100)


def region_fold(row: Info) -> Info:
    """Return the region of a place with its fold, so that a split may name both."""
    return {"region_fold": f"{row['region']} {row['fold']}"}


def held_out_region(seed: int) -> str:
    """Return the region that no place to train on is in; another one for each seed."""
    return REGIONS[seed % len(REGIONS)].name


def out_of(seed: int) -> SplitConfig:
    """Train in four regions, test on the fold that is held out, in all five."""
    names = [region.name for region in REGIONS]
    inside = [name for name in names if name != held_out_region(seed)]
    train = tuple(f"{name} {fold}" for name in inside for fold in range(1, 5))
    test = tuple(f"{name} 5" for name in inside) + tuple(f"{held_out_region(seed)} {fold}" for fold in range(1, 6))
    return SplitConfig(key="region_fold", train=train, test=test)


def variants(seed: int, scale: Scale, what: str) -> dict[str, FinetuneConfig]:
    """Return the optical model, and two ways to tell it where it is, for a task."""
    covariates = tuple(COVARIATES)
    sensors = ("s2", *covariates)
    places, whole = data(seed, scale, sensors), quarters(seed, scale, sensors)
    stacks = (Stack(onto="s2", series=covariates, name="s2"),)
    optical = replace(of_architecture(seed, scale, utae_s2()), data=places)
    updates = LONG if what == _TASKS[0] else UPDATES  # labels of places are learned in fewer
    optical = replace(optical, train=training(seed, scale.updates(updates), learning_rate=1e-3))
    both = tuning(seed, scale, ("s2",))
    both = replace(both, data=places, encoders=both.encoders | COVARIATES, train=optical.train)
    return {
        _ROWS[0]: task(optical, what, whole),
        _ROWS[1]: task(replace(optical, data=StackedData(data=places, stacks=stacks)), what, StackedData(data=whole, stacks=stacks)),
        _ROWS[2]: task(both, what, whole),
    }


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    split = out_of(seed)
    return [
        Entry(f"{row}, {what}, {labels} %", replace(config, split=split, label_fraction=labels / 100), columns=region_fold)
        for what in _TASKS
        for row, config in variants(seed, scale, what).items()
        for labels in (_LABELS if what == _TASKS[0] else (100,))
    ]


def tell(found: Found) -> str:
    found = headlined(found, "classification", "macro_f1")
    rows = []
    for row in _ROWS:
        for what in _TASKS:
            for labels in _LABELS if what == _TASKS[0] else (100,):
                name = f"{row}, {what}, {labels} %"
                parts = [[score_of(found.results[name, seed], seed, inside) for seed in found.seeds] for inside in (True, False)]
                drop = [out - within for within, out in zip(*parts, strict=True)]
                rows.append((what, f"{labels} %", row, *(cell(part) for part in (*parts, drop))))
    rows.sort(key=lambda row: (_TASKS.index(row[0]), int(row[1].split()[0])))
    names = ", ".join(held_out_region(seed) for seed in found.seeds)
    about = f"Held out: {names}, one for each seed. Scores are mIoU, macro F1 and R², in percent.\n\n"
    return about + markdown(("task", "labels", "model", "in region", "out of region", "difference"), rows)


def score_of(results: Results, seed: int, inside: bool) -> float:
    """Return the score with all sensors over the places in the regions of the training, or outside."""
    view = max(results.scored, key=lambda name: name.count("+"))
    scored = results.scored[view]
    out = torch.tensor([region_of(results.about.places[number]) == held_out_region(seed) for number in scored.place.tolist()])
    kept = ~out if inside else out
    return Scored(scored.statistics[kept], scored.place[kept], 0, scored.metric).score


def region_of(place: str) -> str:
    """Return the region of a place of the landscape by its id: places take turns."""
    return REGIONS[int(place) % len(REGIONS)].name


def bars(found: Found) -> Sequence[Bar]:
    found = headlined(found, "classification", "macro_f1")
    made = []
    for what in _TASKS:
        for inside, where in ((True, "in region"), (False, "out of region")):
            for row in _ROWS:
                scores = [score_of(found.results[f"{row}, {what}, 100 %", seed], seed, inside) for seed in found.seeds]
                made.append(Bar(f"{what}, {where}", row, sum(scores) / len(scores)))
    return made


STUDY = Study("regions", "Out of region, with and without covariates", entries, tell, bars, "mIoU, macro F1 and R², %")
