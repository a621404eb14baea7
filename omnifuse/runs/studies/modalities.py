"""What each further sensor adds (arXiv:2404.08351 on PASTIS-HD), with the peers of the literature in the same harness."""

from collections.abc import Sequence
from dataclasses import replace

from omnifuse.data.stacked import Stack
from omnifuse.evals.figures.bars import Bar
from omnifuse.evals.forest import ForestConfig
from omnifuse.runs.baselines import unet_highres, utae_early, utae_late, utae_s2, vit_highres
from omnifuse.runs.landscape import SENSORS
from omnifuse.runs.sources import StackedData
from omnifuse.runs.studies.landscape import ALL, LONG, data, of_architecture, pretraining, tuning
from omnifuse.runs.studies.study import Entry, ForestEntry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import bar, cell, difference, markdown, signed, values

S2, BOTH, OURS = "S2: U-TAE", "S1 + S2: dual stream", "S1 + S2 + SPOT: omnifuse, pretrained"
PLAIN = "S1 + S2 + SPOT: pretrained, no dropout"  # of sensors
_ROWS = (  # row, view, what the paper has
    (S2, "s2", "63.1"),
    ("SPOT: ViT", "spot", ""),
    ("SPOT: U-Net", "spot", ""),
    ("S1 + S2: U-TAE, early fusion", "s2_s1", ""),
    ("S1 + S2: U-TAE, late fusion", "s2+s1_asc", ""),
    (BOTH, "s2+s1_asc", "65.2"),
    ("S1 + S2 + SPOT: omnifuse, from scratch", ALL, ""),
    (OURS, ALL, "67.5"),
    (PLAIN, ALL, ""),
)
_FOREST = "random forest on pixels"
_ALONE = (("s2",), ("s1_asc",), ("s2", "s1_asc"))


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    early = of_architecture(seed, scale, utae_early())
    return (
        Entry(S2, of_architecture(seed, scale, utae_s2())),
        Entry("SPOT: ViT", of_architecture(seed, scale, vit_highres())),
        Entry("SPOT: U-Net", of_architecture(seed, scale, unet_highres())),
        Entry("S1 + S2: U-TAE, early fusion", replace(early, data=StackedData(data=data(seed, scale), stacks=(Stack(),)))),
        Entry("S1 + S2: U-TAE, late fusion", of_architecture(seed, scale, utae_late())),
        Entry(BOTH, tuning(seed, scale, SENSORS[:2], steps=LONG)),
        Entry("S1 + S2 + SPOT: omnifuse, from scratch", tuning(seed, scale, steps=LONG)),
        Entry(OURS, tuning(seed, scale, steps=LONG), pretraining(seed, scale)),
        Entry(PLAIN, tuning(seed, scale, dropout=0.0, steps=LONG), pretraining(seed, scale)),
        ForestEntry(_FOREST, tuning(seed, scale, SENSORS[:2]), ForestConfig(trees=100, pixels=64, seed=seed), alone=_ALONE),
    )


def tell(found: Found) -> str:
    first = (_ROWS[0][0], _ROWS[0][1])
    rows = []
    for row, view, theirs in _ROWS:
        gain = "" if (row, view) == first else signed(difference(found, (row, view), first))
        rows.append((row, cell(values(found, row, view)), gain, theirs))
    for sensors in _ALONE:
        view = "+".join(sensors)
        rows.append(
            (f"{_title(sensors)}: {_FOREST}", cell(values(found, _FOREST, view)), signed(difference(found, (_FOREST, view), first)), "")
        )
    return markdown(("model", "mIoU, %", "against S2: U-TAE", "OmniSat on PASTIS"), rows)


def _title(sensors: Sequence[str]) -> str:
    return " + ".join({"s2": "S2", "s1_asc": "S1"}[sensor] for sensor in sorted(sensors))


def bars(found: Found) -> Sequence[Bar]:
    rows = [(row, row, view) for row, view, _ in _ROWS]
    rows += [(f"{_title(sensors)}: {_FOREST}", _FOREST, "+".join(sensors)) for sensors in _ALONE]
    return [bar(found, title, "mIoU", row, view) for title, row, view in rows]


STUDY = Study("modalities", "What each further sensor adds", entries, tell, bars)
