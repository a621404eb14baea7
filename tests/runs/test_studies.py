"""Studies: every table's entries are whole, shared work is done once, and figures are those of the counts."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from omnifuse.errors import ConfigError
from omnifuse.evals.harms import name_of, settings_of
from omnifuse.evals.metrics import Confusion
from omnifuse.evals.scoring import Scored
from omnifuse.modalities import MODALITIES
from omnifuse.runs.reproducing import ReproduceCommand, reproduce
from omnifuse.runs.results import Results, ResultsFile, read_results, write_results
from omnifuse.runs.studies.catalogue import STUDIES
from omnifuse.runs.studies.landscape import tuning
from omnifuse.runs.studies.regions import held_out_region, out_of, region_fold, region_of
from omnifuse.runs.studies.robust import result_of
from omnifuse.runs.studies.running import run_study
from omnifuse.runs.studies.study import Entry, Found, Scale, Study, digest, pretraining_folder
from omnifuse.runs.studies.tables import cell, difference, folds_joined, headlined, markdown, pooled, signed, values

TINY = Scale(places=0.07, steps=0.01, data="folder")


@pytest.mark.parametrize("name", STUDIES)
def test_entries_of_every_table_are_named_once_and_differ(name):
    for seed in (0, 1):
        entries = STUDIES[name].entries(seed, TINY)
        assert len({entry.name for entry in entries}) == len(entries)
        assert len({entry.folder(Path("out")) for entry in entries}) == len(entries)
    other = {entry.folder(Path("out")) for entry in STUDIES[name].entries(2, TINY)}
    assert not other & {entry.folder(Path("out")) for entry in STUDIES[name].entries(0, TINY)}


def test_what_two_tables_have_in_common_is_run_once():
    folders = {name: {entry.folder(Path("out")) for entry in STUDIES[name].entries(0, TINY)} for name in STUDIES}
    assert folders["robustness"] < folders["ablation"]
    assert folders["modalities"] & folders["fractions"] and folders["ablation"] & folders["fractions"]
    before = {pretraining_folder(e.pretraining, Path("out")) for n in folders for e in STUDIES[n].entries(0, TINY) if e.pretraining}
    assert len(before) == 1 + 5 + 5  # the landscape's, and one per fold of crops and floods


def test_the_name_of_a_run_depends_on_what_it_does_and_not_on_where():
    config = tuning(0, TINY)
    assert digest(config) == digest(replace(config, folder="elsewhere", in_memory=True))
    assert digest(config) != digest(replace(config, label_fraction=0.5)) != digest(tuning(1, TINY))


def test_a_study_is_run_once_and_its_table_is_of_its_counts(tmp_path):
    study = Study(
        "small",
        "Small",
        lambda seed, scale: [Entry("one", tuning(seed, scale, ("s2",), steps=200))],
        lambda found: "text",
        lambda found: [],
    )
    found = run_study(study, (0,), TINY, tmp_path, workers=1)
    (score,) = values(found, "one", "s2")
    again = read_results(next((tmp_path / "runs").iterdir()))
    assert again.scored["s2"].score == score and again.scored["s2"].total.sum() > 0
    stamp = next((tmp_path / "runs").iterdir()).stat().st_mtime_ns
    assert values(run_study(study, (0,), TINY, tmp_path, workers=1), "one", "s2") == [score]
    assert next((tmp_path / "runs").iterdir()).stat().st_mtime_ns == stamp


def test_workers_end_with_the_process_that_asked(tmp_path):
    """A study that is killed leaves nobody computing what nobody reads."""
    code = """
import sys, time
from functools import partial
from pathlib import Path
from omnifuse.runs.studies.running import _side_by_side
if __name__ == "__main__":
    _side_by_side({"long": partial(time.sleep, 120)}, 1, Path(sys.argv[1]))
