import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_source import FakeSource
from file_server import serving

import omnifuse.data
from omnifuse.data import remote
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import Place
from omnifuse.data.store import Store, write_store
from omnifuse.errors import InputError

pytest.importorskip("obstore")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote, "RETRIES", 1)
    monkeypatch.setattr(remote, "_threads_of", None)  # so that workers of later tests are forked again; they read no address


@pytest.fixture(scope="module", params=["training", "archive"])
def whole(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "s.zarr"
    write_store(FakeSource(), path, profile=request.param)
    return path


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "s.zarr"))


def assert_same(found: Place, expected: Place) -> None:
    assert found.info == expected.info
    assert np.array_equal(found.target, expected.target)
    for name, series in expected.series.items():
        assert found.series[name].pixels.tobytes() == series.pixels.tobytes()
        assert found.series[name].day.tolist() == series.day.tolist()


@pytest.mark.parametrize("fault", ["", "whole"])
def test_a_store_behind_a_server_is_the_store(whole, fault):
    with serving(whole.parent, lambda *_: fault) as server:
        opened = Store(f"{server.address}/s.zarr/")
        assert opened.modalities == Store(whole).modalities
        for index in range(7):
            assert_same(opened[index], FakeSource()[index])
        assert opened.num_frames()["optical"].tolist() == Store(whole).num_frames()["optical"].tolist()
        assert np.array_equal(opened.moments("optical"), Store(whole).moments("optical"))
        place = opened.read(3, sensors=["optical"], dates={"optical": np.array([1, 3])})
        assert np.array_equal(place.series["optical"].pixels, FakeSource()[3].series["optical"].pixels[[1, 3]])
        assert_same(pickle.loads(pickle.dumps(opened))[3], FakeSource()[3])  # noqa: S301 our own bytes
        opened.check(3)


def test_only_what_is_needed_is_transferred(tmp_path):
    class Long(FakeSource):
        """Places whose first has one image of 128 kB, and whose second has forty."""

        def __init__(self) -> None:
            super().__init__(2)
            self.modalities = {"optical": self.modalities["optical"]}
            self.size = 2560.0

        def __getitem__(self, index: int) -> Place:
            count = (1, 40)[index]
            series = type(super().__getitem__(0).series["optical"])(
                np.random.default_rng(index).integers(0, 9999, (count, 3, 256, 256)).astype(np.uint16), np.arange(count, dtype=np.int32)
            )
            return Place({"optical": series}, self.size, None, self.info[index])

    for profile in ("training", "archive"):
        write_store(Long(), tmp_path / profile, profile=profile)
    with serving(tmp_path) as server:

        def sent(profile: str, *given, **options) -> int:
            opened = Store(f"{server.address}/{profile}")
            server.sent.clear()
            place = opened.read(*given, **options)
            assert place.series["optical"].pixels.any()
            return sum(size for _, size in server.sent)

        image = 3 * 256 * 256 * 2
        assert sent("training", 0) < 1.01 * image  # not the 39 images of zeros
        assert sent("archive", 1, dates={"optical": np.array([3, 17])}) < 2.1 * image


def test_xarray_opens_an_address(whole):
    with serving(whole.parent) as server:
        tree = omnifuse.data.open(f"{server.address}/s.zarr")
        assert np.array_equal(tree["optical"].pixels.sel(place="place-3")[:4], FakeSource()[3].series["optical"].pixels)


