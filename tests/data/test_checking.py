import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_source import FakeSource

from omnifuse.data.checking import check_source, metadata_problems, problem_of
from omnifuse.data.problems import Problem
from omnifuse.data.store import Store, write_store
from omnifuse.data.store_checking import check_store
from omnifuse.errors import InputError


@pytest.fixture(scope="module", params=["training", "archive"])
def whole(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stores") / f"{request.param}.zarr"
    write_store(FakeSource(), path, profile=request.param)
    return path


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


def flip(file: Path, position: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[position] ^= 1
    file.write_bytes(raw)


def test_a_sound_store_has_no_problem(whole):
    calls = []
    check = check_store(whole, progress=lambda *done: calls.append(done))
    assert check.problems == ()
    assert (check.places, len(check.facts), check.affected) == (7, 7, frozenset())
    assert calls == [(i + 1, 7) for i in range(7)]
    assert check_source(Store(whole), "here").problems == ()


def test_all_problems_are_found_at_once_with_their_places(store):
    gone, flipped = store / "fine/pixels/c.0.0.0.0.0", store / "optical/pixels/c.2.0.0.0.0"
    cut, stray = store / "radar/pixels/c.3.0.0.0.0", store / "optical/pixels/c.4.0.0.0.0"
    gone.unlink()
    flip(flipped, 3)
    cut.write_bytes(cut.read_bytes()[:-1])
    shutil.copyfile(store / "optical/pixels/c.5.0.0.0.0", stray)  # place 4 has no optical
    (store / "notes.txt").write_text("mine", encoding="utf-8")
    for workers in (0, 2):
        check = check_store(store, workers=workers)
        found = {problem.file: problem for problem in check.problems}
        assert set(found) == {str(file) for file in (gone, flipped, cut, stray, store / "notes.txt")}
        assert len(check.problems) == 5
        assert found[str(gone)].what == "this chunk is missing, though the store counts it"
        assert "belongs to nothing" in found[str(stray)].what
        assert {found[str(gone)].place, found[str(flipped)].place, found[str(cut)].place} == check.affected
        assert check.affected == {"place-0", "place-2", "place-3"}
        assert len(check.facts) == 4
        assert all(problem.remedy for problem in check.problems)


def test_damage_behind_the_last_image_is_found(tmp_path):
    write_store(FakeSource(), tmp_path / "s.zarr")
    file = tmp_path / "s.zarr/optical/pixels/c.0.0.0.0.0"  # one image of up to four
    flip(file, file.stat().st_size - 10)
    assert [problem.file for problem in check_store(tmp_path / "s.zarr").problems] == [str(file)]


@pytest.mark.parametrize("array", ["weather/pixels", "target/labels"])
def test_a_chunk_of_another_place_is_found(store, array):
    first, second = (store / array / f"c.{index}.0.0{'.0.0' * (array != 'target/labels')}" for index in (0, 1))
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    check = check_store(store)
    assert [(problem.place, problem.file) for problem in check.problems] == [("place-0", str(first)), ("place-1", str(second))]
    for problem in check.problems:  # the second where two shards are alike but for what is in their chunks
        assert "not the file of this place" in problem.what or "holds other values than were written for this place" in problem.what


def test_damaged_metadata_does_not_hide_other_problems(store):
    (store / "radar/count/zarr.json").write_text("{}", encoding="utf-8")
    (store / "place/zarr.json").unlink()
    flip(store / "optical/pixels/c.2.0.0.0.0", 3)
    found = {problem.file: problem.place for problem in check_store(store).problems}
    assert found == {
        str(store / "radar/count/zarr.json"): "",
        str(store / "place/zarr.json"): "",
        str(store / "optical/pixels/c.2.0.0.0.0"): "place-2",
    }


def test_a_store_without_root_metadata_is_one_problem(store):
    document = json.loads((store / "zarr.json").read_bytes())
    document["attributes"]["omnifuse"]["size"] = 81
    (store / "zarr.json").write_text(json.dumps(document), encoding="utf-8")
    check = check_store(store)
    assert [problem.what for problem in check.problems] == ["damaged, its check sum differs"]
    assert check.places == 0


class Faulty(FakeSource):
    """One fault of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.info[6] = {**self.info[6], "id": "place-5", "latitude": 91.0}

    def __getitem__(self, index):
        place = super().__getitem__(index)
        if index == 0:
            raise InputError("/data/x.npy: ended in the middle. Try: download it again.")
        if index == 1:
            optical = place.series["optical"]
            fault = {"optical": replace(optical, day=optical.day[::-1] + np.arange(len(optical.day), dtype=np.int32)[::-1])}
            fine = {"fine": replace(place.series["fine"], pixels=place.series["fine"].pixels[..., 1:])}
            return replace(place, series={**place.series, **fault, **fine})
        if index == 2:
            radar = place.series["radar"]
            return replace(place, series={**place.series, "radar": replace(radar, pixels=radar.pixels * np.float16(np.nan))})
        if index == 3:
            weather = place.series["weather"]
            twice = replace(weather, pixels=weather.pixels[[0, 0, 1]], day=weather.day[[0, 0, 1]])
            return replace(place, series={**place.series, "weather": twice}, target=np.full((8, 8), 9, np.uint8))
        return place

    def problems(self):
        yield Problem("/data/x.npy", "1 byte short", "download it again", "place-0")
        yield Problem("/data/list.csv", "missing", "download it")


def test_a_source_is_read_to_its_end(monkeypatch):
    check = check_source(Faulty(), "/data")
    found = [(problem.place, problem.file, problem.what) for problem in check.problems]
    assert found[:2] == [("place-0", "/data/x.npy", "1 byte short"), ("", "/data/list.csv", "missing")]  # and x.npy not again
    assert [name for name, _, _ in found].count("place-0") == 1
    what = {place: [text for name, _, text in found if name == place] for place, _, _ in found}
    assert any("both called 'place-5'" in text for text in what["place-5"])
    assert any("latitude 91.0" in text for text in what["place-5"])
    assert len(what["place-1"]) == 2  # both sensors are named
    assert any("dates of 'optical' are not in order" in text for text in what["place-1"])
    assert any("'fine' is 32×31 pixels" in text for text in what["place-1"])
    assert any("not finite" in text for text in what["place-2"])
    assert any("label 9 at 64 pixels" in text for text in what["place-3"])
    assert check.affected == {f"place-{i}" for i in (0, 1, 2, 3, 5)}


def test_an_image_stored_twice_is_a_problem_and_two_passes_of_a_day_are_not():
    class Twice(FakeSource):
        def __getitem__(self, index):
            place = super().__getitem__(index)
            radar, weather = place.series["radar"], place.series["weather"]
            twice = replace(weather, pixels=weather.pixels[[0, 0, 1]], day=weather.day[[0, 0, 1]])
            return replace(place, series={"weather": twice, "radar": replace(radar, day=radar.day * 0)})

    check = check_source(Twice(1), "/data")
    assert [problem.what.split(",")[0] for problem in check.problems] == ["'weather' has 1 images twice"]


def test_what_several_places_say_of_one_file_is_said_once_and_of_themselves_by_each():
    class Broken(FakeSource):
        def __getitem__(self, index):
            if index < 3:
                raise InputError("/data/patch.npy: cut short. Try: download it again.")
            return replace(super().__getitem__(index), target=np.full((8, 8), 9, np.uint8))

    check = check_source(Broken(), "/data")
    assert [problem.place for problem in check.problems] == ["place-0", "place-3", "place-4", "place-5", "place-6"]
    assert check.affected == {f"place-{i}" for i in range(7)}


def test_positions_that_contradict_each_other_are_found():
    warp = pytest.importorskip("rasterio.warp")
    (x,), (y,) = warp.transform("EPSG:4326", "EPSG:32631", [5.5], [48.0])

    class Placed(FakeSource):
        def __init__(self) -> None:
            super().__init__(4)
            right = {"longitude": 5.5, "latitude": 48.0, "crs": "EPSG:32631", "left": x - 40, "top": y + 40}
            wrong = [{}, {"crs": "EPSG:32632"}, {"crs": "EPSG:nonsense"}, {"left": float("nan")}]
            self.info = [{"id": f"place-{i}", **right, **change} for i, change in enumerate(wrong)]

    found = {problem.place: problem.what for problem in metadata_problems(Placed(), "/data")}
    assert set(found) == {"place-1", "place-2", "place-3"}
    assert "m from where EPSG:32632" in found["place-1"]
    assert "no coordinate system" in found["place-2"]
    assert "without the upper left corner" in found["place-3"]


@pytest.mark.parametrize(
    ("text", "file", "what"),
    [
        ("place 'a b' (3): /x/y z.npy: 3 bytes. Try: again.", "/x/y z.npy", "3 bytes"),
        ("place 'a' (3): /x/y.npy: 3 bytes. Try: again.", "/x/y.npy", "3 bytes"),
        ("label 9 at 3 pixels. Try: again.", "/data", "label 9 at 3 pixels"),
    ],
)
def test_an_error_becomes_a_problem(text, file, what):
    assert problem_of(InputError(text), "/data", "a") == Problem(file, what, "again", "a")
