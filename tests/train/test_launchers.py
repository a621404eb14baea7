"""What starts many processes: files that parse, name what exists, and strategies that are refused in words."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

from omnifuse.errors import ConfigError, StoppedError
from omnifuse.train.ranks import refuse_sharding, start

FOLDER = Path(__file__).parents[2] / "pretrain" / "accelerate"
FILES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=lambda path: path.name)
def test_an_accelerate_file_parses_and_every_key_has_a_meaning(path):
    config = load_config_from_file(str(path))
    asked = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in asked.items():
        found = getattr(config, key)
        assert getattr(found, "value", found) == value or (key == "gpu_ids" and value == "all"), key
    assert DistributedType(config.distributed_type) in (DistributedType.NO, DistributedType.MULTI_GPU)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_only_what_exists(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"pretrain/[\w/]+\.(?:py|yaml|sbatch|sh)", text):
        assert (FOLDER.parents[1] / name).is_file(), name
    if path.suffix in (".sh", ".sbatch"):
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_the_job_is_queued_again_for_the_code_of_a_stopped_run():
    assert f'"$code" -eq {StoppedError.exit_code} ]' in (FOLDER / "slurm.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_sharding_is_refused_in_words_before_any_process_is_joined(name, monkeypatch):
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    with pytest.raises(ConfigError, match=rf"{name}.*whole.*Try: "):
        start("no")
    refuse_sharding({f"ACCELERATE_USE_{name}": "false"})
