import os
import pickle
import shutil
import time
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import xarray
import zarr
from fake_source import DTYPES, MODALITIES, FakeSource

from omnifuse.data.loading import evaluation_batches
from omnifuse.data.manifest import load_json, seal
from omnifuse.data.memory import InMemory
from omnifuse.data.place import Place, Series
from omnifuse.data.store import Store, write_store
from omnifuse.errors import InputError

TYPES = [np.dtype(f"{kind}{size}") for kind, sizes in {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}.items() for size in sizes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "whole.zarr"
    write_store(FakeSource(), path)
    return path


@pytest.fixture
def store(whole, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


def assert_same(found: Place, expected: Place) -> None:
    assert found.size == expected.size
    assert found.info == expected.info
    assert {name: type(value) for name, value in found.info.items()} == {name: type(value) for name, value in expected.info.items()}
    assert found.target.dtype == expected.target.dtype
    assert found.target.tobytes() == expected.target.tobytes()
    for name, series in expected.series.items():
        assert found.series[name].pixels.shape == series.pixels.shape
        assert found.series[name].pixels.tobytes() == series.pixels.tobytes()
        assert found.series[name].day.tolist() == series.day.tolist()
        assert found.series[name].pixels.dtype == series.pixels.dtype or not len(series.pixels)


def test_a_store_gives_back_every_bit(whole):
    source, store = FakeSource(), Store(whole)
    assert store.modalities == source.modalities
    assert store.classes == source.classes
    assert store.info == source.info
    assert (store.size, len(store)) == (80.0, 7)
    assert store.provenance["licence"] == "CC0"
    for index in range(7):
        assert_same(store[index], source[index])


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_is_kept(tmp_path, dtype):
    source = FakeSource(3, dict.fromkeys(DTYPES, dtype))
    write_store(source, tmp_path / "s.zarr")
    for index in range(3):
        assert_same(Store(tmp_path / "s.zarr")[index], source[index])
    tree = xarray.open_datatree(tmp_path / "s.zarr", engine="zarr")
    assert tree["optical/pixels"].dtype == dtype
    assert np.array_equal(tree["optical/pixels"][1, :2], source[1].series["optical"].pixels)


def test_several_processes_write_the_same_store(whole, tmp_path):
    calls = []
    write_store(FakeSource(), tmp_path / "s.zarr", workers=2, progress=lambda *done: calls.append(done))
    names = [sorted(file.relative_to(root).as_posix() for file in root.rglob("*")) for root in (whole, tmp_path / "s.zarr")]
    assert names[0] == names[1]
    assert all((whole / name).read_bytes() == (tmp_path / "s.zarr" / name).read_bytes() for name in names[0] if (whole / name).is_file())
    assert calls == [(i + 1, 7) for i in range(7)]


def test_plain_xarray_opens_it(whole):
    tree = xarray.open_datatree(whole, engine="zarr")  # a warning would fail the test
    optical = tree["optical"].to_dataset()
    assert optical.pixels.dims == ("place", "time", "band", "y", "x")
    assert tuple(optical.attrs["bands"]) == MODALITIES["optical"].bands
    for index in range(7):
        expected = FakeSource()[index]
        count = int(optical["count"][index])
        assert count == len(expected.series["optical"].day)
        assert np.array_equal(optical.pixels[index, :count], expected.series["optical"].pixels)
        days = (optical.time[index].values - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
        assert days[:count].tolist() == expected.series["optical"].day.tolist()
        assert np.isnan(days[count:]).all()
        assert np.array_equal(tree["target/labels"][index], expected.target)
    assert tree["place/fold"].values.tolist() == [place["fold"] for place in FakeSource().info]


def test_a_missing_sensor_takes_no_file(whole):
    radar = whole / "radar" / "pixels"
    assert sorted(file.name for file in radar.glob("c.*")) == [f"c.{i}.0.0.0.0" for i in range(7) if i % 3 != 1]


def test_a_store_travels_to_workers_and_keeps_no_file_open(whole):
    store = pickle.loads(pickle.dumps(Store(whole)))  # noqa: S301 our own bytes
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 a folder of the kernel
    assert_same(store[3], FakeSource()[3])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    places = [batch.place for batch in evaluation_batches(store, np.arange(7), 3, workers=2)]
    assert [len(place) for place in places] == [3, 3, 1]


def chunks(store: Path) -> list[Path]:
    return sorted(file for file in store.rglob("c.*"))


def read_all(path: Path) -> None:
    store = Store(path)
    for index in range(len(store)):
        store[index]
        store.check(index)  # also what no read returns: the zeros after the last image


def test_any_deleted_file_is_named(store):
    for file in sorted(store.rglob("*")):
        if file.is_file():
            held = file.read_bytes()
            file.unlink()
            with pytest.raises(InputError, match=str(file)):
                read_all(store)
            file.write_bytes(held)
    read_all(store)


def test_any_flipped_bit_is_found_and_its_file_named(store):
    rng = np.random.default_rng(0)
    for file in sorted(store.rglob("*")):
        if not file.is_file():
            continue
        held = file.read_bytes()
        for position in [0, len(held) - 1, *rng.integers(0, len(held), 4)]:
            damaged = bytearray(held)
            damaged[position] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            try:
                read_all(store)
            except InputError as error:
                assert str(file) in str(error)
            else:  # white space between two JSON tokens may change without a consequence
                assert file == store / "zarr.json", f"{file} byte {position}"
        file.write_bytes(held)


def test_damage_after_the_last_image_is_no_matter_for_a_read_but_found_by_a_check(store):
    file, source = store / "optical" / "pixels" / "c.0.0.0.0.0", FakeSource()
    assert len(source[0].series["optical"].day) == 1
    damaged = bytearray(file.read_bytes())
    damaged[-5] ^= 1  # the last byte before the check sum: longer series have data there
    file.write_bytes(damaged)
    opened = Store(store)
    assert_same(opened[0], source[0])
    with pytest.raises(InputError, match=str(file)):
        opened.check(0)
    opened.check(1)


@pytest.mark.parametrize(("verify", "sums"), [("first", [True, False, True]), ("always", [True] * 3), ("never", [False] * 3)])
def test_a_chunk_is_summed_when_it_is_first_read_and_after_it_was_changed(store, monkeypatch, verify, sums):
    calls = []
    sum_of = google_crc32c.extend
    monkeypatch.setattr(google_crc32c, "extend", lambda *given: calls.append(1) or sum_of(*given))
    opened, file = Store(store, verify=verify), store / "optical" / "pixels" / "c.3.0.0.0.0"
    found = []
    for _ in range(3):
        calls.clear()
        opened.read(3, sensors=["optical"])
        found.append(bool(calls))
        if len(found) == 2:
            os.utime(file, ns=(1, 1))
            os.utime(store / "target" / "labels" / "c.3.0.0", ns=(1, 1))
    assert found == sums
    damaged = bytearray(file.read_bytes())
    damaged[0] ^= 1
    file.write_bytes(damaged)
    if verify == "never":
        opened[3]
    else:
        with pytest.raises(InputError, match=str(file)):
            opened[3]


def assert_some(place: Place) -> None:
    source = FakeSource()
    assert list(place.series) == ["weather", "optical"]
    assert place.series["weather"].pixels.shape == (0, 4, 1, 1)
    assert np.array_equal(place.series["optical"].pixels, source[3].series["optical"].pixels[[0, 3]])
    assert place.series["optical"].day.tolist() == source[3].series["optical"].day[[0, 3]].tolist()
    assert np.array_equal(place.target, source[3].target)


def test_some_sensors_and_dates_of_a_place_can_be_read(whole):
    store = Store(whole)
    some = {"optical": np.array([0, 3]), "weather": np.array([], np.int64)}
    for reader in (store, store, Store(whole, verify="never")):  # summed, seen before, and not summed at all
        assert_some(reader.read(3, ["weather", "optical"], some))
    for wrong in ([3, 0], [0, 0], [4], [-1]):
        with pytest.raises(InputError, match="dates"):
            store.read(3, dates={"optical": np.array(wrong)})
    with pytest.raises(InputError, match="unknown modality 'optikal'"):
        store.read(3, sensors=["optikal"])


def test_frames_are_counted_without_reading_them(whole):
    counts, source = Store(whole).num_frames(), FakeSource()
    for name, count in counts.items():
        assert count.tolist() == [len(source[i].series[name].day) for i in range(7)]


def test_a_chunk_of_another_size_is_named(store):
    for file in chunks(store):
        held = file.read_bytes()
        for other in (b"", held[: len(held) // 2], held[:-1], held + b"\0"):
            file.write_bytes(other)
            with pytest.raises(InputError, match=str(file)):
                read_all(store)
        file.write_bytes(held)


def test_an_error_in_a_worker_names_place_and_file(store):
    file = store / "optical" / "pixels" / "c.2.0.0.0.0"
    file.unlink()
    with pytest.raises(InputError, match=rf"(?s)place-2.*{file}"):
        list(evaluation_batches(Store(store), np.arange(7), 2, workers=1))


@pytest.mark.parametrize("layout", ["compressed", "one date a chunk", "sharded"])
def test_another_layout_is_read_through_zarr(store, layout):
    source = FakeSource()
    for name in ("optical", "radar"):
        array = zarr.open_array(store / name / "pixels", mode="r")
        values, shape, axes = array[...], array.shape, array.metadata.dimension_names
        shutil.rmtree(store / name / "pixels")
        options = {
            "compressed": {"chunks": (1, *shape[1:])},
            "one date a chunk": {"chunks": (1, 1, *shape[2:])},
            "sharded": {"chunks": (1, 1, *shape[2:]), "shards": (4, *shape[1:])},
        }[layout]
        new = zarr.create_array(
            store / name / "pixels",
            shape=shape,
            dtype=values.dtype,
            dimension_names=axes,
            config={"write_empty_chunks": layout == "sharded"},
            **options,
        )
        new[...] = values
    document = load_json(store / "zarr.json")["attributes"]["omnifuse"]
    kept = {key: value for key, value in document.items() if key not in ("format", "files", "crc32c")}
    seal(store, kept, {"target/labels", "optical/pixels", "radar/pixels", "fine/pixels", "weather/pixels"})
    opened = Store(store)
    for index in range(7):
        assert_same(opened[index], source[index])
    pickled = pickle.dumps(opened)
    assert b"zarr.core" not in pickled  # no handle travels
    assert_same(pickle.loads(pickled)[0], source[0])  # noqa: S301 our own bytes
    places = [batch.frames["optical"] for batch in evaluation_batches(opened, np.arange(2), 1, workers=1)]  # forked after reading
    assert [place.pixels.numpy().tobytes() for place in places] == [source[i].series["optical"].pixels.tobytes() for i in range(2)]
    file = next((store / "optical" / "pixels").rglob("c/0/0/0/0/0"))
    held = file.read_bytes()
    file.unlink()
    with pytest.raises(InputError, match=str(file)):
        opened[0]
    file.write_bytes(held[: len(held) // 2])
    with pytest.raises(InputError, match=str(store / "optical" / "pixels")):
        opened[0]


def test_nothing_is_overwritten(whole):
    with pytest.raises(InputError, match="exists already"):
        write_store(FakeSource(), whole)


class Odd(FakeSource):
    """A source whose third place is not like the others."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def __getitem__(self, index):
        place = super().__getitem__(index)
        return self.change(place) if index == 3 else place


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: Place({"weather": Series(p.series["weather"].pixels.astype(np.float64), p.series["weather"].day)}, p.size), "float64"),
        (lambda p: Place({"weather": Series(p.series["weather"].pixels * np.nan, p.series["weather"].day)}, p.size), "not finite"),
        (lambda p: Place({"wether": p.series["weather"]}, p.size), "unknown modality 'wether'"),
        (lambda p: Place({"fine": Series(p.series["fine"].pixels[..., :-1], p.series["fine"].day)}, p.size), "expected 32×32"),
        (lambda p: Place({}, 40.0), "40 m wide"),
    ],
)
def test_a_place_that_is_not_like_the_others_is_named(tmp_path, change, message):
    with pytest.raises(InputError, match=f"(?s)place-3.*{message}"):
        write_store(Odd(change), tmp_path / "s.zarr")


def test_sensors_and_labels_may_be_missing_everywhere(tmp_path):
    class Bare(FakeSource):
        def __getitem__(self, index):
            place = super().__getitem__(index)
            return Place({"weather": place.series["weather"]}, place.size, None, place.info)

    write_store(Bare(), tmp_path / "s.zarr")
    place = Store(tmp_path / "s.zarr")[0]
    assert place.target is None
    assert place.series["optical"].pixels.shape == (0, 3, 8, 8)
    xarray.open_datatree(tmp_path / "s.zarr", engine="zarr").load()


def test_a_store_of_another_format_or_none_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"nosuch/zarr\.json: missing"):
        Store(tmp_path / "nosuch")
    zarr.create_group(tmp_path / "foreign")
    with pytest.raises(InputError, match="not the metadata of a store"):
        Store(tmp_path / "foreign")


def test_some_dates_are_read_in_at_most_four_times_the_time_of_all(tmp_path):
    class Long(FakeSource):
        def __init__(self) -> None:
            super().__init__(1)
            self.modalities = {"optical": self.modalities["optical"]}
            self.size = 1280.0

        def __getitem__(self, index: int) -> Place:
            pixels = np.random.default_rng(index).integers(0, 9999, (40, 3, 128, 128)).astype(np.uint16)
            return Place({"optical": Series(pixels, np.arange(40, dtype=np.int32))}, self.size, None, self.info[index])

    def least(read) -> float:
        times = []
        for _ in range(7):
            began = time.process_time()
            read()
            times.append(time.process_time() - began)
        return min(times)

    some = {"optical": np.sort(np.random.default_rng(0).choice(40, 24, replace=False))}
    for profile in ("training", "archive"):
        write_store(Long(), tmp_path / profile, profile=profile)
        store = Store(tmp_path / profile)
        store[0]
        assert least(lambda store=store: store.read(0, dates=some)) < 4 * least(lambda store=store: store[0])  # zarr's `oindex` takes 20


def test_the_chunk_of_another_place_is_not_taken_for_its_own(store):
    first, second = (store / "weather" / "pixels" / f"c.{index}.0.0.0.0" for index in (0, 1))  # three images each, and whole
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    for index, file in ((0, first), (1, second)):
        opened = Store(store)
        for _ in range(2):
            with pytest.raises(InputError, match=rf"{file}: not the file of this place"):
                opened[index]


def test_shards_of_the_same_lengths_are_told_apart_by_what_is_in_them(tmp_path):
    source = FakeSource(2)
    places = [replace(source[index], target=np.full((8, 8), index, np.uint8)) for index in range(2)]
    write_store(InMemory(source, places), tmp_path / "s.zarr", profile="archive")
    first, second = (tmp_path / "s.zarr" / "target" / "labels" / f"c.{index}.0.0" for index in (0, 1))
    assert first.stat().st_size == second.stat().st_size
    assert first.read_bytes()[-20:] == second.read_bytes()[-20:]  # their indices are equal, with their check sums
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    for index in range(2):
        with pytest.raises(InputError, match="not the file of this place"):
            Store(tmp_path / "s.zarr")[index]
