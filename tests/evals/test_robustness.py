"""Robustness: gains and losses of a model whose every answer is known, expected scores against simulation, and what harms concern."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from omnifuse.classes import ClassTable, Quantities
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.harms import QUICK, RobustnessConfig, Setting, settings_of
from omnifuse.evals.metrics import Confusion, Multilabel, Regression
from omnifuse.evals.robustness import bernoulli_expected, robustness
from omnifuse.evals.subsets import all_subsets
from omnifuse.frames import Batch, Frames
from omnifuse.modalities import MODALITIES

MODS = {name: MODALITIES[name] for name in ("s2", "s1_asc", "dem")}
METRIC = Confusion(("right", "wrong"), headline="accuracy")
PLACES = 100
# Places (of 100) at which a sensor tells the class; s2 and s1_asc share none.
KNOWS = {"s2": range(60), "s1_asc": range(60, 90), "dem": range(10)}


def make(places: list[int], absent: tuple[str, ...] = ()) -> Batch:
    """A sensor's pixels carry the place; every label is class 0."""
    parts = []
    for place in places:
        frames = {}
        for name, modality in MODS.items():
            t = 0 if name in absent else 6 if modality.series else 1
            pixels = torch.full((t, len(modality.bands), 2, 2), float(place))
            frames[name] = Frames(pixels, torch.arange(t) * 30 + 17000, torch.tensor([t]))
        parts.append(Batch(frames, 20.0, torch.tensor([place]), torch.tensor([0]), torch.zeros(1, dtype=torch.long)))
    return Batch.cat(parts)


class Knows(nn.Module):
    """Right where one of the present sensors tells the class; blind to what pixels are, so that noise costs nothing."""

    def forward(self, batch: Batch) -> torch.Tensor:
        right = torch.zeros(batch.num_places, dtype=torch.bool)
        for name, frames in batch.frames.items():
            right |= frames.present & torch.tensor([place in KNOWS[name] for place in batch.place.tolist()])
        return torch.stack([right.float(), 1 - right.float()], 1)


class Dates(nn.Module):
    """Right where `s2` has at least four dates."""

    def forward(self, batch: Batch) -> torch.Tensor:
        right = (batch.frames["s2"].count >= 4).float()
        return torch.stack([right, 1 - right], 1)


def evaluate(model: nn.Module, config: RobustnessConfig = QUICK, step: int = 34, **changes):
    batches = changes.pop("batches", lambda: (make(list(range(i, min(i + step, PLACES)))) for i in range(0, PLACES, step)))
    return robustness(model, batches, changes.pop("modalities", MODS), METRIC, size=20.0, config=config, **changes)


@pytest.fixture(scope="module")
def known():
    return evaluate(Knows())


def test_gain_of_fusion_and_worst_loss_are_those_of_the_model(known):
    name, gain = known.fusion_gain()
    assert name == "s2" and gain.value == pytest.approx(0.3) and gain.places == PLACES
    assert 0.2 < gain.low < 0.3 < gain.high < 0.4
    name, loss = known.worst_loss()  # without s2, s1_asc's 30 places and dem's 10 are left
    assert name == "s2" and loss.value == pytest.approx(0.5)
    assert known.summary["fusion gain"]["over"] == "s2" and known.summary["worst-case loss"]["value"] == pytest.approx(0.5)


def test_every_subset_is_scored_and_the_mean_is_over_all_of_them(known):
    told = {subset: len(set().union(*(KNOWS[name] for name in subset))) / PLACES for subset in all_subsets(list(MODS))}
    assert {s.sensors: found.score for s, found in known.scored.items() if s.protocol == "EMM"} == pytest.approx(told)
    assert known.summary["mean"]["EMM"] == pytest.approx(sum(told.values()) / 7)
    assert known.summary["relative drop"]["EMM"] == pytest.approx(1 - sum(told.values()) / 7 / 0.9)
    assert known.summary["all sensors"] == pytest.approx(0.9)