"""
    (tmp_path / "main.py").write_text(code)
    asked = psutil.Popen([sys.executable, str(tmp_path / "main.py"), str(tmp_path)])
    waited = time.monotonic() + 100
    while not (tmp_path / "logs" / "long.txt").exists():
        assert time.monotonic() < waited and asked.is_running()
        time.sleep(0.1)
    workers = asked.children(recursive=True)
    asked.kill()
    asked.wait()
    _, left = psutil.wait_procs(workers, timeout=60)
    for one in left:
        one.kill()
    assert workers and not left


def test_a_table_that_is_not_known_or_lacks_its_data_is_named():
    with pytest.raises(ConfigError, match="Try: ablation"):
        reproduce("ablations", ReproduceCommand())
    with pytest.raises(ConfigError, match="needs the folder of OMBRIA"):
        reproduce("floods", ReproduceCommand())


METRIC = Confusion(("a", "b"))


def results(hits: list[int]) -> Results:
    tables = torch.zeros(len(hits), 2, 2, dtype=torch.long)
    tables[:, 0, 0], tables[:, 0, 1], tables[:, 1, 1] = torch.tensor(hits), 10 - torch.tensor(hits), 10
    scored = {"s2": Scored(tables, torch.arange(len(hits)), 0, METRIC)}
    return Results(Path(), ResultsFile(metric=METRIC, facts={}, places={}, views={}), scored)


def test_seeds_are_other_places_and_differences_are_place_by_place():
    found = Found({("x", 0): results([5, 6]), ("x", 1): results([7]), ("y", 0): results([4, 5]), ("y", 1): results([6])}, {}, (0, 1))
    assert pooled(found, "x", "s2").total.tolist() == [[18, 12], [0, 30]]
    gap = difference(found, ("x", "s2"), ("y", "s2"))
    assert gap.places == 3 and gap.low > 0
    assert gap.value == pytest.approx(pooled(found, "x", "s2").score - pooled(found, "y", "s2").score)
    assert signed(gap).startswith(f"{100 * gap.value:+.1f} (+")
    folds = Found(
        {("x, fold 1", 0): results([5]), ("x, fold 2", 0): Results(Path(), found.results["x", 1].about, {"s2": shifted(results([9]))})},
        {},
        (0,),
    )
    assert folds_joined(folds, "x", (1, 2), "s2").total.tolist() == [[14, 6], [0, 20]]


def test_another_score_is_put_first_in_the_rows_that_are_named():
    found = Found({("x, classification", 0): results([5]), ("x, segmentation", 0): results([5])}, {}, (0,))
    other = headlined(found, "classification", "accuracy")
    assert values(other, "x, classification", "s2") == [0.75]
    assert values(other, "x, segmentation", "s2") == values(found, "x, segmentation", "s2") == pytest.approx([(5 / 10 + 10 / 15) / 2])


def test_a_place_is_as_large_as_what_a_step_sees_where_labels_are_of_whole_places():
    for name in ("fusions", "regions"):
        for entry in STUDIES[name].entries(0, TINY):
            data = getattr(entry.config.data, "data", entry.config.data)  # of stacked sensors, what is stacked
            seen = entry.config.augment.crop or 10.0 * data.landscape.size
            assert seen == 160.0 and (entry.config.augment.crop == 0) == bool(entry.config.target)


def shifted(one: Results) -> Scored:
    return replace(one.scored["s2"], place=one.scored["s2"].place + 50)


def test_cells_say_mean_and_spread():
    assert cell([0.5, 0.6, 0.7]) == "60.0 ± 10.0" and cell([0.5]) == "50.0" and cell([float("nan")]) == "–"
    assert markdown(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |\n"


def test_no_place_of_the_region_held_out_is_trained_on():
    for seed in range(5):
        split = out_of(seed)
        assert not any(str(value).startswith(held_out_region(seed)) for value in split.train)
        assert sum(str(value).startswith(held_out_region(seed)) for value in split.test) == 5 and len(split.test) == 9
    from omnifuse.data.landscape import Landscape

    source = Landscape(tuning(0, TINY).data.landscape)
    assert all(region_of(str(row["id"])) == row["region"] for row in source.info)
    assert region_fold(source.info[3])["region_fold"] == f"{source.info[3]['region']} {source.info[3]['fold']}"


def test_settings_survive_as_names_of_views(tmp_path):
    modalities = {name: MODALITIES[name] for name in ("s2", "s1_asc", "spot")}
    from omnifuse.evals.harms import FULL

    settings = settings_of(modalities, 160.0, 0, FULL)
    scored = {name_of(setting): results([5]).scored["s2"] for setting in settings}
    assert set(result_of(scored).scored) == set(settings)
    write_results(tmp_path, scored, {0: "a"}, {})
    assert set(result_of(read_results(tmp_path).scored).scored) == set(settings)
