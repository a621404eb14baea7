"""Few labels: optical alone against all sensors, and pretrained against from scratch (after arXiv:2404.08351)."""

from collections.abc import Sequence
from dataclasses import replace

from omnifuse.evals.figures.bars import Bar
from omnifuse.runs.baselines import utae_s2
from omnifuse.runs.studies import robust
from omnifuse.runs.studies.landscape import ALL, of_architecture, pretraining, tuning
from omnifuse.runs.studies.study import Entry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import bar, cell, difference, markdown, signed, values

_MODALITIES = (10, 25, 50, 100)
_PRETRAINING = (1, 5, 10, 25, 100)
_LABELS = sorted({*_MODALITIES, *_PRETRAINING})


def _name(what: str, percent: int) -> str:
    return f"{what}, {percent} %"


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    before = pretraining(seed, scale)
    alone = of_architecture(seed, scale, utae_s2())
    optical = [Entry(_name("S2", percent), replace(alone, label_fraction=percent / 100)) for percent in _MODALITIES]
    scratch = [Entry(_name("scratch", percent), tuning(seed, scale, labels=percent / 100)) for percent in _LABELS]
    full = replace(robust.entries(seed, scale)[0], name=_name("pretrained", 100))
    taught = [Entry(_name("pretrained", p), tuning(seed, scale, labels=p / 100), before) for p in _PRETRAINING if p < 100] + [full]
    return (*optical, *scratch, *taught)


def tell(found: Found) -> str:
    rows = []
    for percent in _MODALITIES:
        one, all_ = (_name("S2", percent), "s2"), (_name("scratch", percent), ALL)
        rows.append((f"{percent} %", cell(values(found, *one)), cell(values(found, *all_)), signed(difference(found, all_, one))))
    text = markdown(("labels", "S2: U-TAE", "S1 + S2 + SPOT, from scratch", "difference"), rows) + "\n"
    rows = []
    for percent in _PRETRAINING:
        one, all_ = (_name("scratch", percent), ALL), (_name("pretrained", percent), ALL)
        rows.append((f"{percent} %", cell(values(found, *one)), cell(values(found, *all_)), signed(difference(found, all_, one))))
    return text + markdown(("labels", "all sensors, from scratch", "all sensors, pretrained", "difference"), rows)


def bars(found: Found) -> Sequence[Bar]:
    made = [bar(found, f"{p} % of the labels", "S2: U-TAE", _name("S2", p), "s2") for p in _MODALITIES]
    made += [bar(found, f"{p} % of the labels", "all sensors, from scratch", _name("scratch", p), ALL) for p in _LABELS]
    made += [bar(found, f"{p} % of the labels", "all sensors, pretrained", _name("pretrained", p), ALL) for p in _PRETRAINING]
    return sorted(made, key=lambda one: int(one.group.split()[0]))


STUDY = Study("fractions", "Few labels", entries, tell, bars)
