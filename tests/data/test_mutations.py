"""Damaged data end in an error that says what to do, or in a correct read: never in a hang, a crash, or silently wrong data.

A store has check sums, so what is read from a damaged one equals what was written, or is an error; and `check_store` finds every
change of its files. A native file has none, and nobody can find a flipped bit among its pixels. The claim there: an error, or what is
read is valid (shapes, order of dates, finite values, class ids) and differs from before only at places, and sensors, of the
files that were changed. PASTIS is held to more: its arrays are compared with a plain read of the changed files.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fake_source import FakeSource
from mutations import mutate, plain_npy

from omnifuse.data.loading import check_labels, read_place
from omnifuse.data.manifest import load_json
from omnifuse.data.place import Place, PlaceSource, Series
from omnifuse.data.store import Store, write_store
from omnifuse.data.store_checking import check_store
from omnifuse.errors import OmnifuseError

SECONDS = 20.0  # a mutation that takes longer hangs


@dataclass(frozen=True)
class World:
    """A folder that can be damaged.

    Attributes:
        build: Writes it, and returns what `open` is given.
        open: Opens the places.
        sealed: Whether every byte has a check sum.
        shared: Parts of the names of files that concern every place.
    """

    build: Callable[[Path], Path]
    open: Callable[[Path], PlaceSource]
    sealed: bool = False
    shared: tuple[str, ...] = ()


def _store(profile: str) -> World:
    def build(folder: Path) -> Path:
        write_store(FakeSource(), folder / "s.zarr", profile=profile)
        return folder / "s.zarr"

    return World(build, lambda path: Store(path, verify="always"), sealed=True)


def _pastis() -> World:
    import fake_pastis

    from omnifuse.data.sources.pastis import Pastis

    return World(
        lambda folder: fake_pastis.write_fake_pastis(folder / "PASTIS", side=16, spot=False),
        lambda path: Pastis(path, ("s2", "s1_asc", "s1_desc")),
        shared=("metadata.geojson",),
    )


def _flair() -> World:
    import fake_flair

    from omnifuse.data.sources.flair import Flair

    def build(folder: Path) -> Path:
        fake_flair.write_flair(folder / "flair")
        return folder / "flair"

    return World(build, Flair, shared=(".json", "SEN2_sp", ".txt"))


def _flair_hub() -> World:
    import fake_flair_hub

    from omnifuse.data.sources.flair_hub import FlairHub

    def build(folder: Path) -> Path:
        fake_flair_hub.write_flair_hub(folder / "hub", ",")
        return folder / "hub"

    return World(build, lambda path: FlairHub(path, ("aerial", "s2", "s1_asc")), shared=(".csv",))


def _treesatai() -> World:
    import fake_treesatai

    from omnifuse.data.sources.treesatai import TreeSatAI

    return World(lambda folder: fake_treesatai.write_treesatai(folder / "tree"), TreeSatAI, shared=(".json", ".lst", ".csv"))


def _rasters() -> World:
    import fake_rasters

    from omnifuse.data.sources.rasters import Rasters

    return World(
        lambda folder: fake_rasters.write_rasters(folder).parent,
        lambda path: Rasters(path / "table.csv", size=240.0),  # a size that is found depends on every file
        shared=(".csv", ".json"),
    )


WORLDS = {
    "training": lambda: _store("training"),
    "archive": lambda: _store("archive"),
    "pastis": _pastis,
    "flair": _flair,
    "flair-hub": _flair_hub,
    "treesatai": _treesatai,
    "rasters": _rasters,
}
NEEDS = {"treesatai": "h5py", "flair": "rasterio", "flair-hub": "rasterio", "rasters": "rasterio", "archive": "numcodecs"}


@pytest.fixture(autouse=True)
def small_patches(monkeypatch):
    """Let patches of PASTIS be 160 m wide; the published side is a constant."""
    from omnifuse.data.sources import pastis_layout

    monkeypatch.setattr(pastis_layout, "PUBLISHED", replace(pastis_layout.PUBLISHED, size=160.0))


def run(name: str, folder: Path, mutations: int, seed: int) -> tuple[list[str], dict[str, int]]:
    """Damage a world again and again; return what must not happen, and how often each outcome came."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    world = WORLDS[name]()
    path = world.build(folder)
    before = {place.info["id"]: place for place in _places(world.open(path))}
    root = load_json(path / "zarr.json") if world.sealed else {}
    failures, outcomes = [], dict.fromkeys(("error", "same", "other"), 0)
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    for number in range(mutations):
        what, changed, restore = mutate(path, rng)
        try:
            with _limit(SECONDS):
                outcome = _judge(name, world, path, before, changed, root)
            outcomes[outcome] += 1
        except OmnifuseError as error:
            assert "Try:" in str(error), error
            outcomes["error"] += 1
        except Exception as error:  # anything else is what is looked for
            failures.append(f"{name} {number}: {what}: {type(error).__name__}: {str(error)[:300]}")
        finally:
            restore()
    assert [_same(place, before[place.info["id"]]) for place in _places(world.open(path))] == [[]] * len(before)  # all is put back
    return failures, outcomes


