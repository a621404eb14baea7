"""Recipes can be read, changed on the command line, and say what is wrong."""

from pathlib import Path

import pytest

from omnifuse.cli import main
from omnifuse.config import to_dict, write_json
from omnifuse.errors import ConfigError
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.recipe import read_recipe, with_flags

ROOT = Path(__file__).parents[2]
RECIPES = [(path, PretrainConfig if path.parts[-3] == "pretrain" else FinetuneConfig) for path in sorted(ROOT.glob("*/recipes/*.py"))]


@pytest.mark.parametrize(("path", "kind"), RECIPES, ids=lambda x: str(x.relative_to(ROOT)) if isinstance(x, Path) else "")
def test_every_recipe_says_how_to_run_it_and_survives_json(path, kind, tmp_path):
    assert f"omnifuse {path.parts[-3]} {path.relative_to(ROOT)}" in path.read_text(encoding="utf-8")
    config = read_recipe(path, kind)
    write_json(tmp_path / "config.json", to_dict(config))
    assert read_recipe(tmp_path / "config.json", kind) == config


def test_numbers_are_changed_by_flags_and_nothing_else_is():
    path = ROOT / "pretrain/recipes/landscape.py"
    config = read_recipe(path, PretrainConfig)
    changed = with_flags(config, ["--train.steps", "70", "--encoders.s2.dim", "64", "--augment.no-symmetry"], "omnifuse pretrain")
    assert (changed.train.steps, changed.encoders["s2"].dim, changed.augment.symmetry) == (70, 64, False)
    assert with_flags(config, [], "omnifuse pretrain") == config


def test_a_split_that_leaks_is_refused_on_the_command_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["finetune", str(ROOT / "finetune/recipes/landscape.py"), "--split.train", "1", "2", "--split.test", "2"])
    assert stop.value.code == 2
    assert "`train` and `test` share fold 2" in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_an_option_that_does_not_exist_is_named_with_the_nearest_one(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["pretrain", str(ROOT / "pretrain/recipes/landscape.py"), "--train.stepz", "7"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "--train.stepz" in said and "--train.steps" in said


def test_a_recipe_of_the_wrong_kind_or_none_at_all(tmp_path, capsys):
    with pytest.raises(ConfigError, match="FinetuneConfig, expected PretrainConfig"):
        read_recipe(ROOT / "finetune/recipes/landscape.py", PretrainConfig)
    assert main(["pretrain", str(tmp_path / "none.py")]) == 4
    assert "none.py: no such recipe" in capsys.readouterr().err
    value = to_dict(read_recipe(ROOT / "pretrain/recipes/landscape.py", PretrainConfig))
    value["train"]["learning_rat"] = 1
    write_json(tmp_path / "config.json", value)
    with pytest.raises(ConfigError, match=r"config\.json: field `train\.learning_rat`"):
        read_recipe(tmp_path / "config.json", PretrainConfig)