def test_what_a_model_is_blind_to_costs_nothing(known):
    rows = {row.setting: row for row in known.table()}
    harmless = [row for setting, row in rows.items() if setting.protocol in ("NM", "dates")]
    assert len(harmless) == 9 and all(row.change.value == 0 == row.change.low == row.change.high for row in harmless)
    assert known.summary["mean"]["NM"] == pytest.approx(0.9) and known.summary["relative drop"]["NM"] == pytest.approx(0)


def test_sensors_missing_at_random_cost_what_the_draw_took():
    """P(right) with rate r: a place known by one sensor alone keeps it with 1 - r, or as the one that stays with r^3 / 3."""
    result = evaluate(Knows(), replace(QUICK, rates=(0.5,)))
    [found] = [found for setting, found in result.scored.items() if setting.protocol == "RMM"]
    alone, either = 0.5 + 0.125 / 3, 0.75 + 0.125 * 2 / 3  # places 0-9 are known to two sensors
    assert found.score == pytest.approx((80 * alone + 10 * either) / 100, abs=0.12)
    assert found.skipped == 0 and len(found.place) == PLACES


def test_harms_hurt_a_model_that_needs_what_they_take():
    config = replace(QUICK, dates=(6, 4, 3), gaps=(1.0, 4.0))
    result = evaluate(Dates(), config)
    scores = {(s.harm, s.severity): found.score for s, found in result.scored.items() if s.protocol == "dates"}
    assert scores == {("dates kept", 6): 1, ("dates kept", 4): 1, ("dates kept", 3): 0, ("gap", 1.0): 1, ("gap", 4.0): 0}
    assert result.summary["mean"]["dates"] == pytest.approx((2 / 3 + 1 / 2) / 2)  # each harm counts once, however many severities


def test_how_places_are_batched_and_ordered_does_not_matter(known):
    shuffled = torch.randperm(PLACES, generator=torch.Generator().manual_seed(0)).tolist()
    other = evaluate(Knows(), batches=lambda: (make(shuffled[i : i + 9]) for i in range(0, PLACES, 9)))
    for setting, found in known.scored.items():
        assert torch.equal(found.statistics, other.scored[setting].statistics), setting
    assert known.summary == other.summary


def test_the_expected_score_is_that_of_a_simulation():
    names = ("a", "b", "c", "d")
    scores = {subset: 0.1 * i for i, subset in enumerate(all_subsets(names))}
    for failure in (0.05, 0.3, 0.7):
        works = torch.rand(400_000, 4, generator=torch.Generator().manual_seed(1)) >= failure
        code = (works * torch.tensor([1, 2, 4, 8])).sum(1)
        drawn = {sum(1 << names.index(name) for name in subset): score for subset, score in scores.items()}
        table = torch.tensor([drawn.get(i, float("nan")) for i in range(16)])
        assert bernoulli_expected(scores, names, failure) == pytest.approx(table[code].nanmean().item(), abs=0.004)
    assert bernoulli_expected(scores, names, 1e-9) == pytest.approx(scores[names])


def test_the_expected_score_has_normalised_binomial_weights():
    """Of scores that depend on the number of sensors alone, by hand."""
    scores = {subset: {1: 0.2, 2: 0.5, 3: 0.8}[len(subset)] for subset in all_subsets(["a", "b", "c"])}
    p = 0.2
    weights = {1: 3 * p**2 * (1 - p), 2: 3 * p * (1 - p) ** 2, 3: (1 - p) ** 3}
    by_hand = sum(w * {1: 0.2, 2: 0.5, 3: 0.8}[size] for size, w in weights.items()) / (1 - p**3)
    assert bernoulli_expected(scores, ("a", "b", "c"), p) == pytest.approx(by_hand)


