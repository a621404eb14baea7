"""A small Dask cluster for tests, in threads of this process: its workers need no time to start."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def small_cluster(workers: int) -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "dashboard_address": None, "protocol": "tcp", "silence_logs": "critical"}
    with distributed.LocalCluster(n_workers=workers, threads_per_worker=1, **options) as cluster:
        yield cluster
