"""What the README and the docs say can be run: their Python is run here, their commands exist, their links lead somewhere."""

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import tyro

from omnifuse import zoo
from omnifuse.cli import main
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.store import Store, write_store
from omnifuse.inference.releases import read_named
from omnifuse.models.model import EncodersConfig, FusionModel, ModelConfig
from omnifuse.runs.checking import CheckCommand
from omnifuse.runs.comparing import CompareCommand
from omnifuse.runs.conversion import conversion
from omnifuse.runs.data import LandscapeCommand
from omnifuse.runs.embedding_area import EmbedAreaCommand
from omnifuse.runs.evaluating import EvaluateCommand
from omnifuse.runs.exporting import ExportCommand
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.landscape import SENSORS, small_contrast, small_encoders, small_fusion, small_head
from omnifuse.runs.mapping import MapCommand
from omnifuse.runs.predicting import PredictCommand
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.quickstart import QuickstartConfig
from omnifuse.runs.recipe import read_recipe, with_flags
from omnifuse.runs.reproducing import ReproduceCommand
from omnifuse.runs.robustness import RobustnessCommand
from omnifuse.runs.scene_flags import scene_command
from omnifuse.runs.searching import SearchCommand
from omnifuse.runs.showing import ShowCommand
from omnifuse.runs.studies.catalogue import STUDIES
from omnifuse.runs.surveying import StatsCommand

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
}
INSTALL, TEST = "pip install -e '.[dev]'", "pytest"


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, list[str]]]:
    """Return (page, words) of every command line shown, comments left out."""
    return [
        (page, words)
        for page in PAGES
        for block in blocks(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        for command in line.split(" && ")
        if (words := shlex.split(command, comments=True))
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder in which a quickstart has run, as far as the snippets can tell; the weights are random."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "omnifuse-quickstart"
    landscape = Landscape(LandscapeConfig(places=2, size=32, sensors=SENSORS))
    write_store(landscape, folder / "landscape.zarr")
    sensors = EncodersConfig(modalities=landscape.modalities, encoders=small_encoders())
    torch.manual_seed(0)
    model = FusionModel(ModelConfig(sensors=sensors, fusion=small_fusion(), head=small_head(), labels=landscape.classes))
    zoo.save_model(folder / "model", model, {})
    zoo.save_pretrained(folder / "pretrain" / "pretrained", small_contrast().build(sensors), {})
    return home


@pytest.fixture
def run(home, tmp_path, monkeypatch):
    """Run all Python of a page in order, as one program, and return its variables."""
    (tmp_path / "omnifuse-quickstart").symlink_to(home / "omnifuse-quickstart")
    monkeypatch.chdir(tmp_path)

    def run_page(page: str) -> dict[str, object]:
        program = tmp_path / "page.py"
        program.write_text("\n\n".join(blocks(page, "python")), encoding="utf-8")
        return runpy.run_path(str(program))

    return run_page


def test_the_readme_s_snippet_gives_what_it_says(run):
    found = run("README.md")
    assert found["prediction"].labels.shape == (32, 32)
    assert found["prediction"].probability.shape == (len(found["model"].classes.names), 32, 32)
    given = {"s2": found["s2"], "spot": found["spot"]}
    dataset = found["model"].predict({"spot": found["spot"]}).to_xarray()
    np.testing.assert_allclose(np.diff(dataset["x"]), 10)
    assert found["model"].embed(given, days={"s2": found["days"]}).place.shape == (found["model"].model.config.fusion.dims[0],)
    assert "model.predict" in blocks("README.md", "python")[0] and "model.embed" in blocks("README.md", "python")[0]


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md" and blocks(page, "python")])
def test_the_python_of_the_docs_runs(run, page, capsys):
    found = run(page)
    if page == "docs/use.md":
        assert "multiply by 10000" in capsys.readouterr().out
    if page == "docs/train.md":
        assert isinstance(found["config"], FinetuneConfig)


@pytest.mark.slow
def test_the_demonstration_s_series_runs(tmp_path, monkeypatch):
    patches = ROOT.parent / "shared" / "realdata" / "worldcereal_patches"
    if not patches.is_dir():
        pytest.skip(f"no real data: {patches.name} is not beside the repository")
    (tmp_path / "worldcereal_patches").symlink_to(patches)
    (tmp_path / "page.py").write_text("\n".join(blocks("docs/demonstration.md", "py")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path("page.py")
    assert found["prediction"].labels.shape == (64, 64) and found["prediction"].ground is not None


def test_the_first_screen_has_the_two_commands_and_the_picture():
    screen = "\n".join(PAGES["README.md"].splitlines()[:25])
    assert re.search(r"^pip install -e \. && omnifuse quickstart\b", screen, re.MULTILINE)
    assert re.search(rf"^{re.escape(INSTALL)} && {TEST}\b", screen, re.MULTILINE)
    assert "](docs/images/quickstart.png)" in screen


def test_continuous_integration_runs_the_readme_s_own_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{INSTALL} || exit 1\n" in script  # then lint, types and docs, so that the tests come last
    assert script.rstrip().splitlines()[-2].startswith(f"{TEST} || ")


RECIPE_KINDS = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}
DATA_COMMANDS = {"check": CheckCommand, "show": ShowCommand, "stats": StatsCommand}


def test_every_flag_shown_exists(run):
    run("docs/train.md")
    Path("my_recipe.py").write_text(blocks("docs/train.md", "python")[0], encoding="utf-8")
    seen = 0
    for page, words in commands():
        joined = " ".join(words)
        flags = words[next((i for i, word in enumerate(words) if word.startswith("--") and i > 1), len(words)) :]
        launched = re.search(r"\b(pretrain|finetune)(?:/run\.py)? (\S+\.py)(.*)", joined)
        if launched:
            kind, recipe, rest = launched.groups()
            path = Path(recipe) if recipe == "my_recipe.py" else ROOT / recipe
            if "--help" not in rest:
                with_flags(read_recipe(path, RECIPE_KINDS[kind]), rest.split(), page)
            seen += 1
        elif words[:2] == ["omnifuse", "quickstart"] and "--help" not in words:
            tyro.cli(QuickstartConfig, args=flags)
            seen += 1
        elif words[:3] == ["omnifuse", "data", "landscape"]:
            tyro.cli(tyro.conf.OmitArgPrefixes[LandscapeCommand], args=flags)
            seen += 1
        elif words[:3] == ["omnifuse", "data", "convert"]:
            conversion(words[3], words[4], flags)
            seen += 1
        elif words[:2] == ["omnifuse", "data"] and words[2] in DATA_COMMANDS:
            tyro.cli(DATA_COMMANDS[words[2]], args=flags)
            seen += 1
        elif page == "docs/embeddings.md" and words[:2] in (["omnifuse", "embed"], ["omnifuse", "search"]):
            seen += 1  # all commands of this page are run
        elif words[:2] == ["omnifuse", "embed"]:
            _, content = read_named(words[2])
            scene_command(EmbedAreaCommand, content.architecture.sensors.modalities, flags, page)
            seen += 1
        elif words[:2] == ["omnifuse", "search"]:
            tyro.cli(SearchCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "export"]:
            assert read_named(words[2])
            tyro.cli(ExportCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "predict"] and "--help" not in words:
            _, content = read_named(words[2])
            scene_command(PredictCommand, content.architecture.sensors.modalities, flags, page)
            seen += 1
        elif words[:2] == ["omnifuse", "evaluate"]:
            tyro.cli(EvaluateCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "robustness"]:
            tyro.cli(RobustnessCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "reproduce"]:
            assert words[2] in STUDIES
            tyro.cli(ReproduceCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "compare"]:
            tyro.cli(CompareCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "map"]:
            tyro.cli(MapCommand, args=flags)
            seen += 1
        elif words[:2] == ["omnifuse", "report"]:
            assert len(words) == 3
            seen += 1
        elif words[0] == "omnifuse" and words != ["omnifuse", "models"]:
            assert "--help" in words, f"{page}: {joined}"
    assert seen > 10


def test_the_commands_about_embeddings_run(run, capsys):
    store = Store("omnifuse-quickstart/landscape.zarr")
    Path("area").mkdir()
    series = store[0].series["s2"]
    for day, pixels in zip(series.day[:2].tolist(), series.pixels, strict=False):
        profile = {"driver": "GTiff", "count": len(pixels), "height": 32, "width": 32, "dtype": pixels.dtype, "crs": "EPSG:32631"}
        name, when = "area/s2_{}.tif", np.datetime64(day, "D") + np.timedelta64(731, "D")
        with rasterio.open(name.format(when), "w", **profile, transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000)) as file:
            file.write(pixels)
            file.descriptions = store.modalities["s2"].bands
    longitude, latitude = (str(store.info[0][key]) for key in ("longitude", "latitude"))
    shown = [words[1:] for page, words in commands() if page == "docs/embeddings.md"]
    for words in shown:
        if "--at" in words:  # the page's point lies in the landscape of a real quickstart
            words[words.index("--at") + 1 : words.index("--at") + 3] = [longitude, latitude]
        extra = ["--tile", "4", "--halo", "0"] if "--s2" in words else []
        assert main([*words, *extra]) == 0, capsys.readouterr().err
    for name in ("places.parquet", "cells.zarr", "cells.tif", "squares.parquet"):
        assert Path(name).exists() and Path(f"{name}.png").is_file() and Path(f"{name}.stac.json").is_file()
    assert Path("alike.geojson").is_file() and Path("alike.csv").is_file()


def test_a_wrong_command_is_not_taken_for_one():
    with pytest.raises(SystemExit):
        main(["quickstarts"])


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_paths_lead_somewhere(page):
    text = PAGES.get(page) or (ROOT / page).read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    base = (ROOT / page).parent
    wrong = [t for t in targets if t and "://" not in t and not t.endswith(".png") and not (base / t).exists()]
    wrong += [
        path for path in re.findall(r"\b(?:pretrain|finetune|omnifuse|tests)/[\w/]+\.(?:py|md)\b", text) if not (ROOT / path).exists()
    ]
    assert not wrong


def test_no_page_names_a_machine_s_paths():
    for page, text in PAGES.items():
        assert not re.search(r"(?<![\w.])/(root|tmp|home|work|mnt)/", text), page