def test_settings_are_those_that_concern_a_sensor():
    def harms(*names: str, size: float = 20.0) -> set[str]:
        return {setting.harm for setting in settings_of({name: MODALITIES[name] for name in names}, size, 0, QUICK)}

    everything = {
        "sensors",
        "sensors missing at random",
        "speckle",
        "clouds",
        "radiometric drift",
        "noise",
        "misregistration",
        "dates kept",
        "gap",
    }
    assert harms("s2", "s1_asc") == everything
    assert harms("s2", "dem") == everything - {"speckle"}
    assert harms("dem") == {"sensors", "noise", "misregistration"}
    assert harms("climate", "s1_asc", size=10.0) == everything - {"clouds", "misregistration"}  # one pixel cannot be off by itself
    shifts = [s for s in settings_of(MODS, 20.0, 0, RobustnessConfig()) if s.harm == "misregistration"]
    assert {s.sensors for s in shifts} == {("s2",), ("s1_asc",), ("dem",)} and len(shifts) == 9


def test_one_sensor_has_neither_gain_nor_loss():
    result = evaluate(Knows(), QUICK, modalities={"s2": MODS["s2"]}, batches=lambda: [_only_s2(make([1, 2, 70]))])
    assert result.fusion_gain() is None and result.worst_loss() is None
    assert result.summary["fusion gain"] is None and result.summary["all sensors"] == pytest.approx(2 / 3)


def test_a_subset_that_is_present_nowhere_is_left_out_of_means():
    result = evaluate(Knows(), batches=lambda: [make(list(range(50, 100)), absent=("dem",))])
    rows = {row.setting: row for row in result.table()}
    gone = rows[Setting("EMM", "sensors", sensors=("dem",))]
    assert gone.places == 0 and gone.skipped == 50 and gone.score != gone.score and gone.change is None
    assert result.summary["mean"]["EMM"] == pytest.approx((0.2 + 0.6 + 0.8 + 0.2 + 0.6 + 0.8) / 6)
    assert result.worst_loss()[0] == "s1_asc" and result.fusion_gain()[0] == "s1_asc"


@pytest.mark.parametrize("kind", ["dense classes", "several classes", "quantities", "quantities of places"])
def test_any_metric_will_do(kind):
    """A perfect model of each kind scores 1 with the sensor it reads, and less without it."""
    table = ClassTable(("a", "b"), ("#000000", "#ffffff"), exclusive=False)
    height = Quantities(("height",), ("m",), (50.0,), (30.0,))
    truth = torch.arange(12.0).view(12, 1)
    both = torch.cat([truth % 2, 1 - truth % 2], 1)
    metric, target, answer = {
        "dense classes": (
            Confusion(("a", "b")),
            (truth % 2).long()[..., None].expand(12, 2, 2),
            both.flip(1)[..., None, None].expand(12, 2, 2, 2),
        ),
        "several classes": (Multilabel(table), both, both - 0.5),
        "quantities": (Regression(height), truth[..., None, None].expand(12, 1, 2, 2), truth[..., None, None].expand(12, 1, 2, 2)),
        "quantities of places": (Regression(height), truth, truth),
    }[kind]

    class Reads(nn.Module):
        def forward(self, batch: Batch) -> torch.Tensor:
            there = batch.frames["s2"].present.view(-1, *[1] * (answer.ndim - 1))
            return torch.where(there, answer[batch.place], answer[:1])  # it knows the first place by heart

    batch = replace(make(list(range(12))), target=target)
    result = robustness(Reads(), lambda: [batch], MODS, metric, size=20.0, config=QUICK)
    name, loss = result.worst_loss()
    assert result.whole.score == pytest.approx(1) and name == "s2" and loss.value > 0.3
    assert result.fusion_gain()[1].value == pytest.approx(0)  # s2 alone knows everything
    assert all(row.change.value == pytest.approx(0) for row in result.table() if row.setting.protocol in ("NM", "dates"))


def test_severities_out_of_range_are_refused():
    for wrong in ({"rates": (1.5,)}, {"looks": (0.0,)}, {"dates": (0,)}, {"failures": (1.0,)}, {"clouds": (-0.1,)}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            RobustnessConfig(**wrong)


def test_no_places_are_refused():
    with pytest.raises(InputError, match="no places with any of s2, s1_asc, dem"):
        evaluate(Knows(), batches=lambda: [])


def _only_s2(batch: Batch) -> Batch:
    return replace(batch, frames={"s2": batch.frames["s2"]})