def test_what_a_server_lacks_breaks_off_or_damages_is_an_error_that_names_the_address(store):
    faults = [""]
    with serving(store.parent, lambda name, _: faults[-1] if "optical/pixels/c.3" in name else "") as server:
        address = f"{server.address}/s.zarr"
        opened, file = Store(address), f"{address}/optical/pixels/c.3.0.0.0.0"
        for fault, message in (("500", "500"), ("cut", "body")):
            faults.append(fault)
            with pytest.raises(InputError, match=rf"{file}: cannot be read.*{message}"):
                opened[3]
            assert_same(opened[0], FakeSource()[0])
        faults.append("")
        held = (store / "optical/pixels/c.3.0.0.0.0").read_bytes()
        for wrong in (b"", held[:100], bytes([held[0] ^ 1]) + held[1:]):
            (store / "optical/pixels/c.3.0.0.0.0").write_bytes(wrong)
            with pytest.raises(InputError, match=file):
                opened[3]
        (store / "optical/pixels/c.3.0.0.0.0").unlink()
        with pytest.raises(InputError, match=rf"{file}: this chunk is missing"):
            opened[3]
        count = store / "optical" / "count" / "c.0"
        count.write_bytes(bytes([count.read_bytes()[0] ^ 1]) + count.read_bytes()[1:])
        with pytest.raises(InputError, match=f"{address}/optical/count/c.0: damaged"):
            Store(address)
        (store / "zarr.json").write_text("{}")
        with pytest.raises(InputError, match=f"{address}/zarr.json: not the metadata of a store"):
            Store(address)
        (store / "zarr.json").write_text("<html>")
        with pytest.raises(InputError, match=f"{address}/zarr.json: not JSON"):
            Store(address)
        with pytest.raises(InputError, match=r"nosuch/zarr\.json: missing or cannot be reached \(not found\)"):
            Store(f"{server.address}/nosuch")
    with pytest.raises(InputError, match=r"zarr\.json: missing or cannot be reached"):
        Store(address)  # nobody listens any more


@pytest.mark.parametrize("fault", ["500", "cut"])
def test_what_fails_once_is_asked_for_again(whole, fault):
    with serving(whole.parent, lambda _, times: fault if times == 1 else "") as server:
        assert_same(Store(f"{server.address}/s.zarr")[3], FakeSource()[3])


def test_what_fsspec_knows_is_read_through_it(whole):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(whole), "/held", recursive=True)
    opened = Store("memory://held")
    for index in range(7):
        assert_same(opened[index], FakeSource()[index])
    place = opened.read(3, dates={"optical": np.array([0])})
    assert np.array_equal(place.series["optical"].pixels, FakeSource()[3].series["optical"].pixels[:1])
    workers = [batch.place.tolist() for batch in evaluation_batches(opened, np.arange(7), 4, workers=0)]
    assert workers == [[0, 1, 2, 3], [4, 5, 6]]
    memory.rm("/held/optical/pixels/c.3.0.0.0.0")
    with pytest.raises(InputError, match=r"memory://held/optical/pixels/c\.3\.0\.0\.0\.0: this chunk is missing"):
        opened[3]
    memory.rm("/held", recursive=True)
    with pytest.raises(InputError, match="cannot be opened"):
        Store("nosuch://held")


@pytest.mark.parametrize(("address", "package"), [("https://host/s.zarr", "obstore"), ("memory://s.zarr", "fsspec")])
def test_the_missing_extra_is_named(monkeypatch, address, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{address}.*needs the package {package}.*omnifuse\[cloud\]"):
        Store(address)


def test_a_forked_process_gets_an_error_and_does_not_hang(whole):
    with serving(whole.parent) as server:
        opened = Store(f"{server.address}/s.zarr")
        opened[0]
        assert remote.start_method() == "forkserver"
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                opened[1]
            except InputError as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert "forkserver" in os.read(reader, 9999).decode()


@pytest.mark.slow  # workers import torch anew
def test_workers_read_from_a_server(whole):
    with serving(whole.parent) as server:
        opened = Store(f"{server.address}/s.zarr")
        found = list(evaluation_batches(opened, np.arange(7), 1, workers=2))
        assert [batch.frames["optical"].pixels.numpy().tobytes() for batch in found] == [
            FakeSource()[i].series["optical"].pixels.tobytes() for i in range(7)
        ]
