"""Imports point down, and every heavy dependency has one door: the contracts of `[tool.importlinter]` hold, and can break."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command as lint; lint()"


def lint(folder: Path, config: Path = ROOT / "pyproject.toml") -> subprocess.CompletedProcess[str]:
    """Check the package that lies in `folder`."""
    command = [sys.executable, "-c", LINT, "--no-cache", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_floors_and_doors_hold():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


# A contract that cannot break holds nothing.
BREACHES = {
    "a loss asks a model": ("losses.py", "from omnifuse.models.model import FusionModel", "Imports point down"),
    "the towers meet": ("data/place.py", "import omnifuse.objectives.base", "Imports point down"),
    "a layer trains": ("nn/norms.py", "import omnifuse.train.config", "Imports point down"),
    "data computes a loss": ("data/place.py", "from omnifuse.losses import info_nce", "Data knows no network"),
    "a model starts processes": ("models/model.py", "import accelerate", "Processes and trackers are behind train"),
    "a run tells wandb": ("runs/recipe.py", "import wandb", "Processes and trackers are behind train"),
    "a metric opens a store": ("evals/retrieval.py", "import zarr", "Labelled arrays and stores are behind data"),
    "a head takes timm": ("models/heads.py", "from timm.layers import DropPath", "timm is behind its two encoders"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_found_and_named(tmp_path, breach):
    name, line, contract = BREACHES[breach]
    shutil.copytree(ROOT / "omnifuse", tmp_path / "omnifuse", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "omnifuse" / name).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_a_module_without_a_floor_is_found(tmp_path):
    shutil.copytree(ROOT / "omnifuse", tmp_path / "omnifuse", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "omnifuse" / "attic.py").touch()
    result = lint(tmp_path)
    assert result.returncode == 1 and "attic" in result.stdout + result.stderr
