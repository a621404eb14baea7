import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray
from fake_source import FakeSource

from omnifuse.data import manifest
from omnifuse.data.columns import add_columns, set_statistics
from omnifuse.data.sensors import SensorView
from omnifuse.data.store import Store, write_store
from omnifuse.data.subset import Subset, split
from omnifuse.errors import InputError

KFOLD = ["a", "b", "a", "b", "a", "b", "a"]
STATISTICS = {"radar": ((1.0, 2.0), (3.0, 0.0)), "fine": ((5.0,), (6.0,))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "whole.zarr"
    write_store(FakeSource(), path)
    return path


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


def add(path: Path) -> None:
    add_columns(path, {"share": [1, 5, 10, 1, 5, 10, 100], "part": KFOLD, "weight": [0.5] * 7}, {"seed": 3, "by": "fraction"})


def test_columns_are_metadata_like_any_other(store):
    add(store)
    info = Store(store).info
    assert split(info, "share", (1, 5)).tolist() == [0, 1, 3, 4]
    assert split(info, "part", ("b",)).tolist() == [1, 3, 5]
    assert [{key: row[key] for key in old} for row, old in zip(info, FakeSource().info, strict=True)] == FakeSource().info
    tree = xarray.open_datatree(store, engine="zarr")
    assert tree["place/share"].values.tolist() == [1, 5, 10, 1, 5, 10, 100]
    assert tree["place"].attrs["splits"]["part"] == {"seed": 3, "by": "fraction"}
    add_columns(store, {"more": np.arange(7).tolist()}, {"seed": 4})
    assert Store(store).info[6]["more"] == 6 and Store(store).info[6]["share"] == 100


def test_a_smaller_store_still_says_how_its_places_were_split(store, tmp_path):
    add(store)
    write_store(Subset(SensorView(Store(store), ("radar",)), np.array([0, 2])), tmp_path / "less.zarr")
    assert Store(tmp_path / "less.zarr").how_split["share"] == {"seed": 3, "by": "fraction"}


def test_adding_the_same_again_changes_nothing_and_another_of_the_name_is_refused(store):
    add(store)
    before = (store / "zarr.json").read_bytes()
    add(store)
    assert (store / "zarr.json").read_bytes() == before
    for values, about in ((["a"] * 7, {"seed": 3, "by": "fraction"}), (KFOLD, {"seed": 4})):
        with pytest.raises(InputError, match=r"'part'.*another name"):
            add_columns(store, {"part": values}, about)
    with pytest.raises(InputError, match=r"'fold'.*another name"):
        add_columns(store, {"fold": [1] * 7}, {})


@pytest.mark.parametrize(("name", "values", "message"), [("a/b", KFOLD, "not a name"), ("a", KFOLD[:6], "6 values for 7 places")])
def test_a_column_that_does_not_fit_is_refused(store, name, values, message):
    with pytest.raises(InputError, match=message):
        add_columns(store, {name: values}, {})


def test_statistics_are_replaced_in_the_store(store):
    set_statistics(store, STATISTICS, {"places": 7})
    found, old = Store(store).modalities, FakeSource().modalities
    assert found["radar"].mean == (1.0, 2.0) and found["radar"].std == (3.0, 1.0)
    assert found["fine"].mean == (5.0,) and found["optical"] == old["optical"]
    tree = xarray.open_datatree(store, engine="zarr")
    assert tree["radar"].attrs["mean"] == [1.0, 2.0] and tree["radar/pixels"].attrs["statistics"] == {"places": 7}
    with pytest.raises(InputError, match="nosuch"):
        set_statistics(store, {"nosuch": ((1.0,), (1.0,))})


class StopError(BaseException):
    pass


@pytest.mark.parametrize("change", [add, lambda path: set_statistics(path, STATISTICS)], ids=["columns", "statistics"])
def test_whoever_stops_at_any_step_leaves_the_old_store_or_the_new_one(whole, tmp_path, monkeypatch, change):
    new = Path(shutil.copytree(whole, tmp_path / "new.zarr"))
    change(new)
    states = [(Store(path).info, Store(path).modalities) for path in (whole, new)]
    seen = []
    real = os.fsync
    for stop in range(100):
        path = Path(shutil.copytree(whole, tmp_path / f"{stop}.zarr"))
        calls = iter(range(1000))

        def fsync(descriptor, calls=calls, stop=stop):
            if next(calls) == stop:
                raise StopError
            real(descriptor)

        monkeypatch.setattr(manifest.os, "fsync", fsync)
        try:
            change(path)
        except StopError:
            pass
        else:
            assert stop > 5
            break
        finally:
            monkeypatch.setattr(manifest.os, "fsync", real)
        seen.append(states.index((Store(path).info, Store(path).modalities)))  # every listed file is checked
        change(path)
        assert (Store(path).info, Store(path).modalities) == states[1]
        assert manifest.open_sealed(path).attributes["pending"] == {}
        for name in ("place", "radar", "fine"):
            assert manifest.load_json(path / name / "zarr.json") == manifest.load_json(new / name / "zarr.json")
    assert seen == sorted(seen) and set(seen) == {0, 1}


def test_two_changes_at_a_time_are_refused(store):
    with manifest.exclusive(store, "changing"), pytest.raises(InputError, match="another process is changing it"):
        add(store)
