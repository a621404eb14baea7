"""What is installed, what it needs, and what a mere import costs."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import omnifuse

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"torch", "timm", "accelerate", "wandb", "xarray", "zarr", "matplotlib", "jaxtyping"}


def loaded_after(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after running `code`."""
    code = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\nprint('LOADED', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(result.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "code",
    [
        "import omnifuse; omnifuse.MODALITIES",
        "from omnifuse.cli import main; main(['--help'])",
        "from omnifuse.cli import main; main(['data', '--help'])",
    ],
)
def test_an_import_and_help_are_cheap(code):
    assert loaded_after(code) == set()


def test_loading_a_model_is_what_imports_torch():
    assert "torch" in loaded_after("import omnifuse; omnifuse.load")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = wheel.namelist()
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "omnifuse").rglob("*.py") if "checkpoints" not in path.parts}
    assert tracked <= set(names)
    for needed in ("omnifuse/py.typed", "omnifuse/evals/templates/report.html.j2", "omnifuse/checkpoints/README.md"):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"omnifuse", f"omnifuse-{omnifuse.__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_holds_every_checkpoint(wheel):
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "checkpoints").rglob("*") if path.is_file()}
    assert {f"omnifuse/{name}" for name in files} <= set(wheel.namelist())


def test_dependencies_have_lower_bounds_only():
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]:
        requirement = Requirement(line)
        if requirement.name == "omnifuse":
            continue
        # torch and torchvision belong together, and timm asks for the latter: a line of our own could only part them.
        assert requirement.name != "torchvision"
        assert [bound.operator for bound in requirement.specifier] == [">="], line


def test_everything_imported_is_declared():
    extras = PROJECT["optional-dependencies"]
    declared = {"omnifuse"}
    for line in [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]:
        declared.add(canonical(Requirement(line).name))
    distributions = packages_distributions()
    own = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("omnifuse", "tests", "pretrain", "finetune")
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path) - own - set(sys.stdlib_module_names)
        if not declared & {canonical(found) for found in distributions.get(name, [name])}
    }
    assert not undeclared


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == omnifuse.__version__
    assert citation["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