def _judge(name: str, world: World, path: Path, before: dict[str, Place], changed: list[Path], root: dict) -> str:
    if world.sealed:
        return _judge_store(world, path, before, root)
    source = world.open(path)
    outcome, errors = "same", []
    for index, info in enumerate(source.info):
        key = info["id"]
        try:
            place = read_place(source, index)
        except OmnifuseError as error:
            errors.append(error)
            continue
        different = _same(place, before[key]) if key in before else ["new"]
        if different:
            outcome = "other"
            common = any(part in file.name for part in world.shared for file in changed)
            concerned = common or any(_names(file, path, str(key)) for file in changed)
            assert concerned, f"place {key} has other {different}, though no file of it was changed"
            place.check(source.modalities, str(key))
            if place.target is not None and source.classes is not None:
                check_labels(place.target, source.classes)
        if name == "pastis":
            _compare_plain(place, path)
    for error in errors:
        raise error
    return outcome


def _judge_store(world: World, path: Path, before: dict[str, Place], root: dict) -> str:
    problems = check_store(path).problems
    harmless = not problems
    assert not harmless or load_json(path / "zarr.json") == root, "the check has found nothing"  # white space between two tokens
    source = world.open(path)
    assert [info["id"] for info in source.info] == list(before)
    for index, (key, expected) in enumerate(before.items()):
        different = _same(read_place(source, index), expected)
        assert not different, f"place {key} has other {different}"
    return "same" if harmless else "other"


def _same(found: Place, expected: Place) -> list[str]:
    """Return what differs between two places."""
    different = [key for key in {**found.info, **expected.info} if found.info.get(key) != expected.info.get(key)]
    for name in {**found.series, **expected.series}:
        a, b = found.series.get(name), expected.series.get(name)
        if not (_count(a) == _count(b) == 0 or (_count(a) == _count(b) and _equal(a, b))):
            different.append(name)
    if (found.target is None) != (expected.target is None) or not np.array_equal(found.target, expected.target):
        different.append("target")
    return different


def _count(series: Series | None) -> int:
    return 0 if series is None else len(series.day)


def _equal(a: Series, b: Series) -> bool:
    return np.array_equal(a.day, b.day) and a.pixels.dtype == b.pixels.dtype and np.array_equal(a.pixels, b.pixels)


def _names(file: Path, root: Path, key: str) -> bool:
    """Whether a path names a place: by its whole id, or by its number."""
    text = file.relative_to(root).as_posix()
    parts = key.split("_")
    return key in text or all(part in text for part in parts) or parts[-1].lstrip("0") in text


def _compare_plain(place: Place, path: Path) -> None:
    """Hold the arrays of a patch to what numpy alone reads; a date without data may be left out."""
    for name, native in (("s2", "S2"), ("s1_asc", "S1A"), ("s1_desc", "S1D")):
        plain = plain_npy(path / f"DATA_{native}" / f"{native}_{place.info['id']}.npy")
        frames = {frame.tobytes() for frame in plain}
        assert all(frame.tobytes() in frames for frame in place.series[name].pixels), name
    assert np.array_equal(place.target, plain_npy(path / "ANNOTATIONS" / f"TARGET_{place.info['id']}.npy")[0])


def _places(source: PlaceSource) -> Iterator[Place]:
    return (read_place(source, index) for index in range(len(source)))


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"no end after {seconds:g} s")

    held = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, held)


@pytest.mark.filterwarnings("ignore")  # what a library thinks of a damaged file
@pytest.mark.parametrize("name", WORLDS)
def test_damage_is_an_error_or_changes_nothing(tmp_path, name):
    failures, outcomes = run(name, tmp_path, 15, seed=0)
    assert not failures, "\n".join(failures)
    assert outcomes["error"] > 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", WORLDS)
def test_damage_a_thousand_times(tmp_path, name, seed):
    failures, outcomes = run(name, tmp_path, 29, seed)  # 7 worlds × 5 seeds × 29 are 1015
    assert not failures, "\n".join(failures)
    assert sum(outcomes.values()) == 29
