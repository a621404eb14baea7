"""What starts many processes: files that parse, name what exists, and strategies that are refused in words."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env

from omnifuse.errors import ConfigError, StoppedError
from omnifuse.modalities import MODALITIES
from omnifuse.models.vit import ViTConfig
from omnifuse.train.sharding import asked

FOLDER = Path(__file__).parents[2] / "pretrain" / "accelerate"
FILES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=lambda path: path.name)
def test_an_accelerate_file_parses_and_every_key_has_a_meaning(path):
    config = load_config_from_file(str(path))
    asked = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in asked.items():
        found = getattr(config, key)
        assert getattr(found, "value", found) == value or (key == "gpu_ids" and value == "all"), key
    assert DistributedType(config.distributed_type) in (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.FSDP)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_only_what_exists(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"pretrain/[\w/]+\.(?:py|yaml|sbatch|sh)", text):
        assert (FOLDER.parents[1] / name).is_file(), name
    if path.suffix in (".sh", ".sbatch"):
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_the_job_is_queued_again_for_the_code_of_a_stopped_run():
    assert f'"$code" -eq {StoppedError.exit_code} ]' in (FOLDER / "slurm.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DEEPSPEED"),
        ({"ACCELERATE_USE_FSDP": "true"}, "`fsdp_version` 1;"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true"}, "2 and `fsdp_offload_params`"),
    ],
    ids=str,
)
def test_a_strategy_that_there_is_not_is_refused_in_words(environment, found):
    with pytest.raises(ConfigError, match=f"{found}.*Try: .*fsdp2.yaml"):
        asked(environment)


def test_what_the_fsdp2_file_asks_for_is_what_is_read(monkeypatch):
    file = load_config_from_file(str(FOLDER / "fsdp2.yaml"))
    arguments = launch_command_parser().parse_args(["--config_file", str(FOLDER / "fsdp2.yaml"), "run.py"])
    arguments, *_ = _validate_launch_command(arguments)
    environment = prepare_multi_gpu_env(arguments)
    assert (
        asked(environment)
        == tuple(file.fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(","))
        == ("UTAE", "ViT", "Block", "EvaBlock")
    )


def test_the_job_of_several_machines_asks_for_the_same(tmp_path):
    text = (FOLDER / "slurm.sbatch").read_text(encoding="utf-8")
    script = text[text.index("case") : text.index("esac") + 4] + "\nexec env"
    for strategy, found in (("fsdp2", ("UTAE", "ViT", "Block", "EvaBlock")), ("ddp", None)):
        done = subprocess.run(
            ["bash", "-c", script], env={"STRATEGY": strategy, "PATH": os.environ["PATH"]}, capture_output=True, text=True
        )
        assert asked(dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)) == found
    assert subprocess.run(["bash", "-c", script], env={"STRATEGY": "fsdp"}, capture_output=True, check=False).returncode == 64


def test_no_strategy_is_no_sharding():
    assert asked({}) is None and asked({"ACCELERATE_USE_FSDP": "false"}) is None


def test_the_blocks_of_both_families_of_vit_are_among_the_classes():
    classes = load_config_from_file(str(FOLDER / "fsdp2.yaml")).fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
    for name in ("vit_small_patch16_rope_224", "vit_small_patch16_224"):
        encoder = ViTConfig(name=name, dim=16, depth=1, heads=2).build(MODALITIES["spot"])
        assert {"ViT", type(encoder.vit.blocks[0]).__name__} <= set(classes)
