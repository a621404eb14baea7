"""Writing stores: stopped anywhere and gone on with, by one process or many, the store is the same to the byte."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
from fake_source import MODALITIES, FakeSource

from omnifuse.classes import ClassTable
from omnifuse.data.manifest import exclusive
from omnifuse.data.place import Place, Series
from omnifuse.data.place_files import class_pixels
from omnifuse.data.store import Store, write_store
from omnifuse.errors import ConfigError, InputError, StoppedError

PROFILES = ("training", "archive")
STEPS = ("replace", "rename", "fsync", "sync", "truncate", "mkdir", "unlink", "rmdir", "write")  # of the operating system


def content(root: Path) -> dict[str, bytes | None]:
    return {file.relative_to(root).as_posix(): file.read_bytes() if file.is_file() else None for file in sorted(root.rglob("*"))}


@pytest.fixture(scope="module")
def wholes(tmp_path_factory) -> dict[str, dict[str, bytes | None]]:
    result = {}
    for profile in PROFILES:
        path = tmp_path_factory.mktemp("stores") / "whole.zarr"
        write_store(FakeSource(), path, profile=profile)
        assert list(path.parent.iterdir()) == [path]
        result[profile] = content(path)
    return result


class Reading(FakeSource):
    """Notes which places were read, and stops at one."""

    def __init__(self, stop: int = -1) -> None:
        super().__init__()
        self.stop = stop
        self.read: list[int] = []

    def __getitem__(self, index: int) -> Place:
        if index == self.stop:
            raise KeyboardInterrupt
        self.read.append(index)
        return super().__getitem__(index)


def write_until(path: Path, profile: str, last: int) -> bool:
    """Write, and kill the process before its step number `last`; whether it got there."""

    def write() -> None:
        done = iter(range(10**9))
        for name in STEPS:
            real = getattr(os, name)

            def step(*args, real=real, **options):
                if next(done) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            setattr(os, name, step)
        write_store(FakeSource(), path, profile=profile)

    child = os.fork()
    if not child:
        try:
            write()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def assert_goes_on(path: Path, profile: str, expected: dict[str, bytes | None]) -> None:
    if path.exists():
        with pytest.raises(InputError, match="exists already"):
            write_store(FakeSource(), path, profile=profile)
    else:
        write_store(FakeSource(), path, profile=profile)
    assert not path.with_name(f".{path.name}.partial").exists()
    assert content(path) == expected


@pytest.mark.parametrize("profile", PROFILES)
def test_killed_at_any_step_it_goes_on_to_the_same_bytes(tmp_path, wholes, profile):
    for last in (5, 40, 75, 110, 125):
        path = tmp_path / f"{last}.zarr"
        assert write_until(path, profile, last)
        assert not path.exists() or content(path) == wholes[profile]
        assert_goes_on(path, profile, wholes[profile])


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_killed_at_every_step_and_again_it_goes_on_to_the_same_bytes(tmp_path, wholes, profile):
    for last in range(0, 400, 3):
        path = tmp_path / f"{last}.zarr"
        if not write_until(path, profile, last):
            assert last > 100
            break
        if not path.exists():
            write_until(path, profile, last // 2)
        assert_goes_on(path, profile, wholes[profile])


class Slow(FakeSource):
    """Takes so long that a random moment lies between two places as a rule."""

    def __getitem__(self, index: int) -> Place:
        time.sleep(0.1)
        return super().__getitem__(index)


@pytest.mark.slow
@pytest.mark.timeout(3000)  # each trial imports torch, and with processes twice
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_twenty_random_moments_it_goes_on_to_the_same_bytes(tmp_path, wholes, workers):
    rng, killed = random.Random(workers), 0
    imports = "import sys; from pathlib import Path; from test_writing import Slow, write_store; "
    command = imports + "write_store(Slow(), Path(sys.argv[1]), workers=int(sys.argv[2]))"
    for trial in range(20):
        path = tmp_path / f"{trial}.zarr"
        child = subprocess.Popen(
            [sys.executable, "-c", command, path, str(workers)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        journal = path.with_name(f".{path.name}.partial") / "journal"
        while not journal.exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.9 / workers))
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        assert_goes_on(path, "training", wholes["training"])
    assert killed >= 15


def test_what_was_written_is_not_read_again(tmp_path, wholes):
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        write_store(Reading(stop=5), path)
    assert not path.exists()
    source, calls = Reading(), []
    write_store(source, path, progress=lambda *done: calls.append(done))
    assert source.read == [5, 6] and calls == [(i + 1, 7) for i in range(7)]
    assert content(path) == wholes["training"]


def test_what_does_not_hold_is_written_again(tmp_path, wholes):
    path, partial = tmp_path / "s.zarr", tmp_path / ".s.zarr.partial"
    with pytest.raises(KeyboardInterrupt):
        write_store(Reading(stop=6), path)
    (partial / "store/optical/pixels/c.0.0.0.0.0").unlink()
    file = partial / "store/weather/pixels/c.1.0.0.0.0"
    file.write_bytes(file.read_bytes()[:-1])
    file = partial / "store/target/labels/c.2.0.0"
    file.write_bytes(bytes(len(file.read_bytes())))
    lines = (partial / "journal").read_bytes().split(b"\n")
    torn = next(i for i, line in enumerate(lines) if b'"index": 5,' in line)
    lines[torn] = lines[torn][:-10]
    damaged = next(i for i, line in enumerate(lines) if b'"index": 3,' in line)
    lines[damaged] = lines[damaged].replace(b'"index": 3', b'"index": 4')
    (partial / "journal").write_bytes(b"\n".join(lines))
    source = Reading()
    write_store(source, path)
    assert source.read == [0, 1, 2, 3, 5, 6]
    assert content(path) == wholes["training"]


def test_another_conversion_in_the_same_place_is_refused(tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt):
        write_store(Reading(stop=2), path)
    with pytest.raises(InputError, match=r"s\.zarr\.partial.*places differ.*remove this folder"):
        write_store(FakeSource(6), path)
    with pytest.raises(InputError, match="profile differ"):
        write_store(FakeSource(), path, profile="archive")
    with exclusive(tmp_path / ".s.zarr.partial", "writing"), pytest.raises(InputError, match="another process is writing it"):
        write_store(FakeSource(), path)
    with pytest.raises(ConfigError, match="Try: archive"):
        write_store(FakeSource(), path, profile="archiv")
    write_store(FakeSource(), path)


class Odd(FakeSource):
    """Some places have another type, until they are mended."""

    def __init__(self, *odd: int) -> None:
        super().__init__()
        self.odd = odd

    def __getitem__(self, index: int) -> Place:
        place = super().__getitem__(index)
        if index in self.odd:
            weather = place.series["weather"]
            return Place({"weather": Series(weather.pixels.astype(np.float64), weather.day)}, place.size, None, place.info)
        return place


@pytest.mark.parametrize("odd", [0, 3])
def test_a_place_that_is_mended_is_read_again(tmp_path, wholes, odd):
    with pytest.raises(InputError, match="float64"):
        write_store(Odd(odd), tmp_path / "s.zarr")
    write_store(FakeSource(), tmp_path / "s.zarr")
    assert content(tmp_path / "s.zarr") == wholes["training"]


@pytest.mark.parametrize("profile", PROFILES)
def test_processes_write_the_same_bytes(tmp_path, wholes, profile):
    calls = []
    write_store(FakeSource(), tmp_path / "s.zarr", workers=2, profile=profile, progress=lambda *done: calls.append(done))
    assert content(tmp_path / "s.zarr") == wholes[profile]
    assert calls == [(i + 1, 7) for i in range(7)]


class Dying(FakeSource):
    def __getitem__(self, index: int) -> Place:
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_worker_that_dies_or_cannot_be_reached_is_told(tmp_path, wholes):
    with pytest.raises(StoppedError, match="worker process ended"):
        write_store(Dying(), tmp_path / "s.zarr", workers=2)
    write_store(FakeSource(), tmp_path / "s.zarr")  # the place is read from another source of the same content
    assert content(tmp_path / "s.zarr") == wholes["training"]

    class Local(FakeSource):
        pass

    with pytest.raises(InputError, match="workers=1"):
        write_store(Local(), tmp_path / "t.zarr", workers=2)
    with pytest.raises(InputError, match=r"place-.*float64"):
        write_store(Odd(*range(3)), tmp_path / "t.zarr", workers=2)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_store_made_from_a_store_has_the_same_places(tmp_path, wholes, profile):
    write_store(FakeSource(), tmp_path / "a.zarr", profile="archive")
    write_store(Store(tmp_path / "a.zarr"), tmp_path / "b.zarr", profile=profile)
    files = content(tmp_path / "b.zarr")
    assert {name for name in files if name != "zarr.json"} == {name for name in wholes[profile] if name != "zarr.json"}
    assert all(files[name] == wholes[profile][name] for name in files if not name.endswith("zarr.json"))


def test_moments_and_class_counts_are_those_of_the_places(tmp_path):
    source = FakeSource()
    write_store(source, tmp_path / "s.zarr")
    store = Store(tmp_path / "s.zarr")
    for name in MODALITIES:
        found = store.moments(name)
        for index in range(7):
            pixels = source[index].series[name].pixels.astype(np.float64)
            if not len(pixels):
                assert not found[index].any()
                continue
            assert (found[index, :, 0] == pixels[:, 0].size).all()
            np.testing.assert_allclose(found[index, :, 1], pixels.mean((0, 2, 3)), rtol=1e-12)
            np.testing.assert_allclose(found[index, :, 2], pixels.var((0, 2, 3)) * pixels[:, 0].size, rtol=1e-12)
    counts = [[int((source[i].target == label).sum()) for label in (0, 1, 255)] for i in range(7)]
    assert store.class_counts().tolist() == counts


def test_pixels_are_counted_by_class_and_the_ignored_label_apart():
    target = np.array([[0, 2, 2], [1, 2, 7]], np.uint8)
    assert class_pixels(target, ClassTable(("a", "b", "c"), ("#000000",) * 3, ignore=7)) == (1, 1, 3, 1)
    assert class_pixels(target[:, :2], ClassTable(("a", "b", "c"), ("#000000",) * 3, ignore=2)) == (1, 1, 0, 2)
    assert class_pixels(np.array([0.5, 0.5], np.float32), ClassTable(("a", "b"), ("#000000",) * 2)) == ()


class Scenes(FakeSource):
    """Labels are shares of classes over the place."""

    shares = np.array([0.25, 0.75], np.float32)

    def __getitem__(self, index: int) -> Place:
        place = super().__getitem__(index)
        return Place(place.series, place.size, None if index == 2 else self.shares * index / 6, place.info)


@pytest.mark.parametrize("profile", PROFILES)
def test_labels_may_be_shares_of_classes(tmp_path, profile):
    write_store(Scenes(), tmp_path / "s.zarr", profile=profile)
    store = Store(tmp_path / "s.zarr")
    assert store[2].target is None and store.class_counts() is None
    assert store[6].target.tolist() == [0.25, 0.75] and store[6].target.dtype == np.float32
    assert xarray.open_datatree(tmp_path / "s.zarr", engine="zarr")["target/labels"].dims == ("place", "class")
    for wrong, message in (([0.5, 1.5], "from 0 to 1"), ([0.5, np.nan], "from 0 to 1"), ([0.5], "one value per class")):
        source = Scenes()
        source.shares = np.array(wrong, np.float32)
        with pytest.raises(InputError, match=f"place-[056].*{message}"):
            write_store(source, tmp_path / f"{message}{len(wrong)}.zarr")


def test_attributes_follow_the_conventions(tmp_path):
    write_store(FakeSource(), tmp_path / "s.zarr")
    tree = xarray.open_datatree(tmp_path / "s.zarr", engine="zarr")
    assert tree["optical/time"].dtype.kind == "M"
    assert tree["optical/pixels"].attrs | {} == {
        "long_name": "optical",
        "bands": ["B0", "B1", "B2"],
        "band_units": ["1"] * 3,
        "gsd": 10.0,
        "units": "1",
    }
    labels = tree["target/labels"].attrs
    assert labels["flag_values"] == [0, 1] and labels["flag_meanings"] == "field wood" and labels["flag_colors"] == "#ffff00 #00ff00"
    assert labels["ignored"] == 255
    assert tree["place/longitude"].attrs["units"] == "degrees_east"
