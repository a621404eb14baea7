"""The page of an evaluation says what was asked, also when it is written again from the folder alone."""

import json
import shutil
from pathlib import Path

import pytest
from small_models import fusion_model

from omnifuse.cli import main
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.sources.pastis_layout import CLASSES as PASTIS
from omnifuse.data.store import write_store
from omnifuse.evals.protocols import PROTOCOLS
from omnifuse.runs.reporting import report_run
from omnifuse.zoo import save_model

NAMES = ("s2", "s1_asc", "spot")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of a protocol, whose models and places are gone."""
    home = tmp_path_factory.mktemp("evaluated")
    landscape = Landscape(LandscapeConfig(places=5, size=16, hr=4, sensors=NAMES))
    landscape.info = [row | {"fold": i + 1} for i, row in enumerate(landscape.info)]
    landscape.classes = PASTIS
    write_store(landscape, home / "store")
    for number, row in enumerate(PROTOCOLS["pastis"].rows[:2]):
        split = {"key": "fold", "train": list(row.train), "val": list(row.val), "test": list(row.test)}
        save_model(home / f"fold{number}" / "model", fusion_model(number, PASTIS), {"title": "random", "split": split})
    flags = ("--protocol", "pastis", "--subsets", "full", "--device", "cpu", "--out", str(home / "out"))
    assert main(["evaluate", str(home / "fold*"), str(home / "store"), *flags]) == 0
    for name in ("store", "fold0", "fold1"):
        shutil.rmtree(home / name)
    return home / "out"


@pytest.fixture
def folder(evaluated: Path, tmp_path: Path) -> Path:
    """A copy, at the same place as seen from the page."""
    return Path(shutil.copytree(evaluated, tmp_path / "out"))


def test_the_page_is_written_again_to_the_byte(folder: Path) -> None:
    page = folder / "report" / "report.html"
    before, figures = page.read_bytes(), (folder / "report" / "results.json").read_bytes()
    for what in (PROTOCOLS["pastis"].source, "protocol pastis (2 of 5 rows)", "Fold by fold", "Maps beside the truth", "accuracy, void is"):
        assert what.encode() in before, what
    page.unlink()
    (folder / "report" / "results.json").unlink()
    assert report_run(folder) == [page]
    assert page.read_bytes() == before and (folder / "report" / "results.json").read_bytes() == figures


def test_without_its_pictures_the_page_has_no_maps_and_all_the_rest(folder: Path) -> None:
    shutil.rmtree(folder / "report")
    text = report_run(folder)[0].read_text(encoding="utf-8")
    assert "Maps beside" not in text and "Fold by fold" in text and PROTOCOLS["pastis"].source in text


def test_in_the_folder_of_a_training_the_page_is_that_of_the_training(folder: Path) -> None:
    (folder / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"head": {}, "train": {"steps": 1}}), encoding="utf-8")
    assert "<title>Fine-tuning</title>" in report_run(folder)[0].read_text(encoding="utf-8")
