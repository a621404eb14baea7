"""No model folder, however made, does more to `load` than raise a clear error, at once and in little memory."""

import resource
import shutil
import time
from pathlib import Path

import pytest
from hostile_folders import listed
from small_models import FACTS, fusion_model

from omnifuse.errors import CheckpointError, ConfigError
from omnifuse.zoo import load, save_model


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "small"
    save_model(folder, fusion_model(), FACTS)
    load(folder)  # imports what it imports, before memory and time are measured
    return folder


def attack(good: Path, home: Path, every: int) -> int:
    """Load every so-manieth hostile folder; return how many."""
    cases = list(listed(good).items())[::every]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, change in cases:
        folder = home / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        change(folder)
        began = time.process_time()  # of this process: others load the machine
        with pytest.raises((CheckpointError, ConfigError)) as caught:
            load(folder)
            pytest.fail(f"loaded: {name}")
        message = str(caught.value)
        assert "Try: " in message and len(message) < 2000 and str(folder) in message, f"{name}: {message}"
        assert time.process_time() - began < 1, name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kB"
    return len(cases)


def test_some_hostile_folders_are_refused(good, tmp_path):
    assert attack(good, tmp_path, 11) >= 30


@pytest.mark.slow
def test_every_hostile_folder_is_refused(good, tmp_path):
    assert attack(good, tmp_path, 1) >= 400
