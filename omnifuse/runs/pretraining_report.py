"""What a pretraining shows of itself: its curves, how retrieval stands against chance, and in words what looks wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnifuse.evals.figures import Panel, draw_curves, sensor_label
from omnifuse.evals.report import KeyFigure, Picture, Report, Section, Table, write_report
from omnifuse.runs.log_curves import curve, keys_of, pair_label, percent
from omnifuse.train.log import Row, read_log

COSTS = {
    "places_per_second": "places per second",
    "frames_per_second": "frames per second",
    "cells_per_second": "cells per second",
    "data_share": "share of the time waiting for data",
    "memory_gb": "memory, GB",
    "tflops_per_second": "TFLOP/s",
    "mfu": "share of the peak (MFU)",
}


def report(folder: Path, subtitle: str, configuration: dict[str, Any], seed: int) -> Path:
    """Write `report.html`, its pictures and `results.json` from the log in `folder`; return the page."""
    log = read_log(folder / "log.jsonl")
    last = {name: row[name] for row in log for name in row}  # the last value of each
    notes = warnings(log, configuration)
    sections = [
        Section("Is it learning?", tuple(notes or ["Nothing looks wrong: no collapse, retrieval above chance, no waiting for data."])),
        *retrieval_section(log, last),
        loss_section(log),
        health_section(log, last),
        *probe_section(log, last),
        cost_section(log),
    ]
    content = Report(
        title="Pretraining",
        subtitle=subtitle,
        seed=seed,
        key_figures=key_figures(log, last),
        sections=tuple(sections),
        results={"warnings": notes, "last": last, "log": log},
        configuration=configuration,
    )
    return write_report(folder, content)


def warnings(log: Sequence[Row], configuration: dict[str, Any]) -> list[str]:
    """Return in words what looks wrong in a log: collapse, chance, a temperature at its limit, waiting for data."""
    found: list[str] = []
    evaluations = [row for row in log if any(name.startswith("eval/rank/") for name in row)]
    last = evaluations[-1] if evaluations else {}
    objective = configuration.get("objective", {})
    dim = objective.get("dim", 0)
    for key in keys_of([last], "eval/rank/"):
        name, rank = key.removeprefix("eval/rank/"), last[key]
        most = max(row.get(key, 0.0) for row in evaluations)
        possible = min(dim, max((last[k] for k in keys_of([last], "eval/candidates/")), default=dim))
        if rank < max(1.5, 0.05 * possible):
            found.append(
                f"{sensor_label((name,))}: the embeddings fill {rank:.1f} of {possible:.0f} directions, they collapse. "
                "Try: a lower learning rate, more places per update, a higher temperature."
            )
        elif rank < 0.5 * most:
            found.append(f"{sensor_label((name,))}: the effective rank has fallen from {most:.1f} to {rank:.1f}; watch it.")
    close = {key.removeprefix("eval/uniformity/"): last[key] for key in keys_of([last], "eval/uniformity/") if last[key] > -0.5}
    if close:
        names = ", ".join(f"{sensor_label((name,))} {value:.2f}" for name, value in close.items())
        found.append(
            f"Places lie close together: uniformity {names} (0 is a single point, spread out is below -2). "
            "Try: as for a collapse; early in a run this is normal."
        )
    lost = []
    for key in keys_of([last], "eval/top1/"):
        pair = key.removeprefix("eval/top1/")
        number = last.get("eval/candidates/" + pair.replace(">", "-")) or last.get("eval/candidates/" + "-".join(reversed(pair.split(">"))))
        if number and last[key] <= 2 / number:
            lost.append(direction(pair))
    if lost:
        found.append(
            f"Places are found no more often than twice by chance: {', '.join(lost)}. "
            "Try: more updates; look whether the sensors see the same ground (dates, georeference)."
        )
    rows = [row for row in log if "loss" in row]
    tail = rows[-max(1, len(rows) // 4) :]
    lowest = objective.get("minimum_temperature", 0.0)
    limited = [
        name for name in ("temperature_cell", "temperature_place") if tail and all(row.get(name, 1) <= 1.001 * lowest for row in tail)
    ]
    if limited:
        found.append(f"{', '.join(limited)} at the minimum of {lowest}. Try: a lower minimum, if the rank is healthy.")
    waited = [row["data_share"] for row in rows if "data_share" in row]
    if waited and float(np.median(waited)) > 0.3:
        found.append(
            f"The model waits for data {100 * float(np.median(waited)):.0f} % of the time. "
            "Try: more `train.workers`, or `in_memory` for small data."
        )
    return found


def key_figures(log: Sequence[Row], last: Row) -> tuple[KeyFigure, ...]:
    """Return the numbers that are read first."""
    figures = []
    pairs = [name for name in last if name.startswith("eval/retrieval_top1/")]
    if pairs:
        best = max(pairs, key=lambda name: last[name])
        pair = best.removeprefix("eval/retrieval_top1/")
        chance = 1 / last[f"eval/candidates/{pair}"]
        figures.append(KeyFigure("retrieval top-1, best pair", percent(last[best]), f"{pair_label(pair)}; chance {percent(chance)}"))
    ranks = [(last[name], name.removeprefix("eval/rank/")) for name in last if name.startswith("eval/rank/")]
    if ranks:
        low, name = min(ranks)
        figures.append(KeyFigure("effective rank, lowest", f"{low:.1f}", sensor_label((name,))))
    probes = [(last[name], name.removeprefix("eval/probe/")) for name in last if name.startswith("eval/probe/")]
    if probes:
        high, name = max(probes)
        figures.append(KeyFigure("linear probe, best sensor", percent(high), f"{sensor_label((name,))}, accuracy of ground cells"))
    speed = medians(log)
    if "frames_per_second" in speed:
        figures.append(
            KeyFigure("frames per second, median", f"{speed['frames_per_second']:.0f}", f"waiting for data {percent(speed['data_share'])}")
        )
    return tuple(figures)


def retrieval_section(log: Sequence[Row], last: Row) -> list[Section]:
    """Return how each sensor finds the places and cells of another, over training and at the end."""
    keys = keys_of(log, "eval/top1/")
    if not keys:
        return []
    panels, rows = [], []
    for level, title in (("", "Places found, top-1"), ("cell/", "Ground cells found, top-1")):
        found = keys_of(log, f"eval/{level}top1/")
        if not found:
            continue
        numbers = [last[key] for key in keys_of([last], f"eval/{level}candidates/")]
        curves = tuple(curve(log, key, direction(key.split("/top1/")[1])) for key in found)
        panels.append(Panel(title, "%, higher is better", curves, 1 / max(numbers), "chance", percent=True))
        for key in found:
            pair = key.split("/top1/")[1]
            ordered = pair.replace(">", "-")
            flipped = "-".join(reversed(pair.split(">")))
            of_pair = ordered if f"eval/{level}candidates/{ordered}" in last else flipped
            number = last[f"eval/{level}candidates/{of_pair}"]
            values = (last[key], last[key.replace("top1", "top5")], 1 / number)
            what = "cells" if level else "places"
            rows.append((direction(pair), what, int(number), *(100 * x for x in values), f"{last[f'eval/{level}alignment/{of_pair}']:.2f}"))
    header = ("direction", "among", "candidates", "top-1, %", "top-5, %", "chance, %", "alignment")
    return [
        Section(
            "Does one sensor find what another saw?",
            ("Held-out places. Alignment is the mean squared distance of counterparts: 0 at best, 2 for strangers.",),
            (Picture("retrieval", draw_curves(panels), "Retrieval over training, by direction."),),
            (Table(header, tuple(rows), "At the end"),),
        )
    ]


def loss_section(log: Sequence[Row]) -> Section:
    """Return the losses by pair and sensor, the temperature and the gradient norm."""
    keys = keys_of(log, "loss_cell/") or keys_of(log, "loss_place/")
    whole = next(iter(keys_of(log, "loss_contrast")), "loss")  # beside masked modelling `loss` is of both
    curves = [curve(log, key, pair_label(key)) for key in keys] or [curve(log, whole, "all sensors")]
    panels = [Panel("Contrast", "nats, lower is better", tuple(curves))]
    hidden = [curve(log, key, sensor_label((key.split("/")[1],))) for key in keys_of(log, "masked/")]
    if hidden:
        panels.append(Panel("What is hidden", "1 − cosine, lower is better", tuple(hidden)))
    updates = [Panel("Gradient", "norm before clipping", (curve(log, "grad_norm", "norm"),))]
    temperatures = [curve(log, key, key.replace("_", ", ")) for key in keys_of(log, "temperature_")]
    if temperatures:
        updates.insert(0, Panel("Temperature", "learned", tuple(temperatures)))
    return Section(
        "Loss",
        (
            "The contrast by pair of sensors; what is hidden and predicted, if anything. Without learning the contrast of cells stays "
            "near the logarithm of the cells that are compared.",
        ),
        (
            Picture("loss", draw_curves(panels), "What is minimized. Of a long run: single rows faint, on top their running median."),
            Picture("updates", draw_curves(updates), "What the updates look like."),
        ),
    )


def health_section(log: Sequence[Row], last: Row) -> Section:
    """Return rank and uniformity by sensor."""
    panels = [
        Panel(title, unit, tuple(curve(log, key, sensor_label((key.split("/")[-1],))) for key in keys_of(log, prefix)))
        for title, unit, prefix in (
            ("Effective rank", "directions that are used", "eval/rank/"),
            ("Uniformity", "0 is collapsed, lower is spread out", "eval/uniformity/"),
        )
    ]
    return Section(
        "Has the space collapsed?",
        ("Of the place embeddings of each sensor on held-out places.",),
        (Picture("collapse", draw_curves(panels), "Rank and uniformity over training."),) if panels[0].curves else (),
    )


def probe_section(log: Sequence[Row], last: Row) -> list[Section]:
    """Return what frozen features tell of the labels, where there are labels."""
    keys = keys_of(log, "eval/probe/")
    if not keys:
        return []
    panels = [
        Panel(
            title,
            "accuracy of cells, %",
            tuple(curve(log, key, sensor_label((key.split("/")[-1],))) for key in keys_of(log, prefix)),
            percent=True,
        )
        for title, prefix in (("Linear probe", "eval/probe/"), ("Nearest neighbors", "eval/knn/"))
    ]
    names = [key.removeprefix("eval/probe/") for key in keys]
    rows = tuple((sensor_label((n,)), *(100 * last[f"eval/{kind}/{n}"] for kind in ("probe", "probe_f1", "knn"))) for n in names)
    return [
        Section(
            "What frozen features tell of the labels",
            (
                "Of each sensor alone: learned on cells of training places, scored on cells of held-out ones. "
                "Labels play no part in pretraining.",
            ),
            (Picture("probes", draw_curves(panels), "Probes over training."),),
            (Table(("sensor", "linear, %", "macro F1, %", "20 neighbors, %"), rows, "At the end"),),
        )
    ]


def medians(log: Sequence[Row]) -> Row:
    """Return the medians over the rows of what a run costs."""
    return {key: float(np.median(values)) for key in COSTS if (values := [row[key] for row in log if key in row])}


def cost_section(log: Sequence[Row]) -> Section:
    """Return speed, waiting and memory."""
    most = {key: max(row[key] for row in log if key in row) for key in medians(log)}
    rows = tuple((COSTS[key], plain(value), plain(most[key])) for key, value in medians(log).items())
    speed = Panel("Speed", "frames per second", (curve(log, "frames_per_second", "frames"),))
    wait = Panel("Waiting for data", "% of the time", (curve(log, "data_share", "share"),), percent=True)
    return Section(
        "What it costs",
        ("Cells are 10 m × 10 m of the ground. Memory is the most that was held: on the GPU, or of the process.",),
        (Picture("speed", draw_curves([speed, wait]), "Speed over training."),) if speed.curves[0].step.size else (),
        (Table(("what", "median", "most"), rows),),
    )


def direction(pair: str) -> str:
    """Return the legend of a direction such as `s2>spot`."""
    return " → ".join(sensor_label((name,)) for name in pair.split(">"))


def plain(value: float) -> str:
    """Write a number with three digits or all its whole ones, never as a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
