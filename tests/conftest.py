"""Every public signature's shapes and types are checked on every call of the test run."""

from jaxtyping import install_import_hook

# As for mypy, an int will do where a float is asked for.
hook = install_import_hook("omnifuse", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import tempfile  # noqa: E402  (after the hook)
from collections.abc import Iterator  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def temporary_folders() -> Iterator[None]:
    """Remove what the tests' processes leave behind: a killed one clears nothing up, and wandb nothing in a process that was forked.

    Theirs alone: this process clears up at its end, after the fixtures.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    """The address of a Dask cluster of two workers."""
    from small_cluster import small_cluster

    with small_cluster(workers=2) as cluster:
        yield cluster.scheduler_address
