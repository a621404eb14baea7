"""What looks wrong about a fine-tuning, in words: a loss that stays, scores that fall, sensors that harm, classes that are never found."""

import numpy as np

from omnifuse.runs.finetuning_facts import RunFacts, metric_name, percents, score_text, view_name
from omnifuse.runs.log_curves import keys_of

_STAYS = 0.98  # of its first quarter's median: a loss above it has not fallen
_BEHIND = 0.02  # by which the held-out score may fall behind its best
_BETTER = 0.005  # by which fewer sensors may score better than all
_CUT = 10.0  # times the limit: gradients of that norm are hardly more than a direction
_WAITS = 0.3  # share of the time


def warnings(facts: RunFacts) -> list[str]:
    """Return what looks wrong, each with a remedy; nothing where nothing does."""
    return [*learning_warnings(facts), *score_warnings(facts)]


def learning_warnings(facts: RunFacts) -> list[str]:
    """Return what looks wrong in the log."""
    found: list[str] = []
    rows = [row for row in facts.log if "loss" in row]
    quarter = len(rows) // 4
    if quarter >= 2:
        first, last = (float(np.median([row["loss"] for row in part])) for part in (rows[:quarter], rows[-quarter:]))
        if last >= _STAYS * first:
            found.append(
                f"The loss has not fallen: {first:.3g} at first, {last:.3g} of late. Try: another learning rate; look at the labels."
            )
    for key in keys_of(facts.log, "eval/"):
        name = key.removeprefix("eval/")
        values = [(row[key], row["step"]) for row in facts.log if key in row]
        best, step = max(values)
        if percents(name) and best - values[-1][0] > _BEHIND and not facts.selected:
            found.append(
                f"{metric_name(name)} on held-out places was {score_text(best, name)} at step {step} and is "
                f"{score_text(values[-1][0], name)} now: the training places are learned by heart. "
                f"Try: fewer updates, more labels or augmentation, or `--train.best {name}` with `split.val`, which hands out the best."
            )
    clip = facts.configuration.get("train", {}).get("clip_norm", 0)
    norms = [row["grad_norm"] for row in rows[len(rows) // 2 :] if "grad_norm" in row]
    if clip and norms and float(np.median(norms)) > _CUT * clip:
        found.append(
            f"Gradients are cut to a tenth or less: their norm is {float(np.median(norms)):.3g}, the limit is {clip:g}. "
            "Try: a lower learning rate, or a higher `train.clip_norm`."
        )
    waited = [row["data_share"] for row in rows if "data_share" in row]
    if waited and float(np.median(waited)) > _WAITS:
        found.append(
            f"The model waits for data {100 * float(np.median(waited)):.0f} % of the time. "
            "Try: more `train.workers`, or `in_memory` for small data."
        )
    return found


def score_warnings(facts: RunFacts) -> list[str]:
    """Return what looks wrong about the scores."""
    found: list[str] = []
    if not facts.scores:
        return found
    whole, name = facts.scores[facts.everything], max(facts.scores, key=lambda view: facts.scores[view])
    if facts.scores[name] > whole + _BETTER:
        found.append(
            f"All sensors together score {score_text(whole, facts.headline)}, {view_name(name)} without the others "
            f"{score_text(facts.scores[name], facts.headline)}. It may be chance: see the intervals. "
            "Try: pretraining, more labels, more modality dropout, or leave the others out."
        )
    if facts.results is None:
        return found
    lost = [what for what, value in facts.results.scored[facts.everything].each.items() if value == 0]
    if lost:
        found.append(f"Never right: {', '.join(lost)}. Try: more labels of them, or class weights, if they occur at the held-out places.")
    skipped = {view: scored.skipped for view, scored in facts.results.scored.items() if scored.skipped}
    if skipped:
        view = max(skipped, key=lambda name: skipped[name])
        found.append(
            f"Places without any of the sensors shown are left out of a score, of {view_name(view)} {skipped[view]}. "
            "Scores of different subsets are then of different places: compare them with care."
        )
    return found
