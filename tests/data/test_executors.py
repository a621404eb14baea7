"""Whoever does the work, the store is the same to the byte. Processes are tested in test_writing."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_source import FakeSource
from small_cluster import small_cluster
from test_writing import Odd, content

from omnifuse.data import executors
from omnifuse.data.executors import dask_cluster
from omnifuse.data.store import write_store
from omnifuse.errors import ConfigError, InputError, StoppedError


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes | None]:
    path = tmp_path_factory.mktemp("stores") / "whole.zarr"
    write_store(FakeSource(20), path)
    return content(path)


def test_any_executor_will_do(tmp_path, whole):
    calls = []
    with ThreadPoolExecutor(3) as executor:
        write_store(FakeSource(20), tmp_path / "s.zarr", executor=executor, progress=lambda *done: calls.append(done))
    assert content(tmp_path / "s.zarr") == whole
    assert calls == [(i + 1, 20) for i in range(20)]


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_writes_the_same_bytes_and_goes_on(tmp_path: Path, whole, dask_address):
    path = tmp_path / "s.zarr"
    with dask_cluster(dask_address) as executor:
        with pytest.raises(InputError, match="float64"):
            write_store(Mended(20), path, executor=executor)
        assert not path.exists()
        write_store(FakeSource(20), path, executor=executor)
    assert content(path) == whole


class Mended(Odd):
    def __init__(self, num_places: int) -> None:
        FakeSource.__init__(self, num_places)
        self.odd = (3,)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_whose_workers_are_all_gone_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "_PATIENCE", 0.2)
    with small_cluster(workers=1) as cluster, dask_cluster(cluster.scheduler_address) as executor:
        cluster.scale(0)
        while cluster.scheduler.workers:
            time.sleep(0.01)
        with pytest.raises(StoppedError, match="no worker is left"):
            write_store(FakeSource(), tmp_path / "s.zarr", executor=executor)


def test_where_dask_is_missing_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'omnifuse\[dask\]'"), dask_cluster("tcp://127.0.0.1:1"):
        pass
