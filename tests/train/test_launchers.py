"""What starts many processes: files that parse, name what exists, and strategies that are refused in words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

from omnifuse.errors import ConfigError, StoppedError
from omnifuse.train.ranks import refuse_sharding

FOLDER = Path(__file__).parents[2] / "pretrain" / "accelerate"
FILES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=lambda path: path.name)
def test_an_accelerate_file_parses_and_every_key_has_a_meaning(path):
    config = load_config_from_file(str(path))
    asked = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in asked.items():
        found = getattr(config, key)
        assert getattr(found, "value", found) == value or (key == "gpu_ids" and value == "all"), key
    refuse_sharding(DistributedType(config.distributed_type))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_only_what_exists(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"pretrain/[\w/]+\.(?:py|yaml|sbatch|sh)", text):
        assert (FOLDER.parents[1] / name).is_file(), name
    if path.suffix in (".sh", ".sbatch"):
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_the_job_is_queued_again_for_the_code_of_a_stopped_run():
    assert f'"$code" -eq {StoppedError.exit_code} ]' in (FOLDER / "slurm.sbatch").read_text(encoding="utf-8")


def test_sharding_is_refused_in_words():
    for kind in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        with pytest.raises(ConfigError, match=rf"{kind.value}.*whole.*Try: "):
            refuse_sharding(kind)
    refuse_sharding(DistributedType.MULTI_GPU)


@pytest.mark.slow
def test_a_launcher_that_asks_for_fsdp_gets_the_message():
    code = "from omnifuse.train.ranks import start; start('no')"
    asked = {**os.environ, "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    asked |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533"}
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, timeout=200)
    assert done.returncode and "checkpoints here are whole" in done.stderr, done.stderr[-2000:]
