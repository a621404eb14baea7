"""What each ingredient is worth, and what is lost when a sensor is gone (the ablation of the mission's summary of arXiv:2404.08351)."""

from collections.abc import Sequence
from itertools import combinations

from omnifuse.evals.figures import sensor_label
from omnifuse.evals.figures.bars import Bar
from omnifuse.runs.landscape import SENSORS
from omnifuse.runs.studies import robust
from omnifuse.runs.studies.landscape import ALL, pretraining, tuning
from omnifuse.runs.studies.study import Entry, Found, Measured, Scale, Study
from omnifuse.runs.studies.tables import bar, cell, difference, markdown, signed, values

FULL, PLAIN = robust.WITH, robust.WITHOUT
_ROWS = (
    (FULL, ALL, "67.5"),
    ("without pretraining", ALL, "64.1"),
    (PLAIN, ALL, "65.8"),
    ("without S1", "s2+spot", "66.2"),
    ("without SPOT", "s2+s1_asc", "65.9"),
    ("without S2", "s1_asc+spot", ""),
)


def entries(seed: int, scale: Scale) -> Sequence[Measured]:
    before = pretraining(seed, scale)
    return (
        *robust.entries(seed, scale),
        Entry("without pretraining", tuning(seed, scale)),
        Entry("without S1", tuning(seed, scale, ("s2", "spot")), before),
        Entry("without SPOT", tuning(seed, scale, ("s2", "s1_asc")), before),
        Entry("without S2", tuning(seed, scale, ("s1_asc", "spot")), before),
    )


def tell(found: Found) -> str:
    reference = (FULL, ALL)
    rows = [
        (row, cell(values(found, row, view)), "" if row == FULL else signed(difference(found, (row, view), reference)), theirs)
        for row, view, theirs in _ROWS
    ]
    text = markdown(("model", "mIoU, %", "against full", "OmniSat on PASTIS"), rows)
    subsets = ["+".join(kept) for kept in combinations(SENSORS, len(SENSORS) - 1)]
    specialist = {"s2+s1_asc": "without SPOT", "s2+spot": "without S1", "s1_asc+spot": "without S2"}
    losses: list[tuple[str, ...]] = []
    for view in subsets:
        lost = next(name for name in SENSORS if name not in view.split("+"))
        costs = [signed(difference(found, (row, view), (row, ALL))) for row in (FULL, PLAIN)]
        losses.append((lost, *costs, signed(difference(found, (FULL, view), (specialist[view], view)))))
    text += "\nOne sensor gone at test time, the same weights:\n\n"
    text += markdown(
        ("gone", "full model loses", "without modality dropout", "full model against a specialist without that sensor"), losses
    )
    worst = [min(difference(found, (row, view), (row, ALL)).value for view in subsets) for row in (FULL, PLAIN)]
    singles = max(sum(values(found, FULL, name)) / len(found.seeds) for name in SENSORS)
    gain = sum(values(found, FULL, ALL)) / len(found.seeds) - singles
    return text + (
        f"\nWorst loss with one sensor gone: {100 * worst[0]:+.1f} points with modality dropout, {100 * worst[1]:+.1f} without. "
        f"Fusion gains {100 * gain:+.1f} points over the best single sensor.\n"
    )


def bars(found: Found) -> Sequence[Bar]:
    gone = [(f"only {sensor_label(kept)}", "+".join(kept)) for kept in combinations(SENSORS, len(SENSORS) - 1)]
    models = (FULL, PLAIN, "without pretraining")
    return [bar(found, title, row, row, view) for title, view in (("all sensors", ALL), *gone) for row in models]


STUDY = Study("ablation", "What each ingredient is worth", entries, tell, bars)
